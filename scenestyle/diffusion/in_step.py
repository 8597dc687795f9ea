"""Denoising in step: any number of views, a few at a time, all at the same timestep.

diffusers' pipeline keeps the latents of all views, which are small, and calls its networks once per
timestep. Here such a call becomes several: the reference views first, whose attention the others
need, then the rest in groups. The device's memory is that of one group: pictures of all views,
which are large, wait in main memory. Nothing is computed twice, and the pipeline's own code runs
unchanged. Fujiwara et al. 2025, arXiv:2509.05285, share with references; the order of the loops is
ours.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from scenestyle.diffusion.attention import SharedSelfAttention, shared_self_attention
from scenestyle.diffusion.canvas import Canvas
from scenestyle.diffusion.control_nets import control_nets, rows_apart
from scenestyle.diffusion.fusion import Fusion, clean_latents, shifted_prediction
from scenestyle.diffusion.lockstep import Lockstep
from scenestyle.diffusion.norms import SharedGroupNorm, shared_group_norms
from scenestyle.diffusion.seams import replaced
from scenestyle.files import whole_file
from scenestyle.progress import time_left

T = TypeVar("T")

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_MESSAGES = 10.0


@contextmanager
def denoising_in_step(
    pipeline: Any,
    groups: Sequence[Sequence[int]],
    canvas: Canvas,
    *,
    share: bool,
    align: bool = False,
    share_norms: bool = False,
    fusion: Fusion | None = None,
    work: Path | None = None,
) -> Iterator[None]:
    """Within the block, `pipeline` runs its ControlNets and UNet group by group.

    Args:
        pipeline: A `StableDiffusionXLControlNetImg2ImgPipeline`, or the one without XL; batches
            hold every view of `groups`.
        groups: Indices of all views, in the order in which they pass through the networks; the
            views of one size together, those of the first group in lockstep.
        canvas: Sizes of the views in the pipeline's batch.
        share: Whether every view attends to the views of the first group, the references.
        align: Whether shared attention gives every view the references' statistics.
        share_norms: Whether group norms take the references' statistics; only where views share.
        fusion: How what the views show of one surface becomes one at the first timesteps; None:
            never.
        work: Folder for what the UNet predicted; a call that was interrupted goes on after the last
            group that was finished. None: nothing is kept.
    """
    unet, controlnet = pipeline.unet, pipeline.controlnet
    maps = [ControlMaps(net.controlnet_cond_embedding) for net in control_nets(controlnet)]
    lockstep = Lockstep()
    num_references = [len(part) for part in canvas.parts(groups[0])]
    attention = (
        shared_self_attention(
            unet, num_references, align=align, keep=len(groups) > 1, lockstep=lockstep
        )
        if share
        else nullcontext([])
    )
    norms = (
        shared_group_norms(unet, num_references, lockstep=lockstep)
        if share and share_norms
        else nullcontext([])
    )
    with attention as layers, norms as more_layers, ExitStack() as stand_ins:
        shared = [*layers, *more_layers]
        networks = unet.forward, controlnet.forward
        loop = GroupLoop(pipeline, groups, canvas, lockstep, shared, *networks, maps, fusion, work)
        for each in maps:
            stand_ins.enter_context(replaced(each.network, "forward", each))
        stand_ins.enter_context(rows_apart(controlnet))
        stand_ins.enter_context(replaced(controlnet, "forward", _Postponed))
        stand_ins.enter_context(replaced(unet, "forward", loop))
        stand_ins.enter_context(replaced(pipeline, "prepare_control_image", _left_as_it_is))
        yield


class _Postponed:
    """A call of the ControlNets that waits for its group's turn; stands for both of its results."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    def __iter__(self) -> Iterator["_Postponed"]:
        return iter((self, self))


