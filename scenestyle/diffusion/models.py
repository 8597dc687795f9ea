"""Loads a diffusion pipeline by name: embedded, preset, pinned hub repository, folder or file."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scenestyle.diffusion import presets, single_file
from scenestyle.diffusion.architectures import sees_image
from scenestyle.diffusion.control_nets import (
    ChosenControl,
    control_nets,
    counting,
    held_controls,
    load_flow_net,
    load_nets,
)
from scenestyle.diffusion.families import family_of
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
    "instruct-pix2pix": (presets.INSTRUCT_PIX2PIX, presets.INSTRUCT_PIX2PIX_BASE),
    "z-image-turbo": (presets.Z_IMAGE_TURBO, presets.Z_IMAGE_TURBO_BASE),
}
_HUB_LORAS = {"sdxl-lightning": presets.SDXL_LIGHTNING_LORA}
UNKNOWN_LICENCE = "not known to scenestyle; ask who made it"
_FP16 = "*.fp16.safetensors"
_CONTROLNET_FILE = "diffusion_pytorch_model.safetensors"
_FULL_WEIGHTS = tuple(
    f"{part}/*.safetensors"
    for part in ("unet", "transformer", "vae", "text_encoder*", "controlnet*")
)


@dataclass(frozen=True)
class DiffusionModel:
    """A pipeline, and what to know about it."""

    pipeline: Any
    """a `diffusers.StableDiffusionXLControlNetImg2ImgPipeline`, the one without XL, a
    `ZImageControlNetImg2ImgPipeline`, or one that edits: a `StableDiffusionXLEditPipeline` or
    `diffusers.StableDiffusionInstructPix2PixPipeline`"""
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
class _Architecture:
    """What models of one architecture have in common when they are loaded."""

    pipeline: str
    """class of diffusers, of `instruct_xl` or of `z_image`"""
    union_pipeline: str | None
    """the one for a ControlNet Union; None: there is none"""
    options: Mapping[str, Any]
    """of both, when they are loaded"""
    preset: Preset
    """for models without one of their own"""
    controlnets: Mapping[ControlKind, HubControlNet]
    """for models without one; that for depth is the default; none: of models that edit"""
    width: str = "cross_attention_dim"
    """what model and ControlNet must have in common, in their configurations"""
    half: Literal["float16", "bfloat16"] = "float16"
    """numbers to compute with on a GPU"""
    vae: HubRepository | None = None
    """of models from the hub, instead of their own"""
    hub_files: tuple[str, ...] = ()
    """patterns of the weights that models from the hub are loaded from"""
    hub_variant: str | None = "fp16"
    """infix of those files' names"""


_XL = _Architecture(
    "StableDiffusionXLControlNetImg2ImgPipeline",
    "StableDiffusionXLControlNetUnionImg2ImgPipeline",
    {"add_watermarker": False},
    presets.SDXL,
    presets.SDXL_CONTROLNETS,
    vae=presets.SDXL_FP16_VAE,
    hub_files=(f"unet/{_FP16}", f"text_encoder*/{_FP16}"),
)
_FIRST = _Architecture(
    "StableDiffusionControlNetImg2ImgPipeline",
    None,
    # A view that the checker took offence at would become black.
    {"safety_checker": None, "requires_safety_checker": False},
    presets.SD15,
    presets.SD15_CONTROLNETS,
    hub_files=(f"unet/{_FP16}", f"text_encoder/{_FP16}", f"vae/{_FP16}"),
)
_XL_EDIT = replace(
    _XL,
    pipeline="StableDiffusionXLEditPipeline",
    union_pipeline=None,
    preset=presets.SDXL_INSTRUCT_PIX2PIX,
    controlnets={},
)
_FIRST_EDIT = replace(
    _FIRST,
    pipeline="StableDiffusionInstructPix2PixPipeline",
    options={**_FIRST.options, "feature_extractor": None},  # which is the checker's
    preset=replace(presets.INSTRUCT_PIX2PIX, scheduler=None),
    controlnets={},
)
_Z_IMAGE = _Architecture(
    "ZImageControlNetImg2ImgPipeline",
    None,
    {},
    presets.Z_IMAGE_TURBO,
    presets.Z_IMAGE_CONTROLNETS,
    width="dim",
    half="bfloat16",  # it was trained in it, and has larger numbers than float16 holds
    hub_files=("transformer/*.safetensors", "text_encoder/*.safetensors", "vae/*.safetensors"),
    hub_variant=None,
)


