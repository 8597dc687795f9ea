"""LoRAs: small files that shift a model's weights (Hu et al. 2021, arXiv:2106.09685).

They are added to the weights once, `W + scale * B A`, and gone: sharing, groups, offloading and the
plan see a model like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenestyle.diffusion.weights import file_fault, warnings_hidden
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
    found = (file_fault(Path(lora.file), lora.sha256) for lora in loras)
    faults = [fault for fault in found if fault]
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
    from safetensors import SafetensorError

    try:
        with warnings_hidden():  # one without text encoders would be reported as suspicious
            pipeline.load_lora_weights(
                path.parent, weight_name=path.name, adapter_name=name, local_files_only=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"stylize_views.loras: {path} could not be loaded into this model ({reason(error)}). "
            "Wanted: a LoRA that was trained for the model that stylize_views.model names (SDXL's "
            "do not fit SD 1.5)."
        ) from error
    if name not in {each for names in pipeline.get_list_adapters().values() for each in names}:
        raise WeightsError(
            f"stylize_views.loras: {path} holds nothing for any part of this model. Wanted: a LoRA "
            "that was trained for the model that stylize_views.model names."
        )
