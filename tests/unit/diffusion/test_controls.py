"""Several ControlNets go the way of one: depth, and the picture itself."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.control_nets import CONTROLS_FILE
from scenestyle.diffusion.controls import control_pictures, dark_lines, edges
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.plan import Plan, plan_views
from scenestyle.diffusion.unet_family import call_gb
from scenestyle.errors import WeightsError
from scenestyle.params import Control, StylizeViews
from tests.support.tiny_diffusion import (
    stylize,
    tiny_first_pipeline,
    tiny_pipeline,
    tiny_union,
    with_tile,
)
from tests.unit.diffusion.test_stylize import SETTINGS, assert_same_pictures, in_float64, some_views

CPU = torch.device("cpu")
DEPTH, TILE = Control("depth"), Control("tile")
NONE = Plan("none", ((0, 1, 2),))


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


def stock(model, rgb, disparity, settings, **more):
    """The stock pipeline with two ControlNets, called as its documentation shows."""
    num_views = len(rgb)
    pictures = torch.from_numpy(rgb).permute(0, 3, 1, 2)
    arguments = {
        "prompt": [settings.prompt] * num_views,
        "image": pictures,
        "control_image": [torch.from_numpy(disparity)[:, None].repeat(1, 3, 1, 1), pictures],
        "strength": settings.strength,
        "num_inference_steps": settings.num_inference_steps,
        "guidance_scale": settings.guidance_scale,
        "controlnet_conditioning_scale": [settings.controlnet_conditioning_scale] * 2,
        "generator": [torch.Generator().manual_seed(settings.seed) for _ in range(num_views)],
        "output_type": "np",
    }
    return model.pipeline(**arguments | more).images


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
    depth_alone = load_pipeline(str(folder), CPU, controls=[DEPTH])
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
    found = load_pipeline(str(both), CPU, controls=[DEPTH])
    wanted = load_pipeline(str(tmp_path / "depth"), CPU)
    assert found.controls == wanted.controls == (DEPTH,)
    np.testing.assert_array_equal(
        stylize(found, rgb, disparity, SETTINGS), stylize(wanted, rgb, disparity, SETTINGS)
    )
    tile = load_pipeline(str(both), CPU, controls=[TILE])
    np.testing.assert_array_equal(
        stylize(tile, rgb, disparity, SETTINGS), stylize(tile, rgb, 1 - disparity, SETTINGS)
    )


def test_null_means_all_that_the_model_has_in_its_order(folder):
    assert load_pipeline(str(folder), CPU).controls == (DEPTH, TILE)
    assert load_pipeline(str(folder), CPU, controls=[TILE, DEPTH]).controls == (DEPTH, TILE)


def test_a_control_that_the_model_does_not_have_is_refused(tiny_folder):
    with pytest.raises(WeightsError, match=r"no ControlNet for tile, only for depth.*null"):
        load_pipeline(str(tiny_folder), CPU, controls=[DEPTH, TILE])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"scale": 0.7}, {"scale": 1.5}),
        ({"start": 0.3}, {"end": 0.6}),
        ({"end": 0.5}, {"scale": 0.5, "start": 0.2, "end": 0.9}),
    ],
)
def test_each_counts_as_strongly_and_as_long_as_in_the_stock_pipeline(exact, one, other):
    rgb, disparity = some_views(2)
    controls = Control("depth", **one), Control("tile", **other)
    settings = replace(SETTINGS, controlnet_conditioning_scale=0.8)
    found = stylize(replace(exact, controls=controls), rgb, disparity, settings)
    alone = stylize(
        replace(exact, controls=controls), rgb, disparity, settings, Plan("none", ((0, 1),))
    )
    wanted = stock(
        exact,
        rgb,
        disparity,
        settings,
        controlnet_conditioning_scale=[0.8 * control.scale for control in controls],
        control_guidance_start=[control.start for control in controls],
        control_guidance_end=[control.end for control in controls],
    )
    assert_same_pictures(alone, wanted)
    assert np.abs(found - wanted).max() > 1e-6
    assert np.abs(stock(exact, rgb, disparity, settings) - wanted).max() > 1e-4


def test_a_scale_of_zero_is_as_if_it_were_not_there(folder):
    rgb, disparity = some_views(2)
    alone = load_pipeline(str(folder), CPU, controls=[DEPTH])
    beside = load_pipeline(str(folder), CPU, controls=[DEPTH, Control("tile", scale=0.0)])
    assert beside.controls == alone.controls
    wanted = stylize(alone, rgb, disparity, SETTINGS)
    np.testing.assert_array_equal(stylize(beside, rgb, disparity, SETTINGS), wanted)
    both = load_pipeline(str(folder), CPU)
    silent = replace(both, controls=(DEPTH, Control("tile", scale=0.0)))
    np.testing.assert_array_equal(stylize(silent, rgb, disparity, SETTINGS), wanted)


def test_the_only_one_with_a_scale_of_zero_is_the_model_without_any(tiny_folder):
    rgb, disparity = some_views(2)
    silent = load_pipeline(str(tiny_folder), CPU, controls=[Control("depth", scale=0.0)])
    found = stylize(silent, rgb, disparity, SETTINGS)
    np.testing.assert_array_equal(found, stylize(silent, rgb, 1 - disparity, SETTINGS))
    assert (
        np.abs(
            found - stylize(load_pipeline(str(tiny_folder), CPU), rgb, disparity, SETTINGS)
        ).max()
        > 1e-3
    )


def test_weights_of_ones_own_stand_beside_the_models_or_instead(folder, tmp_path):
    rgb, disparity = some_views(2)
    both, nets = load_pipeline(str(folder), CPU), tmp_path / "nets"
    for name, net in zip(("depth", "tile"), both.pipeline.controlnet.nets, strict=True):
        net.save_pretrained(nets / name)
    wanted = stylize(both, rgb, disparity, SETTINGS)
    given = Control("tile", weights=str(nets / "tile"))
    beside = load_pipeline(str(folder), CPU, controls=[given, DEPTH])
    assert [control.kind for control in beside.controls] == ["depth", "tile"]
    assert beside.sources["controlnet tile"] == str(nets / "tile")
    np.testing.assert_array_equal(stylize(beside, rgb, disparity, SETTINGS), wanted)
    instead = [Control("depth", weights=str(nets / "depth")), given]
    np.testing.assert_array_equal(
        stylize(load_pipeline(str(folder), CPU, controls=instead), rgb, disparity, SETTINGS), wanted
    )


@pytest.fixture(scope="module")
def union(tmp_path_factory):
    folder = tmp_path_factory.mktemp("union")
    tiny_union(tiny_pipeline()).save_pretrained(folder)
    return str(folder)


def with_union(tiny_folder, union, *controls):
    given = [replace(control, weights=union) for control in controls]
    return load_pipeline(str(tiny_folder), CPU, controls=given)


@pytest.mark.parametrize("groups", [((0, 1, 2),), ((0, 2), (1,))], ids=["together", "in groups"])
@pytest.mark.parametrize(
    ("controls", "modes"),
    [
        ((Control("depth", scale=0.7, end=0.6),), [1]),
        ((DEPTH, Control("tile", scale=0.5)), [1, 6]),
    ],
    ids=["one", "two"],
)
def test_a_unions_views_are_what_the_stock_pipeline_makes_of_each_alone(
    tiny_folder, union, groups, controls, modes
):
    """Not of all at once: its layers take the rows of a batch for a sequence."""
    model = in_float64(with_union(tiny_folder, union, *controls))
    rgb, disparity = some_views(3)
    found = stylize(model, rgb, disparity, SETTINGS, Plan("none", groups))

    def one(view):
        shown = [torch.from_numpy(disparity[view])[:, None].repeat(1, 3, 1, 1)]
        shown += [torch.from_numpy(rgb[view]).permute(0, 3, 1, 2)]
        return stock(
            model,
            rgb[view],
            disparity[view],
            SETTINGS,
            control_image=shown[: len(controls)],
            control_mode=modes,
            controlnet_conditioning_scale=[control.scale for control in controls],
            control_guidance_start=[control.start for control in controls],
            control_guidance_end=[control.end for control in controls],
        )

    wanted = np.concatenate([one(slice(view, view + 1)) for view in range(3)])
    assert type(model.pipeline).__name__ == "StableDiffusionXLControlNetUnionImg2ImgPipeline"
    assert_same_pictures(found, wanted)


def test_a_unions_views_share_and_its_first_layers_see_each_image_once(tiny_folder, union):
    model = with_union(tiny_folder, union, DEPTH, TILE)
    rgb, disparity = some_views(3)
    seen = []
    watch = model.pipeline.controlnet.controlnet_cond_embedding.conv_in.register_forward_pre_hook(
        lambda _, args: seen.append(args[0])
    )
    together = stylize(model, rgb, disparity, SETTINGS, Plan("references", ((2,), (0, 1))))
    watch.remove()
    assert len(seen) == 2 * 3
    alone = stylize(model, rgb, disparity, SETTINGS, NONE)
    assert np.abs(together - alone).max() > 1e-3
    offloaded = stylize(model, rgb, disparity, SETTINGS, replace(NONE, offload="model"))
    np.testing.assert_array_equal(offloaded, alone)


def test_a_folder_may_hold_a_union(tmp_path, union):
    from diffusers import StableDiffusionXLControlNetUnionImg2ImgPipeline

    parts = dict(tiny_pipeline().components) | {"controlnet": tiny_union(tiny_pipeline())}
    StableDiffusionXLControlNetUnionImg2ImgPipeline(**parts, add_watermarker=False).save_pretrained(
        tmp_path
    )
    rgb, disparity = some_views(2)
    assert load_pipeline(str(tmp_path), CPU).controls == (DEPTH,)
    model = load_pipeline(str(tmp_path), CPU, controls=[Control("canny"), DEPTH])
    assert [control.kind for control in model.controls] == ["depth", "canny"]
    assert np.isfinite(stylize(model, rgb, disparity, SETTINGS)).all()


def test_what_does_not_go_together_is_refused(tiny_folder, union, tmp_path):
    small = tmp_path / "small"
    tiny_union(tiny_pipeline(), num_kinds=6).save_pretrained(small)
    first = tiny_first_pipeline()
    first.save_pretrained(tmp_path / "first")

    def fault(*controls, model=tiny_folder):
        with pytest.raises(WeightsError) as error:
            load_pipeline(str(model), CPU, controls=list(controls))
        return str(error.value)

    of_union, net = Control("tile", weights=union), str(tiny_folder / "controlnet")
    assert "takes all controls or none" in fault(DEPTH, of_union)
    assert "tile is not among them" in fault(Control("tile", weights=str(small)))
    assert "only for SDXL" in fault(of_union, model=tmp_path / "first")
    twice = Control("canny", weights=net), Control("lineart", weights=net)
    assert "sees one kind of image, and is named 2 times" in fault(*twice)
    assert "is named twice" in fault(DEPTH, replace(DEPTH, scale=0.5))
    assert "text has 16 channels, the model's 32" in fault(
        Control("depth", weights=str(tmp_path / "first" / "controlnet"))
    )
    assert "a branch's files may change" in fault(Control("depth", weights="someone/net"))
    assert "has no config.json" in fault(Control("depth", weights=str(tmp_path)))


def test_edges_and_lines_are_drawn_where_they_are():
    rgb = np.full((64, 64, 3), 200, np.uint8)
    rgb[:, 32:] = 90
    drawn = edges(rgb)
    assert set(np.unique(drawn)) == {0, 255}
    assert set(np.nonzero(drawn)[1]) <= {31, 32}
    line = np.full((64, 64, 3), 200, np.uint8)
    line[:, 30:32] = 60
    lines = dark_lines(line)
    assert lines[:, 30:32].min() > 100
    assert lines[:, :20].max() == lines[:, 44:].max() == 0
    assert dark_lines(np.full((8, 8, 3), 77, np.uint8)).max() == 0
    np.testing.assert_array_equal(dark_lines(line // 2)[:, 30:32] > 60, True)


def test_what_is_drawn_of_a_view_does_not_depend_on_the_others():
    rng = np.random.default_rng(0)
    small, large = (rng.random((3, *size), dtype=np.float32) for size in ((12, 16), (16, 16)))
    canvas = np.zeros((2, 3, 16, 16), np.float32)
    canvas[0, :, :12], canvas[1] = small, large
    sizes = [(16, 12), (16, 16)]
    for kind in ("lineart", "canny"):
        depth = torch.zeros(2, 1, 16, 16)
        (drawn,) = control_pictures([Control(kind)], torch.from_numpy(canvas), depth, sizes)
        one = torch.from_numpy(small)[None]
        (alone,) = control_pictures([Control(kind)], one, depth[:1, :, :12], sizes[:1])
        assert torch.equal(drawn[:1, :, :12], alone)
        assert not drawn[0, :, 12:].any()


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


def test_a_damaged_list_of_controls_says_how_it_should_look(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / CONTROLS_FILE).write_text("depth, tile")
    with pytest.raises(
        WeightsError, match=r"controls.json is not valid JSON .*\[\"depth\", \"tile"
    ):
        load_pipeline(str(copy), CPU)


def test_two_controls_take_more_memory_than_one(model):
    camera = PinholeCamera(np.eye(4), 30.0, 30.0, 32.0, 24.0, 64, 48)
    params, size = StylizeViews(sharing="none"), (64, 48)
    factor = model.pipeline.vae_scale_factor
    one, two = (call_gb(model.pipeline.unet, size, factor, num_controls=n)[0] for n in (1, 2))
    assert one < two < 2 * one
    few, many = (plan_views(model, [camera] * n, [size] * n, params).peak_gb for n in (8, 32))
    channels = model.pipeline.unet.config.block_out_channels[0]
    a_view = 4 * ((6 + 1 + 3) * 64 * 48 + 2 * channels * 64 * 48 // factor**2)
    assert many - few == pytest.approx(24 * a_view / 1e9)
