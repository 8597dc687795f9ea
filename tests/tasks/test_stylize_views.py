import json

import numpy as np
import pytest

from scenestyle.artifacts import check_same_views, read_rgb
from scenestyle.diffusion.weights import file_sha256
from scenestyle.errors import WeightsError
from scenestyle.evaluation.controls import restyle_alone
from scenestyle.params import Style, StylizeViews
from tasks.stylize_views import run
from tests.support.tiny_diffusion import (
    tiny_pipeline,
    tiny_z_image,
    write_tiny_image_adapter,
    write_tiny_views,
)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_sdxl")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def views(tmp_path):
    write_tiny_views(tmp_path / "views", num_views=3)
    return tmp_path / "views"


def stylize_views(views, out, prompt="a pencil sketch of {caption}", look=None, **params):
    out.mkdir()
    return run(
        views=views,
        out=out,
        params=StylizeViews(**params),
        caption="a red ball",
        style=Style(prompt=prompt, seed=2, **(look or {})),
        work=out.with_name("work"),
    )


def test_z_image_goes_the_whole_way_and_its_control_again(views, tmp_path):
    """With references, fusing and carried noise; the report's control restyles each view alone."""
    tiny_z_image().save_pretrained(tmp_path / "z_image")
    params = {
        "model": str(tmp_path / "z_image"),
        "num_inference_steps": 2,
        "image_side": 64,
        "sharing": "references",
        "num_references": 2,
        "fusion_steps": 1,
        "carry_noise": True,
    }
    figures = stylize_views(views, tmp_path / "out", **params)
    assert figures["num_views"] == 3
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["sources"] == {"base": params["model"]}
    assert manifest["settings"]["guidance_scale"] == 1
    names = ["view_0", "view_1", "view_2"]
    restyle_alone(views, tmp_path / "out", tmp_path / "control")
    again = stylize_views(views, tmp_path / "again", **params)
    assert again["num_views"] == 3
    for name in names:
        first, second, alone = (
            tmp_path / each / f"{name}.png" for each in ("out/rgb", "again/rgb", "control")
        )
        assert first.read_bytes() == second.read_bytes()
        assert not np.array_equal(read_rgb(first), read_rgb(alone))


def test_writes_every_view_the_sheet_and_the_manifest(views, tmp_path, tiny_folder):
    params = {"model": str(tiny_folder), "num_inference_steps": 2, "image_side": 64}
    figures = stylize_views(views, tmp_path / "out", **params, seed=1)
    assert figures["num_views"] == 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "rgb",
        "contact_sheet.png",
        "manifest.json",
    }
    names = ["view_0", "view_1", "view_2"]
    check_same_views(tmp_path / "out" / "rgb", names, suffix=".png", stage="stylize_views")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["settings"]["prompt"] == "a pencil sketch of a red ball"
    assert manifest["settings"]["seed"] == 3
    assert manifest["warnings"] == []
    assert manifest["sources"] == {"base": params["model"]}
    assert manifest["device"] in ("cpu", "cuda:0")
    assert set(manifest["versions"]) == {"torch", "diffusers", "transformers"}

    stylize_views(views, tmp_path / "again", **params, seed=1)
    for name in names:
        first, again = (tmp_path / each / "rgb" / f"{name}.png" for each in ("out", "again"))
        assert first.read_bytes() == again.read_bytes()


def test_a_styles_image_decides_the_pictures_and_stands_in_the_manifest(views, tmp_path):
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path / "model")
    adapter = write_tiny_image_adapter(tmp_path / "adapter", pipeline.unet)
    image = views / "rgb" / "view_0.png"
    seen = {"image": str(image), "image_sha256": file_sha256(image), "image_scale": 1.0}
    params = {"model": str(tmp_path / "model"), "num_inference_steps": 2, "image_side": 64}
    params["image_adapter"] = str(adapter)
    stylize_views(views, tmp_path / "text", **params)
    stylize_views(views, tmp_path / "both", look=seen, **params)
    text, both = (read_rgb(tmp_path / name / "rgb" / "view_1.png") for name in ("text", "both"))
    assert np.abs(text - both).max() > 1e-2
    manifest = json.loads((tmp_path / "both" / "manifest.json").read_text())
    assert manifest["settings"]["image_sha256"] == seen["image_sha256"]
    assert manifest["sources"]["image_adapter"] == str(adapter)

    restyle_alone(views, tmp_path / "both", tmp_path / "control" / "rgb")
    alone = read_rgb(tmp_path / "control" / "rgb" / "view_1.png")
    assert np.abs(alone - both).mean() < np.abs(alone - text).mean()


@pytest.mark.parametrize("option", ["carry_noise", "share_norms", "align_attention"])
def test_options_reach_the_pictures(views, tmp_path, tiny_folder, option):
    params = {"model": str(tiny_folder), "num_inference_steps": 2, "image_side": 64}
    for value in (False, True):
        stylize_views(views, tmp_path / str(value), **params, **{option: value})
    pictures = [read_rgb(tmp_path / value / "rgb/view_1.png") for value in ("False", "True")]
    assert np.abs(pictures[0] - pictures[1]).max() > 0.01


def test_the_embedded_model_follows_the_prompt(views, tmp_path):
    for prompt in ("blueprint", "lava"):
        stylize_views(views, tmp_path / prompt, "a " + prompt + " of {caption}", image_side=64)
    blueprint, lava = (
        read_rgb(tmp_path / name / "rgb" / "view_0.png") for name in ("blueprint", "lava")
    )
    red, _, blue = np.moveaxis(blueprint - lava, -1, 0)
    assert blue.mean() - red.mean() > 0.2


def test_a_style_the_embedded_model_does_not_know_is_warned_of(views, tmp_path, caplog):
    stylize_views(views, tmp_path / "out", "a cubist painting of {caption}", image_side=64)
    (warning,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["warnings"]
    assert "cubist" in warning
    assert warning in caplog.messages


def test_an_unpinned_model_stops_the_stage(views, tmp_path):
    with pytest.raises(WeightsError, match="someone/model"):
        stylize_views(views, tmp_path / "out", model="someone/model")
    assert list((tmp_path / "out").iterdir()) == []