class ControlMaps:
    """Replaces `forward` of a ControlNet's first layers, which see only the images that control.

    What they make of one is the same at every timestep and in both halves of guidance, and takes as
    long as a fifth of a step, as they begin at full resolution: it is computed once per view and
    waits in main memory. A ControlNet Union calls them for each of its images in turn.
    """

    def __init__(self, network: Any) -> None:
        """`network`: a ControlNet's `controlnet_cond_embedding`."""
        self.network = network
        self._compute = network.forward
        self._kept: dict[tuple[tuple[int, ...], int], Tensor] = {}
        self._views, self._halves, self._turn = (), 1, 0

    def turn_to(self, views: Sequence[int], halves: int) -> None:
        """The next calls are for these views, whose maps are wanted once per half of guidance."""
        self._views, self._halves, self._turn = tuple(views), halves, 0

    def __call__(self, pictures: Float[Tensor, "views 3 height width"]) -> Tensor:
        """Their maps: (halves views) channels rows columns, on the network's device."""
        weight = next(self.network.parameters())
        place = self._views, self._turn
        self._turn += 1
        if place not in self._kept:
            maps = [self._compute(picture.to(weight)).cpu() for picture in pictures.split(1)]
            self._kept[place] = torch.cat(maps)
        return self._kept[place].to(weight.device).repeat(self._halves, 1, 1, 1)


