"""Models that denoise with a transformer of image and text in one stream: Z-Image."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scenestyle.diffusion.families import Family
from scenestyle.params import Control, StylizeViews

if TYPE_CHECKING:
    from torch import Tensor

    from scenestyle.diffusion.in_step import GroupLoop
    from scenestyle.diffusion.models import DiffusionModel
    from scenestyle.diffusion.stylize import Settings

PATCH = 2
"""side of the square of latents that becomes a token"""
_TEXT_TOKENS = 64
"""of a sentence, about"""
_TRANSFORMER_WIDTHS, _CONTROL_WIDTHS = 21.0, 11.0
"""memory per token beside the ControlNet's hints, in units of the width: of a block of the
transformer, with four parts of its gated layer, each 8/3 as wide, and of the ControlNet's end,
where each hint is there twice"""


class FlowFamily(Family):
    """A transformer trained by flow matching, and one ControlNet whose hints are added to it."""

    def denoiser(self, pipeline: Any) -> Any:
        """The transformer."""
        return pipeline.transformer

    def multiple_of(self, pipeline: Any) -> int:
        """Pixels of one token."""
        return pipeline.vae_scale_factor * PATCH

    def loop(self) -> "type[GroupLoop]":
        """Calls ControlNet and transformer."""
        from scenestyle.diffusion.flow_loop import FlowLoop

        return FlowLoop

    def arguments(
        self,
        model: "DiffusionModel",
        settings: "Settings",
        seen: "Sequence[Tensor]",
        num_views: int,
    ) -> Mapping[str, Any]:
        """Of a `ZImageControlNetImg2ImgPipeline`.

        The text is encoded once: all views have the same. The pipeline's guidance is what is added
        to 1, and its number of steps is rounded up from the strength, which is therefore given in
        the middle between two.
        """
        import torch

        (control,), (shown,) = model.controls, seen
        guidance = settings.guidance_scale - 1
        with torch.no_grad():
            texts, negatives = model.pipeline.encode_prompt(
                [settings.prompt],
                do_classifier_free_guidance=guidance > 0,
                negative_prompt=[settings.negative_prompt],
            )
        return {
            "prompt_embeds": texts * num_views,
            "negative_prompt_embeds": negatives * num_views,
            "strength": (settings.executed_steps - 0.5) / settings.num_inference_steps,
            "guidance_scale": guidance,
            "control_image": shown,
            "controlnet_conditioning_scale": settings.controlnet_conditioning_scale * control.scale,
            "control_guidance_start": control.start,
            "control_guidance_end": control.end,
        }

    def call_gb(self, pipeline: Any, size: tuple[int, int], *, parts: int) -> tuple[float, float]:
        """From the tokens of a view and the width of the transformer.

        The fullest moment is in the transformer or, where there are many hints, at the end of the
        ControlNet (what is held was traced on the networks).
        """
        transformer = pipeline.transformer
        cell = self.multiple_of(pipeline)
        image = (size[0] // cell) * (size[1] // cell)
        number = parts * next(transformer.parameters()).element_size()
        hints = len(pipeline.controlnet.control_layers)
        widths = max(hints + _TRANSFORMER_WIDTHS, 2 * hints + _CONTROL_WIDTHS)
        held = (image + _TEXT_TOKENS) * transformer.dim * widths
        sharing = len(transformer.noise_refiner) + len(transformer.layers)
        kept = 2 * sharing * image * transformer.dim
        return held * number / 1e9, kept * number / 1e9

    def kept_numbers(
        self, pipeline: Any, controls: Sequence[Control], size: tuple[int, int]
    ) -> float:
        """The latents of what the control shows, with the empty channels beside them."""
        latents = size[0] * size[1] / pipeline.vae_scale_factor**2
        return pipeline.controlnet.control_in_dim * latents

    def faults(self, params: StylizeViews) -> list[str]:
        """What is of UNets alone."""
        told = {
            "share_norms: true": (params.share_norms, "it has no group norms; leave it out"),
            f"scheduler: {params.scheduler}": (
                params.scheduler,
                "it was trained by flow matching and has its own; set it to null",
            ),
            "image_adapter": (
                params.image_adapter,
                "there is no image adapter for it; set it to null",
            ),
        }
        return [
            f"stylize_views.{name} means nothing to this model: {why}."
            for name, (is_set, why) in told.items()
            if is_set
        ]
