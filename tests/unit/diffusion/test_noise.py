"""Laws of noise that sticks to the scene, on a wall whose correspondences are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.canvas import Canvas, prepared_by_size
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.noise import CarriedNoise, carried_draws, nearest_first
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.stylize import Settings
from tests.support.tiny_diffusion import stylize

DEPTH, WIDTH, HEIGHT = 4.0, 16, 12
SIZE = (6, 8)
"""rows and columns of the latents; a cell has two pixels by two"""
SETTINGS = Settings(
    prompt="a pencil sketch of a red ball",
    negative_prompt="",
    strength=0.5,
    guidance_scale=2.0,
    num_inference_steps=4,
    controlnet_conditioning_scale=1.0,
    image_side=16,
    seed=0,
)


def cameras(shifts, focal=20.0):
    """Before a wall, moved so that the picture is shifted by so many pixels."""
    found = []
    for shift in shifts:
        pose = np.eye(4)
        pose[0, 3] = shift * DEPTH / 20
        found.append(PinholeCamera(pose, focal, focal, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT))
    return found


def wall(num_views):
    return list(np.full((num_views, HEIGHT, WIDTH), DEPTH, np.float32))


def wall_noise(shifts):
    return CarriedNoise(wall(len(shifts)), cameras(shifts), [SIZE] * len(shifts))


@pytest.fixture(scope="module")
def model(tiny_folder):
    return load_pipeline(str(tiny_folder), torch.device("cpu"))


def test_what_two_views_see_of_one_surface_has_the_same_draws():
    draws = carried_draws(wall(3), cameras([-2, 0, 4]), [SIZE] * 3)
    np.testing.assert_array_equal(draws[1].ravel(), np.arange(48))  # nearest to the middle
    np.testing.assert_array_equal(draws[0][:, 1:], draws[1][:, :-1])
    np.testing.assert_array_equal(draws[2][:, :-2], draws[1][:, 2:])
    new = np.concatenate([draws[0][:, 0], draws[2][:, -2:].ravel()])
    assert sorted(new) == list(range(48, 48 + 18))


def test_a_view_takes_what_only_one_of_the_others_has_seen():
    """The second is in the middle, the third beside it, the fourth beyond the third."""
    _, middle, third, fourth = carried_draws(wall(4), cameras([-4, 0, 2, 4]), [SIZE] * 4)
    np.testing.assert_array_equal(fourth[:, :-1], third[:, 1:])
    assert not np.isin(fourth[:, -2], middle).any()


@pytest.mark.parametrize("seed", range(3))
def test_no_draw_is_used_twice_in_a_view(seed):
    """Whatever the geometry: also where one view sees in many cells what another sees in one."""
    rng = np.random.default_rng(seed)
    depths = rng.uniform(1, 8, (6, 1, 1)).astype(np.float32).repeat(HEIGHT, 1).repeat(WIDTH, 2)
    depths *= rng.uniform(0.98, 1.02, depths.shape).astype(np.float32)
    depths[rng.random(depths.shape) < 0.1] = np.nan
    views = cameras(rng.uniform(-6, 6, 6), focal=20.0)
    views = [
        replace(each, fx=each.fx * zoom, fy=each.fy * zoom)
        for each, zoom in zip(views, (1, 3, 0.3, 1, 2, 1), strict=True)
    ]
    for draws in carried_draws(list(depths), views, [SIZE] * 6):
        assert len(np.unique(draws)) == draws.size
        assert draws.min() >= 0


def test_each_view_by_itself_is_white_gaussian_noise():
    noise = wall_noise([0, 3, 5, 9])
    generator = torch.Generator().manual_seed(0)
    fields = torch.stack(
        [
            torch.cat(noise.of(torch.randn(1, 4, *SIZE, generator=generator), seed))
            for seed in range(500)
        ]
    )  # draws of the whole, views, channels, rows, columns
    cells = fields[:, :, 0].flatten(2).movedim(1, 0)  # view, draw, cell
    for view in cells:
        covariance = torch.cov(view.T)
        assert (covariance - torch.eye(48)).abs().max() < 0.3
        assert view.mean(0).abs().max() < 0.2


def test_a_hidden_surface_hands_nothing_on():
    depths = wall(2)
    depths[1] = np.ones_like(depths[1])  # something stands right before the second camera
    first, second = carried_draws(depths, cameras([0, 4]), [SIZE] * 2)
    assert not np.isin(first, second).any()


def test_empty_space_starts_anew():
    draws = carried_draws(list(np.full_like(wall(2), np.nan)), cameras([0, 2]), [SIZE] * 2)
    assert not np.isin(*draws).any()


def test_one_view_has_the_pipelines_noise():
    first = torch.randn(1, 4, *SIZE)
    assert torch.equal(wall_noise([0]).of(first, seed=3)[0], first)


def test_the_nearest_camera_comes_next():
    centres = np.array([[0.0, 0, 0], [4, 0, 0], [5, 0, 0], [11, 0, 0]])
    assert nearest_first(centres) == [2, 1, 0, 3]


def test_permuting_views_permutes_the_draws():
    shifts, order = np.array([0.0, 3, 5, 9, 14]), [3, 0, 4, 2, 1]
    plain = carried_draws(wall(5), cameras(shifts), [SIZE] * 5)
    permuted = carried_draws(wall(5), cameras(shifts[order]), [SIZE] * 5)
    np.testing.assert_array_equal(permuted, [plain[view] for view in order])


def test_the_pipeline_is_left_as_it_was_after_an_error(model):
    canvas = Canvas((SIZE, SIZE))

    def fail_inside():
        with prepared_by_size(model.pipeline, canvas, wall_noise([0, 2]), seed=0):
            assert "prepare_latents" in vars(model.pipeline)
            raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        fail_inside()
    assert "prepare_latents" not in vars(model.pipeline)


def test_one_view_is_the_stock_pipeline_bit_for_bit_and_several_are_not(model):
    rng = np.random.default_rng(0)
    rgb = rng.random((2, HEIGHT, WIDTH, 3), dtype=np.float32)
    disparity = rng.random((2, HEIGHT, WIDTH), dtype=np.float32)
    plain = stylize(model, rgb, disparity, SETTINGS, Plan.joint(2, share=False))
    noise = wall_noise([0, 6])
    stuck = stylize(model, rgb, disparity, SETTINGS, Plan.joint(2, share=False), noise=noise)
    np.testing.assert_array_equal(stuck[0], plain[0])  # the one that the other takes from
    assert np.abs(stuck[1] - plain[1]).max() > 1e-2


def test_views_of_two_sizes_share_draws_where_they_see_the_same():
    """The second is the first, turned: as high as the first is wide; cells are as large."""
    wide, high = cameras([0, 0])
    high = replace(high, cx=HEIGHT / 2, cy=WIDTH / 2, width=HEIGHT, height=WIDTH)
    depths = [np.full((HEIGHT, WIDTH), DEPTH), np.full((WIDTH, HEIGHT), DEPTH)]
    noise = CarriedNoise(depths, [wide, high], [SIZE, SIZE[::-1]])
    first, second = noise.draws
    np.testing.assert_array_equal(first[:, 1:-1], second[1:-1])  # the middle, which both see
    assert not np.isin(second[[0, -1]], first).any()
    found = noise.of(torch.randn(1, 4, *SIZE), seed=0)
    assert [tuple(each.shape) for each in found] == [(1, 4, 6, 8), (1, 4, 8, 6)]
    assert torch.equal(found[0][..., 1:-1], found[1][..., 1:-1, :])
