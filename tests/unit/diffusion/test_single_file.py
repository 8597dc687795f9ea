"""Checkpoints of one file: the same model as the folder, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenestyle.diffusion import presets
from scenestyle.diffusion.architectures import clip_tokenizer, network
from scenestyle.diffusion.models import DiffusionModel, load_pipeline
from scenestyle.diffusion.single_file import architecture_of
from scenestyle.diffusion.weights import file_sha256
from scenestyle.errors import WeightsError
from scenestyle.params import Control, Lora
from tests.support.original_layout import original, write_single_file
from tests.support.tiny_diffusion import (
    stylize,
    tiny_first_pipeline,
    tiny_pipeline,
    write_tiny_lora,
)
from tests.unit.diffusion.test_stylize import SETTINGS, some_views

CPU = torch.device("cpu")
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")
PUBLISHED = {
    ("sdxl", "unet"): 2_567_463_684,
    ("sdxl", "controlnet"): 1_251_014_160,
    ("sdxl", "vae"): 83_653_863,
    ("sdxl", "text_encoder"): 123_060_480,
    ("sdxl", "text_encoder_2"): 694_659_840,
    ("sd15", "unet"): 859_520_964,
    ("sd15", "controlnet"): 361_279_120,
    ("sd15", "vae"): 83_653_863,
    ("sd15", "text_encoder"): 123_060_480,
}
"""parameters, as their authors and those who count them say"""


def xl() -> Any:
    return tiny_pipeline(second_text_width=24)  # SDXL's two text encoders differ in width, too


@pytest.fixture(scope="module", params=[xl, tiny_first_pipeline], ids=["xl", "first"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, and beside it the ControlNet that fits."""
    folder = tmp_path_factory.mktemp("single_file")
    pipeline = request.param()
    pipeline.save_pretrained(folder / "folder")
    return write_single_file(pipeline, folder / "my_model.safetensors")


def loaded(file: Path, **more: Any) -> DiffusionModel:
    depth = Control("depth", weights=str(file.with_name("folder") / "controlnet"))
    return load_pipeline(str(file), CPU, controls=[depth], sha256=file_sha256(file), **more)


def test_it_is_the_model_of_the_folder_bit_for_bit(written: Path) -> None:
    model, wanted = loaded(written), load_pipeline(str(written.with_name("folder")), CPU)

    for name in PARTS:
        if hasattr(wanted.pipeline, name):
            ours, theirs = (getattr(each.pipeline, name).state_dict() for each in (model, wanted))
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    rgb, disparity = some_views(2)
    np.testing.assert_array_equal(
        stylize(model, rgb, disparity, SETTINGS), stylize(wanted, rgb, disparity, SETTINGS)
    )
    assert type(model.pipeline) is type(wanted.pipeline)
    assert model.preset == wanted.preset


def test_its_checksum_and_its_configuration_are_among_the_sources(written: Path) -> None:
    sources = loaded(written).sources

    assert sources["base"] == f"{written}, sha256:{file_sha256(written)}"
    assert sources["configuration"] == str(written.with_suffix(""))
    assert sources["controlnet depth"].endswith("controlnet")


def test_a_lora_shifts_it(tmp_path: Path) -> None:
    pipeline = xl()
    pipeline.save_pretrained(tmp_path / "folder")
    file = write_single_file(pipeline, tmp_path / "my_model.safetensors")
    lora = write_tiny_lora(tmp_path / "lora.safetensors", seed=0, unet=pipeline.unet)

    given = [Lora(str(lora), file_sha256(lora), 0.5)]
    model, plain = loaded(file, loras=given), loaded(file)

    wanted = load_pipeline(str(tmp_path / "folder"), CPU, loras=given)
    ours, theirs = model.pipeline.unet.state_dict(), wanted.pipeline.unet.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert any(not torch.equal(ours[k], v) for k, v in plain.pipeline.unet.state_dict().items())


def test_how_it_was_trained_is_read_from_it(tmp_path: Path) -> None:
    pipeline = xl()
    pipeline.save_pretrained(tmp_path / "folder")
    marks = ("v_pred", "ztsnr")
    file = write_single_file(pipeline, tmp_path / "my_model.safetensors", marks=marks)

    config = loaded(file).pipeline.scheduler.config

    assert config.prediction_type == "v_prediction"
    assert config.rescale_betas_zero_snr
    assert config.timestep_spacing == "trailing"


@pytest.mark.parametrize(("architecture", "part"), list(PUBLISHED))
def test_the_configurations_are_those_of_the_published_models(architecture: Any, part: str) -> None:
    from accelerate import init_empty_weights

    with init_empty_weights():
        made = network(architecture, part)

    assert sum(each.numel() for each in made.parameters()) == PUBLISHED[architecture, part]


