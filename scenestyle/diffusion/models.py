"""Loads a diffusion pipeline by name: embedded, preset, pinned hub repository, folder or file."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scenestyle.diffusion import presets, single_file
from scenestyle.diffusion.control_nets import (
    ChosenControl,
    control_nets,
    counting,
    held_controls,
    load_nets,
)
from scenestyle.diffusion.known_styles import KnownStyles, read_known_styles
from scenestyle.diffusion.loras import LoraFile, add_loras, local_loras
from scenestyle.diffusion.noise_offset import NoiseOffset, read_noise_offset
from scenestyle.diffusion.presets import HubControlNet, HubRepository, Preset
from scenestyle.diffusion.schedulers import set_scheduler
from scenestyle.diffusion.weights import EMBEDDED_FOLDER, hub_snapshot, named_folder, verified
from scenestyle.errors import WeightsError, reason
from scenestyle.params import Control, ControlKind, Dtype, Lora, Scheduler

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
_FP16 = "*.fp16.safetensors"
_CONTROLNET_FILE = "diffusion_pytorch_model.safetensors"
_FULL_WEIGHTS = tuple(
    f"{part}/*.safetensors" for part in ("unet", "vae", "text_encoder*", "controlnet*")
)


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
    controls: tuple[Control, ...] = (Control("depth"),)
    """what its ControlNets see, in their order; with a union, what its one network sees"""
    licences: Mapping[str, str] = field(default_factory=dict)
    """part, as in `sources` -> licence of its weights"""
    noise_offset: NoiseOffset | None = None
    """what its noise has in common over a view; None: nothing"""


@dataclass(frozen=True)
class _Family:
    """What models of one architecture have in common."""

    pipeline: str
    """class of diffusers"""
    union_pipeline: str | None
    """the one for a ControlNet Union; None: there is none"""
    options: Mapping[str, Any]
    """of both, when they are loaded"""
    preset: Preset
    """for models without one of their own"""
    controlnets: Mapping[ControlKind, HubControlNet]
    """for models without one; that for depth is the default"""


_XL = _Family(
    "StableDiffusionXLControlNetImg2ImgPipeline",
    "StableDiffusionXLControlNetUnionImg2ImgPipeline",
    {"add_watermarker": False},
    presets.SDXL,
    presets.SDXL_CONTROLNETS,
)
_FIRST = _Family(
    "StableDiffusionControlNetImg2ImgPipeline",
    None,
    # A view that the checker took offence at would become black.
    {"safety_checker": None, "requires_safety_checker": False},
    presets.SD15,
    presets.SD15_CONTROLNETS,
)


@dataclass(frozen=True)
class _Base:
    """What a model's name stands for, nothing of it loaded yet."""

    weights: Path
    """diffusers folder, or checkpoint of one file"""
    family: _Family
    preset: Preset
    sources: Mapping[str, str]
    licences: Mapping[str, str]
    held: Mapping[ControlKind, Path] = field(default_factory=dict)
    """ControlNets in the folder, by what they see; none: the family's"""
    vae: Path | None = None
    """stands in for the one in `weights`"""
    variant: str | None = None
    """infix of the weight files' names, such as `fp16`"""
    loras: tuple[LoraFile, ...] = ()
    """that make it what it is"""
    known_styles: KnownStyles = field(default_factory=dict)
    noise_offset: NoiseOffset | None = None


