"""Loads a diffusion pipeline by name: embedded, SDXL, a pinned hub repository or a local folder."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from scenestyle.diffusion import presets
from scenestyle.diffusion.control_nets import control_nets
from scenestyle.diffusion.known_styles import KnownStyles, read_known_styles
from scenestyle.diffusion.loras import LoraFile, add_loras, local_loras
from scenestyle.diffusion.noise_offset import NoiseOffset, read_noise_offset
from scenestyle.diffusion.presets import HubRepository, Preset
from scenestyle.diffusion.schedulers import set_scheduler
from scenestyle.diffusion.weights import EMBEDDED_FOLDER, hub_snapshot, named_folder, verified
from scenestyle.errors import WeightsError, reason
from scenestyle.params import Control, Dtype, Lora, Scheduler

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_FROM_HUB = {
    "sdxl": (presets.SDXL, presets.SDXL_BASE),
    "sdxl-lightning": (presets.SDXL_LIGHTNING, presets.SDXL_BASE),
    "sdxl-turbo": (presets.SDXL_TURBO, presets.SDXL_TURBO_BASE),
    "sd15": (presets.SD15, presets.SD15_BASE),
}
_HUB_LORAS = {"sdxl-lightning": presets.SDXL_LIGHTNING_LORA}
UNKNOWN_LICENCE = "not known to scenestyle; ask who made it"
CONTROLS_FILE = "controls.json"
"""in a diffusers folder: what its ControlNets see, in their order; without it there is one, for
depth"""
_FP16 = "*.fp16.safetensors"
_FULL_WEIGHTS = tuple(
    f"{part}/*.safetensors" for part in ("unet", "vae", "text_encoder*", "controlnet*")
)
_CONTROLS_EXAMPLE = '["depth", "tile"]'


@dataclass(frozen=True)
class DiffusionModel:
    """A pipeline, and what to know about it."""

    pipeline: Any
    """a `diffusers.StableDiffusionXLControlNetImg2ImgPipeline`, or the one without XL"""
    device: "torch.device"
    """where it is to compute; `place` brings it there"""
    preset: Preset
    """the values it is used with by default"""
    sources: Mapping[str, str]
    """where its parts come from: hub repository at its commit, checksum, or folder"""
    known_styles: KnownStyles = field(default_factory=dict)
    """the styles it knows, by their key words; empty: any"""
    controls: tuple[Control, ...] = ("depth",)
    """what its ControlNets see, in their order"""
    licences: Mapping[str, str] = field(default_factory=dict)
    """part, as in `sources` -> licence of its weights"""
    noise_offset: NoiseOffset | None = None
    """what its noise has in common over a view; None: nothing"""


@dataclass(frozen=True)
class _Family:
    """What models of one architecture have in common."""

    pipeline: str
    """class of diffusers"""
    options: Mapping[str, Any]
    """of its `from_pretrained`"""
    preset: Preset
    """for models without one of their own"""
    controlnet: HubRepository
    """for depth, for models without one"""


_XL = _Family(
    "StableDiffusionXLControlNetImg2ImgPipeline",
    {"add_watermarker": False},
    presets.SDXL,
    presets.SDXL_DEPTH_CONTROLNET,
)
_FIRST = _Family(
    "StableDiffusionControlNetImg2ImgPipeline",
    # A view that the checker took offence at would become black.
    {"safety_checker": None, "requires_safety_checker": False},
    presets.SD15,
    presets.SD15_DEPTH_CONTROLNET,
)


@dataclass(frozen=True)
class _Parts:
    """Folders to load from; `controlnet` and `vae` stand in for those of `base` if given."""

    base: Path
    controlnet: Path | None = None
    vae: Path | None = None
    variant: str | None = None
    """infix of the weight files' names in `base` and `controlnet`, such as `fp16`"""


def load_pipeline(
    model: str,
    device: "torch.device",
    dtype: Dtype = "auto",
    controls: Sequence[Control] | None = None,
    loras: Sequence[Lora] = (),
    scheduler: Scheduler | None = None,
) -> DiffusionModel:
    """Load a controlled image-to-image pipeline of SDXL's or SD 1.5's class into main memory.

    Args:
        model: One of
            `embedded`: the tiny model that comes with the library;
            `sdxl`: the paper's models from the hub, each at a pinned commit;
            `sdxl-lightning`: the same with a LoRA for few steps, four instead of forty;
            `sdxl-turbo`: SDXL Turbo, four steps at half the size, for non-commercial use;
            `sd15`: Stable Diffusion 1.5, a third of the size, for cards on which SDXL does not fit;
            `organisation/name@COMMIT`: a hub repository of either class at a 40-digit commit;
            a local diffusers folder.
            The last two are used with the values of `sdxl` or `sd15`, by the class in their
            model_index.json, and with that one's depth ControlNet unless they hold one of their
            own.
        device: Where it is to run; `place` brings it there.
        dtype: Numbers to compute with; `auto`: float16 on CUDA, float32 elsewhere.
        controls: Which of its ControlNets to use, in any order; None: all that it has.
        loras: Shifts of its weights.
        scheduler: How it goes from noise to image; None: as its preset or its weights say.

    Raises:
        WeightsError: If `model` is none of these, or its weights are missing, damaged, or not
            safetensors, or it has no ControlNet for one of `controls`, or a LoRA does not fit it;
            the message names the way out.
    """
    given = local_loras(loras)
    loaded = _loaded(model, device, dtype)
    add_loras(loaded.pipeline, [*_hub_loras(model), *given])
    if chosen := scheduler or loaded.preset.scheduler:
        set_scheduler(loaded.pipeline, chosen)
    files = {
        f"lora {index}": f"{each.file}, sha256:{each.sha256}" for index, each in enumerate(loras)
    }
    loaded = replace(
        loaded,
        sources={**loaded.sources, **files},
        licences={**loaded.licences, **dict.fromkeys(files, UNKNOWN_LICENCE)},
    )
    return loaded if controls is None else _with_controls(loaded, model, controls)