@dataclass
class GroupLoop:
    """Stands in for the UNet's `forward`: one call is a timestep of all views."""

    pipeline: Any
    groups: Sequence[Sequence[int]]
    canvas: Canvas
    lockstep: Lockstep
    shared: Sequence[SharedSelfAttention | SharedGroupNorm]
    predict: Any
    control: Any
    maps: Sequence[ControlMaps]
    fusion: Fusion | None
    work: Path | None
    step: int = 0
    computed: int = 0
    """views times timesteps, in this session"""
    started: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def __call__(
        self,
        sample: Tensor,
        timestep: Tensor,
        *,
        down_block_additional_residuals: _Postponed,
        mid_block_additional_residual: _Postponed,
        return_dict: bool,
        **kwargs: Any,
    ) -> tuple[Tensor]:
        """Predict for all views; the arguments are what the pipeline gives."""
        num_views = sum(len(group) for group in self.groups)
        prediction = torch.empty_like(sample)
        earlier = [self._recorded(index) for index in range(len(self.groups))]
        for layer in self.shared:
            layer.forget()
        for index, group in enumerate(self.groups):
            predicted = earlier[index]
            are_needed_references = index == 0 and self.shared and None in earlier
            if predicted is None or are_needed_references:
                predicted = self._predict(
                    index, sample, timestep, down_block_additional_residuals, kwargs
                )
                self._record(index, predicted)
                self.computed += len(group)
                self._tell(num_views, sum(map(len, self.groups[: index + 1])))
            prediction[self._rows(group, len(sample))] = predicted.to(prediction)
        if self.fusion and self.step < self.fusion.num_steps:
            prediction = self._fused(sample[:num_views], prediction, timestep, self.fusion)
        self.step += 1
        return (prediction,)

    def _fused(self, noisy: Tensor, prediction: Tensor, timestep: Tensor, fusion: Fusion) -> Tensor:
        guided = prediction[-len(noisy) :]
        if len(prediction) > len(noisy):
            unconditional = prediction[: len(noisy)]
            guided = unconditional + self.pipeline.guidance_scale * (guided - unconditional)
        scheduler = self.pipeline.scheduler
        clean = clean_latents(noisy, guided, scheduler, timestep)
        change = self.canvas.laid(fusion.change(self.canvas.apart(clean), self.pipeline.vae))
        return shifted_prediction(prediction, change, scheduler, timestep)

    def _predict(
        self,
        index: int,
        sample: Tensor,
        timestep: Tensor,
        postponed: _Postponed,
        kwargs: Mapping[str, Any],
    ) -> Tensor:
        group = self.groups[index]
        parts = self.canvas.parts(group)
        calls = [
            partial(
                self._call, [group[place] for place in part], sample, timestep, postponed, kwargs
            )
            for part in parts
        ]
        must_meet = index == 0 and self.shared
        predicted = self.lockstep.run(calls) if must_meet else [call() for call in calls]
        by_size = self.canvas.laid(predicted)
        halves = range(0, len(by_size), len(group))
        order = [half + place for part in parts for half in halves for place in part]
        in_order = torch.empty_like(by_size)
        in_order[torch.tensor(order)] = by_size
        return in_order

    def _call(
        self,
        views: Sequence[int],
        sample: Tensor,
        timestep: Tensor,
        postponed: _Postponed,
        kwargs: Mapping[str, Any],
    ) -> Tensor:
        """What the networks predict for views of one size, half after half, at that size."""
        batch, rows = len(sample), self._rows(views, len(sample))
        for each in self.maps:
            each.turn_to(views, len(rows) // len(views))
        control_kwargs = dict(postponed.kwargs)
        # One tensor per view, not per row: `_left_as_it_is`. Several ControlNets have a list of
        # them.
        seen = control_kwargs.pop("controlnet_cond")
        factor = self.pipeline.vae_scale_factor
        cut = partial(self.canvas.cut, view=views[0])
        seen = (
            [cut(each[views], scale=factor) for each in seen]
            if isinstance(seen, list)
            else cut(seen[views], scale=factor)
        )
        (noisy, *args), control_kwargs = pick_rows((postponed.args, control_kwargs), rows, batch)
        down, middle = self.control(
            cut(noisy), *args, controlnet_cond=seen, **self._of_own_size(control_kwargs, views[0])
        )
        return self.predict(
            cut(pick_rows(sample, rows, batch)),
            timestep,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
            **self._of_own_size(pick_rows(kwargs, rows, batch), views[0]),
        )[0]

    def _of_own_size(self, kwargs: Mapping[str, Any], view: int) -> Mapping[str, Any]:
        """The arguments of a network, where SDXL's is told the size of the view, not the batch's.

        `time_ids` holds height and width of the picture, two numbers of where it was cropped, and
        its height and width once more or a score.
        """
        known = kwargs.get("added_cond_kwargs") or {}
        if "time_ids" not in known or self.canvas.sizes[view] == self.canvas.size:
            return kwargs
        size = [side * self.pipeline.vae_scale_factor for side in self.canvas.sizes[view]]
        ids = known["time_ids"].clone()
        for first in range(0, ids.shape[1] - 1, 4):
            ids[:, first : first + 2] = ids.new_tensor(size)
        return {**kwargs, "added_cond_kwargs": {**known, "time_ids": ids}}

    def _rows(self, views: Sequence[int], batch: int) -> Tensor:
        """Of the views in a batch of all, one half of guidance after the other."""
        num_views = sum(len(group) for group in self.groups)
        return torch.tensor(
            [first + view for first in range(0, batch, num_views) for view in views]
        )

    def _file(self, index: int) -> Path | None:
        return self.work and self.work / f"step_{self.step:04d}_group_{index:04d}.safetensors"

    def _recorded(self, index: int) -> Tensor | None:
        from safetensors.torch import load_file

        file = self._file(index)
        return load_file(file)["prediction"] if file and file.is_file() else None

    def _record(self, index: int, predicted: Tensor) -> None:
        from safetensors.torch import save_file

        if file := self._file(index):
            with whole_file(file) as partial:
                save_file({"prediction": predicted.contiguous()}, partial)

    def _tell(self, num_views: int, done_views: int) -> None:
        now = time.monotonic()
        if now - self.told < _SECONDS_BETWEEN_MESSAGES:
            return
        self.told = now
        num_steps = self.pipeline.num_timesteps
        left = (num_steps - self.step) * num_views - done_views
        logger.info(
            "step %d of %d, %d of %d views, %s",
            *(self.step + 1, num_steps, done_views, num_views),
            time_left(now - self.started, self.computed, left),
        )


def pick_rows(value: T, rows: Tensor, batch: int) -> T:
    """The given rows of every tensor in `value` that has one row per picture of the batch."""
    if isinstance(value, Tensor):
        return value[rows.to(value.device)] if value.ndim and len(value) == batch else value
    if isinstance(value, Mapping):
        return {key: pick_rows(item, rows, batch) for key, item in value.items()}  # pyright: ignore[reportReturnType]
    if isinstance(value, tuple | list):
        return type(value)(pick_rows(item, rows, batch) for item in value)
    return value


def _left_as_it_is(*, image: Tensor, **_: Any) -> Tensor:
    """For `prepare_control_image`, which would bring every image to the device at once."""
    return image
