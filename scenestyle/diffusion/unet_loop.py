"""Denoising in step with a UNet and its ControlNets."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenestyle.diffusion.attention import shared_self_attention
from scenestyle.diffusion.control_nets import control_nets, rows_apart
from scenestyle.diffusion.fusion import clean_latents, shifted_prediction
from scenestyle.diffusion.in_step import GroupLoop, Postponed, pick_rows
from scenestyle.diffusion.norms import shared_group_norms
from scenestyle.diffusion.seams import replaced


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


class UNetLoop(GroupLoop):
    """Of a `StableDiffusionXLControlNetImg2ImgPipeline`, or the one without XL."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        nets = control_nets(self.pipeline)
        self.maps = [ControlMaps(net.controlnet_cond_embedding) for net in nets]

    @contextmanager
    def sharing(self, *, align: bool, share_norms: bool) -> Iterator[Sequence[Any]]:
        """Self-attention and, if asked for, group norms."""
        unet, counts, lockstep = self.pipeline.unet, self.num_references, self.lockstep
        keep = len(self.groups) > 1
        attention = shared_self_attention(unet, counts, align=align, keep=keep, lockstep=lockstep)
        with ExitStack() as stack:
            shared: list[Any] = [*stack.enter_context(attention)]
            if share_norms:
                norms = shared_group_norms(unet, counts, lockstep=lockstep)
                shared += stack.enter_context(norms)
            yield shared

    @contextmanager
    def first_layers_kept(self) -> Iterator[None]:
        """What the ControlNets make of the images that control."""
        with ExitStack() as stand_ins:
            for each in self.maps:
                stand_ins.enter_context(replaced(each.network, "forward", each))
            stand_ins.enter_context(rows_apart(self.pipeline.controlnet))
            yield

    def __call__(
        self,
        sample: Tensor,
        timestep: Tensor,
        *,
        down_block_additional_residuals: Postponed | None = None,
        mid_block_additional_residual: Postponed | None = None,
        return_dict: bool,
        **kwargs: Any,
    ) -> tuple[Tensor]:
        """Predict for all views; the arguments are what the pipeline gives."""
        call = partial(
            self._call,
            sample=sample,
            timestep=timestep,
            postponed=down_block_additional_residuals,
            kwargs=kwargs,
        )
        # The channels that may follow are of what the model is shown.
        noisy = sample[:, : self.pipeline.vae.config.latent_channels]
        return (self.at_timestep(noisy, timestep, call),)

    def guided(self, prediction: Tensor, num_views: int) -> Tensor:
        """The unconditional half comes first."""
        conditional = prediction[-num_views:]
        if len(prediction) == num_views:
            return conditional
        unconditional = prediction[:num_views]
        return unconditional + self.pipeline.guidance_scale * (conditional - unconditional)

    def clean(self, noisy: Tensor, prediction: Tensor, timestep: Tensor) -> Tensor:
        """As the scheduler's kind of prediction says."""
        return clean_latents(noisy, prediction, self.pipeline.scheduler, timestep)

    def shifted(self, prediction: Tensor, clean_change: Tensor, timestep: Tensor) -> Tensor:
        """As the scheduler's kind of prediction says."""
        return shifted_prediction(prediction, clean_change, self.pipeline.scheduler, timestep)

    def _call(
        self,
        views: Sequence[int],
        *,
        sample: Tensor,
        timestep: Tensor,
        postponed: Postponed | None,
        kwargs: Mapping[str, Any],
    ) -> Tensor:
        """What the networks predict for views of one size, part after part, at that size."""
        batch, rows = len(sample), self.rows(views, len(sample))
        residuals = self._residuals(views, rows, batch, postponed) if postponed else {}
        return self.predict(
            self.canvas.cut(pick_rows(sample, rows, batch), views[0]),
            timestep,
            return_dict=False,
            **residuals,
            **self._of_own_size(pick_rows(kwargs, rows, batch), views[0]),
        )[0]

    def _residuals(
        self, views: Sequence[int], rows: Tensor, batch: int, postponed: Postponed
    ) -> dict[str, Any]:
        """What the ControlNets add to the UNet's maps."""
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
        return {
            "down_block_additional_residuals": down,
            "mid_block_additional_residual": middle,
        }

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


class EditLoop(UNetLoop):
    """Of a pipeline of InstructPix2Pix."""

    def guided(self, prediction: Tensor, num_views: int) -> Tensor:
        """Brooks, Holynski, Efros 2023, arXiv:2211.09800, equation 3, in this order of parts.

        With text and image, with the image alone, with neither.
        """
        if len(prediction) == num_views:
            return prediction
        with_both, with_image, with_neither = prediction.chunk(3)
        return (
            with_neither
            + self.pipeline.guidance_scale * (with_both - with_image)
            + self.pipeline.image_guidance_scale * (with_image - with_neither)
        )