def load_pipeline(
    model: str,
    device: "torch.device",
    dtype: Dtype = "auto",
    controls: Sequence[Control] | None = None,
    loras: Sequence[Lora] = (),
    scheduler: Scheduler | None = None,
    sha256: str | None = None,
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
            a local diffusers folder;
            a local checkpoint of one file (.safetensors) of either class.
            The last three are used with the values of `sdxl` or `sd15`, by the class in their
            model_index.json or the names of their tensors, and with that one's depth ControlNet
            unless they hold one of their own.
        device: Where it is to run; `place` brings it there.
        dtype: Numbers to compute with; `auto`: float16 on CUDA, float32 elsewhere.
        controls: What holds the scene; None: all ControlNets that it has.
        loras: Shifts of its weights.
        scheduler: How it goes from noise to image; None: as its preset or its weights say.
        sha256: Checksum of a model of one file.

    Raises:
        WeightsError: If `model` is none of these, or its weights are missing, damaged, or not
            safetensors, or it has no ControlNet for one of `controls`, or parts do not fit each
            other; the message names the way out.
    """
    given = local_loras(loras)
    base = _base(model, sha256)
    chosen, sources, licences = _chosen(base, model, controls)
    pipeline = _assemble(base, chosen, _torch_dtype(dtype, device))
    add_loras(pipeline, [*base.loras, *given])
    if name := scheduler or base.preset.scheduler:
        set_scheduler(pipeline, name)
    files = {
        f"lora {index}": f"{each.file}, sha256:{each.sha256}" for index, each in enumerate(loras)
    }
    return DiffusionModel(
        pipeline,
        device,
        base.preset,
        {**base.sources, **sources, **files},
        base.known_styles,
        tuple(each.control for each in chosen),
        {**base.licences, **licences, **dict.fromkeys(files, UNKNOWN_LICENCE)},
        base.noise_offset,
    )


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
    found = {"base": base, "controlnet": family.controlnets["depth"].repository}
    found |= {"vae": presets.SDXL_FP16_VAE} if family is _XL else {}
    return found | ({"lora": _HUB_LORAS[model].repository} if model in _HUB_LORAS else {})


def _base(model: str, sha256: str | None) -> _Base:
    if model == "embedded":
        return _of_folder(
            EMBEDDED_FOLDER,
            _XL,
            presets.EMBEDDED,
            {"base": f"embedded, sha256:{verified(EMBEDDED_FOLDER)}"},
            licences_of(model),
        )
    if model in _FROM_HUB:
        return _of_hub(model)
    sources, licences = {"base": model}, licences_of(model)
    if single_file.is_single_file(model):
        file = single_file.checked(model, sha256)
        sources = {"base": f"{model}, sha256:{sha256}"}
        if configured := single_file.own_configuration(file):
            sources["configuration"] = str(configured)
        family = {"sdxl": _XL, "sd15": _FIRST}[single_file.architecture_of(file)]
        return _Base(file, family, family.preset, sources, licences)
    folder = named_folder(model, _FULL_WEIGHTS, exclude=[_FP16], instead="set it to embedded")
    if folder is None:
        raise WeightsError(
            f"stylize_views.model: {model!r} is none of {', '.join(('embedded', *_FROM_HUB))}, nor "
            "an existing diffusers folder, nor a checkpoint of one file (.safetensors), nor a hub "
            "repository with its commit (organisation/name@ and 40 hexadecimal digits; a branch "
            "name is not enough)."
        )
    family = _family(folder)
    return _of_folder(folder, family, family.preset, sources, licences)


def _of_folder(
    folder: Path,
    family: _Family,
    preset: Preset,
    sources: Mapping[str, str],
    licences: Mapping[str, str],
) -> _Base:
    return _Base(
        folder,
        family,
        preset,
        sources,
        licences,
        held_controls(folder),
        known_styles=read_known_styles(folder),
        noise_offset=read_noise_offset(folder),
    )


def _of_hub(model: str) -> _Base:
    preset, base = _FROM_HUB[model]
    family = _FIRST if preset is presets.SD15 else _XL
    folders = ("unet", "text_encoder*") if family is _XL else ("unet", "text_encoder", "vae")
    parts = _hub_repositories(model)
    del parts["controlnet"]  # which may be another one
    lora = _HUB_LORAS.get(model)
    return _Base(
        hub_snapshot(base, [f"{folder}/{_FP16}" for folder in folders]),
        family,
        preset,
        {part: str(each) for part, each in parts.items()},
        {part: each.licence for part, each in parts.items()},
        vae=hub_snapshot(presets.SDXL_FP16_VAE, [_CONTROLNET_FILE]) if family is _XL else None,
        variant="fp16",
        loras=(LoraFile(hub_snapshot(lora.repository, [lora.file]) / lora.file, 1.0),)
        if lora
        else (),
    )


def _chosen(
    base: _Base, name: str, controls: Sequence[Control] | None
) -> tuple[list[ChosenControl], dict[str, str], dict[str, str]]:
    """The controls that count, those of the model first, in its order; their sources, licences.

    Without a list of controls these are all ControlNets in its folder; depth alone for a union, and
    for a model that holds none.
    """
    held = list(base.held or base.family.controlnets)
    if controls is None:
        is_several_nets = len(set(base.held.values())) == len(base.held) > 0
        controls = [Control(kind) for kind in held[: None if is_several_nets else 1]]
    missing = [each.kind for each in controls if each.weights is None and each.kind not in held]
    if missing:
        raise WeightsError(
            f"stylize_views.controls: {name} has no ControlNet for {', '.join(missing)}, only for "
            f"{', '.join(held)}. Leave it out, name one (weights: organisation/name@COMMIT or a "
            "folder), or set controls: null, which takes all that the model has."
        )
    kinds = [each.kind for each in controls if each.weights is None]
    if len(set(kinds)) < len(kinds):
        raise WeightsError(
            f"stylize_views.controls: {name}'s own ControlNet for "
            f"{next(kind for kind in kinds if kinds.count(kind) > 1)} is named twice; name it once."
        )
    own = [each for each in controls if each.weights is None]
    given = [each for each in controls if each.weights is not None]
    chosen, sources, licences = [], {}, {}
    for control in counting([*sorted(own, key=lambda each: held.index(each.kind)), *given]):
        if control.weights is not None:
            chosen.append(ChosenControl(control, _given_net(control.weights)))
            is_union = control.weights == str(presets.SDXL_UNION)
            sources[f"controlnet {control.kind}"] = control.weights
            licences[f"controlnet {control.kind}"] = (
                presets.SDXL_UNION.licence if is_union else UNKNOWN_LICENCE
            )
        elif base.held:
            chosen.append(ChosenControl(control, base.held[control.kind], base.variant))
        else:
            net = base.family.controlnets[control.kind]
            variant = base.variant if base.variant in net.variants else net.variants[0]
            folder = hub_snapshot(net.repository, [_FP16 if variant else _CONTROLNET_FILE])
            chosen.append(ChosenControl(control, folder, variant))
            key = "controlnet" if control.kind == "depth" else f"controlnet {control.kind}"
            sources[key], licences[key] = str(net.repository), net.repository.licence
    return chosen, sources, licences


def _given_net(weights: str) -> Path:
    folder = named_folder(
        weights, [_CONTROLNET_FILE], instead="name a local folder, or set controls: null"
    )
    if folder is None:
        raise WeightsError(
            f"stylize_views.controls: {weights!r} is neither an existing folder nor a hub "
            "repository with its commit (organisation/name@ and 40 hexadecimal digits, which "
            "stand at the top of the repository's page of files; a branch's files may change)."
        )
    return folder


def place(model: DiffusionModel, offload: Literal["none", "model"]) -> None:
    """Bring the networks to the model's device, at once or (`model`) in turn. Again: no change."""
    if offload == "model":
        model.pipeline.enable_model_cpu_offload(device=model.device)
    else:
        model.pipeline.remove_all_hooks()
        model.pipeline.to(model.device)


def _torch_dtype(dtype: Dtype, device: "torch.device") -> "torch.dtype":
    import torch

    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    return getattr(torch, dtype)


def _family(folder: Path) -> _Family:
    index = folder / "model_index.json"
    if not index.is_file():
        raise WeightsError(
            f"{folder} is not a diffusers folder: it has no model_index.json. Export the model "
            "with `pipeline.save_pretrained(FOLDER)`."
        )
    name = str(json.loads(index.read_text(encoding="utf-8")).get("_class_name"))
    if re.fullmatch(r"StableDiffusion(XL)?(ControlNet)?(Union)?(Img2Img)?Pipeline", name):
        return _XL if name.startswith("StableDiffusionXL") else _FIRST
    raise WeightsError(
        f"{folder} holds a {name}. Wanted: a StableDiffusionXLPipeline or StableDiffusionPipeline, "
        "with or without ControlNet, Union or Img2Img in the name. Set stylize_views.model to one "
        "of that kind, such as sdxl, sd15 or embedded."
    )


def _assemble(base: _Base, chosen: Sequence[ChosenControl], dtype: "torch.dtype") -> Any:
    import diffusers
    import torch
    import transformers
    from safetensors import SafetensorError

    # Loading takes a second and would fill the stages' logs with bars.
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    family, sees_union = base.family, chosen[0].is_union
    name = family.union_pipeline if sees_union else family.pipeline
    if name is None:
        raise WeightsError(
            f"stylize_views.controls: {chosen[0].folder} is a ControlNet Union, which there is "
            "only for SDXL. Name ordinary ControlNets, or another stylize_views.model."
        )
    options: dict[str, Any] = {"dtype": dtype, "local_files_only": True}
    folder_options = {**options, "use_safetensors": True}
    try:
        replaced: dict[str, Any] = {"controlnet": load_nets(chosen, folder_options)}
        if base.vae is not None:
            replaced["vae"] = diffusers.AutoencoderKL.from_pretrained(base.vae, **folder_options)
        kind = getattr(diffusers, name)
        if base.weights.is_file():
            pipeline = single_file.load(
                base.weights, kind, {"dtype": dtype, **family.options, **replaced}
            )
        else:
            pipeline = kind.from_pretrained(
                base.weights,
                variant=base.variant,
                **family.options,
                **replaced,
                **folder_options,
            )
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(
            f"{base.weights} could not be loaded as a {name} with "
            f"{', '.join(str(each.folder) for each in chosen)} ({reason(error)}). Each needs "
            "safetensors weights in the layout of `save_pretrained(FOLDER)`; or set "
            "stylize_views.model: embedded."
        ) from error
    _check_widths(base, chosen, pipeline)
    # One view at a time: the VAE's activations, at full resolution, would outweigh everything else.
    pipeline.vae.enable_slicing()
    pipeline.set_progress_bar_config(disable=None)
    for part in (pipeline.unet, *control_nets(pipeline.controlnet), pipeline.vae):
        part.to(memory_format=torch.channels_last)
    return pipeline


def _check_widths(base: _Base, chosen: Sequence[ChosenControl], pipeline: Any) -> None:
    nets, wanted = control_nets(pipeline.controlnet), pipeline.unet.config.cross_attention_dim
    for each, net in zip(chosen, nets, strict=False):  # a union's one network stands for all
        if (width := net.config.cross_attention_dim) != wanted:
            raise WeightsError(
                f"The ControlNet {each.folder} was made for another model than {base.weights}: its "
                f"text has {width} channels, the UNet's {wanted}. Save the model together with a "
                "depth ControlNet of its own "
                "(`StableDiffusion(XL)ControlNetPipeline.save_pretrained(FOLDER)`), or name one "
                "in stylize_views.controls (weights)."
            )
