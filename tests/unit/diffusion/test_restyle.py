from scenestyle.diffusion.inputs import RenderedViews, read_rendered_views
from scenestyle.diffusion.restyle import Restyler
from scenestyle.params import Style, StylizeViews
from tests.support.tiny_diffusion import tiny_pipeline, write_tiny_views
from training.data import scaled_disparity
from training.procedural.demo_scene import demo_cameras, demo_scene
from training.procedural.raycast import render

CAPTION = "toys"


def redrawn(views: RenderedViews, model: str) -> float | None:
    params = StylizeViews(model=model, image_side=128, num_inference_steps=4)
    restyler = Restyler.load(views, params, sees_images=False)
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
