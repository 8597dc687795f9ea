"""Where the weights lie and in which numbers they are changes nothing but memory and time, and rounding."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.diffusion.fusion import Fusion
from scenestyle.diffusion.models import load_pipeline, place
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.stylize import expected_seconds
from tests.support.tiny_diffusion import stylize
from tests.unit.diffusion.test_stylize import SETTINGS, some_views
from training.procedural.demo_scene import demo_cameras

CPU = torch.device("cpu")
GROUPS = ((1, 4), (0, 2), (3,))


@pytest.fixture(scope="module")
def model(tiny_folder):
    return load_pipeline(str(tiny_folder), CPU)


def plan(offload):
    """Offloaded weights have accelerate's hooks round every network, on the CPU as on a GPU; there they move as well."""
    return Plan("references", GROUPS, offload=offload)


def is_hooked(model):
    return [hasattr(part, "_hf_hook") for part in (model.pipeline.unet, model.pipeline.controlnet)]


def test_offloaded_weights_give_the_same_pictures_bit_for_bit_and_come_back(model):
    rgb, disparity = some_views(5)
    resident = stylize(model, rgb, disparity, SETTINGS, plan("none"))
    for _ in range(2):  # the pipeline puts its hooks on anew after every call
        offloaded = stylize(model, rgb, disparity, SETTINGS, plan("model"))
        assert is_hooked(model) == [True, True]
        np.testing.assert_array_equal(offloaded, resident)
    np.testing.assert_array_equal(stylize(model, rgb, disparity, SETTINGS, plan("none")), resident)
    assert is_hooked(model) == [False, False]


def test_offloaded_weights_are_used_in_turn(model):
    """Within a step ControlNet and UNet take turns, group by group, and no hook sees a call that waits for its turn."""
    rgb, disparity = some_views(5)
    place(model, "model")
    names = {id(getattr(model.pipeline, name)): name for name in ("unet", "controlnet")}
    calls = []
    watches = [
        part.conv_in.register_forward_pre_hook(
            lambda _, inputs, part=part: calls.append((names[id(part)], len(inputs[0])))
        )
        for part in (model.pipeline.unet, model.pipeline.controlnet)
    ]
    stylize(model, rgb, disparity, SETTINGS, plan("model"))
    for watch in watches:
        watch.remove()
    step = [(name, 2 * len(group)) for group in GROUPS for name in ("controlnet", "unet")]
    assert calls == 2 * step


def test_offloaded_weights_and_fused_views_go_together(model):
    rgb, disparity = some_views(2, width=32, height=24)
    cameras = [camera.resized(32, 24) for camera in list(demo_cameras().values())[:2]]
    depths = np.full(disparity.shape, 4.0, np.float32)
    resident, offloaded = (
        stylize(model, rgb, disparity, SETTINGS, each, fusion=Fusion(list(depths), cameras, 1))
        for each in (Plan.joint(2), Plan("full", ((0, 1),), offload="model"))
    )
    np.testing.assert_array_equal(offloaded, resident)
    assert not np.array_equal(resident, stylize(model, rgb, disparity, SETTINGS))


def test_an_error_leaves_offloaded_weights_usable(model):
    rgb, disparity = some_views(5)
    before = stylize(model, rgb, disparity, SETTINGS, plan("model"))

    def stop(*_):
        raise KeyboardInterrupt

    planted = model.pipeline.unet.mid_block.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        stylize(model, rgb, disparity, SETTINGS, plan("model"))
    planted.remove()
    np.testing.assert_array_equal(stylize(model, rgb, disparity, SETTINGS, plan("model")), before)


def test_the_expected_time_is_that_of_offloaded_weights(model):
    rgb, disparity = some_views(1)
    assert expected_seconds(model, list(rgb), list(disparity), SETTINGS, "model") > 0
    assert is_hooked(model) == [True, True]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_loaded_as_the_numbers_asked_for(tiny_folder, dtype):
    loaded = load_pipeline(str(tiny_folder), CPU, dtype).pipeline
    parts = (loaded.unet, loaded.controlnet, loaded.vae, loaded.text_encoder)
    assert {part.dtype for part in parts} == {getattr(torch, dtype)}


def test_auto_is_half_precision_on_a_gpu_only(tiny_folder):
    for device, dtype in (("cpu", torch.float32), ("cuda", torch.float16)):
        assert load_pipeline(str(tiny_folder), torch.device(device)).pipeline.dtype == dtype


def test_bfloat16_gives_nearly_the_same_pictures():
    """By a trained model; random networks amplify rounding."""
    rgb, disparity = some_views(3, width=64, height=48)
    cameras = [camera.resized(64, 48) for camera in list(demo_cameras().values())[:3]]
    fusion = Fusion(list(np.full(disparity.shape, 4.0, np.float32)), cameras, 1)
    settings = replace(SETTINGS, image_side=64)
    wanted, found = (
        stylize(
            load_pipeline("embedded", CPU, dtype),
            rgb,
            disparity,
            settings,
            Plan("references", ((0,), (1, 2))),
            fusion=fusion,
        )
        for dtype in ("float32", "bfloat16")
    )
    assert 0 < np.abs(found - wanted).mean() < 0.02
