"""All views of a scene through image-to-image diffusion, together, with shared self-attention.

SDEdit (Meng et al. 2022, arXiv:2108.01073) from the rendered views, with a depth ControlNet, as in
Fujiwara et al. 2024, arXiv:2406.13393, section 3.1.
"""

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from scenestyle.diffusion.models import DiffusionModel, place
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.presets import Preset
from scenestyle.diffusion.style_image import image_arguments
from scenestyle.errors import ParamsError
from scenestyle.params import Control, Style, StylizeViews

if TYPE_CHECKING:
    from torch import Tensor

    from scenestyle.diffusion.fusion import Fusion
    from scenestyle.diffusion.inputs import RenderedViews
    from scenestyle.diffusion.noise import CarriedNoise


@dataclass(frozen=True)
class Settings:
    """Every choice that decides the pictures, besides the views and the model."""

    prompt: str
    negative_prompt: str
    """empty: none"""
    strength: float
    """share of the noise schedule that is re-run, 0 < s <= 1"""
    guidance_scale: float
    """classifier-free guidance; 1 is off"""
    num_inference_steps: int
    """length of the whole noise schedule"""
    controlnet_conditioning_scale: float
    """factor on the ControlNets' residuals"""
    image_side: int
    """long side of the working size, pixels"""
    seed: int
    """of the noise"""
    fusion_steps: int = 0
    """executed steps, from the first, at which the views are fused in 3D"""
    image: str | None = None
    """file of a picture whose look to take beside the prompt"""
    image_sha256: str | None = None
    """of that file"""
    image_scale: float = 0.0
    """how strongly the picture counts"""
    align_attention: bool = False
    """whether shared attention gives every view the references' statistics"""
    share_norms: bool = False
    """whether group norms take the references' statistics where attention is shared"""
    carry_noise: bool = False
    """whether the initial noise sticks to the scene instead of the screen"""

    @property
    def executed_steps(self) -> int:
        """Steps of the noise schedule that are run."""
        return int(self.num_inference_steps * self.strength)

    def working_size(self, width: int, height: int, model: DiffusionModel) -> tuple[int, int]:
        """Width and height at which `model` sees views of the given size."""
        factor = model.pipeline.vae_scale_factor
        return working_size(width, height, self.image_side, multiple_of=factor)


def resolve_settings(caption: str, style: Style, params: StylizeViews, preset: Preset) -> Settings:
    """Each field's value: the style's, else the stage's, else the model preset's.

    Raises:
        ParamsError: If so little of so short a schedule is to be re-run that no step is left.
    """
    chosen = {
        field.name: value
        for field in fields(Settings)
        for value in [_first(field.name, style, params, preset)]
        if value is not None
    }
    own = {
        "prompt": style.prompt.replace("{caption}", caption),
        "seed": style.seed + params.seed,
        "image_scale": style.image_scale if style.image else 0.0,
    }
    settings = Settings(**{**chosen, **own})
    if settings.executed_steps < 1:
        raise ParamsError(
            f"strength {settings.strength} of {settings.num_inference_steps} steps leaves no step "
            "to run. Raise the style's strength or stylize_views.num_inference_steps."
        )
    return settings


