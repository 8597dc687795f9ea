"""How many views pass through the diffusion model at once, so that memory holds them."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.families import family_of
from scenestyle.diffusion.models import DiffusionModel
from scenestyle.diffusion.references import farthest_views
from scenestyle.errors import ParamsError
from scenestyle.params import StylizeViews

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

MAX_JOINT_VIEWS = 18
"""Views up to which `sharing: auto` has all attend to all, as the paper does at most (section 4).
"""
_USABLE_SHARE = 0.8
"""of the free memory; the rest is for other processes and for what the allocator cannot use"""
VIEWS_PER_CALL_ON_CPU = 2
"""more make nothing faster where the cores are busy with one view"""
_MOST_SMALL_VIEWS, _SMALL_CALL_GB = 8, 0.25
"""of views that are small, more pass at once: the embedded UNet takes 42 ms of 376x280 pixels in
calls of 8, 50 ms in calls of 2"""
_DECODER_MAPS, _ENCODER_MAPS = 6.0, 5.0
"""memory of decoding and of encoding a picture, in units of the autoencoder's narrowest map"""


@dataclass(frozen=True)
class Plan:
    """Which views pass through the networks together, and where the weights lie meanwhile."""

    sharing: Literal["full", "references", "none"]
    """what a view's self-attention sees: all views, the first group and itself, or itself alone"""
    groups: tuple[tuple[int, ...], ...]
    """indices of all views, in the order of the calls at every timestep"""
    step_gb: float | None = None
    """expected memory of the largest call of the networks, 1e9 bytes, without the weights, on the
    CPU with what waits there of all views; computed, not measured"""
    coding_gb: float | None = None
    """the same of encoding or decoding a view"""
    offload: Literal["none", "model"] = "none"
    """the weights: all on the device, or (`model`) in main memory and on the device in turn"""
    weights_gb: float = 0.0
    """weights that are still to come to the device, at most at a time, 1e9 bytes"""

    @property
    def peak_gb(self) -> float | None:
        """Expected memory of a run, 1e9 bytes, without the weights; None: not reckoned."""
        known = [part for part in (self.step_gb, self.coding_gb) if part is not None]
        return max(known, default=None)

    @classmethod
    def joint(cls, num_views: int, *, share: bool = True) -> "Plan":
        """All views in one call."""
        return cls("full" if share else "none", (tuple(range(num_views)),))


def plan_views(
    model: DiffusionModel,
    cameras: Sequence[PinholeCamera],
    sizes: Sequence[tuple[int, int]],
    params: StylizeViews,
    *,
    free: float | None = None,
    guided: bool = True,
) -> Plan:
    """Choose the form of sharing, the groups, and where the weights lie.

    Args:
        model: Where the networks' sizes and the device come from.
        cameras: Of the views, in one frame; the references are spread over them.
        sizes: Working width and height of each view, pixels. Memory is reckoned as if all were as
            large as the largest.
        params: `sharing`, `num_references`, `memory_gb`, `offload`.
        free: Memory that is free on the device, 1e9 bytes; None: what it says now.
        guided: Whether classifier-free guidance multiplies every call.

    Raises:
        ParamsError: If not even the smallest group fits; says what to lower.
    """
    num_views, size = len(cameras), max(sizes, key=math.prod)
    waiting = num_views * _waiting_gb(model, size) if model.device.type == "cpu" else 0.0
    free = (free_gb(model.device) if free is None else free) - waiting
    family = family_of(model.pipeline)
    view_gb, kept_gb = family.call_gb(
        model.pipeline, size, parts=family.guidance_parts if guided else 1
    )
    autoencoder = autoencoder_gb(model.pipeline, size)
    num_references = min(params.num_references or model.preset.num_references, num_views)
    firsts = {"full": num_views, "references": num_references, "none": 1}
    kepts = {"full": 0.0, "references": num_references * kept_gb, "none": 0.0}

    sharing = params.sharing
    if sharing == "auto":
        sharing = "full" if num_views <= num_references else "references"
    peak = kepts[sharing] + firsts[sharing] * view_gb
    offload = _offload(model, params, room=free - max(peak, autoencoder) / _USABLE_SHARE)
    weights = weights_gb(model, offload)
    if offload == "model":  # the UNet has left when the autoencoder is at work
        autoencoder = 0.0
    budget = params.memory_gb or _USABLE_SHARE * (free - weights)
    needed = peak if params.memory_gb else max(peak, autoencoder)  # memory_gb is for the views
    if needed > budget:
        raise ParamsError(
            f"stylize_views: {firsts[sharing]} view(s) at {size[0]}x{size[1]} with sharing: "
            f"{sharing} need about {needed:.3g} GB beside {weights:.3g} GB of weights, and "
            f"{max(budget, 0):.3g} GB may be used. Lower stylize_views.image_side or "
            "num_references, set sharing: references or offload: model, or raise memory_gb."
        )
    if params.sharing == "auto" and num_views <= MAX_JOINT_VIEWS and num_views * view_gb <= budget:
        sharing = "full"
    if sharing == "full":
        groups = (tuple(range(num_views)),)
        step, coding = num_views * view_gb + waiting, autoencoder + waiting
        return Plan("full", groups, step, coding, offload, weights)
    references = farthest_views(cameras, num_references) if sharing == "references" else []
    others = [index for index in range(num_views) if index not in set(references)]
    per_call = int((budget - kepts[sharing]) / view_gb)
    if model.device.type == "cpu":
        per_call = min(per_call, views_per_call_on_cpu(view_gb))
    groups = [tuple(references)] if references else []
    for size in dict.fromkeys(sizes):
        same = [index for index in others if sizes[index] == size]
        groups += [tuple(same[first : first + per_call]) for first in range(0, len(same), per_call)]
    step = kepts[sharing] + max(map(len, groups)) * view_gb + waiting
    return Plan(sharing, tuple(groups), step, autoencoder + waiting, offload, weights)


