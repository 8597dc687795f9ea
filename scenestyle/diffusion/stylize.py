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

from scenestyle.diffusion.controls import control_pictures
from scenestyle.diffusion.families import family_of
from scenestyle.diffusion.models import DiffusionModel, place
from scenestyle.diffusion.plan import Plan, listed_sizes
from scenestyle.diffusion.presets import Preset
from scenestyle.diffusion.style_image import image_arguments
from scenestyle.errors import ParamsError, reason
from scenestyle.params import Control, Style, StylizeViews

if TYPE_CHECKING:
    from torch import Tensor

    from scenestyle.diffusion.fusion import Fusion
    from scenestyle.diffusion.inputs import RenderedViews
    from scenestyle.diffusion.noise import CarriedNoise


Picture = Float[np.ndarray, "_height _width 3"]
Size = tuple[int, int]
"""width and height, pixels"""


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
    image_guidance_scale: float | None = None
    """how much of the view stays, of models that edit by instruction; None: of another model"""

    @property
    def executed_steps(self) -> int:
        """Steps of the noise schedule that are run."""
        return int(self.num_inference_steps * self.strength)

    def working_size(self, width: int, height: int, model: DiffusionModel) -> tuple[int, int]:
        """Width and height at which `model` sees views of the given size."""
        factor = family_of(model.pipeline).multiple_of(model.pipeline)
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
    rgb: Sequence[Picture],
    disparity: Sequence[Float[np.ndarray, "_height _width"]],
    settings: Settings,
    plan: Plan | None = None,
    *,
    fusion: "Fusion | None" = None,
    noise: "CarriedNoise | None" = None,
    work: Path | None = None,
) -> list[Picture]:
    """Restyle all views of a scene together.

    The views are brought to the model's working size and back. Same inputs, model, plan, device and
    number of threads: same result.

    Args:
        model: Pipeline and where it runs.
        rgb: The views, 0..1; sizes may differ.
        disparity: Of the same pixels, 0..1 on one scale for all views, near is bright.
        settings: What to make of them.
        plan: Which views pass through the model together; None: all, each sees all.
        fusion: What the views see of the same surfaces, from `fusion_of`; None: each is restyled by
            itself but for the attention.
        noise: What the views start from, from `noise_of`; None: from the same numbers at the same
            place of the picture.
        work: Folder from which an interrupted call with the same views, settings and plan goes on.

    Returns:
        The restyled views, 0..1, in the order and size given.

    Raises:
        ParamsError: If the GPU's memory does not hold the largest group of the plan.
    """
    import torch

    from scenestyle.diffusion.autoencoder import decoded
    from scenestyle.diffusion.canvas import Canvas
    from scenestyle.diffusion.in_step import denoising_in_step

    plan = plan or Plan.joint(len(rgb))
    place(model, plan.offload)
    sizes = [settings.working_size(picture.shape[1], picture.shape[0], model) for picture in rgb]
    factor = model.pipeline.vae_scale_factor
    canvas = Canvas(tuple((height // factor, width // factor) for width, height in sizes))
    preparing = family_of(model.pipeline).preparing()
    styled = []
    try:
        with (
            denoising_in_step(
                model.pipeline,
                plan.groups,
                canvas,
                share=plan.sharing != "none",
                align=settings.align_attention,
                share_norms=settings.share_norms,
                fusion=fusion,
                work=work and work / _key(settings, plan, model.controls),
            ),
            preparing(model.pipeline, canvas, noise, settings.seed, model.noise_offset),
        ):
            latents = canvas.apart(_run(model, rgb, disparity, settings, sizes))
        for before, after in zip(rgb, decoded(model.pipeline.vae, latents), strict=True):
            height, width = before.shape[:2]
            after = _resize((after * 0.5 + 0.5).clamp(0, 1), (width, height))
            styled.append(np.ascontiguousarray(after[0].movedim(0, -1).numpy()))
        model.pipeline.maybe_free_model_hooks()
    except torch.OutOfMemoryError as error:
        raise ParamsError(
            f"{len(rgb)} views at {listed_sizes(sizes)}, {max(map(len, plan.groups))} per call, do "
            f"not fit into the GPU's memory ({reason(error)}). Lower stylize_views.memory_gb or "
            "image_side, or set sharing: references."
        ) from error
    return styled


def expected_seconds(
    model: DiffusionModel,
    rgb: Sequence[Picture],
    disparity: Sequence[Float[np.ndarray, "_height _width"]],
    settings: Settings,
    offload: Literal["none", "model"] = "none",
) -> float:
    """About how long `stylize` takes, by one step of one view without sharing or fusing."""
    one_step = replace(settings, strength=1.0, num_inference_steps=1)
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
    """Noise that sticks to the scene, None if the settings do not ask for it."""
    from scenestyle.diffusion.noise import CarriedNoise

    if not settings.carry_noise:
        return None
    factor = model.pipeline.vae_scale_factor
    sizes = [settings.working_size(camera.width, camera.height, model) for camera in views.cameras]
    cells = [(height // factor, width // factor) for width, height in sizes]
    return CarriedNoise(views.depth_z, views.cameras, cells)


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
    rgb: Sequence[Picture],
    disparity: Sequence[Float[np.ndarray, "_height _width"]],
    settings: Settings,
    sizes: Sequence[Size],
) -> "Float[Tensor, 'views channels rows columns']":
    """The restyled views' latents, from their pictures at the working sizes."""
    import torch

    num_views = len(rgb)
    # On the CPU, so that the noise does not depend on the device; the same noise for every view,
    # because neighbouring views then agree better (docs/decisions/stylized_views.md).
    generators = [torch.Generator().manual_seed(settings.seed) for _ in range(num_views)]
    images = _on_canvas(rgb, sizes)
    depth = _on_canvas([each[..., None] for each in disparity], sizes)
    seen = control_pictures(model.controls, images, depth, sizes)
    with _unwarned_of_fixed_controls(model.pipeline):
        output = model.pipeline(
            # Made here, so that the pipeline, which makes its own of them, is the last to hold
            # them.
            image=images,
            num_inference_steps=settings.num_inference_steps,
            generator=generators,
            output_type="latent",
            **family_of(model.pipeline).arguments(model, settings, seen, num_views),
            **image_arguments(
                model.pipeline, settings.image, settings.image_sha256, settings.image_scale
            ),
        )
    return output.images


@contextmanager
def _unwarned_of_fixed_controls(pipeline: Any) -> Iterator[None]:
    """Hide the warning of diffusers that controls see one image; here each sees one per view."""
    source = logging.getLogger(type(pipeline).__module__)

    def keep(record: logging.LogRecord) -> bool:
        return "conditionings will be fixed" not in record.getMessage()

    source.addFilter(keep)
    try:
        yield
    finally:
        source.removeFilter(keep)


def _on_canvas(
    pictures: Sequence[Float[np.ndarray, "_height _width channels"]], sizes: Sequence[Size]
) -> "Float[Tensor, 'views channels _ _']":
    """Pictures at these sizes, each in the upper left corner of a row as large as the largest."""
    import torch

    width, height = map(max, zip(*sizes, strict=True))
    channels = pictures[0].shape[-1]
    canvas = torch.zeros(len(pictures), height, width, channels).movedim(-1, 1)
    for row, picture, (columns, rows) in zip(canvas, pictures, sizes, strict=True):
        image = torch.from_numpy(picture)[None].movedim(-1, 1)
        row[:, :rows, :columns] = _resize(image, (columns, rows))[0]
    return canvas


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