def licences_of(model: str) -> dict[str, str]:
    """Licences of the parts of a model, by its name alone, without loading it."""
    if model == "embedded":
        return {"base": presets.EMBEDDED_LICENCE}
    if model not in _FROM_HUB:
        return {"base": UNKNOWN_LICENCE}
    return {part: repository.licence for part, repository in _hub_repositories(model).items()}


def _hub_repositories(model: str) -> dict[str, HubRepository]:
    preset, base = _FROM_HUB[model]
    family = _FIRST if preset is presets.SD15 else _XL
    found = {"base": base, "controlnet": family.controlnet}
    found |= {"vae": presets.SDXL_FP16_VAE} if family is _XL else {}
    return found | ({"lora": _HUB_LORAS[model].repository} if model in _HUB_LORAS else {})


def _hub_loras(model: str) -> list[LoraFile]:
    if model not in _HUB_LORAS:
        return []
    lora = _HUB_LORAS[model]
    return [LoraFile(hub_snapshot(lora.repository, [lora.file]) / lora.file, 1.0)]


def _loaded(model: str, device: "torch.device", dtype: Dtype) -> DiffusionModel:
    """The model with all ControlNets that it has."""
    numbers = _torch_dtype(dtype, device)
    if model == "embedded":
        sources = {"base": f"embedded, sha256:{verified(EMBEDDED_FOLDER)}"}
        pipeline = _assemble(_Parts(EMBEDDED_FOLDER), _XL, numbers)
        known = read_known_styles(EMBEDDED_FOLDER)
        held = _held_controls(EMBEDDED_FOLDER, pipeline)
        return DiffusionModel(
            pipeline,
            device,
            presets.EMBEDDED,
            sources,
            known,
            held,
            licences_of(model),
            read_noise_offset(EMBEDDED_FOLDER),
        )
    if model in _FROM_HUB:
        preset, base = _FROM_HUB[model]
        family = _FIRST if preset is presets.SD15 else _XL
        sources = {part: str(each) for part, each in _hub_repositories(model).items()}
        pipeline = _assemble(_hub_parts(base, family), family, numbers)
        return DiffusionModel(pipeline, device, preset, sources, licences=licences_of(model))
    base = named_folder(model, _FULL_WEIGHTS, exclude=[_FP16], instead="set it to embedded")
    if base is None:
        raise WeightsError(
            f"stylize_views.model: {model!r} is none of {', '.join(('embedded', *_FROM_HUB))}, nor "
            "an existing diffusers folder, nor a hub repository with its commit "
            "(organisation/name@ and 40 hexadecimal digits; a branch name is not enough)."
        )
    index = _index(base)
    family = _family(index, base)
    sources, licences = {"base": model}, licences_of(model)
    controlnet = None
    if "controlnet" not in index:
        sources["controlnet"] = str(family.controlnet)
        licences["controlnet"] = family.controlnet.licence
        controlnet = hub_snapshot(family.controlnet, ["diffusion_pytorch_model.safetensors"])
    pipeline = _assemble(_Parts(base, controlnet=controlnet), family, numbers)
    known, held = read_known_styles(base), _held_controls(base, pipeline)
    offset = read_noise_offset(base)
    return DiffusionModel(pipeline, device, family.preset, sources, known, held, licences, offset)


def place(model: DiffusionModel, offload: Literal["none", "model"]) -> None:
    """Bring the networks to the model's device, at once or (`model`) in turn. Again: no change."""
    if offload == "model":
        model.pipeline.enable_model_cpu_offload(device=model.device)
    else:
        model.pipeline.remove_all_hooks()
        model.pipeline.to(model.device)


