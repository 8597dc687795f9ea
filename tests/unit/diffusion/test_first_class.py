"""Models of Stable Diffusion 1.5's class go the same way as SDXL's."""

import json
import shutil

import numpy as np
import pytest
import torch

from scenestyle.artifacts import write_rgb
from scenestyle.diffusion import presets
from scenestyle.diffusion.fusion import Fusion
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.style_image import with_image_adapter
from scenestyle.diffusion.unet_family import call_gb
from scenestyle.errors import WeightsError
from tests.support.tiny_diffusion import stylize, tiny_first_pipeline, write_tiny_image_adapter
from tests.unit.diffusion.test_models import put_in_cache, same_weights
from tests.unit.diffusion.test_style_image import shown
from tests.unit.diffusion.test_stylize import (
    SETTINGS,
    assert_same_pictures,
    in_float64,
    some_views,
    stock,
)
from training.procedural.demo_scene import demo_cameras

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_sd15")
    tiny_first_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load_pipeline(str(folder), CPU)


def test_a_folder_is_known_by_its_class(model, folder):
    assert type(model.pipeline).__name__ == "StableDiffusionControlNetImg2ImgPipeline"
    assert model.preset is presets.SD15
    assert model.sources == {"base": str(folder)}


def test_without_sharing_it_is_the_stock_pipeline(folder):
    model = in_float64(load_pipeline(str(folder), CPU))
    rgb, disparity = some_views(3)
    found = stylize(model, rgb, disparity, SETTINGS, Plan.joint(3, share=False))
    assert_same_pictures(found, stock(model, rgb, disparity, SETTINGS))


def test_the_laws_of_sharing_hold(model):
    rgb, disparity = some_views(5)
    together, apart, offloaded = (
        stylize(model, rgb, disparity, SETTINGS, Plan("references", groups, offload=offload))
        for groups, offload in (
            (((1, 4), (0, 2, 3)), "none"),
            (((1, 4), (3,), (0,), (2,)), "none"),
            (((1, 4), (0, 2, 3)), "model"),
        )
    )
    np.testing.assert_allclose(apart, together, atol=1e-4)
    np.testing.assert_array_equal(offloaded, together)
    exact = stylize(model, rgb[:3], disparity[:3], SETTINGS)
    by_references = stylize(
        model, rgb[:3], disparity[:3], SETTINGS, Plan("references", ((0, 1, 2),))
    )
    np.testing.assert_array_equal(by_references, exact)
    alone = stylize(model, rgb[:3], disparity[:3], SETTINGS, Plan.joint(3, share=False))
    assert np.abs(exact - alone).max() > 1e-3


def test_views_are_fused_and_memory_is_planned(model):
    rgb, disparity = some_views(2, width=32, height=24)
    cameras = [camera.resized(32, 24) for camera in list(demo_cameras().values())[:2]]
    fusion = Fusion(list(np.full(disparity.shape, 4.0, np.float32)), cameras, 2)
    fused = stylize(model, rgb, disparity, SETTINGS, fusion=fusion)
    assert not np.array_equal(fused, stylize(model, rgb, disparity, SETTINGS))
    view, kept = call_gb(model.pipeline.unet, (64, 48), 2)
    assert 0 < kept < view


def test_it_sees_a_styles_image(model, folder, tmp_path):
    adapter = write_tiny_image_adapter(tmp_path, model.pipeline.unet)
    seeing = with_image_adapter(load_pipeline(str(folder), CPU), str(adapter))
    rgb, disparity = some_views(2)
    write_rgb(tmp_path / "one.png", rgb[0])
    plain, unseen, seen = (
        stylize(each, rgb, disparity, settings)
        for each, settings in (
            (model, SETTINGS),
            (seeing, shown(tmp_path, "one", scale=0.0)),
            (seeing, shown(tmp_path, "one")),
        )
    )
    np.testing.assert_allclose(unseen, plain, atol=1e-5)
    assert np.abs(seen - plain).max() > 1e-3


def test_sd15_is_put_together_from_its_two_repositories(model, folder, hub_cache, tmp_path):
    base = shutil.copytree(folder, tmp_path / "base")
    shutil.move(base / "controlnet", tmp_path / "controlnet")
    index = json.loads((base / "model_index.json").read_text())
    del index["controlnet"]
    # As published: with a checker, whose weights are neither fetched nor loaded.
    index |= {
        "_class_name": "StableDiffusionPipeline",
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    }
    (base / "model_index.json").write_text(json.dumps(index))
    for part in [*base.rglob("*.safetensors"), *(tmp_path / "controlnet").glob("*.safetensors")]:
        part.rename(part.with_suffix(".fp16.safetensors"))
    for repository, source in (
        (presets.SD15_BASE, base),
        (presets.SD15_DEPTH_CONTROLNET, tmp_path / "controlnet"),
    ):
        put_in_cache(hub_cache, repository.name, repository.revision, source)
    found = load_pipeline("sd15", CPU)
    assert found.preset is presets.SD15
    assert set(found.sources) == {"base", "controlnet"}
    assert found.pipeline.safety_checker is None
    for part in ("unet", "controlnet", "vae"):
        assert same_weights(getattr(found.pipeline, part), getattr(model.pipeline, part))


def test_a_base_that_the_depth_controlnet_does_not_fit_is_refused(
    folder, tiny_folder, hub_cache, tmp_path
):
    """As Stable Diffusion 2, which has the class of 1.5 and another text encoder."""
    base = shutil.copytree(folder, tmp_path / "base")
    index = json.loads((base / "model_index.json").read_text())
    del index["controlnet"]
    (base / "model_index.json").write_text(json.dumps(index))
    depth = presets.SD15_DEPTH_CONTROLNET
    put_in_cache(hub_cache, depth.name, depth.revision, tiny_folder / "controlnet")
    with pytest.raises(
        WeightsError, match=r"text has 32 channels, the model's 16\. Save the model"
    ):
        load_pipeline(str(base), CPU)


def test_another_kind_of_pipeline_is_refused_by_name(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(WeightsError, match=r"holds a FluxPipeline\. Wanted: a StableDiffusionXL"):
        load_pipeline(str(tmp_path), CPU)