@dataclass(frozen=True)
class _Base:
    """What a model's name stands for, nothing of it loaded yet."""

    weights: Path
    """diffusers folder, or checkpoint of one file"""
    architecture: _Architecture
    preset: Preset
    sources: Mapping[str, str]
    licences: Mapping[str, str]
    held: Mapping[ControlKind, Path] = field(default_factory=dict)
    """ControlNets in the folder, by what they see; none: the architecture's"""
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
    """Load a pipeline that restyles images, of a known class, into main memory.

    Args:
        model: One of
            `embedded`: the tiny model that comes with the library;
            `sdxl`: the paper's models from the hub, each at a pinned commit;
            `sdxl-lightning`: the same with a LoRA for few steps, four instead of forty;
            `sdxl-turbo`: SDXL Turbo, four steps at half the size, for non-commercial use;
            `sd15`: Stable Diffusion 1.5, a third of the size, for cards on which SDXL does not fit;
            `instruct-pix2pix`: the same class, which edits by instruction and has no ControlNet;
            `z-image-turbo`: Z-Image, more than twice SDXL's size, eight steps, Apache-2.0;
            `organisation/name@COMMIT`: a hub repository of one of these classes at a 40-digit
            commit;
            a local diffusers folder;
            a local checkpoint of one file (.safetensors) of SDXL's or SD 1.5's class.
            The last three are used with the values of `sdxl`, `sd15` or `z-image-turbo`, by the
            class in their model_index.json or the names of their tensors, and with that one's
            depth ControlNet unless they hold one of their own; or, if their UNet sees the image
            beside the noise, as `instruct-pix2pix`.
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
    from scenestyle.diffusion.quick_autoencoder import quicken

    given = local_loras(loras)
    base = _base(model, sha256)
    chosen, sources, licences = _chosen(base, model, controls)
    pipeline = _assemble(base, chosen, _torch_dtype(dtype, device, base.architecture.half))
    if device.type == "cpu":
        quicken(pipeline.vae)
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


def edits_by_instruction(model: str) -> bool:
    """Whether a model's prompts say what to change, by its name and what of it lies on disk.

    Raises:
        WeightsError: If what lies there is no model of a known kind.
    """
    if model in _FROM_HUB:
        return not _hub_architecture(model).controlnets
    path = Path(model)
    if path.suffix == ".safetensors" and path.is_file():
        return not _architecture_of_file(path).controlnets
    return path.is_dir() and not _architecture_of(path).controlnets


def _hub_repositories(model: str) -> dict[str, HubRepository]:
    architecture, base = _hub_architecture(model), _FROM_HUB[model][1]
    found = {"base": base}
    if architecture.controlnets:
        found["controlnet"] = architecture.controlnets["depth"].repository
    found |= {"vae": architecture.vae} if architecture.vae else {}
    return found | ({"lora": _HUB_LORAS[model].repository} if model in _HUB_LORAS else {})


def _hub_architecture(model: str) -> _Architecture:
    named = {"sd15": _FIRST, "instruct-pix2pix": _FIRST_EDIT, "z-image-turbo": _Z_IMAGE}
    return named.get(model, _XL)


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
        architecture = _architecture_of_file(file)
        return _Base(file, architecture, architecture.preset, sources, licences)
    folder = named_folder(model, _FULL_WEIGHTS, exclude=[_FP16], instead="set it to embedded")
    if folder is None:
        raise WeightsError(
            f"stylize_views.model: {model!r} is none of {', '.join(('embedded', *_FROM_HUB))}, nor "
            "an existing diffusers folder, nor a checkpoint of one file (.safetensors), nor a hub "
            "repository with its commit (organisation/name@ and 40 hexadecimal digits; a branch "
            "name is not enough)."
        )
    architecture = _architecture_of(folder)
    return _of_folder(folder, architecture, architecture.preset, sources, licences)


def _of_folder(
    folder: Path,
    architecture: _Architecture,
    preset: Preset,
    sources: Mapping[str, str],
    licences: Mapping[str, str],
) -> _Base:
    return _Base(
        folder,
        architecture,
        preset,
        sources,
        licences,
        held_controls(folder),
        known_styles=read_known_styles(folder),
        noise_offset=read_noise_offset(folder),
    )


def _of_hub(model: str) -> _Base:
    preset, base = _FROM_HUB[model]
    architecture = _hub_architecture(model)
    parts = _hub_repositories(model)
    parts.pop("controlnet", None)  # which may be another one
    lora = _HUB_LORAS.get(model)
    return _Base(
        hub_snapshot(base, architecture.hub_files),
        architecture,
        preset,
        {part: str(each) for part, each in parts.items()},
        {part: each.licence for part, each in parts.items()},
        vae=hub_snapshot(architecture.vae, [_CONTROLNET_FILE]) if architecture.vae else None,
        variant=architecture.hub_variant,
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
    held = list(base.held or base.architecture.controlnets)
    if not held:
        if controls:
            raise WeightsError(
                f"stylize_views.controls: {name} edits by instruction and is shown each view "
                "itself; there are no ControlNets for it. Set controls: null."
            )
        return [], {}, {}
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
            net = base.architecture.controlnets[control.kind]
            variant = base.variant if base.variant in net.variants else net.variants[0]
            folder = hub_snapshot(
                net.repository, [net.file or (_FP16 if variant else _CONTROLNET_FILE)]
            )
            folder = folder / net.file if net.file else folder
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


def _torch_dtype(dtype: Dtype, device: "torch.device", half: str) -> "torch.dtype":
    import torch

    if dtype == "auto":
        return getattr(torch, half if device.type == "cuda" else "float32")
    return getattr(torch, dtype)


def _architecture_of(folder: Path) -> _Architecture:
    index = folder / "model_index.json"
    if not index.is_file():
        raise WeightsError(
            f"{folder} is not a diffusers folder: it has no model_index.json. Export the model "
            "with `pipeline.save_pretrained(FOLDER)`."
        )
    name = str(json.loads(index.read_text(encoding="utf-8")).get("_class_name"))
    of_unets = r"StableDiffusion(XL)?(InstructPix2Pix|(ControlNet)?(Union)?(Img2Img)?)Pipeline"
    if match := re.fullmatch(of_unets, name):
        kinds = (_FIRST, _FIRST_EDIT) if match[1] is None else (_XL, _XL_EDIT)
        channels, latent = (
            _configured(folder / part / "config.json", key, 4)
            for part, key in (("unet", "in_channels"), ("vae", "latent_channels"))
        )
        return kinds[sees_image(channels, latent, folder)]
    if re.fullmatch(r"ZImage(ControlNet)?(Img2Img)?Pipeline", name):
        return _Z_IMAGE
    raise WeightsError(
        f"{folder} holds a {name}. Wanted: a StableDiffusionXLPipeline, StableDiffusionPipeline or "
        "ZImagePipeline, with or without ControlNet, Union, Img2Img or InstructPix2Pix in the "
        "name. Set stylize_views.model to one of that kind, such as sdxl, sd15, instruct-pix2pix, "
        "z-image-turbo or embedded."
    )


def _architecture_of_file(file: Path) -> _Architecture:
    kinds = {"sdxl": (_XL, _XL_EDIT), "sd15": (_FIRST, _FIRST_EDIT)}
    return kinds[single_file.architecture_of(file)][single_file.edits(file)]


def _configured(file: Path, key: str, default: int) -> int:
    """A number in a network's configuration; that of diffusers' class if there is none."""
    return (
        json.loads(file.read_text(encoding="utf-8")).get(key, default)
        if file.is_file()
        else default
    )


def _assemble(base: _Base, chosen: Sequence[ChosenControl], dtype: "torch.dtype") -> Any:
    import diffusers
    import torch
    import transformers
    from safetensors import SafetensorError

    # Loading takes a second and would fill the stages' logs with bars.
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    architecture = base.architecture
    sees_union = bool(chosen) and chosen[0].is_union
    name = architecture.union_pipeline if sees_union else architecture.pipeline
    if name is None:
        raise WeightsError(
            f"stylize_views.controls: {chosen[0].folder} is a ControlNet Union, which there is "
            "only for SDXL. Name ordinary ControlNets, or another stylize_views.model."
        )
    options: dict[str, Any] = {"dtype": dtype, "local_files_only": True}
    folder_options = {**options, "use_safetensors": True}
    try:
        replaced: dict[str, Any] = {}
        if chosen:
            load = load_flow_net if architecture is _Z_IMAGE else load_nets
            replaced["controlnet"] = load(chosen, folder_options)
        if base.vae is not None:
            replaced["vae"] = diffusers.AutoencoderKL.from_pretrained(base.vae, **folder_options)
        kind = _pipeline_class(name)
        if base.weights.is_file():
            pipeline = single_file.load(
                base.weights, kind, {"dtype": dtype, **architecture.options, **replaced}
            )
        else:
            pipeline = kind.from_pretrained(
                base.weights,
                variant=base.variant,
                **architecture.options,
                **replaced,
                **folder_options,
            )
    except (OSError, ValueError, SafetensorError) as error:
        beside = f" with {', '.join(str(each.folder) for each in chosen)}" if chosen else ""
        raise WeightsError(
            f"{base.weights} could not be loaded as a {name}{beside} ({reason(error)}). Each needs "
            "safetensors weights in the layout of `save_pretrained(FOLDER)`; or set "
            "stylize_views.model: embedded."
        ) from error
    _check_widths(base, chosen, pipeline)
    # One view at a time: the VAE's activations, at full resolution, would outweigh everything else.
    pipeline.vae.enable_slicing()
    pipeline.set_progress_bar_config(disable=None)
    denoiser = family_of(pipeline).denoiser(pipeline)
    for part in (denoiser, *control_nets(pipeline), pipeline.vae):
        part.to(memory_format=torch.channels_last)
    return pipeline


def _check_widths(base: _Base, chosen: Sequence[ChosenControl], pipeline: Any) -> None:
    key, nets = base.architecture.width, control_nets(pipeline)
    wanted = family_of(pipeline).denoiser(pipeline).config[key]
    what = {"cross_attention_dim": "text has", "dim": "layers have"}[key]
    kind = base.architecture.pipeline
    for each, net in zip(chosen, nets, strict=False):  # a union's one network stands for all
        if (width := net.config[key]) != wanted:
            raise WeightsError(
                f"The ControlNet {each.folder} was made for another model than {base.weights}: its "
                f"{what} {width} channels, the model's {wanted}. Save the model together with a "
                f"depth ControlNet of its own (`{kind}.save_pretrained(FOLDER)`), or name one in "
                "stylize_views.controls (weights)."
            )


def _pipeline_class(name: str) -> Any:
    import diffusers

    if name == _Z_IMAGE.pipeline:
        from scenestyle.diffusion.z_image import ZImageControlNetImg2ImgPipeline

        return ZImageControlNetImg2ImgPipeline
    if name == _XL_EDIT.pipeline:
        from scenestyle.diffusion.instruct_xl import StableDiffusionXLEditPipeline

        return StableDiffusionXLEditPipeline
    return getattr(diffusers, name)
