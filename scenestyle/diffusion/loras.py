"""LoRAs: small files that shift a model's weights (Hu et al. 2021, arXiv:2106.09685).

They are added to the weights once, `W + scale * B A`, and gone: sharing, groups, offloading and the
plan see a model like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenestyle.diffusion.weights import file_sha256
from scenestyle.errors import WeightsError, reason
from scenestyle.params import Lora


@dataclass(frozen=True)
class LoraFile:
    """A LoRA on disk."""

    path: Path
    scale: float


def local_loras(loras: Sequence[Lora]) -> list[LoraFile]:
    """The files that the parameters name, after a look at all of them.

    Raises:
        WeightsError: If files are missing, not safetensors or not those of their checksum; names
            all.
    """
    faults = []
    for lora in loras:
        path = Path(lora.file)
        if path.suffix != ".safetensors":
            faults.append(
                f"{path}: other formats than .safetensors can run code when they are opened; "
                "convert it (diffusers: `save_lora_weights`), or take the author's safetensors"
            )
        elif not path.is_file():
            faults.append(f"{path}: there is no such file")
        elif (found := file_sha256(path)) != lora.sha256:
            faults.append(
                f"{path}: its SHA-256 is {found}, params.yaml says {lora.sha256}; if the file is "
                f"the one that is meant, write sha256: {found}"
            )
    if faults:
        raise WeightsError(f"stylize_views.loras: {'; '.join(faults)}.")
    return [LoraFile(Path(lora.file), lora.scale) for lora in loras]


def add_loras(pipeline: Any, loras: Sequence[LoraFile]) -> None:
    """Add LoRAs to the weights of a pipeline of diffusers, UNet and text encoders, for good.

    Raises:
        WeightsError: If a file is no LoRA, or was made for a model of another kind.
    """
    if not loras:
        return
    names = [f"lora_{index}" for index in range(len(loras))]
    for name, lora in zip(names, loras, strict=True):
        _load(pipeline, name, lora.path)
    pipeline.set_adapters(names, [lora.scale for lora in loras])
    pipeline.fuse_lora(adapter_names=names, safe_fusing=True)
    pipeline.unload_lora_weights()


def _load(pipeline: Any, name: str, path: Path) -> None:
    from diffusers.utils import logging
    from safetensors import SafetensorError

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # one without text encoders would be reported as suspicious
    try:
        pipeline.load_lora_weights(
            path.parent, weight_name=path.name, adapter_name=name, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"stylize_views.loras: {path} could not be loaded into this model ({reason(error)}). "
            "Wanted: a LoRA that was trained for the model that stylize_views.model names (SDXL's "
            "do not fit SD 1.5)."
        ) from error
    finally:
        logging.set_verbosity(verbosity)
    if name not in {each for names in pipeline.get_list_adapters().values() for each in names}:
        raise WeightsError(
            f"stylize_views.loras: {path} holds nothing for any part of this model. Wanted: a LoRA "
            "that was trained for the model that stylize_views.model names."
        )
