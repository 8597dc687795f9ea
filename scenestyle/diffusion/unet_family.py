"""Models that denoise with a UNet: SDXL, Stable Diffusion 1.5, and the embedded one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scenestyle.diffusion.control_nets import control_nets, is_union
from scenestyle.diffusion.controls import control_arguments
from scenestyle.diffusion.families import Family
from scenestyle.params import Control, StylizeViews

if TYPE_CHECKING:
    from torch import Tensor

    from scenestyle.diffusion.in_step import GroupLoop
    from scenestyle.diffusion.models import DiffusionModel
    from scenestyle.diffusion.stylize import Settings

_UPSAMPLED_MAPS = 12.0
"""memory of a UNet's last block per picture beyond the maps kept for the skip connections, in units
of its map: it is entered with twice the width, joined to a skip, normalised and activated"""
_TRANSFORMER_MAPS = 24.0
"""the same of a transformer block: 16 for the gated layer, which is eight times as wide, halves
apart, and 8 for what waits beside it"""


class UNetFamily(Family):
    """A UNet with text by cross-attention, and ControlNets whose residuals are added to it."""

    def denoiser(self, pipeline: Any) -> Any:
        """The UNet."""
        return pipeline.unet

    def multiple_of(self, pipeline: Any) -> int:
        """Pixels of one latent."""
        return pipeline.vae_scale_factor

    def loop(self) -> "type[GroupLoop]":
        """Calls ControlNets and UNet."""
        from scenestyle.diffusion.unet_loop import UNetLoop

        return UNetLoop

    def arguments(
        self,
        model: "DiffusionModel",
        settings: "Settings",
        seen: "Sequence[Tensor]",
        num_views: int,
    ) -> Mapping[str, Any]:
        """Of a `StableDiffusion(XL)ControlNet(Union)Img2ImgPipeline`."""
        return {
            **prompt_arguments(settings, num_views),
            "strength": settings.strength,
            **control_arguments(
                model.controls,
                seen,
                settings.controlnet_conditioning_scale,
                union=is_union(model.pipeline.controlnet),
            ),
            **_scores(model),
        }

    def call_gb(self, pipeline: Any, size: tuple[int, int], *, parts: int) -> tuple[float, float]:
        """From the sizes of the UNet's maps."""
        return call_gb(
            pipeline.unet,
            size,
            pipeline.vae_scale_factor,
            num_controls=len(control_nets(pipeline)),
            parts=parts,
        )

    def kept_numbers(
        self, pipeline: Any, controls: Sequence[Control], size: tuple[int, int]
    ) -> float:
        """What the ControlNets' first layers make of the images."""
        latents = size[0] * size[1] / pipeline.vae_scale_factor**2
        return len(controls) * pipeline.unet.config.block_out_channels[0] * latents

    def faults(self, params: StylizeViews) -> list[str]:
        """None: the parameters are those of this family."""
        return []


def prompt_arguments(settings: "Settings", num_views: int) -> Mapping[str, Any]:
    """What pipelines of UNets are told of the text."""
    return {
        "prompt": [settings.prompt] * num_views,
        # They tell "no negative prompt" (zeros) from an empty one (its embedding).
        "negative_prompt": [settings.negative_prompt] * num_views
        if settings.negative_prompt
        else None,
        "guidance_scale": settings.guidance_scale,
    }


def call_gb(
    unet: Any,
    size: tuple[int, int],
    vae_scale_factor: int,
    *,
    num_controls: int = 1,
    parts: int = 2,
) -> tuple[float, float]:
    """Memory of a call per view, and of the keys and values kept per reference, 1e9 bytes.

    Both count the `parts` of classifier-free guidance. The first is what is held at the fullest
    moment, in a transformer block or in the last block, and leaves out what kernels take for
    themselves (`benchmarks/true_size.py` compares it with what is measured); the second is exact.
    """
    tokens = (size[0] // vae_scale_factor) * (size[1] // vae_scale_factor)
    widths, layers = unet.config.block_out_channels, unet.config.layers_per_block
    bytes_per_number = parts * next(unet.parameters()).element_size()
    skips = [width * (tokens / 4**level) * (layers + 1) for level, width in enumerate(widths)]
    working = [_UPSAMPLED_MAPS * widths[0] * tokens, *(0.0 for _ in widths[1:])]
    kept = 0.0
    for name, module in unet.named_modules():
        if name.endswith(".attn1"):
            level = _level(name, len(widths))
            attended = module.to_k.out_features * tokens / 4**level
            working[level] = max(working[level], _TRANSFORMER_MAPS * attended)
            kept += 2 * attended
    if num_controls:
        # Residuals are as large as the skips, and keep all of these to the end; those of further
        # ControlNets are added to the first's.
        view = (1 + min(num_controls, 2)) * sum(skips) + max(working)
    else:
        view = max(block + sum(skips[: level + 1]) for level, block in enumerate(working))
    return view * bytes_per_number / 1e9, kept * bytes_per_number / 1e9


def _scores(model: "DiffusionModel") -> dict[str, float]:
    """Aesthetic scores, which only pipelines of SDXL's class take."""
    if not hasattr(model.pipeline, "text_encoder_2"):
        return {}
    return {
        "aesthetic_score": model.preset.aesthetic_score,
        "negative_aesthetic_score": model.preset.negative_aesthetic_score,
    }


def _level(module_name: str, num_levels: int) -> int:
    """How often the maps have been halved where a module of the UNet stands."""
    block, index = module_name.split(".")[:2]
    if block == "down_blocks":
        return int(index)
    return num_levels - 1 - (int(index) if block == "up_blocks" else 0)
