"""Models that edit by instruction: InstructPix2Pix, of the classes of SD 1.5 and of SDXL.

Brooks, Holynski, Efros 2023, arXiv:2211.09800. The UNet sees each view's latents beside the noisy
ones, as further channels; the prompt says what to change ("make it snow"). It begins at noise
alone, and there are no ControlNets.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from scenestyle.diffusion.unet_family import UNetFamily, prompt_arguments
from scenestyle.params import Control, StylizeViews

if TYPE_CHECKING:
    from torch import Tensor

    from scenestyle.diffusion.in_step import GroupLoop
    from scenestyle.diffusion.models import DiffusionModel
    from scenestyle.diffusion.stylize import Settings


class EditFamily(UNetFamily):
    """A UNet that is shown the view itself."""

    edits = True
    guidance_parts = 3
    unread: Mapping[str, str] = {
        "strength": "it begins at noise alone; image_guidance_scale says how much of the view stays"
    }

    def loop(self) -> "type[GroupLoop]":
        """Calls the UNet."""
        from scenestyle.diffusion.unet_loop import EditLoop

        return EditLoop

    def preparing(self) -> Callable[..., AbstractContextManager[None]]:
        """Of views that stand beside the noise, not in it."""
        from scenestyle.diffusion.canvas import shown_by_size

        return shown_by_size

    def arguments(
        self,
        model: "DiffusionModel",
        settings: "Settings",
        seen: "Sequence[Tensor]",
        num_views: int,
    ) -> Mapping[str, Any]:
        """Of a `StableDiffusionInstructPix2PixPipeline`, or the one of `instruct_xl`."""
        return {
            **prompt_arguments(settings, num_views),
            "image_guidance_scale": settings.image_guidance_scale,
        }

    def kept_numbers(
        self, pipeline: Any, controls: Sequence[Control], size: tuple[int, int]
    ) -> float:
        """None: there are no controls."""
        return 0.0

    def faults(self, params: StylizeViews) -> list[str]:
        """What is of ControlNets, and an image beside the prompt."""
        told = {
            "controlnet_conditioning_scale": params.controlnet_conditioning_scale is not None,
            "depth: monocular": params.depth == "monocular",
            "image_adapter": params.image_adapter is not None,
        }
        return [
            f"stylize_views.{name} means nothing to a model that edits by instruction: it is shown "
            "each view itself, and nothing else; leave it out."
            for name, is_set in told.items()
            if is_set
        ]
