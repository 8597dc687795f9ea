"""The families of diffusion models, and what restyling has to ask of each.

All else is the same for all of them: `stylize` calls a pipeline of diffusers, `in_step` has it
denoise all views together, `plan` says how many at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scenestyle.params import Control, Style, StylizeViews

if TYPE_CHECKING:
    from torch import Tensor

    from scenestyle.diffusion.in_step import GroupLoop
    from scenestyle.diffusion.models import DiffusionModel
    from scenestyle.diffusion.stylize import Settings


class Family(ABC):
    """Models whose networks are called alike."""

    edits: bool = False
    """whether a prompt says what to change, instead of what the image shows"""
    guidance_parts: int = 2
    """predictions that classifier-free guidance combines"""
    unread: Mapping[str, str] = {
        "image_guidance_scale": "it is for models that edit by instruction",
    }
    """what of a style means nothing to these models, and why"""

    def read(self, style: Style) -> Style:
        """The style without what means nothing to these models."""
        return replace(style, **dict.fromkeys(self.unread))

    def unread_warnings(self, style: Style) -> list[str]:
        """A sentence on each part of the style that these models do not read."""
        return [
            f"The style's {name}, {value}, means nothing to this model: {why}."
            for name, why in self.unread.items()
            if (value := getattr(style, name)) is not None
        ]

    @abstractmethod
    def denoiser(self, pipeline: Any) -> Any:
        """The network that goes from noise to image."""

    @abstractmethod
    def multiple_of(self, pipeline: Any) -> int:
        """What the sides of views are multiples of, pixels."""

    @abstractmethod
    def loop(self) -> "type[GroupLoop]":
        """What stands in for the denoiser's `forward` while views are denoised in step."""

    def preparing(self) -> Callable[..., AbstractContextManager[None]]:
        """The context in which views are encoded, and noise is drawn, each at its own size."""
        from scenestyle.diffusion.canvas import prepared_by_size

        return prepared_by_size

    @abstractmethod
    def arguments(
        self,
        model: "DiffusionModel",
        settings: "Settings",
        seen: "Sequence[Tensor]",
        num_views: int,
    ) -> Mapping[str, Any]:
        """How the pipeline is told of the text, the strength, and the controls.

        Args:
            model: Whose pipeline it is.
            settings: What to make of the views.
            seen: What each control shows of all views, 0..1.
            num_views: Views in the batch.
        """

    @abstractmethod
    def call_gb(self, pipeline: Any, size: tuple[int, int], *, parts: int) -> tuple[float, float]:
        """Memory of a call per view, and of what is kept of each reference, 1e9 bytes.

        Args:
            pipeline: Whose networks are called.
            size: Width and height of a view, pixels.
            parts: Rows of a batch per view: `guidance_parts` with guidance, else 1.
        """

    @abstractmethod
    def kept_numbers(
        self, pipeline: Any, controls: Sequence[Control], size: tuple[int, int]
    ) -> float:
        """Numbers per view that wait in main memory from what the controls show of it."""

    @abstractmethod
    def faults(self, params: StylizeViews) -> list[str]:
        """Parameters that mean nothing to these models, each with the way out."""


def family_of(pipeline: Any) -> Family:
    """The family that a pipeline belongs to, by what it is made of."""
    from scenestyle.diffusion.edit_family import EditFamily
    from scenestyle.diffusion.flow_family import FlowFamily
    from scenestyle.diffusion.unet_family import UNetFamily

    if hasattr(pipeline, "transformer"):
        return FlowFamily()
    sees_views = pipeline.unet.config.in_channels > pipeline.vae.config.latent_channels
    return EditFamily() if sees_views else UNetFamily()