def stylize(
    model: DiffusionModel,
    rgb: Float[np.ndarray, "views height width 3"],
    disparity: Float[np.ndarray, "views height width"],
    settings: Settings,
    plan: Plan | None = None,
    *,
    fusion: "Fusion | None" = None,
    noise: "CarriedNoise | None" = None,
    work: Path | None = None,
) -> Float[np.ndarray, "views height width 3"]:
    """Restyle all views of a scene together.

    The views are brought to the model's working size and back. Same inputs, model, plan, device and
    number of threads: same result.

    Args:
        model: Pipeline and where it runs.
        rgb: The views, 0..1.
        disparity: Of the same pixels, 0..1 on one scale for all views, near is bright.
        settings: What to make of them.
        plan: Which views pass through the model together; None: all, each sees all.
        fusion: What the views see of the same surfaces, from `fusion_of`; None: each is restyled by itself
            but for the attention.
        noise: What the views start from, from `noise_of`; None: from the same numbers at the same place of the picture.
        work: Folder from which an interrupted call with the same views, settings and plan goes on.

    Returns:
        The restyled views, 0..1, in the order and size given.

    Raises:
        ParamsError: If the GPU's memory does not hold the largest group of the plan.
    """
    import torch

    from scenestyle.diffusion.autoencoder import decoded
    from scenestyle.diffusion.in_step import denoising_in_step
    from scenestyle.diffusion.noise import carried_noise
    from scenestyle.diffusion.noise_offset import offset_noise

    num_views, height, width = disparity.shape
    plan = plan or Plan.joint(num_views)
    place(model, plan.offload)
    size = settings.working_size(width, height, model)
    styled = np.empty((num_views, height, width, 3), np.float32)
    try:
        with (
            denoising_in_step(
                model.pipeline,
                plan.groups,
                share=plan.sharing != "none",
                align=settings.align_attention,
                share_norms=settings.share_norms,
                fusion=fusion,
                work=work and work / _key(settings, plan, model.controls),
            ),
            # Entered first, it gets the noise last: carried, if it is.
            offset_noise(model.pipeline.scheduler, model.noise_offset),
            carried_noise(model.pipeline.scheduler, noise, settings.seed),
        ):
            latents = _run(model, rgb, disparity, settings, size)
        for view, picture in zip(styled, decoded(model.pipeline.vae, latents), strict=True):
            picture = _resize((picture * 0.5 + 0.5).clamp(0, 1), (width, height))
            view[:] = picture[0].movedim(0, -1).numpy()
        model.pipeline.maybe_free_model_hooks()
    except torch.OutOfMemoryError as error:
        raise ParamsError(
            f"{num_views} views at {size[0]}x{size[1]}, {max(map(len, plan.groups))} per call, do not fit "
            f"into the GPU's memory ({error}). Lower stylize_views.memory_gb or image_side, or set "
            "sharing: references."
        ) from error
    return styled


def expected_seconds(
    model: DiffusionModel,
    rgb: Float[np.ndarray, "views height width 3"],
    disparity: Float[np.ndarray, "views height width"],
    settings: Settings,
    offload: Literal["none", "model"] = "none",
) -> float:
    """About how long `stylize` will take: one step of one view is timed, attention to others and fusing left out."""
    one_step = replace(settings, strength=min(1.0, 1.5 / settings.num_inference_steps))
    plan = replace(Plan.joint(1), offload=offload)
    seconds = []
    for _ in range(2):  # the first call also pays for what is prepared once
        start = time.perf_counter()
        stylize(model, rgb[:1], disparity[:1], one_step, plan)
        seconds.append(time.perf_counter() - start)
    return min(seconds) * len(rgb) * settings.executed_steps


def fusion_of(views: "RenderedViews", settings: Settings) -> "Fusion | None":
    """How the views are fused in 3D, None if the settings ask for no step of it."""
    from scenestyle.diffusion.fusion import Fusion

    if not settings.fusion_steps:
        return None
    return Fusion(views.depth_z, views.cameras, settings.fusion_steps)


def noise_of(
    views: "RenderedViews", settings: Settings, model: DiffusionModel
) -> "CarriedNoise | None":
    """What the views start from if it is to stick to the scene, None if the settings do not ask for it."""
    from scenestyle.diffusion.noise import CarriedNoise

    if not settings.carry_noise:
        return None
    height, width = views.rgb.shape[1:3]
    columns, rows = (
        side // model.pipeline.vae_scale_factor
        for side in settings.working_size(width, height, model)
    )
    return CarriedNoise(views.depth_z, views.cameras, (rows, columns))


def working_size(width: int, height: int, image_side: int, *, multiple_of: int) -> tuple[int, int]:
    """Width and height of (nearly) the same shape with the given long side, enlarged if need be.

    Each side is the nearest multiple of `multiple_of`, at least one.
    """
    scale = image_side / max(width, height)
    new_width, new_height = (
        max(1, round(side * scale / multiple_of)) * multiple_of for side in (width, height)
    )
    return new_width, new_height