def describe(plan: Plan, names: Sequence[str], sizes: Sequence[tuple[int, int]]) -> str:
    """The plan as a sentence for the log."""
    sentence = f"{len(names)} views at {listed_sizes(sizes)}"
    if plan.sharing == "references":
        references = ", ".join(names[index] for index in plan.groups[0])
        sentence += f", each sees itself and {len(plan.groups[0])} references ({references})"
    else:
        sees = {"full": "all views", "none": "itself alone"}[plan.sharing]
        sentence += f", each sees {sees}"
    sentence += f"; at most {max(map(len, plan.groups))} views per call"
    sentence += "" if plan.peak_gb is None else f", about {plan.peak_gb:.2f} GB"
    if plan.weights_gb:
        sentence += f" beside {plan.weights_gb:.1f} GB of weights"
    return sentence + (", on the GPU in turn (offload: model)" if plan.offload == "model" else "")


def views_per_call_on_cpu(view_gb: float) -> int:
    """How many views pass at once on a CPU that has the memory; `view_gb`: of one, 1e9 bytes."""
    return max(VIEWS_PER_CALL_ON_CPU, min(_MOST_SMALL_VIEWS, int(_SMALL_CALL_GB / view_gb)))


def listed_sizes(sizes: Iterable[tuple[int, int]]) -> str:
    """Widths and heights for people, each once."""
    return " and ".join(f"{width}x{height}" for width, height in dict.fromkeys(sizes))


def weights_gb(model: DiffusionModel, offload: Literal["none", "model"]) -> float:
    """Weights that `place` brings to the device and that are there at a time, 1e9 bytes.

    With `model` what denoises, the ControlNet and the autoencoder meet there; the encoders of text
    and image have gone before. Layers that two networks have in common count once.
    """
    together = ("unet", "transformer", "controlnet", "vae")
    tensors = {
        id(tensor): tensor
        for name, part in model.pipeline.components.items()
        if hasattr(part, "parameters") and (offload == "none" or name in together)
        for tensor in (*part.parameters(), *part.buffers())
        if tensor.device.type != model.device.type
    }
    return sum(each.numel() * each.element_size() for each in tensors.values()) / 1e9


def _offload(
    model: DiffusionModel, params: StylizeViews, *, room: float
) -> Literal["none", "model"]:
    """Where the weights lie if `room` is left for them on the device, 1e9 bytes."""
    if model.device.type == "cpu":
        return "none"
    if params.offload == "auto":
        return "none" if weights_gb(model, "none") <= room else "model"
    return params.offload


def free_gb(device: "torch.device") -> float:
    """Memory that is free on the device now, 1e9 bytes."""
    import psutil
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 1e9
    return psutil.virtual_memory().available / 1e9


def autoencoder_gb(pipeline: Any, size: tuple[int, int]) -> float:
    """Memory of decoding or encoding one view, the larger, 1e9 bytes, from its largest maps.

    The decoder's last block takes twice the width that it leaves with, and holds its input, the
    normalised input and the activation at once. Where the autoencoder works in float32 although its
    weights are kept in half precision, these are made larger for as long.
    """
    import torch

    vae = pipeline.vae
    own = next(vae.parameters()).element_size()
    narrowest = vae.config.block_out_channels[0] * size[0] * size[1]
    decodes_in_single = vae.dtype == torch.float16 and vae.config.force_upcast
    # Pipelines of SDXL's class encode in float32 whatever the weights' numbers are.
    is_xl = hasattr(pipeline, "text_encoder_2")
    encodes_in_single = vae.config.force_upcast if is_xl else decodes_in_single
    weights = sum(each.numel() for each in vae.parameters())
    decoding, encoding = (
        maps * narrowest * (4 if in_single else own) + weights * (4 - own) * bool(in_single)
        for maps, in_single in (
            (_DECODER_MAPS, decodes_in_single),
            (_ENCODER_MAPS, encodes_in_single),
        )
    )
    return max(decoding, encoding) / 1e9


def _waiting_gb(model: DiffusionModel, size: tuple[int, int]) -> float:
    """What waits of a view in main memory while others pass, 1e9 bytes.

    It is the view's picture, as it is and as the pipeline normalised it, what the ControlNets are
    shown (depth is one channel), and what they made of it.
    """
    pixels, family = size[0] * size[1], family_of(model.pipeline)
    channels = 6 + sum(1 if control.kind == "depth" else 3 for control in model.controls)
    number = next(family.denoiser(model.pipeline).parameters()).element_size()
    kept = family.kept_numbers(model.pipeline, model.controls, size)
    return (channels * pixels * 4 + kept * number) / 1e9
