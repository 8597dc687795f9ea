"""Loads a diffusion pipeline by name: embedded, SDXL, a pinned hub repository or a local folder."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenestyle.diffusion import presets
from scenestyle.diffusion.known_styles import KnownStyles, read_known_styles
from scenestyle.diffusion.presets import HubRepository, Preset
from scenestyle.diffusion.weights import EMBEDDED_FOLDER, hub_snapshot, verified
from scenestyle.errors import WeightsError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
_FROM_HUB = {
    "sdxl": (presets.SDXL, presets.SDXL_BASE),
    "sdxl-turbo": (presets.SDXL_TURBO, presets.SDXL_TURBO_BASE),
}
_FP16 = "*.fp16.safetensors"
_FULL_WEIGHTS = tuple(
    f"{part}/*.safetensors" for part in ("unet", "vae", "text_encoder*", "controlnet")
)


@dataclass(frozen=True)
class DiffusionModel:
    """A pipeline on its device, and what to know about it."""

    pipeline: Any
    """a `diffusers.StableDiffusionXLControlNetImg2ImgPipeline`"""
    preset: Preset
    """the values it is used with by default"""
    sources: Mapping[str, str]
    """where its parts come from: hub repository at its commit, checksum, or folder"""
    known_styles: KnownStyles = field(default_factory=dict)
    """the styles it knows, by their key words; empty: any"""


@dataclass(frozen=True)
class _Parts:
    """Folders to load from; `controlnet` and `vae` stand in for those of `base` if given."""

    base: Path
    controlnet: Path | None = None
    vae: Path | None = None
    variant: str | None = None
    """infix of the weight files' names in `base` and `controlnet`, such as `fp16`"""


def load_pipeline(model: str, device: "torch.device") -> DiffusionModel:
    """Load a depth-controlled SDXL-class image-to-image pipeline.

    Args:
        model: One of
            `embedded`: the tiny model that comes with the library;
            `sdxl`: the paper's models from the hub, each at a pinned commit;
            `sdxl-turbo`: the same with SDXL Turbo, four steps instead of forty;
            `organisation/name@COMMIT`: an SDXL-class hub repository at a 40-digit commit;
            a local diffusers folder.
            The last two are used with the values of `sdxl`, and with its depth ControlNet unless
            they hold one of their own.
        device: Where it runs; in float16 on CUDA, in float32 elsewhere.

    Raises:
        WeightsError: If `model` is none of these, or its weights are missing, damaged, or not
            safetensors; the message names the way out.
    """
    if model == "embedded":
        sources = {"base": f"embedded, sha256:{verified(EMBEDDED_FOLDER)}"}
        pipeline = _assemble(_Parts(EMBEDDED_FOLDER), device)
        known = read_known_styles(EMBEDDED_FOLDER)
        return DiffusionModel(pipeline, presets.EMBEDDED, sources, known)
    if model in _FROM_HUB:
        preset, base = _FROM_HUB[model]
        pipeline = _assemble(_hub_parts(base), device)
        sources = {
            "base": str(base),
            "controlnet": str(presets.SDXL_DEPTH_CONTROLNET),
            "vae": str(presets.SDXL_FP16_VAE),
        }
        return DiffusionModel(pipeline, preset, sources)
    if hub_id := _HUB_ID.fullmatch(model):
        base = hub_snapshot(
            HubRepository(hub_id["name"], hub_id["revision"]), _FULL_WEIGHTS, exclude=[_FP16]
        )
    elif Path(model).is_dir():
        base = Path(model)
    else:
        raise WeightsError(
            f"stylize_views.model: {model!r} is neither embedded, sdxl nor sdxl-turbo, nor an existing "
            "diffusers folder, nor a hub repository with its commit "
            "(organisation/name@ and 40 hexadecimal digits; a branch name is not enough)."
        )
    return _load_foreign(model, base, device)


def _hub_parts(base: HubRepository) -> _Parts:
    return _Parts(
        base=hub_snapshot(base, [f"unet/{_FP16}", f"text_encoder*/{_FP16}"]),
        controlnet=hub_snapshot(presets.SDXL_DEPTH_CONTROLNET, [_FP16]),
        vae=hub_snapshot(presets.SDXL_FP16_VAE, ["diffusion_pytorch_model.safetensors"]),
        variant="fp16",
    )


def _load_foreign(model: str, base: Path, device: "torch.device") -> DiffusionModel:
    index = base / "model_index.json"
    if not index.is_file():
        raise WeightsError(
            f"{base} is not a diffusers folder: it has no model_index.json. Export the model with "
            "`pipeline.save_pretrained(FOLDER)`."
        )
    sources = {"base": model}
    controlnet = None
    if "controlnet" not in json.loads(index.read_text(encoding="utf-8")):
        sources["controlnet"] = str(presets.SDXL_DEPTH_CONTROLNET)
        controlnet = hub_snapshot(
            presets.SDXL_DEPTH_CONTROLNET, ["diffusion_pytorch_model.safetensors"]
        )
    pipeline = _assemble(_Parts(base, controlnet=controlnet), device)
    return DiffusionModel(pipeline, presets.SDXL, sources, read_known_styles(base))


def _assemble(parts: _Parts, device: "torch.device") -> Any:
    import diffusers
    import torch
    import transformers
    from safetensors import SafetensorError

    # Loading takes a second and would fill the stages' logs with bars.
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    common: dict[str, Any] = {
        "dtype": torch.float16 if device.type == "cuda" else torch.float32,
        "use_safetensors": True,
        "local_files_only": True,
    }
    replaced: dict[str, Any] = {}
    try:
        if parts.controlnet is not None:
            replaced["controlnet"] = diffusers.ControlNetModel.from_pretrained(
                parts.controlnet, variant=parts.variant, **common
            )
        if parts.vae is not None:
            replaced["vae"] = diffusers.AutoencoderKL.from_pretrained(parts.vae, **common)
        pipeline = diffusers.StableDiffusionXLControlNetImg2ImgPipeline.from_pretrained(
            parts.base, variant=parts.variant, add_watermarker=False, **replaced, **common
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(
            f"{parts.base} could not be loaded as an SDXL-class image-to-image pipeline with a "
            f"depth ControlNet ({error}). It needs safetensors weights in the layout of "
            "`pipeline.save_pretrained(FOLDER)`; or set stylize_views.model: embedded."
        ) from error
    # One view at a time: the VAE's activations, at full resolution, would outweigh everything else.
    pipeline.vae.enable_slicing()
    pipeline.set_progress_bar_config(disable=None)
    for part in (pipeline.unet, pipeline.controlnet, pipeline.vae):
        part.to(memory_format=torch.channels_last)
    return pipeline.to(device)
