import json
import shutil

import pytest
import torch

from scenestyle.diffusion import presets
from scenestyle.diffusion.models import load_pipeline
from scenestyle.errors import WeightsError
from scenestyle.params import Control
from tests.support.tiny_diffusion import write_tiny_lora

CPU = torch.device("cpu")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def put_in_cache(cache, name, revision, source):
    snapshot = cache / f"models--{name.replace('/', '--')}" / "snapshots" / revision
    shutil.copytree(source, snapshot)


@pytest.fixture
def base_without_controlnet(tiny_folder, tmp_path):
    """An SDXL-class text-to-image folder, as base models are published."""
    folder = shutil.copytree(tiny_folder, tmp_path / "base")
    shutil.rmtree(folder / "controlnet")
    index = json.loads((folder / "model_index.json").read_text())
    del index["controlnet"]
    index["_class_name"] = "StableDiffusionXLPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def same_weights(module, other):
    return all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(module.parameters(), other.parameters(), strict=True)
    )


def test_embedded_comes_with_the_library():
    model = load_pipeline("embedded", CPU)
    assert model.preset == presets.EMBEDDED
    assert model.sources["base"].startswith("embedded, sha256:")
    assert model.pipeline.unet.dtype == torch.float32


def test_a_folder_is_loaded_as_it_is(tiny_folder):
    model = load_pipeline(str(tiny_folder), CPU)
    assert model.sources == {"base": str(tiny_folder)}
    assert model.preset == presets.SDXL
    assert model.pipeline.vae.use_slicing


def test_a_hub_repository_is_found_in_the_cache(tiny_folder, hub_cache):
    put_in_cache(hub_cache, "someone/tiny", COMMIT, tiny_folder)
    model = load_pipeline(f"someone/tiny@{COMMIT}", CPU)
    assert model.sources == {"base": f"someone/tiny@{COMMIT}"}


def test_a_base_without_controlnet_gets_the_depth_controlnet(
    base_without_controlnet, tiny_folder, hub_cache
):
    depth = presets.SDXL_DEPTH_CONTROLNET
    put_in_cache(hub_cache, depth.name, depth.revision, tiny_folder / "controlnet")
    model = load_pipeline(str(base_without_controlnet), CPU)
    assert model.sources["controlnet"] == str(depth)
    stock = load_pipeline(str(tiny_folder), CPU).pipeline
    assert same_weights(model.pipeline.controlnet, stock.controlnet)


@pytest.mark.parametrize(
    ("name", "base", "preset"),
    [
        ("sdxl", presets.SDXL_BASE, presets.SDXL),
        ("sdxl-turbo", presets.SDXL_TURBO_BASE, presets.SDXL_TURBO),
        ("sdxl-lightning", presets.SDXL_BASE, presets.SDXL_LIGHTNING),
    ],
)
def test_sdxl_is_put_together_from_its_three_repositories(
    base_without_controlnet, tiny_folder, hub_cache, tmp_path, name, base, preset
):
    for part in base_without_controlnet.rglob("*.safetensors"):
        part.rename(part.with_suffix(".fp16.safetensors"))
    shutil.rmtree(base_without_controlnet / "vae")
    controlnet = shutil.copytree(tiny_folder / "controlnet", tmp_path / "controlnet")
    for part in controlnet.glob("*.safetensors"):
        part.rename(part.with_suffix(".fp16.safetensors"))
    for repository, source in (
        (base, base_without_controlnet),
        (presets.SDXL_DEPTH_CONTROLNET, controlnet),
        (presets.SDXL_FP16_VAE, tiny_folder / "vae"),
    ):
        put_in_cache(hub_cache, repository.name, repository.revision, source)
    lightning = name == "sdxl-lightning"
    if lightning:
        lora = write_tiny_lora(tmp_path / "lora" / presets.SDXL_LIGHTNING_LORA.file, seed=0)
        repository = presets.SDXL_LIGHTNING_LORA.repository
        put_in_cache(hub_cache, repository.name, repository.revision, lora.parent)
    model = load_pipeline(name, CPU)
    assert model.preset is preset
    parts = {"base", "controlnet", "vae", *(["lora"] if lightning else [])}
    assert set(model.sources) == set(model.licences) == parts
    assert all(model.licences.values())
    assert ("non-commercial" in model.licences["base"]) == (name == "sdxl-turbo")
    if lightning:
        assert model.pipeline.scheduler.config.timestep_spacing == "trailing"
        return
    stock = load_pipeline(str(tiny_folder), CPU).pipeline
    for part in ("unet", "controlnet", "vae"):
        assert same_weights(getattr(model.pipeline, part), getattr(stock, part))


def test_sdxl_without_weights_names_revision_place_and_ways_out(hub_cache):
    with pytest.raises(WeightsError) as caught:
        load_pipeline("sdxl", CPU)
    message = str(caught.value)
    for part in (
        presets.SDXL_BASE.name,
        presets.SDXL_BASE.revision,
        str(hub_cache),
        f"hf download {presets.SDXL_BASE.name} --revision {presets.SDXL_BASE.revision}",
        "model: embedded",
    ):
        assert part in message


@pytest.mark.parametrize("model", ["someone/tiny", "someone/tiny@main", "embeded", "../nothing"])
def test_unknown_and_unpinned_models_are_refused(model):
    with pytest.raises(WeightsError, match="40 hexadecimal digits"):
        load_pipeline(model, CPU)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"no model_index.json"):
        load_pipeline(str(tmp_path), CPU)


def test_pickled_weights_are_refused(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "pickled")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(WeightsError, match="safetensors"):
        load_pipeline(str(folder), CPU)


def test_truncated_weights_are_refused(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "truncated")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="could not be loaded"):
        load_pipeline(str(folder), CPU)


def test_a_base_without_controlnet_gets_the_pinned_ones_that_are_asked_for(
    base_without_controlnet, tiny_folder, hub_cache
):
    for kind in ("depth", "canny"):
        net = presets.SDXL_CONTROLNETS[kind].repository
        put_in_cache(hub_cache, net.name, net.revision, tiny_folder / "controlnet")
    model = load_pipeline(
        str(base_without_controlnet), CPU, controls=[Control("canny"), Control("depth")]
    )
    assert [control.kind for control in model.controls] == ["depth", "canny"]
    assert model.licences["controlnet canny"] == "Apache-2.0"
    alone = load_pipeline(str(base_without_controlnet), CPU)
    assert [control.kind for control in alone.controls] == ["depth"]
    with pytest.raises(WeightsError, match="only for depth, tile, canny"):
        load_pipeline(str(base_without_controlnet), CPU, controls=[Control("lineart")])