def _held_controls(folder: Path, pipeline: Any) -> tuple[Control, ...]:
    file, count = folder / CONTROLS_FILE, len(control_nets(pipeline.controlnet))
    held: Any = ["depth"]
    if file.is_file():
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise WeightsError(
                f"{file} is not valid JSON ({reason(error)}); wanted: {_CONTROLS_EXAMPLE}"
            ) from error
    listed = isinstance(held, list) and all(each in get_args(Control) for each in held)
    if not listed or len(held) != count or len(set(held)) != count:
        raise WeightsError(
            f"{folder} holds {count} ControlNet(s), and {held} is said of what they see. "
            f"{CONTROLS_FILE} there has to list it, each of {', '.join(get_args(Control))} at most "
            f"once, in the order of the ControlNets: {_CONTROLS_EXAMPLE}"
        )
    return tuple(held)


def _with_controls(
    loaded: DiffusionModel, name: str, controls: Sequence[Control]
) -> DiffusionModel:
    """The model with some of its ControlNets, the others dropped."""
    missing = [control for control in controls if control not in loaded.controls]
    if missing:
        raise WeightsError(
            f"stylize_views.controls: {name} has no ControlNet for {', '.join(missing)}, only for "
            f"{', '.join(loaded.controls)}. Leave it out, or set controls: null, which takes all "
            "that the model has."
        )
    chosen = tuple(control for control in loaded.controls if control in controls)
    if chosen == loaded.controls:
        return loaded
    from diffusers import MultiControlNetModel

    nets = control_nets(loaded.pipeline.controlnet)
    kept = [nets[loaded.controls.index(control)] for control in chosen]
    loaded.pipeline.register_modules(
        controlnet=kept[0] if len(kept) == 1 else MultiControlNetModel(kept)
    )
    return replace(loaded, controls=chosen)


def _torch_dtype(dtype: Dtype, device: "torch.device") -> "torch.dtype":
    import torch

    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    return getattr(torch, dtype)


def _hub_parts(base: HubRepository, family: _Family) -> _Parts:
    folders = ("unet", "text_encoder*") if family is _XL else ("unet", "text_encoder", "vae")
    return _Parts(
        base=hub_snapshot(base, [f"{folder}/{_FP16}" for folder in folders]),
        controlnet=hub_snapshot(family.controlnet, [_FP16]),
        vae=hub_snapshot(presets.SDXL_FP16_VAE, ["diffusion_pytorch_model.safetensors"])
        if family is _XL
        else None,
        variant="fp16",
    )


def _index(folder: Path) -> Mapping[str, Any]:
    index = folder / "model_index.json"
    if not index.is_file():
        raise WeightsError(
            f"{folder} is not a diffusers folder: it has no model_index.json. Export the model "
            "with `pipeline.save_pretrained(FOLDER)`."
        )
    return json.loads(index.read_text(encoding="utf-8"))


def _family(index: Mapping[str, Any], folder: Path) -> _Family:
    name = str(index.get("_class_name"))
    if re.fullmatch(r"StableDiffusion(XL)?(ControlNet)?(Img2Img)?Pipeline", name):
        return _XL if name.startswith("StableDiffusionXL") else _FIRST
    raise WeightsError(
        f"{folder} holds a {name}. Wanted: a StableDiffusionXLPipeline or StableDiffusionPipeline, "
        "with or without ControlNet or Img2Img in the name. Set stylize_views.model to one of "
        "that kind, such as sdxl, sd15 or embedded."
    )


def _assemble(parts: _Parts, family: _Family, dtype: "torch.dtype") -> Any:
    import diffusers
    import torch
    import transformers
    from safetensors import SafetensorError

    # Loading takes a second and would fill the stages' logs with bars.
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    common: dict[str, Any] = {
        "dtype": dtype,
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
        pipeline = getattr(diffusers, family.pipeline).from_pretrained(
            parts.base, variant=parts.variant, **family.options, **replaced, **common
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(
            f"{parts.base} could not be loaded as a {family.pipeline} with a "
            f"depth ControlNet ({reason(error)}). It needs safetensors weights in the layout of "
            "`pipeline.save_pretrained(FOLDER)`; or set stylize_views.model: embedded."
        ) from error
    nets = control_nets(pipeline.controlnet)
    widths = [part.config.cross_attention_dim for part in (pipeline.unet, *nets)]
    if len(set(widths)) > 1:
        raise WeightsError(
            f"The ControlNet {parts.controlnet or parts.base} was made for another model than "
            f"{parts.base}: its text has {next(width for width in widths if width != widths[0])} "
            f"channels, the UNet's {widths[0]}. Save the model together with a depth ControlNet of "
            "its own (`StableDiffusion(XL)ControlNetPipeline.save_pretrained(FOLDER)`)."
        )
    # One view at a time: the VAE's activations, at full resolution, would outweigh everything else.
    pipeline.vae.enable_slicing()
    pipeline.set_progress_bar_config(disable=None)
    for part in (pipeline.unet, *nets, pipeline.vae):
        part.to(memory_format=torch.channels_last)
    return pipeline
