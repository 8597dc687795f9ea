"""Laws of fusing views in 3D, on a plane whose correspondences are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.fusion import Fusion, clean_latents, nearest_views, shifted_prediction
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.stylize import Settings
from tests.support.tiny_diffusion import stylize

DEPTH = 4.0
SETTINGS = Settings(
    prompt="a pencil sketch of a red ball",
    negative_prompt="",
    strength=0.5,
    guidance_scale=2.0,
    num_inference_steps=4,
    controlnet_conditioning_scale=1.0,
    image_side=16,
    seed=0,
    fusion_steps=2,
)


def cameras(num_views, width=16, height=12):
    """In a row before a wall; each step shifts the picture by exactly two pixels."""
    found = []
    for index in range(num_views):
        pose = np.eye(4)
        pose[0, 3] = index * 2 * DEPTH / 20
        found.append(
            PinholeCamera(pose, 20.0, 20.0, width / 2, height / 2, width=width, height=height)
        )
    return found


def wall_views(num_views, width=16, height=12):
    """What they see of one picture on the wall."""
    wall = np.random.default_rng(0).random((height, width + 2 * num_views, 3), dtype=np.float32)
    return np.stack([wall[:, 2 * i : 2 * i + width] for i in range(num_views)])


def wall_fusion(num_views, num_steps=2):
    depths = np.full((num_views, 12, 16), DEPTH, np.float32)
    return Fusion(list(depths), cameras(num_views), num_steps)


@pytest.fixture(scope="module")
def model(tiny_folder):
    return load_pipeline(str(tiny_folder), torch.device("cpu"))


def test_views_that_agree_stay_as_they_are():
    views = wall_views(4)
    np.testing.assert_allclose(np.stack(wall_fusion(4).mean(list(views))), views, atol=1e-6)


def test_a_surface_point_gets_the_mean_of_what_the_views_say():
    colours = np.array([0.0, 0.3, 0.9], np.float32)
    views = np.ones((3, 12, 16, 3), np.float32) * colours[:, None, None, None]
    fused = np.stack(wall_fusion(3).mean(list(views)))
    np.testing.assert_allclose(fused[1, :, 4:12], 0.4, atol=1e-6)  # where all three look
    np.testing.assert_allclose(fused[0, :, 0:2], 0.0, atol=1e-6)  # what only the first sees


def test_a_hidden_surface_is_not_mixed_with_what_hides_it():
    depths = np.full((2, 12, 16), DEPTH, np.float32)
    depths[1] = 1.0  # something stands right before the second camera
    views = np.random.default_rng(0).random((2, 12, 16, 3), dtype=np.float32)
    np.testing.assert_array_equal(
        np.stack(Fusion(list(depths), cameras(2), 1).mean(list(views))), views
    )


def test_empty_space_stays_as_it_is():
    depths = np.full((3, 12, 16), np.nan, np.float32)
    views = np.random.default_rng(0).random((3, 12, 16, 3), dtype=np.float32)
    np.testing.assert_array_equal(
        np.stack(Fusion(list(depths), cameras(3), 1).mean(list(views))), views
    )


def test_one_view_has_nothing_to_be_fused_with():
    views = wall_views(1)
    np.testing.assert_array_equal(np.stack(wall_fusion(1).mean(list(views))), views)


def test_neighbours_are_the_nearest_cameras():
    assert nearest_views(cameras(5), 2)[0] == [1, 2]
    assert sorted(nearest_views(cameras(5), 2)[2]) == [1, 3]


@pytest.mark.parametrize("kind", ["sample", "epsilon", "v_prediction"])
def test_a_shifted_prediction_has_the_shifted_clean_latents_behind_it(kind):
    scheduler = DDIMScheduler(prediction_type=kind)
    generator = torch.Generator().manual_seed(0)
    noisy, prediction, change = torch.randn((3, 2, 4, 6, 6), generator=generator)
    timestep = torch.tensor(400)
    shifted = shifted_prediction(prediction, change, scheduler, timestep)
    before = clean_latents(noisy, prediction, scheduler, timestep)
    after = clean_latents(noisy, shifted, scheduler, timestep)
    torch.testing.assert_close(after, before + change)


@pytest.mark.parametrize("kind", ["sample", "epsilon", "v_prediction"])
def test_clean_latents_are_those_that_the_scheduler_expects(kind):
    scheduler = DDIMScheduler(prediction_type=kind, clip_sample=False)
    scheduler.set_timesteps(10)
    generator = torch.Generator().manual_seed(0)
    noisy, prediction = torch.randn((2, 2, 4, 6, 6), generator=generator)
    timestep = scheduler.timesteps[4]
    expected = scheduler.step(prediction, timestep, noisy).pred_original_sample
    torch.testing.assert_close(clean_latents(noisy, prediction, scheduler, timestep), expected)


def test_guidance_hands_the_change_on_whole():
    scheduler = DDIMScheduler(prediction_type="epsilon")
    both, change = torch.randn(4, 4, 6, 6), torch.randn(2, 4, 6, 6)

    def guided(prediction):
        return prediction[:2] + 7.5 * (prediction[2:] - prediction[:2])

    timestep = torch.tensor(400)
    shifted = guided(shifted_prediction(both, change, scheduler, timestep))
    expected = shifted_prediction(guided(both), change, scheduler, timestep)
    torch.testing.assert_close(shifted, expected, rtol=1e-4, atol=1e-4)


def test_restyled_views_agree_better_when_fused(model):
    """Noise and padding are fixed to the screen, so that the views of one wall come out different."""
    views, disparity = wall_views(3), np.full((3, 12, 16), 0.5, np.float32)

    def disagreement(restyled):
        return np.abs(restyled[0, :, 6:14] - restyled[1, :, 4:12]).mean()

    apart = stylize(model, views, disparity, SETTINGS, Plan.joint(3))
    fused = stylize(model, views, disparity, SETTINGS, Plan.joint(3), fusion=wall_fusion(3))
    assert disagreement(fused) < disagreement(apart)


def test_fusing_does_not_depend_on_the_order_of_the_views(model):
    views, disparity = wall_views(3), np.full((3, 12, 16), 0.5, np.float32)
    depths, order = np.full((3, 12, 16), DEPTH, np.float32), [2, 0, 1]
    fused = stylize(model, views, disparity, SETTINGS, fusion=Fusion(list(depths), cameras(3), 2))
    others = Fusion(list(depths), [cameras(3)[index] for index in order], 2)
    permuted = stylize(model, views[order], disparity[order], SETTINGS, fusion=others)
    np.testing.assert_allclose(permuted, fused[order], atol=2e-4)


def test_a_resumed_call_gives_the_same_pictures(model, tmp_path):
    views, disparity = wall_views(3), np.full((3, 12, 16), 0.5, np.float32)
    plan = Plan("none", ((0, 1), (2,)))
    settings = replace(SETTINGS, num_inference_steps=8)

    def call():
        return stylize(
            model, views, disparity, settings, plan, fusion=wall_fusion(3), work=tmp_path
        )

    first = call()
    for kept in tmp_path.rglob("step_0002*"):
        kept.unlink()
    np.testing.assert_array_equal(call(), first)


def test_views_of_two_sizes_take_the_mean_of_what_both_see():
    """The second sees the middle of the first, 8 pixels of 16."""
    wide, _ = cameras(2)
    narrow = replace(wide, cx=4.0, width=8)
    depths = [np.full((12, 16), DEPTH), np.full((12, 8), DEPTH)]
    views = [np.zeros((12, 16, 3), np.float32), np.ones((12, 8, 3), np.float32)]
    first, second = Fusion(depths, [wide, narrow], 1).mean(views)
    np.testing.assert_allclose(first[:, 4:12], 0.5, atol=1e-6)
    np.testing.assert_array_equal(first[:, [0, 1, 2, 13, 14, 15]], 0)
    np.testing.assert_allclose(second, 0.5, atol=1e-6)
