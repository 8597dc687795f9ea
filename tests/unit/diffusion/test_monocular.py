import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from scenestyle.diffusion import presets
from scenestyle.diffusion.inputs import read_rendered_views
from scenestyle.diffusion.monocular import (
    load_estimator,
    with_chosen_depth,
    with_estimated_disparity,
)
from scenestyle.errors import ArtifactError, WeightsError
from scenestyle.params import StylizeViews
from tests.support.tiny_diffusion import write_tiny_views

CPU = torch.device("cpu")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TINY_VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
}
TINY_NECK = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}


def depth_anything(**own):
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        **TINY_VIT, out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        patch_size=7,
        reassemble_hidden_size=16,
        head_hidden_size=4,
        **TINY_NECK,
        **own,
    )
    return DepthAnythingForDepthEstimation(config)


def dpt():
    from transformers import DPTConfig, DPTForDepthEstimation

    vit = TINY_VIT | {"backbone_out_indices": [0, 1, 2, 3], "intermediate_size": 32}
    return DPTForDepthEstimation(DPTConfig(**vit, **TINY_NECK, is_hybrid=False))


def write_estimator(model, folder):
    from transformers import DPTImageProcessor

    with torch.no_grad():
        for name, parameter in model.named_parameters():  # fresh ones predict next to nothing
            if "neck" in name or "head" in name:
                parameter.mul_(8)
    model.save_pretrained(folder)
    DPTImageProcessor(
        size={"height": 28, "width": 28},
        keep_aspect_ratio=model.config.model_type == "depth_anything",  # DPT's ViT wants squares
        ensure_multiple_of=7,
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (42, 56, 3)).astype(np.float32) / 255


@pytest.fixture
def views(tmp_path):
    write_tiny_views(tmp_path / "views", num_views=3)
    return read_rendered_views(tmp_path / "views")


@pytest.mark.parametrize("make", [depth_anything, dpt])
def test_it_is_what_transformers_own_pipeline_predicts(make, picture, tmp_path):
    from transformers import pipeline

    torch.manual_seed(0)
    folder = write_estimator(make(), tmp_path / "estimator")
    found = load_estimator(str(folder), CPU).disparity(picture)
    image = Image.fromarray((picture * 255).round().astype(np.uint8))
    wanted = pipeline("depth-estimation", model=str(folder))(image)["predicted_depth"].numpy()
    assert np.ptp(wanted) > 1e-3
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.ptp(wanted))


def test_metres_become_disparity(picture, tmp_path):
    torch.manual_seed(0)
    relative = depth_anything()
    metric = depth_anything(depth_estimation_type="metric", max_depth=20)
    metric.load_state_dict(relative.state_dict())
    folder = write_estimator(metric, tmp_path / "metric")
    estimator = load_estimator(str(folder), CPU)
    assert estimator.output == "depth"
    disparity = estimator.disparity(picture)
    assert disparity.min() > 1 / 20  # metres end at max_depth
    image = (picture * 255).round().astype(np.uint8)
    inputs = estimator.prepare(images=[image], return_tensors="pt")
    depth = estimator.model(**inputs).predicted_depth.detach()
    assert float(1 / depth.max()) == pytest.approx(disparity.min(), rel=0.05)


def test_a_perfect_estimator_gives_what_the_fields_depth_gives(views):
    """The tiny views' depth comes nearer from left to right and is known everywhere."""
    true = (1 / depth_z for depth_z in views.depth_z)
    estimated = with_estimated_disparity(views, lambda _: 3 * next(true) - 7)
    np.testing.assert_allclose(estimated.disparity, views.disparity, atol=1e-5)
    np.testing.assert_array_equal(estimated.depth_z, views.depth_z)


def test_a_view_that_does_not_fit_is_named(views, caplog):
    true = (sign / depth_z for sign, depth_z in zip([1, -1, 1], views.depth_z, strict=True))
    with_estimated_disparity(views, lambda _: next(true))
    assert "1 of 3 views (view_1)" in caplog.text


def test_estimates_that_contradict_the_field_are_refused(views):
    depths = iter(views.depth_z)
    with pytest.raises(ArtifactError, match=r"only 0 of 3 views.*depth: nerf"):
        with_estimated_disparity(views, lambda _: next(depths))


def test_the_depth_asked_for_is_the_depth_taken(views, tmp_path):
    torch.manual_seed(0)
    folder = write_estimator(depth_anything(), tmp_path / "estimator")
    assert with_chosen_depth(views, StylizeViews(), CPU) is views
    asked = StylizeViews(depth="monocular", depth_model=str(folder))
    estimate = load_estimator(str(folder), CPU).disparity
    # The random estimator knows nothing of this scene: give it one of which it is right.
    depth_z = [1 / (1 + estimate(picture)) for picture in views.rgb]
    known = replace(views, depth_z=depth_z)
    found = with_chosen_depth(known, asked, CPU).disparity
    assert np.shape(found) == np.shape(views.disparity)
    assert np.corrcoef(found[0].ravel(), (1 / depth_z[0]).ravel())[0, 1] > 0.99


def test_without_the_hub_the_message_names_the_commit_and_the_ways_out(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(WeightsError) as caught:
        load_estimator(None, CPU)
    message = str(caught.value)
    for part in (str(presets.DEPTH_ANYTHING.revision), "hf download", "depth_model", "depth: nerf"):
        assert part in message


@pytest.mark.parametrize("model", ["someone/depth", "someone/depth@main", "../nothing"])
def test_unpinned_estimators_are_refused(model):
    with pytest.raises(WeightsError, match="40 hexadecimal digits"):
        load_estimator(model, CPU)


def test_estimators_whose_output_is_not_known_are_refused(tmp_path):
    dinov2 = {"model_type": "dinov2", **TINY_VIT, "out_indices": [1, 2, 3, 4]}
    for config, named in (
        ({"model_type": "glpn"}, "glpn"),
        ({"model_type": "zoedepth"}, "zoedepth"),
        ({"model_type": "dpt", "is_hybrid": False, "backbone_config": dinov2}, "dpt on dinov2"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(WeightsError, match=rf"of the kind {named},.*depth: nerf"):
            load_estimator(str(tmp_path), CPU)


def test_a_folder_of_something_else_is_refused(tiny_folder):
    with pytest.raises(WeightsError, match="could not be loaded as a depth estimator"):
        load_estimator(str(tiny_folder), CPU)
