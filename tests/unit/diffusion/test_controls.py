"""Several ControlNets go the way of one: depth, and the picture itself."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.models import CONTROLS_FILE, load_pipeline
from scenestyle.diffusion.plan import Plan, call_gb, plan_views
from scenestyle.errors import WeightsError
from scenestyle.params import StylizeViews
from tests.support.tiny_diffusion import stylize, tiny_first_pipeline, tiny_pipeline, with_tile
from tests.unit.diffusion.test_stylize import SETTINGS, assert_same_pictures, in_float64, some_views

CPU = torch.device("cpu")


def written(pipeline, folder, controls=("depth", "tile")):
    pipeline.save_pretrained(folder)
    (folder / CONTROLS_FILE).write_text(json.dumps(controls))
    return folder


@pytest.fixture(scope="module", params=[tiny_pipeline, tiny_first_pipeline], ids=["xl", "first"])
def folder(request, tmp_path_factory):
    return written(with_tile(request.param()), tmp_path_factory.mktemp("two_controls"))


@pytest.fixture(scope="module")
def model(folder):
    return load_pipeline(str(folder), CPU)


@pytest.fixture(scope="module")
def exact(folder):
    return in_float64(load_pipeline(str(folder), CPU))


def stock(model, rgb, disparity, settings):
    """The stock pipeline with two ControlNets, called as its documentation shows."""
    num_views = len(rgb)
    pictures = torch.from_numpy(rgb).permute(0, 3, 1, 2)
    return model.pipeline(
        prompt=[settings.prompt] * num_views,
        image=pictures,
        control_image=[torch.from_numpy(disparity)[:, None].repeat(1, 3, 1, 1), pictures],
        strength=settings.strength,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        controlnet_conditioning_scale=[settings.controlnet_conditioning_scale] * 2,
        generator=[torch.Generator().manual_seed(settings.seed) for _ in range(num_views)],
        output_type="np",
    ).images


@pytest.mark.parametrize("groups", [((0, 1, 2),), ((0, 2), (1,))], ids=["together", "in groups"])
@pytest.mark.parametrize("guidance_scale", [1.0, 2.0])
def test_without_sharing_it_is_the_stock_pipeline(exact, groups, guidance_scale):
    rgb, disparity = some_views(3)
    settings = replace(SETTINGS, guidance_scale=guidance_scale)
    found = stylize(exact, rgb, disparity, settings, Plan("none", groups))
    assert_same_pictures(found, stock(exact, rgb, disparity, settings))


def test_sharing_lets_views_see_each_other_and_leaves_the_pipeline_as_it_was(model):
    rgb, disparity = some_views(3)
    alone = stock(model, rgb, disparity, SETTINGS)
    together = stylize(model, rgb, disparity, SETTINGS)
    assert np.abs(together - alone).max() > 1e-3
    np.testing.assert_array_equal(stock(model, rgb, disparity, SETTINGS), alone)


def test_every_control_sees_its_own_picture_of_every_view_once(model):
    rgb, disparity = some_views(3)
    seen = [[], []]
    watches = [
        net.controlnet_cond_embedding.conv_in.register_forward_pre_hook(
            lambda _, args, pictures=pictures: pictures.append(args[0])
        )
        for net, pictures in zip(model.pipeline.controlnet.nets, seen, strict=True)
    ]
    stylize(model, rgb, disparity, SETTINGS, Plan("references", ((2,), (0, 1))))
    for watch in watches:
        watch.remove()
    order = [2, 0, 1]
    wanted = disparity[order, None].repeat(3, 1), rgb[order].transpose(0, 3, 1, 2)
    for found, picture in zip(seen, wanted, strict=True):
        assert len(found) == 3
        np.testing.assert_allclose(torch.cat(found), picture, atol=1e-6)


def test_an_interrupted_run_goes_on_to_the_same_pictures_and_not_with_other_controls(
    model, folder, tmp_path
):
    rgb, disparity = some_views(4)
    plan = Plan("references", ((0, 2), (1,), (3,)))
    undisturbed = stylize(model, rgb, disparity, SETTINGS, plan)
    calls = []

    def stop(*_):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    planted = model.pipeline.unet.conv_in.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        stylize(model, rgb, disparity, SETTINGS, plan, work=tmp_path)
    planted.remove()
    depth_alone = load_pipeline(str(folder), CPU, controls=["depth"])
    other = stylize(depth_alone, rgb, disparity, SETTINGS, plan, work=tmp_path)
    np.testing.assert_array_equal(
        other, stylize(depth_alone, rgb, disparity, SETTINGS, plan), strict=True
    )
    resumed = stylize(model, rgb, disparity, SETTINGS, plan, work=tmp_path)
    np.testing.assert_array_equal(resumed, undisturbed)


def test_diffusers_does_not_warn_of_what_does_not_hold(model, caplog):
    rgb, disparity = some_views(2)
    logger = logging.getLogger("diffusers")
    logger.addHandler(caplog.handler)  # it keeps its records to itself
    stylize(model, rgb, disparity, SETTINGS)
    quiet = caplog.text
    stock(model, rgb, disparity, SETTINGS)
    logger.removeHandler(caplog.handler)
    assert "conditionings will be fixed" not in quiet
    assert "conditionings will be fixed" in caplog.text


def test_one_of_two_controls_is_the_model_that_never_had_the_other(tmp_path):
    rgb, disparity = some_views(2)
    both = written(with_tile(tiny_pipeline()), tmp_path / "both")
    tiny_pipeline().save_pretrained(tmp_path / "depth")
    found = load_pipeline(str(both), CPU, controls=["depth"])
    wanted = load_pipeline(str(tmp_path / "depth"), CPU)
    assert found.controls == wanted.controls == ("depth",)
    np.testing.assert_array_equal(
        stylize(found, rgb, disparity, SETTINGS), stylize(wanted, rgb, disparity, SETTINGS)
    )
    tile = load_pipeline(str(both), CPU, controls=["tile"])
    np.testing.assert_array_equal(
        stylize(tile, rgb, disparity, SETTINGS), stylize(tile, rgb, 1 - disparity, SETTINGS)
    )


def test_null_means_all_that_the_model_has_in_its_order(folder):
    assert load_pipeline(str(folder), CPU).controls == ("depth", "tile")
    assert load_pipeline(str(folder), CPU, controls=["tile", "depth"]).controls == ("depth", "tile")


def test_a_control_that_the_model_does_not_have_is_refused(tiny_folder):
    with pytest.raises(WeightsError, match=r"no ControlNet for tile, only for depth.*null"):
        load_pipeline(str(tiny_folder), CPU, controls=["depth", "tile"])


@pytest.mark.parametrize(
    "said", [["depth"], ["depth", "depth"], ["depth", "smell"], ["tile", "depth", "tile"], {}, None]
)
def test_a_folder_that_does_not_say_what_its_controlnets_see_is_refused(folder, tmp_path, said):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / CONTROLS_FILE).write_text(json.dumps(said))
    if said is None:
        (copy / CONTROLS_FILE).unlink()
    with pytest.raises(WeightsError, match=r"2 ControlNet.*controls.json.*\[\"depth\", \"tile\"\]"):
        load_pipeline(str(copy), CPU)


def test_two_controls_take_more_memory_than_one(model):
    camera = PinholeCamera(np.eye(4), 30.0, 30.0, 32.0, 24.0, 64, 48)
    params, size = StylizeViews(sharing="none"), (64, 48)
    factor = model.pipeline.vae_scale_factor
    one, two = (call_gb(model.pipeline.unet, size, factor, num_controls=n)[0] for n in (1, 2))
    assert one < two < 2 * one
    few, many = (plan_views(model, [camera] * n, [size] * n, params).peak_gb for n in (8, 32))
    channels = model.pipeline.unet.config.block_out_channels[0]
    a_view = 4 * (2 * 3 * 64 * 48 + 2 * channels * 64 * 48 // factor**2)
    assert many - few == pytest.approx(24 * a_view / 1e9)
