"""Checkpoints of one file, as finetuned models are passed on: UNet, autoencoder and text encoders.

Such a file holds weights alone. Configuration and vocabulary come from `architectures`; for a model
of SDXL's or SD 1.5's class with other sizes, from a diffusers folder of the file's name beside it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from scenestyle.diffusion.architectures import configuration, sees_image, tokenizers
from scenestyle.diffusion.weights import file_fault, warnings_hidden
from scenestyle.errors import WeightsError, reason
from scenestyle.params import PICKLES

_InOneFile = Literal["sdxl", "sd15"]
_WANTED = (
    "Wanted: a checkpoint of SDXL, Stable Diffusion 1.5 or InstructPix2Pix, text encoders and "
    "autoencoder in it"
)
_LATENT_CHANNELS = 4
_FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"
_TEXT_ENCODERS: Mapping[str, _InOneFile] = {
    "conditioner.embedders.1.model.": "sdxl",
    "cond_stage_model.transformer.": "sd15",
}
"""beginnings of keys that tell the architecture: where the (last) text encoder lies"""
_OF_Z_IMAGE = "noise_refiner."
"""part of the names of Z-Image's tensors"""
_PREDICTS_VELOCITY, _BEGINS_AT_PURE_NOISE = "v_pred", "ztsnr"
"""empty tensors by which checkpoints say how they were trained"""


def is_single_file(model: str) -> bool:
    """Whether a model's name is that of one file, of a format that is loaded or one that is not."""
    return Path(model).suffix in (".safetensors", *PICKLES)


def checked(model: str, sha256: str | None) -> Path:
    """The file, if it is there, of a format that runs no code, and the one of its checksum.

    Raises:
        WeightsError: If not; says the way out.
    """
    path = Path(model)
    if fault := file_fault(path, sha256 or "nothing", key="model_sha256"):
        raise WeightsError(f"stylize_views.model: {fault}.")
    return path


def architecture_of(file: Path) -> _InOneFile:
    """What a checkpoint is of, by the names of its tensors; none is read but the smallest.

    Raises:
        WeightsError: If it is a checkpoint of another model, or none.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as checkpoint:
            names = set(checkpoint.keys())
    except SafetensorError as error:
        raise WeightsError(
            f"{file} is damaged ({reason(error)}); copy or download it again."
        ) from error
    found: list[_InOneFile] = [
        architecture
        for beginning, architecture in _TEXT_ENCODERS.items()
        if any(name.startswith(beginning) for name in names)
    ]
    if any(_OF_Z_IMAGE in name for name in names):
        raise WeightsError(
            f"{file} is Z-Image's transformer without the rest of the model, as it is passed on. "
            "Set stylize_views.model: z-image-turbo, or name a diffusers folder of a "
            "ZImagePipeline with this transformer in it."
        )
    if _FIRST_LAYER not in names or len(found) != 1:
        some = ", ".join(sorted(names)[:3])
        raise WeightsError(
            f"{file} is no checkpoint of a kind that is known here (its first tensors: {some}). "
            f"{_WANTED}. A LoRA belongs into stylize_views.loras."
        )
    return found[0]


def edits(file: Path) -> bool:
    """Whether a checkpoint edits by instruction: its UNet sees an image beside the noise.

    Raises:
        WeightsError: If it is for inpainting.
    """
    from safetensors import safe_open

    with safe_open(file, framework="pt") as checkpoint:
        channels = checkpoint.get_slice(_FIRST_LAYER).get_shape()[1]
    return sees_image(channels, _LATENT_CHANNELS, file)


def load(file: Path, kind: Any, options: Mapping[str, Any]) -> Any:
    """A pipeline with the weights of the file.

    Args:
        file: From `checked`.
        kind: Class of diffusers' pipeline, of the file's architecture.
        options: Of its `from_single_file`: parts that are not in the file, numbers to compute with.

    Raises:
        WeightsError: If a part is missing in the file or has other sizes than configured.
    """
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    architecture, own = architecture_of(file), own_configuration(file)
    folder = own or configuration(architecture)
    given = dict(options) if own else {**options, **tokenizers(architecture)}
    try:
        with warnings_hidden():  # of casting, although nothing needs to stay in float32
            if edits(file):
                given["unet"] = _wide_unet(file, folder, options["dtype"])
            pipeline = kind.from_single_file(
                str(file), config=str(folder), local_files_only=True, **given
            )
    except NotImplementedError as error:  # tensors that are still without values cannot be moved
        raise WeightsError(
            f"{file} lacks tensors of the UNet, the autoencoder or a text encoder, so it is not "
            f"the whole model. {_WANTED}."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SingleFileComponentError) as error:
        raise WeightsError(
            f"{file} could not be loaded as {architecture} ({str(error).partition(chr(10))[0]}). "
            f"{_WANTED}. If it has other sizes, put a diffusers folder with its configuration and "
            f"tokenizers beside it: {file.with_suffix('')}/model_index.json and so on."
        ) from error
    if missing := _without_values(pipeline):
        raise WeightsError(
            f"{file} lacks tensors of {', '.join(missing)}, so it is not the whole model. "
            f"{_WANTED}."
        )
    _set_prediction(pipeline, file)
    return pipeline


def _wide_unet(file: Path, folder: Path, dtype: Any) -> Any:
    """A UNet that is shown an image, by the configuration of one that is not."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_single_file(
        str(file),
        config=str(folder),
        subfolder="unet",
        in_channels=2 * _LATENT_CHANNELS,
        local_files_only=True,
        dtype=dtype,
    )


def own_configuration(file: Path) -> Path | None:
    """The diffusers folder beside a checkpoint that says its sizes; None: there is none."""
    folder = file.with_suffix("")
    return folder if (folder / "model_index.json").is_file() else None


def _without_values(pipeline: Any) -> list[str]:
    def parameters(part: Any) -> Iterable[Any]:
        return part.parameters() if hasattr(part, "parameters") else ()

    return [
        name
        for name, part in pipeline.components.items()
        if any(parameter.is_meta for parameter in parameters(part))
    ]


def _set_prediction(pipeline: Any, file: Path) -> None:
    """Have the scheduler do as the checkpoint says it was trained (Lin et al. 2024, 2305.08891)."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as checkpoint:
        names = set(checkpoint.keys())
    changes: dict[str, Any] = {}
    if _PREDICTS_VELOCITY in names:
        changes["prediction_type"] = "v_prediction"
    if _BEGINS_AT_PURE_NOISE in names:
        changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    scheduler = pipeline.scheduler
    pipeline.scheduler = type(scheduler).from_config(scheduler.config, **changes)
