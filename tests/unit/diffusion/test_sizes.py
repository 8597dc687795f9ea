"""Laws of restyling views of several sizes together: each is its own picture, and one style holds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.canvas import Canvas
from scenestyle.diffusion.fusion import Fusion
from scenestyle.diffusion.models import DiffusionModel, load_pipeline
from scenestyle.diffusion.noise import CarriedNoise
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.presets import SD15, Z_IMAGE_TURBO
from scenestyle.diffusion.stylize import stylize
from scenestyle.params import Control
from tests.support.tiny_diffusion import tiny_first_pipeline, tiny_z_image, with_tile
from tests.unit.diffusion.test_stylize import SETTINGS, assert_same_pictures, in_float64, some_views

EVERYTHING = replace(SETTINGS, align_attention=True, share_norms=True)


def mixed_views():
    """Landscape, portrait, landscape, a third size, portrait."""
    sizes = [(16, 12), (12, 16), (16, 12), (16, 8), (12, 16)]
    views = [some_views(1, *size) for size in sizes]
    rgb = [each[0] * (0.3 + 0.15 * index) for index, (each, _) in enumerate(views)]
    return [each.astype(np.float32) for each in rgb], [each[0] for _, each in views]


def sdxl(tiny_folder):
    return load_pipeline(str(tiny_folder), torch.device("cpu"))


def sdxl_with_tile(tiny_folder):
    model = load_pipeline(str(tiny_folder), torch.device("cpu"))
    return replace(
        model, pipeline=with_tile(model.pipeline), controls=(Control("depth"), Control("tile"))
    )


def first_class(_):
    return DiffusionModel(tiny_first_pipeline(), torch.device("cpu"), SD15, {})


def z_image(_):
    return DiffusionModel(tiny_z_image(), torch.device("cpu"), Z_IMAGE_TURBO, {})


@pytest.fixture(scope="module", params=[sdxl, sdxl_with_tile, first_class, z_image])
def exact(tiny_folder, request):
    return in_float64(request.param(tiny_folder))


def assert_same(found, wanted):
    for each, other in zip(found, wanted, strict=True):
        assert_same_pictures(each, other)


def test_without_sharing_every_view_is_as_if_it_were_alone(exact):
    """Whatever else is in the batch: same noise, same encoding, same size told to the model."""
    rgb, disparity = mixed_views()
    alone = [
        stylize(exact, [picture], [of_it], EVERYTHING, Plan.joint(1, share=False))[0]
        for picture, of_it in zip(rgb, disparity, strict=True)
    ]
    for plan in (Plan.joint(5, share=False), Plan("none", ((1, 4), (0,), (2, 3)))):
        assert_same(stylize(exact, rgb, disparity, EVERYTHING, plan), alone)


def test_views_of_all_sizes_see_each_other(exact):
    rgb, disparity = mixed_views()
    before = stylize(exact, rgb, disparity, SETTINGS)
    rgb[3] = 1 - rgb[3]
    after = stylize(exact, rgb, disparity, SETTINGS)
    assert all(np.abs(x - y).max() > 1e-4 for x, y in zip(before, after, strict=True))


def test_permuting_views_permutes_results(exact):
    rgb, disparity = mixed_views()
    order = [3, 0, 4, 2, 1]
    found = stylize(exact, rgb, disparity, EVERYTHING)
    permuted = stylize(
        exact, [rgb[view] for view in order], [disparity[view] for view in order], EVERYTHING
    )
    assert_same(permuted, [found[view] for view in order])


def test_the_groups_do_not_change_results(exact):
    rgb, disparity = mixed_views()
    found = [
        stylize(exact, rgb, disparity, EVERYTHING, Plan("references", ((1, 2), *groups)))
        for groups in ([(0, 3, 4)], [(0,), (3,), (4,)])
    ]
    assert_same(*found)
    all_of_them = Plan("references", (tuple(range(5)),))
    assert_same(
        stylize(exact, rgb, disparity, EVERYTHING, all_of_them),
        stylize(exact, rgb, disparity, EVERYTHING),
    )


def test_an_interrupted_run_goes_on_to_the_same_pictures(tiny_folder, tmp_path):
    model = sdxl(tiny_folder)
    rgb, disparity = mixed_views()
    plan = Plan("references", ((1, 2), (0,), (3,), (4,)))
    first = stylize(model, rgb, disparity, EVERYTHING, plan, work=tmp_path)
    for kept in tmp_path.rglob("step_0001_group_0000*"):
        kept.unlink()
    again = stylize(model, rgb, disparity, EVERYTHING, plan, work=tmp_path)
    for each, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(each, other)


def test_an_error_in_one_size_ends_all_and_the_pipeline_stays_usable(tiny_folder):
    model = sdxl(tiny_folder)
    rgb, disparity = mixed_views()
    before = stylize(model, rgb, disparity, SETTINGS)
    seen = []

    def fail_at_the_second_size(*_):
        seen.append(1)
        if len(seen) == 2:
            raise KeyError("planted")

    planted = model.pipeline.unet.mid_block.register_forward_pre_hook(fail_at_the_second_size)
    with pytest.raises(KeyError, match="planted"):
        stylize(model, rgb, disparity, SETTINGS)
    planted.remove()
    for each, other in zip(before, stylize(model, rgb, disparity, SETTINGS), strict=True):
        np.testing.assert_array_equal(each, other)


def test_fused_and_with_carried_noise_views_of_a_wall_agree_better(tiny_folder):
    """Two cameras at one place, one held upright: what both see is the middle of either."""
    model = sdxl(tiny_folder)
    wide = PinholeCamera(np.eye(4), 20.0, 20.0, 8.0, 6.0, 16, 12)
    high = replace(wide, cx=6.0, cy=8.0, width=12, height=16)
    depths = [np.full((12, 16), 4.0, np.float32), np.full((16, 12), 4.0, np.float32)]
    wall = some_views(1, 16, 16)[0][0]
    rgb = [wall[2:14], np.ascontiguousarray(wall[:, 2:14])]
    disparity = [np.full(each.shape, 0.5, np.float32) for each in depths]

    def disagreement(**more):
        first, second = stylize(model, rgb, disparity, SETTINGS, Plan.joint(2), **more)
        return np.abs(first[1:-1, 3:-3] - second[3:-3, 1:-1]).mean()

    cameras = [wide, high]
    noise = CarriedNoise(depths, cameras, [(6, 8), (8, 6)])
    apart = disagreement()
    assert disagreement(noise=noise) < apart
    assert disagreement(fusion=Fusion(depths, cameras, 2), noise=noise) < 0.5 * apart


def test_a_canvas_gives_back_what_was_laid_on_it():
    canvas = Canvas(((2, 3), (4, 1), (2, 3)))
    views = [torch.randn(1, 4, *size) for size in canvas.sizes]
    batch = canvas.laid(views)
    assert batch.shape == (3, 4, 4, 3)
    assert all(map(torch.equal, canvas.apart(batch), views))
    assert canvas.parts([2, 1, 0]) == [[0, 2], [1]]
    images = torch.randn(3, 3, 8, 6)
    assert torch.equal(canvas.cut(images, 1, scale=2), images[..., :8, :2])
