"""Denoising in step: any number of views, a few at a time, all at the same timestep.

diffusers' pipeline keeps the latents of all views, which are small, and calls its networks once per
timestep. Here such a call becomes several: the reference views first, whose attention the others
need, then the rest in groups. The device's memory is that of one group: pictures of all views,
which are large, wait in main memory. Nothing is computed twice, and the pipeline's own code runs
unchanged. Fujiwara et al. 2025, arXiv:2509.05285, share with references; the order of the loops is
ours. What the networks are, and how they are called, `unet_loop` and `flow_loop` say.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from scenestyle.diffusion.canvas import Canvas
from scenestyle.diffusion.families import family_of
from scenestyle.diffusion.fusion import Fusion
from scenestyle.diffusion.lockstep import Lockstep
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
    """Within the block, `pipeline` runs its ControlNets and what denoises group by group.

    Args:
        pipeline: Of a known family; batches hold every view of `groups`.
        groups: Indices of all views, in the order in which they pass through the networks; the
            views of one size together, those of the first group in lockstep.
        canvas: Sizes of the views in the pipeline's batch.
        share: Whether every view attends to the views of the first group, the references.
        align: Whether shared attention gives every view the references' statistics.
        share_norms: Whether group norms take the references' statistics; only where views share.
        fusion: How what the views show of one surface becomes one at the first timesteps; None:
            never.
        work: Folder for what was predicted; a call that was interrupted goes on after the last
            group that was finished. None: nothing is kept.
    """
    family = family_of(pipeline)
    loop = family.loop()(pipeline, groups, canvas, fusion, work)
    with ExitStack() as stand_ins:
        if share:
            sharing = loop.sharing(align=align, share_norms=share_norms)
            loop.shared = stand_ins.enter_context(sharing)
        if hasattr(pipeline, "controlnet"):
            stand_ins.enter_context(loop.first_layers_kept())
            stand_ins.enter_context(replaced(pipeline.controlnet, "forward", Postponed))
            stand_ins.enter_context(replaced(pipeline, "prepare_control_image", _left_as_it_is))
        stand_ins.enter_context(replaced(family.denoiser(pipeline), "forward", loop))
        yield


class Postponed:
    """A call of the ControlNets that waits for its group's turn; stands for all of its results."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    def __iter__(self) -> Iterator["Postponed"]:
        return iter((self, self))


class GroupLoop(ABC):
    """Stands in for the `forward` of what denoises: one call is a timestep of all views."""

    def __init__(
        self,
        pipeline: Any,
        groups: Sequence[Sequence[int]],
        canvas: Canvas,
        fusion: Fusion | None,
        work: Path | None,
    ) -> None:
        self.pipeline, self.groups, self.canvas = pipeline, groups, canvas
        self.fusion, self.work = fusion, work
        self.lockstep = Lockstep()
        self.num_references = [len(part) for part in canvas.parts(groups[0])]
        """of each call in lockstep"""
        self.shared: Sequence[Any] = ()
        """stand-ins for layers, with the references to forget"""
        if hasattr(pipeline, "controlnet"):
            self.control = pipeline.controlnet.forward
        self.predict = family_of(pipeline).denoiser(pipeline).forward
        self.step = 0
        self._computed = 0  # views times timesteps, in this session
        self._started = self._told = time.monotonic()

    @abstractmethod
    def sharing(self, *, align: bool, share_norms: bool) -> Any:
        """A context in which the layers of what denoises are shared; yields their stand-ins."""

    @abstractmethod
    def first_layers_kept(self) -> Any:
        """A context in which what is the same at every timestep is computed once."""

    @abstractmethod
    def guided(self, prediction: Tensor, num_views: int) -> Tensor:
        """What the pipeline makes of the predictions of all parts of guidance."""

    @abstractmethod
    def clean(self, noisy: Tensor, prediction: Tensor, timestep: Tensor) -> Tensor:
        """The clean latents that a prediction, already guided, stands for."""

    @abstractmethod
    def shifted(self, prediction: Tensor, clean_change: Tensor, timestep: Tensor) -> Tensor:
        """The prediction after the clean latents behind it have changed."""

    def at_timestep(
        self, sample: Tensor, timestep: Tensor, call: Callable[[Sequence[int]], Tensor]
    ) -> Tensor:
        """Predict for all views.

        Args:
            sample: Noisy latents of all views, one part of guidance after the other.
            timestep: Of all of them.
            call: What the networks predict for views of one size, part after part, at that size.
        """
        num_views = sum(len(group) for group in self.groups)
        prediction = torch.empty_like(sample)
        earlier = [self._recorded(index) for index in range(len(self.groups))]
        for layer in self.shared:
            layer.forget()
        for index, group in enumerate(self.groups):
            predicted = earlier[index]
            are_needed_references = index == 0 and self.shared and None in earlier
            if predicted is None or are_needed_references:
                predicted = self._predict(index, call)
                self._record(index, predicted)
                self._computed += len(group)
                self._tell(num_views, sum(map(len, self.groups[: index + 1])))
            prediction[self.rows(group, len(sample))] = predicted.to(prediction)
        if self.fusion and self.step < self.fusion.num_steps:
            prediction = self._fused(sample[:num_views], prediction, timestep, self.fusion)
        self.step += 1
        return prediction

    def rows(self, views: Sequence[int], batch: int) -> Tensor:
        """Of the views in a batch of all, one part of guidance after the other."""
        num_views = sum(len(group) for group in self.groups)
        return torch.tensor(
            [first + view for first in range(0, batch, num_views) for view in views]
        )

    def _fused(self, noisy: Tensor, prediction: Tensor, timestep: Tensor, fusion: Fusion) -> Tensor:
        clean = self.clean(noisy, self.guided(prediction, len(noisy)), timestep)
        change = self.canvas.laid(fusion.change(self.canvas.apart(clean), self.pipeline.vae))
        return self.shifted(prediction, change, timestep)

    def _predict(self, index: int, call: Callable[[Sequence[int]], Tensor]) -> Tensor:
        group = self.groups[index]
        parts = self.canvas.parts(group)
        calls = [partial(call, [group[place] for place in part]) for part in parts]
        must_meet = index == 0 and self.shared
        predicted = self.lockstep.run(calls) if must_meet else [each() for each in calls]
        by_size = self.canvas.laid(predicted)
        halves = range(0, len(by_size), len(group))
        order = [half + place for part in parts for half in halves for place in part]
        in_order = torch.empty_like(by_size)
        in_order[torch.tensor(order)] = by_size
        return in_order

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
        if now - self._told < _SECONDS_BETWEEN_MESSAGES:
            return
        self._told = now
        num_steps = self.pipeline.num_timesteps
        left = (num_steps - self.step) * num_views - done_views
        logger.info(
            "step %d of %d, %d of %d views, %s",
            *(self.step + 1, num_steps, done_views, num_views),
            time_left(now - self._started, self._computed, left),
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
