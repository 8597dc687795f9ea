"""Patches: which rays are rendered, and what they are compared with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.finetune.patches import Target, random_patch

WIDTH, HEIGHT = 40, 24
CAMERA = PinholeCamera(
    np.eye(4), fx=30.0, fy=31.0, cx=WIDTH / 2, cy=HEIGHT / 2, width=WIDTH, height=HEIGHT
)


def target(view_index: int = 0) -> Target:
    rng = np.random.default_rng(view_index)
    return Target.from_view(
        CAMERA,
        view_index,
        rng.random((2, HEIGHT, WIDTH, 3), np.float32),
        np.full((HEIGHT, WIDTH), 2.0, np.float32),
        np.ones((HEIGHT, WIDTH), np.float32),
        np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH),
        torch.device("cpu"),
    )


def test_depth_is_turned_from_z_to_along_the_ray():
    corner = np.hypot(np.hypot(*(np.array([19.5, 11.5]) / [30, 31])), 1)
    assert target().depth_ray[0, 0, 0, 0].item() == pytest.approx(2 * corner, rel=1e-6)


def test_full_scale_is_the_view_itself():
    same = target().resized(1.0)
    assert same.camera == CAMERA
    assert torch.equal(same.rgb, target().rgb)


def test_a_coarser_grid_averages_and_keeps_the_field_of_view():
    half = target().resized(0.5)
    assert half.rgb.shape == (2, 3, 12, 20)
    assert torch.allclose(half.rgb[1, :, 0, 0], target().rgb[1, :, :2, :2].mean((1, 2)))
    assert torch.allclose(half.region[0, 0, 0, 0], target().region[0, 0, :2, :2].mean())
    assert half.camera.width / half.camera.fx == CAMERA.width / CAMERA.fx
    assert half.camera.height / half.camera.fy == CAMERA.height / CAMERA.fy


def test_a_patch_has_the_place_and_colours_of_its_pixels():
    rows, columns = slice(3, 9), slice(10, 30)
    patch = target(4).crop(rows, columns)
    assert (patch.camera, patch.rows, patch.columns) == (CAMERA, rows, columns)
    assert patch.view_index == 4
    assert torch.equal(patch.rgb, target(4).rgb[..., rows, columns])
    assert torch.equal(patch.region, target(4).region[..., rows, columns])


def test_random_patches_cover_all_views_and_stay_inside():
    generator = torch.Generator().manual_seed(0)
    rows = np.broadcast_to(np.arange(HEIGHT, dtype=np.float32)[:, None, None], (HEIGHT, WIDTH, 3))
    views = [
        replace(target(index), rgb=torch.tensor(rows).permute(2, 0, 1)[None]) for index in (0, 1)
    ]
    patches = [random_patch(views, 16, generator) for _ in range(60)]
    assert {patch.rgb.shape for patch in patches} == {(1, 3, 16, 16)}
    assert {patch.view_index for patch in patches} == {0, 1}
    assert {int(patch.rgb[0, 0, 0, 0]) for patch in patches} == set(range(HEIGHT - 16 + 1))


def test_the_generator_decides():
    draws = [
        random_patch([target(0), target(1)], 16, torch.Generator().manual_seed(7)) for _ in range(2)
    ]
    assert torch.equal(draws[0].rgb, draws[1].rgb)


def test_a_side_shorter_than_the_patch_is_taken_whole():
    patch = random_patch([target()], 32, torch.Generator().manual_seed(0))
    assert patch.rgb.shape == (2, 3, HEIGHT, 32)
