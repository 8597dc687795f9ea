"""Which of the known models fit a GPU: what the stage's own plan says of them, nothing loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

from scenestyle.diffusion import presets
from scenestyle.diffusion.architectures import PARTS, Architecture, network
from scenestyle.diffusion.models import DiffusionModel
from scenestyle.diffusion.plan import Plan, plan_views
from scenestyle.errors import ParamsError
from scenestyle.params import StylizeViews

if TYPE_CHECKING:
    import torch

_VIEWS = 32
"""views of a usual scene"""
_SHAPE = 4, 3
_VAE_SCALE_FACTOR = 8
_KNOWN: Sequence[tuple[tuple[str, ...], Architecture, presets.Preset, tuple[int, ...]]] = (
    (("sdxl", "sdxl-lightning"), "sdxl", presets.SDXL, (1024, 768, 512)),
    (("z-image-turbo",), "z-image", presets.Z_IMAGE_TURBO, (1024, 768, 512)),
    (("sd15",), "sd15", presets.SD15, (512,)),
    (("instruct-pix2pix",), "sd15", presets.INSTRUCT_PIX2PIX, (512,)),
)
"""values of `stylize_views.model`, and the long sides to try, the best first"""


@dataclass(frozen=True)
class Fit:
    """Models at the largest of their sizes that fits."""

    models: tuple[str, ...]
    """values of `stylize_views.model`"""
    image_side: int
    """long side of views of 4:3, pixels"""
    plan: Plan
    """of 32 views"""

    def __str__(self) -> str:
        where = "" if self.plan.offload == "none" else ", weights swapped"
        return (
            f"{' and '.join(self.models)} at {self.image_side} pixels "
            f"({max(map(len, self.plan.groups))} views per call{where})"
        )


def fitting(free_gb: float) -> list[Fit]:
    """Models that fit a GPU in half precision with default parameters, the largest first.

    Args:
        free_gb: Memory that is free on it, 1e9 bytes.
    """
    found = []
    for names, architecture, preset, sides in _KNOWN:
        model = without_weights(architecture, preset)
        plans = ((side, _plan(model, side, free_gb)) for side in sides)
        first = next(((side, plan) for side, plan in plans if plan), None)
        found += [Fit(names, *first)] if first else []
    return found


def advice(free_gb: float) -> str:
    """What fits, in a sentence."""
    fits = fitting(free_gb)
    if not fits:
        return f"{free_gb:.1f} GB are free on the GPU: embedded alone fits"
    return f"{free_gb:.1f} GB are free on the GPU: {'; '.join(map(str, fits))} fit"


@cache
def without_weights(architecture: Architecture, preset: presets.Preset) -> DiffusionModel:
    """What a plan for a GPU has to know of a model in half precision.

    It has its depth ControlNet or, where it edits by instruction, none, and a UNet that sees the
    view.
    """
    import torch

    with torch.device("meta"):
        parts = {name: network(architecture, name) for name in PARTS[architecture]}
        if preset.image_guidance_scale is not None:
            del parts["controlnet"]
            parts["unet"] = network(architecture, "unet", in_channels=8)
    for part in parts.values():
        # As large as float16, but autoencoders do not overflow in it.
        part.bfloat16() if architecture == "z-image" else part.half()
    if architecture == "sdxl":  # the presets' autoencoder was finetuned not to overflow
        parts["vae"].register_to_config(force_upcast=False)
    pipeline = SimpleNamespace(**parts, components=parts, vae_scale_factor=_VAE_SCALE_FACTOR)
    return DiffusionModel(pipeline, _cuda(), preset, {})


def _cuda() -> "torch.device":
    import torch

    return torch.device("cuda")


def _plan(model: DiffusionModel, side: int, free_gb: float) -> Plan | None:
    """None if not even the smallest group of views fits."""
    import numpy as np

    from scenestyle.cameras import PinholeCamera

    width, height = side, side * _SHAPE[1] // _SHAPE[0]
    focal = float(width)
    camera = PinholeCamera(np.eye(4), focal, focal, width / 2, height / 2, width, height)
    try:
        return plan_views(
            model,
            [camera] * _VIEWS,
            [(width, height)] * _VIEWS,
            StylizeViews(),
            free=free_gb,
            guided=model.preset.guidance_scale > 1,
        )
    except ParamsError:
        return None
