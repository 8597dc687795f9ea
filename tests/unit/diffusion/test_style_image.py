from dataclasses import replace

import numpy as np
import pytest
import torch

from scenestyle.artifacts import write_rgb
from scenestyle.diffusion import presets
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.style_image import with_image_adapter
from scenestyle.diffusion.weights import file_sha256
from scenestyle.errors import ParamsError, WeightsError
from tests.support.tiny_diffusion import stylize, write_tiny_image_adapter
from tests.unit.diffusion.test_stylize import (
    SETTINGS,
    assert_same_pictures,
    in_float64,
    some_views,
    stock,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def plain(tiny_folder):
    return load_pipeline(str(tiny_folder), CPU)


@pytest.fixture(scope="module")
def adapter(plain, tmp_path_factory):
    return write_tiny_image_adapter(tmp_path_factory.mktemp("adapter"), plain.pipeline.unet)


@pytest.fixture(scope="module")
def seeing(tiny_folder, adapter):
    return with_image_adapter(load_pipeline(str(tiny_folder), CPU), str(adapter))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in ("one", "other"):
        write_rgb(folder / f"{name}.png", rng.random((50, 40, 3)))
    return folder


def shown(images, name, scale=1.0):
    path = images / f"{name}.png"
    return replace(SETTINGS, image=str(path), image_sha256=file_sha256(path), image_scale=scale)


def test_the_picture_changes_with_the_image_and_its_scale(seeing, images):
    rgb, disparity = some_views(2)
    results = [
        stylize(seeing, rgb, disparity, settings)
        for settings in (
            SETTINGS,
            shown(images, "one"),
            shown(images, "one", scale=0.3),
            shown(images, "other"),
        )
    ]
    for index, first in enumerate(results):
        for second in results[index + 1 :]:
            assert np.abs(first - second).max() > 1e-3
    again = stylize(seeing, rgb, disparity, shown(images, "one"))
    np.testing.assert_array_equal(again, results[1])


def test_at_scale_0_and_without_an_image_it_is_the_model_without_an_adapter(seeing, plain, images):
    rgb, disparity = some_views(3)
    wanted = stylize(plain, rgb, disparity, SETTINGS)
    for settings in (SETTINGS, shown(images, "one", scale=0.0)):
        found = stylize(seeing, rgb, disparity, settings)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_it_is_what_the_stock_pipeline_makes_of_the_image(tiny_folder, adapter, images):
    from PIL import Image

    seeing = in_float64(with_image_adapter(load_pipeline(str(tiny_folder), CPU), str(adapter)))
    rgb, disparity = some_views(3)
    settings = shown(images, "one")
    found = stylize(seeing, rgb, disparity, settings, Plan.joint(3, share=False))
    seeing.pipeline.set_ip_adapter_scale(1.0)
    image = Image.open(settings.image)
    wanted = stock(seeing, rgb, disparity, settings, ip_adapter_image=image)
    assert_same_pictures(found, wanted)


@pytest.mark.parametrize("offload", ["none", "model"])
def test_the_laws_of_sharing_hold(seeing, images, offload):
    rgb, disparity = some_views(5)
    settings = shown(images, "one")
    exact, by_references = (
        stylize(seeing, rgb[:3], disparity[:3], settings, plan)
        for plan in (Plan.joint(3), Plan("references", ((0, 1, 2),), offload=offload))
    )
    np.testing.assert_array_equal(by_references, exact)
    together, apart = (
        stylize(seeing, rgb, disparity, settings, Plan("references", groups, offload=offload))
        for groups in (((1, 4), (0, 2, 3)), ((1, 4), (3,), (0,), (2,)))
    )
    np.testing.assert_allclose(apart, together, atol=1e-4)
    order = [2, 0, 1]
    permuted = stylize(seeing, rgb[:3][order], disparity[:3][order], settings)
    np.testing.assert_allclose(permuted, exact[order], atol=1e-4)
    alone = stylize(seeing, rgb[:3], disparity[:3], settings, Plan.joint(3, share=False))
    assert np.abs(exact - alone).max() > 1e-3


def test_both_kinds_of_attention_are_in_their_places_and_are_left_so(seeing, images):
    from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0

    from scenestyle.diffusion.attention import SharedSelfAttention, shared_self_attention

    unet = seeing.pipeline.unet
    before = unet.attn_processors
    with shared_self_attention(unet, 2):
        for name, processor in unet.attn_processors.items():
            is_self = ".attn1." in name
            assert isinstance(
                processor, SharedSelfAttention if is_self else IPAdapterAttnProcessor2_0
            )
    assert unet.attn_processors == before


def test_the_adapter_is_among_the_sources(seeing, adapter):
    assert seeing.sources["image_adapter"] == str(adapter)


def test_a_changed_or_missing_image_is_refused_with_the_way_out(seeing, images):
    rgb, disparity = some_views(1)
    right = shown(images, "one")
    wrong = replace(right, image_sha256="0" * 64)
    with pytest.raises(ParamsError, match=rf"was changed.*image_sha256: {right.image_sha256}"):
        stylize(seeing, rgb, disparity, wrong)
    with pytest.raises(ParamsError, match="there is no image"):
        stylize(seeing, rgb, disparity, replace(right, image="nowhere.png"))


def test_what_is_no_picture_is_named(seeing, tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    rgb, disparity = some_views(1)
    wrong = replace(SETTINGS, image=str(path), image_sha256=file_sha256(path))
    with pytest.raises(ParamsError, match=r"notes\.png cannot be read as a picture"):
        stylize(seeing, rgb, disparity, wrong)


def test_a_model_without_an_adapter_refuses_an_image(plain, images):
    rgb, disparity = some_views(1)
    with pytest.raises(ParamsError, match="needs a model with an image adapter"):
        stylize(plain, rgb, disparity, shown(images, "one"))


def test_the_embedded_model_cannot_see():
    with pytest.raises(WeightsError, match=r"no image encoder.*model: sdxl"):
        with_image_adapter(load_pipeline("embedded", CPU), None)


def test_without_the_hub_the_message_names_the_commit_and_the_ways_out(
    plain, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(WeightsError) as caught:
        with_image_adapter(plain, None)
    message = str(caught.value)
    known = presets.SDXL_IP_ADAPTER
    for part in (known.repository.revision, known.file, "image_adapter", "leave out"):
        assert part in message


def test_an_adapter_of_another_model_is_refused(adapter):
    """The embedded UNet is wider than the tiny one."""
    with pytest.raises(WeightsError, match="could not be loaded as an IP-Adapter of this model"):
        with_image_adapter(load_pipeline("embedded", CPU), str(adapter))


@pytest.mark.parametrize("name", ["nothing.safetensors", "folder"])
def test_what_is_no_adapter_is_refused(plain, tmp_path, name):
    with pytest.raises(WeightsError, match="there is no file"):
        with_image_adapter(plain, str(tmp_path / name))
