"""LoRAs of the real format on a tiny pipeline of the real classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenestyle.diffusion.loras import LoraFile, add_loras, local_loras
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.weights import file_sha256
from scenestyle.errors import WeightsError
from scenestyle.params import Lora
from tests.support.tiny_diffusion import tiny_first_pipeline, tiny_pipeline, write_tiny_lora

LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_lora(tmp_path_factory.mktemp("lora") / "tiny.safetensors", seed=0)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_lora(tmp_path_factory.mktemp("lora") / "other.safetensors", seed=1)


def weights(pipeline: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in pipeline.unet.state_dict().items()}


def shifted(*loras: LoraFile) -> dict[str, torch.Tensor]:
    pipeline = tiny_pipeline()
    add_loras(pipeline, loras)
    return weights(pipeline)


def product(file: Path) -> torch.Tensor:
    from safetensors.torch import load_file

    parts = load_file(file)
    return parts[f"unet.{LAYER}.lora.up.weight"] @ parts[f"unet.{LAYER}.lora.down.weight"]


def test_a_scale_of_zero_is_no_lora(lora: Path) -> None:
    before, after = weights(tiny_pipeline()), shifted(LoraFile(lora, 0.0))

    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_shift_is_the_product_of_its_factors(lora: Path) -> None:
    """Hu et al. 2021, arXiv:2106.09685, equation 3, with alpha = rank."""
    name = f"{LAYER}.weight"
    before, after = weights(tiny_pipeline())[name], shifted(LoraFile(lora, 0.5))[name]

    torch.testing.assert_close(after, before + 0.5 * product(lora))


def test_several_add_up(lora: Path, other: Path) -> None:
    name = f"{LAYER}.weight"
    before = weights(tiny_pipeline())[name]
    both = shifted(LoraFile(lora, 1.0), LoraFile(other, -0.5))[name]

    torch.testing.assert_close(both, before + product(lora) - 0.5 * product(other))


def test_it_is_part_of_the_model_that_a_stage_loads(tmp_path: Path, lora: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "model")
    given = [Lora(str(lora), file_sha256(lora), 0.5)]

    model = load_pipeline(str(tmp_path / "model"), torch.device("cpu"), loras=given)

    assert torch.equal(
        model.pipeline.unet.state_dict()[f"{LAYER}.weight"],
        shifted(LoraFile(lora, 0.5))[f"{LAYER}.weight"],
    )
    assert model.sources["lora 0"].endswith(f"sha256:{given[0].sha256}")
    assert model.licences["lora 0"]


def test_all_faulty_files_are_named_at_once(tmp_path: Path, lora: Path) -> None:
    (tmp_path / "a.ckpt").touch()
    loras = [
        Lora(str(tmp_path / "a.ckpt"), "0" * 64),
        Lora(str(tmp_path / "b.safetensors"), "0" * 64),
        Lora(str(lora), "0" * 64),
    ]
    with pytest.raises(WeightsError) as error:
        local_loras(loras)

    said = str(error.value)
    assert "a.ckpt: other formats than .safetensors can run code" in said
    assert "b.safetensors: there is no such file" in said
    assert f"write sha256: {file_sha256(lora)}" in said


def test_one_for_another_kind_of_model_is_refused(lora: Path) -> None:
    with pytest.raises(WeightsError, match="trained for the model that"):
        add_loras(tiny_first_pipeline(), [LoraFile(lora, 1.0)])


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["x"], "could not be loaded into this model"),
        (
            [f"transformer.blocks.0.attn.to_q.lora_{side}.weight" for side in "AB"],
            "holds nothing for any part of this model",
        ),
    ],
    ids=["no LoRA", "of a model without a UNet"],
)
def test_a_file_that_is_no_lora_is_refused(tmp_path: Path, names: list[str], fault: str) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.zeros((4, 4)) for name in names}, tmp_path / "x.safetensors")

    with pytest.raises(WeightsError, match=rf"stylize_views\.loras: .*{fault}.* Wanted: a LoRA"):
        add_loras(tiny_pipeline(), [LoraFile(tmp_path / "x.safetensors", 1.0)])