def _key(settings: Settings, plan: Plan, controls: Sequence[Control]) -> str:
    """Equal for calls that may go on from each other's predictions."""
    choices = (settings, plan.sharing, plan.groups, tuple(controls))
    return hashlib.sha256(repr(choices).encode()).hexdigest()[:16]


def _run(
    model: DiffusionModel,
    rgb: Float[np.ndarray, "views height width 3"],
    disparity: Float[np.ndarray, "views height width"],
    settings: Settings,
    size: tuple[int, int],
) -> "Float[Tensor, 'views channels rows columns']":
    """The restyled views' latents, from their pictures at the working size (width, height)."""
    import torch

    num_views = len(rgb)
    # On the CPU, so that the noise does not depend on the device; the same noise for every view,
    # because neighbouring views then agree better (docs/decisions/stylized_views.md).
    generators = [torch.Generator().manual_seed(settings.seed) for _ in range(num_views)]
    seen = _control_pictures(model.controls, rgb, disparity, size)
    with _unwarned_of_fixed_controls(model.pipeline):
        output = model.pipeline(
            prompt=[settings.prompt] * num_views,
            # The pipelines tell "no negative prompt" (zeros) from an empty one (its embedding).
            negative_prompt=[settings.negative_prompt] * num_views
            if settings.negative_prompt
            else None,
            # Made here, so that the pipeline, which makes its own of them, is the last to hold them.
            image=_resize(torch.from_numpy(rgb).movedim(-1, 1), size),
            control_image=seen if len(seen) > 1 else seen[0],
            strength=settings.strength,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            controlnet_conditioning_scale=settings.controlnet_conditioning_scale,
            generator=generators,
            output_type="latent",
            **_scores(model),
            **image_arguments(
                model.pipeline, settings.image, settings.image_sha256, settings.image_scale
            ),
        )
    return output.images


@contextmanager
def _unwarned_of_fixed_controls(pipeline: Any) -> Iterator[None]:
    """Diffusers warns that several ControlNets see the same for all prompts; here each sees a picture per view."""
    source = logging.getLogger(type(pipeline).__module__)

    def keep(record: logging.LogRecord) -> bool:
        return "conditionings will be fixed" not in record.getMessage()

    source.addFilter(keep)
    try:
        yield
    finally:
        source.removeFilter(keep)


def _control_pictures(
    controls: "Sequence[Control]",
    rgb: Float[np.ndarray, "views height width 3"],
    disparity: Float[np.ndarray, "views height width"],
    size: tuple[int, int],
) -> "list[Float[Tensor, 'views 3 _ _']]":
    """What each ControlNet sees of all views, 0..1, at the working size (width, height)."""
    import torch

    def picture(control: Control) -> "Tensor":
        if control == "tile":
            # Antialiasing may overshoot where a view is brought to another size.
            return _resize(torch.from_numpy(rgb).movedim(-1, 1), size).clamp(0, 1)
        return _resize(torch.from_numpy(disparity)[:, None], size).expand(-1, 3, -1, -1)

    return [picture(control) for control in controls]


def _scores(model: DiffusionModel) -> dict[str, float]:
    """Aesthetic scores, which only pipelines of SDXL's class take."""
    if not hasattr(model.pipeline, "text_encoder_2"):
        return {}
    return {
        "aesthetic_score": model.preset.aesthetic_score,
        "negative_aesthetic_score": model.preset.negative_aesthetic_score,
    }


def _resize(
    images: "Float[Tensor, 'views channels height width']", size: tuple[int, int]
) -> "Float[Tensor, 'views channels _ _']":
    from torch.nn import functional as F

    width, height = size
    if images.shape[-2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True)


def _first(name: str, *holders: object) -> Any:
    """The value of the first that has one of this name; None if none has."""
    values = (getattr(holder, name, None) for holder in holders)
    return next((value for value in values if value is not None), None)
