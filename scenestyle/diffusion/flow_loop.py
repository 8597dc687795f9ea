"""Denoising in step with a transformer of image and text in one stream, by flow matching.

Flow matching (Lipman et al. 2022, arXiv:2210.02747; Liu et al. 2022, arXiv:2209.03003) mixes image
and noise in a straight line, x = (1 - sigma) x0 + sigma eps; v = eps - x0, so x0 = x - sigma v.
Z-Image's transformer is told 1 - sigma and predicts -v.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from diffusers.models.transformers.transformer_z_image import SEQ_MULTI_OF
from jaxtyping import Float
from torch import Tensor

from scenestyle.diffusion.flow_family import PATCH
from scenestyle.diffusion.in_step import GroupLoop, Postponed
from scenestyle.diffusion.joint_attention import Sequences, shared_joint_attention


class FlowLoop(GroupLoop):
    """Of a `ZImageControlNetImg2ImgPipeline`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.sequences = Sequences()
        self._prepare = self.pipeline.prepare_control_image
        self._contexts: dict[int, Tensor] = {}

    @contextmanager
    def sharing(self, *, align: bool, share_norms: bool) -> Iterator[Sequence[Any]]:
        """Attention; there are no group norms."""
        with shared_joint_attention(
            self.pipeline.transformer,
            self.sequences,
            self.num_references,
            align=align,
            keep=len(self.groups) > 1,
            lockstep=self.lockstep,
        ) as shared:
            yield shared

    def first_layers_kept(self) -> Any:
        """Nothing is to be replaced: `_context` keeps the latents of the images that control."""
        return nullcontext()

    def __call__(
        self,
        x: Sequence[Float[Tensor, "channels 1 rows columns"]],
        t: Float[Tensor, " batch"],
        cap_feats: Sequence[Float[Tensor, "_tokens width"]],
        *,
        controlnet_block_samples: Postponed | None,
        **kwargs: Any,
    ) -> tuple[list[Tensor]]:
        """Predict for all views; the arguments are what the pipeline gives."""
        sample = torch.stack(list(x)).squeeze(2)
        call = partial(
            self._call,
            sample=sample,
            t=t,
            texts=cap_feats,
            postponed=controlnet_block_samples,
            kwargs=kwargs,
        )
        return (list(self.at_timestep(sample, t, call).unsqueeze(2)),)

    def guided(self, prediction: Tensor, num_views: int) -> Tensor:
        """The conditional half comes first, and the pipeline's scale is what is added to 1."""
        conditional = prediction[:num_views].float()
        if len(prediction) == num_views:
            return conditional
        unconditional = prediction[num_views:].float()
        return conditional + self.pipeline.guidance_scale * (conditional - unconditional)

    def clean(self, noisy: Tensor, prediction: Tensor, timestep: Tensor) -> Tensor:
        """x0 = x - sigma v."""
        return noisy + _sigma(timestep) * prediction

    def shifted(self, prediction: Tensor, clean_change: Tensor, timestep: Tensor) -> Tensor:
        """Both halves of guidance get the same change, so that what they make together gets it."""
        added = clean_change / _sigma(timestep)
        return prediction + added.repeat(len(prediction) // len(added), 1, 1, 1).to(prediction)

    def _call(
        self,
        views: Sequence[int],
        *,
        sample: Tensor,
        t: Tensor,
        texts: Sequence[Tensor],
        postponed: Postponed | None,
        kwargs: Any,
    ) -> Tensor:
        """What the networks predict for views of one size, half after half, at that size."""
        rows = self.rows(views, len(sample)).tolist()
        noisy = [self.canvas.cut(sample[row], views[0])[:, None] for row in rows]
        its_texts, times = [texts[row] for row in rows], t[rows]
        self._tell_sequences(noisy[0], its_texts)
        hints = None
        if postponed is not None:
            pictures, num_halves = postponed.args[3], len(rows) // len(views)
            seen = [self._context(view, pictures[view]) for view in views] * num_halves
            with self.sequences.apart():
                hints = self.control(noisy, times, its_texts, seen, **postponed.kwargs)
        (predicted,) = self.predict(
            *(noisy, times, its_texts), controlnet_block_samples=hints, return_dict=False, **kwargs
        )
        return torch.stack(predicted).squeeze(2)

    def _tell_sequences(self, noisy: Tensor, texts: Sequence[Tensor]) -> None:
        num_tokens = noisy.shape[-2] * noisy.shape[-1] // PATCH**2
        lengths = [_filled(num_tokens) + _filled(len(text)) for text in texts]
        self.sequences.tell(self.lockstep.turn, num_tokens, lengths)

    def _context(self, view: int, picture: Tensor) -> Tensor:
        """What the ControlNet is given of a view's image: made once, kept in main memory."""
        if view not in self._contexts:
            factor = self.pipeline.vae_scale_factor
            own = self.canvas.cut(picture, view, scale=factor)
            self._contexts[view] = self._prepare(image=own[None])[0].cpu()
        return self._contexts[view].to(self.pipeline._execution_device)


def _filled(num_tokens: int) -> int:
    """Length of a sequence filled up as Z-Image does it."""
    return -(-num_tokens // SEQ_MULTI_OF) * SEQ_MULTI_OF


def _sigma(timestep: Float[Tensor, " batch"]) -> float:
    return 1 - float(timestep[0])
