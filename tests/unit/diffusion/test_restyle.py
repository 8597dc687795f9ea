import pytest

from scenestyle.diffusion import presets
from scenestyle.diffusion.inputs import RenderedViews, read_rendered_views
from scenestyle.diffusion.restyle import Restyler
from scenestyle.params import Style, StylizeViews
from tests.support.tiny_diffusion import tiny_pipeline, write_tiny_views
from training.data import scaled_disparity
from training.procedural.demo_scene import demo_cameras, demo_scene
from training.procedural.raycast import render

CAPTION = "toys"


@pytest.mark.parametrize(("views", "worked"), [(200, 320), (376, 376), (480, 480), (960, 480)])
def test_the_embedded_model_enlarges_no_more_than_it_must(views, worked):
    assert presets.EMBEDDED.suited(views).image_side == worked
    assert presets.SDXL.suited(views) == presets.SDXL


def test_views_are_restyled_at_their_own_size_where_the_model_takes_it(tmp_path):
    write_tiny_views(tmp_path, num_views=2, width=352, height=264)
    views = read_rendered_views(tmp_path)
    sizes = Restyler.load(views, StylizeViews(), []).sizes
    assert sizes == [(352, 264)] * 2
    chosen = Restyler.load(views, StylizeViews(image_side=64), [])
    assert chosen.settings(CAPTION, Style("a mosaic")).image_side == 64


def redrawn(views: RenderedViews, model: str) -> float | None:
    params = StylizeViews(model=model, image_side=128, num_inference_steps=4)
    restyler = Restyler.load(views, params, [])
    return restyler.edges_redrawn(restyler.settings(CAPTION, Style("a mosaic")))


def demo_views() -> RenderedViews:
    camera = next(iter(demo_cameras().values())).resized(128, 96)
    shown = render(demo_scene(), camera)
    disparity = scaled_disparity([shown])[0]
    return RenderedViews(["0"], [shown.rgb], [disparity], [shown.depth_z], [camera])


def test_a_scene_like_those_of_training_is_redrawn_and_noise_is_warned_of(tmp_path, caplog):
    known = redrawn(demo_views(), "embedded")
    assert known is not None
    assert known > 0.65
    assert not caplog.messages
    write_tiny_views(tmp_path, num_views=1, width=128, height=96)
    strange = redrawn(read_rendered_views(tmp_path), "embedded")
    assert strange is not None
    assert strange < 0.6
    assert [m for m in caplog.messages if "at a loss" in m and f"{strange:.2f}" in m]


def test_a_model_that_knows_any_style_is_not_asked(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    assert redrawn(demo_views(), str(tmp_path)) is None