@pytest.mark.parametrize("architecture", ["sdxl", "sd15"])
def test_at_true_size_every_tensor_finds_its_place(architecture: Any) -> None:
    """The names alone: the tensors have sizes and no values."""
    from types import SimpleNamespace

    from accelerate import init_empty_weights
    from diffusers.loaders import single_file_utils as theirs

    parts = [part for kind, part in PUBLISHED if kind == architecture and part != "controlnet"]
    with init_empty_weights(include_buffers=True):
        pipeline = SimpleNamespace(**{part: network(architecture, part) for part in parts})

    checkpoint = original(pipeline)

    found = theirs.convert_ldm_unet_checkpoint(checkpoint, pipeline.unet.config)
    assert shapes(found) == shapes(pipeline.unet.state_dict())
    found = theirs.convert_ldm_vae_checkpoint(checkpoint, pipeline.vae.config)
    assert shapes(found) == shapes(pipeline.vae.state_dict())
    # Names that are known from the published files.
    assert (
        theirs.infer_diffusers_model_type(checkpoint)
        == {"sdxl": "xl_base", "sd15": "v1"}[architecture]
    )


def shapes(state: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),
        (
            "A ukiyo-e print, isn't it?",
            [320, 37435, 3497, 268, 324, 3557, 267, 2923, 713, 585, 286],
        ),
    ],
)
def test_the_vocabulary_is_clips(text: str, ids: list[int]) -> None:
    """Ids as OpenCLIP's own tokenizer gives them."""
    words = clip_tokenizer("!")

    encoded = words(text, padding="max_length", max_length=77)["input_ids"]

    assert encoded == [49406, *ids, 49407, *[0] * (75 - len(ids))]
    assert len(words) == 49408


def fault_of(file: Path, sha256: str | None = None) -> str:
    with pytest.raises(WeightsError) as error:
        load_pipeline(
            str(file), CPU, sha256=sha256 or (file.exists() and file_sha256(file)) or None
        )
    return str(error.value)


def test_what_could_run_code_or_is_not_the_file_that_is_meant_is_refused(
    written: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.ckpt").touch()

    assert "can run code when they are opened" in fault_of(tmp_path / "a.ckpt")
    assert "there is no such file" in fault_of(tmp_path / "b.safetensors")
    assert f"write model_sha256: {file_sha256(written)}" in fault_of(written, "0" * 64)


def write(file: Path, tensors: dict[str, torch.Tensor]) -> Path:
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in tensors.items()}, file)
    return file


def test_a_file_that_is_no_checkpoint_of_a_known_kind_is_refused(tmp_path: Path) -> None:
    lora = write_tiny_lora(tmp_path / "lora.safetensors", seed=0)
    assert "A LoRA belongs into stylize_views.loras" in fault_of(lora)

    tensors = original(tiny_first_pipeline())
    first = "model.diffusion_model.input_blocks.0.0.weight"
    wide = {**tensors, first: torch.zeros(16, 9, 3, 3)}
    assert "takes 9 channels" in fault_of(write(tmp_path / "inpainting.safetensors", wide))

    torn = write(tmp_path / "torn.safetensors", tensors)
    torn.write_bytes(torn.read_bytes()[:1000])
    assert "is damaged" in fault_of(torn)


def test_one_of_other_sizes_than_published_needs_its_configuration(tmp_path: Path) -> None:
    pipeline = xl()
    pipeline.save_pretrained(tmp_path / "folder")
    file = write(tmp_path / "my_model.safetensors", original(pipeline))

    with pytest.raises(WeightsError, match=r"other sizes.*my_model/model_index.json"):
        loaded(file)


@pytest.mark.parametrize(
    ("left_out", "named"),
    [("decoder.up", "UNet, the autoencoder"), ("resblocks.1.", "text_encoder_2, so it is")],
)
def test_one_that_is_not_whole_is_refused(tmp_path: Path, left_out: str, named: str) -> None:
    pipeline = xl()
    pipeline.save_pretrained(tmp_path / "folder")
    file = write_single_file(pipeline, tmp_path / "my_model.safetensors")
    write(file, {name: value for name, value in original(pipeline).items() if left_out not in name})

    with pytest.raises(WeightsError, match=rf"my_model.safetensors lacks tensors of .*{named}"):
        loaded(file)


def test_the_architecture_is_told_by_the_names(written: Path) -> None:
    model = loaded(written)

    wanted = {"sdxl": presets.SDXL, "sd15": presets.SD15}[architecture_of(written)]
    assert model.preset == wanted
