"""Finetuning knows nothing of what is hidden, and keeps empty what is empty."""

import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.finetune.patch_losses import behind_mask, depth_loss
from scenestyle.finetune.patches import Target

VOID = torch.tensor([0.3, 0.6, 0.9]).view(3, 1, 1)


def patch(used=None, opacity=None, *, is_cut_out=False, scale=1.0):
    rng = np.random.default_rng(0)
    camera = PinholeCamera(np.eye(4), fx=30.0, fy=30.0, cx=8.0, cy=6.0, width=16, height=12)
    opacity = np.ones((12, 16), np.float32) if opacity is None else opacity
    target = Target.from_view(
        camera,
        0,
        rng.random((2, 12, 16, 3), np.float32) * (opacity[..., None] if is_cut_out else 1),
        np.full((12, 16), 2.0, np.float32),
        opacity,
        np.ones((12, 16), np.float32),
        torch.device("cpu"),
        used=used,
        is_cut_out=is_cut_out,
    )
    return target.resized(scale).crop(slice(None), slice(None))


def render(height=12, width=16):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, height, width, generator=generator, requires_grad=True)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_without_a_mask_nothing_changes_to_the_bit(scale):
    whole = patch(scale=scale)
    picture = render(*whole.rgb.shape[2:])
    for each in (whole, patch(np.ones((12, 16), np.float32), scale=scale)):
        shown, targets = behind_mask(picture, each, VOID)
        assert torch.equal(shown[0], picture)
        assert torch.equal(targets.rgb, whole.rgb)


def test_hidden_pixels_are_equal_in_both_and_have_no_gradient():
    used = np.ones((12, 16), np.float32)
    used[3:9, 4:11] = 0
    picture, hiding = render(), patch(used)
    shown, targets = behind_mask(picture, hiding, VOID)
    for row in targets.rgb:
        assert torch.equal(row[:, 3:9, 4:11], shown[0, :, 3:9, 4:11])
    shown.square().sum().backward()
    assert torch.equal(picture.grad[0] == 0, torch.from_numpy(used) == 0)
    far = 2 * hiding.depth_ray[0, 0]
    assert depth_loss(far, hiding).item() == pytest.approx(np.log(2) * used.mean(), rel=1e-5)


def test_an_empty_place_wants_the_void_and_a_half_empty_one_half_of_it():
    opacity = np.ones((12, 16), np.float32)
    opacity[:, :5], opacity[:, 5] = 0, 0.5
    _, targets = behind_mask(render(), patch(opacity=opacity, is_cut_out=True), VOID)
    np.testing.assert_allclose(targets.rgb[0, :, 0, 2], VOID[:, 0, 0])
    own = patch(opacity=opacity, is_cut_out=True).rgb
    np.testing.assert_allclose(targets.rgb[..., 5], own[..., 5] + 0.5 * VOID[..., 0])
    assert torch.equal(targets.rgb[..., 6:], own[..., 6:])
    _, of_a_photo = behind_mask(render(), patch(opacity=opacity), VOID)
    assert torch.equal(of_a_photo.rgb, patch(opacity=opacity).rgb)
