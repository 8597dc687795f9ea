"""Shared attention where image and text are one sequence, as in Z-Image: n views, restyled as one.

In such a layer the tokens of a view's image and of its text attend to each other. For view i, with
one head's queries, keys and values, image tokens I and all others T (its text, and what fills the
sequence up), and the reference views R:

    Attn_i = softmax(Q_i [K_R^I; K_i^T]^T / sqrt(d)) [V_R^I; V_i^T]

where a view that is no reference also sees its own K_i^I. So every view keeps its queries and its
text, and the images of the references are appended, as `attention` does it where there is no text
(Fujiwara et al. 2024, arXiv:2406.13393). Keys carry their place in the image (rotary embeddings, Su
et al. 2021, arXiv:2104.09864), the same for the same pixel of every view.

Shape suffixes: B = (G N), batch; G guidance halves; N views of the batch; S tokens of one view's
sequence, the image's first; H heads; E channels of one; M image tokens of all references.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from scenestyle.diffusion.attention import SharedSelfAttention, joined, with_statistics
from scenestyle.diffusion.lockstep import Lockstep
from scenestyle.errors import ShapeError


class Sequences:
    """What a batch's sequences hold, told before the networks are called; one for all layers."""

    def __init__(self) -> None:
        """Nothing is told yet, and views are shared."""
        self.is_shared = True
        """whether layers share; a ControlNet that has layers in common with the model does not"""
        self._told: dict[int, tuple[int, Sequence[int]]] = {}

    def tell(self, turn: int, num_image_tokens: int, lengths: Sequence[int]) -> None:
        """Of the call that runs at `turn`: tokens of an image, and of each row before padding."""
        self._told[turn] = num_image_tokens, lengths

    def of(self, turn: int) -> tuple[int, Sequence[int]]:
        """What was told."""
        return self._told[turn]

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Within the block every view attends to itself alone."""
        self.is_shared = False
        try:
            yield
        finally:
            self.is_shared = True


class SharedJointAttention(SharedSelfAttention):
    """Attention of one layer of Z-Image, with the references' images for every view.

    As `SharedSelfAttention` in all else: the first batch after construction or `forget` is the
    references, and those that follow hold further views.
    """

    def __init__(
        self,
        own: Any,
        sequences: Sequences,
        num_references: int | Sequence[int],
        *,
        align: bool = False,
        keep: bool = True,
        lockstep: Lockstep | None = None,
    ) -> None:
        """`own`: the layer's processor, for calls in which views are not shared."""
        super().__init__(num_references, align=align, keep=keep, lockstep=lockstep)
        self.own = own
        self.sequences = sequences

    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        layer: Any,
        hidden_states: Float[Tensor, "batch tokens channels"],
        encoder_hidden_states: None = None,
        attention_mask: Tensor | None = None,
        freqs_cis: Complex[Tensor, "batch tokens pairs"] | None = None,
    ) -> Float[Tensor, "batch tokens channels"]:
        """Attend. The mask says what the sequences' lengths say, too.

        Raises:
            ShapeError: If the references' batch is not a whole number of sets of them.
        """
        if not self.sequences.is_shared:
            return self.own(layer, hidden_states, encoder_hidden_states, attention_mask, freqs_cis)
        query, key, value = _projected(layer, hidden_states, freqs_cis)
        num_image, lengths = self.sequences.of(self.lockstep.turn)
        kept, num_views = self._kept, self.num_references[self.lockstep.turn]
        if kept is None and len(query) % num_views:
            raise ShapeError(
                f"Shared attention over {num_views} views got a batch of {len(query)}; "
                "wanted the same number of views in every guidance half."
            )
        if self.align:
            query, key = self._aligned(query, key, num_image, num_views)
        first_own = 0
        if kept is None:
            kept = self._images(key, value, num_image, num_views)
            first_own = num_image  # the view's own image is among the references'
        rows_per_half = len(query) // len(kept[0])
        attended = []
        for row, length in enumerate(lengths):
            keys, values = (
                torch.cat([everyone[row // rows_per_half], own[row, :, first_own:length]], 1)
                for everyone, own in zip(kept, (key, value), strict=True)
            )
            attended.append(
                scaled_dot_product_attention(query[row, None], keys[None], values[None])
            )
        together = torch.cat(attended).transpose(1, 2).flatten(2)
        for part in layer.to_out:
            together = part(together)
        return together

    def _images(
        self, key: Tensor, value: Tensor, num_image: int, num_views: int
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of the references' images, kept for the batches that follow: G H M E."""
        images = tuple(
            part[:, :, :num_image].unflatten(0, (-1, num_views)).transpose(1, 2).flatten(2, 3)
            for part in (key, value)
        )
        keys, values = zip(*self.lockstep.meet(images), strict=True)
        everyone = joined(keys, dim=2), joined(values, dim=2)
        if self.keep:
            self._kept = everyone
        return everyone

    def _aligned(
        self, query: Tensor, key: Tensor, num_image: int, num_views: int
    ) -> tuple[Tensor, Tensor]:
        """Queries and keys, those of images with the statistics of the references' images."""
        images = [part[:, :, :num_image] for part in (query, key)]
        if self._kept is None:
            self._statistics = [self._over_references(part, num_views) for part in images]
        return tuple(  # pyright: ignore[reportReturnType]
            torch.cat([with_statistics(image, *wanted), part[:, :, num_image:]], 2)
            for image, part, wanted in zip(images, (query, key), self._statistics, strict=True)
        )


def _projected(
    layer: Any, hidden_states: Tensor, freqs_cis: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values as diffusers' `ZSingleStreamAttnProcessor` has them: B H S E."""
    query, key, value = (
        project(hidden_states).unflatten(-1, (layer.heads, -1))
        for project in (layer.to_q, layer.to_k, layer.to_v)
    )
    query = query if layer.norm_q is None else layer.norm_q(query)
    key = key if layer.norm_k is None else layer.norm_k(key)
    if freqs_cis is not None:
        query, key = _rotated(query, freqs_cis), _rotated(key, freqs_cis)
    return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)


def _rotated(part: Tensor, freqs_cis: Tensor) -> Tensor:
    pairs = torch.view_as_complex(part.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * freqs_cis.unsqueeze(2)).flatten(3).type_as(part)


@contextmanager
def shared_joint_attention(
    transformer: Any,
    sequences: Sequences,
    num_references: int | Sequence[int],
    *,
    align: bool = False,
    keep: bool = True,
    lockstep: Lockstep | None = None,
) -> Iterator[Sequence[SharedJointAttention]]:
    """Share every layer of Z-Image's transformer that sees an image; afterwards all is as before.

    Args:
        transformer: A `ZImageTransformer2DModel`; its layers for text alone are left alone.
        sequences: Told before every call what it holds.
        num_references: Views of the first batch per guidance half; of each call in `lockstep`.
        align: Whether images' queries and keys take the references' mean and deviation.
        keep: Whether batches of further views follow.
        lockstep: Runs the calls of references of several sizes.

    Yields:
        The layers' processors, to `forget` the references before the next timestep.
    """
    with ExitStack() as before:
        shared = []
        for block in (*transformer.noise_refiner, *transformer.layers):
            layer, own = block.attention, block.attention.processor
            shared.append(
                SharedJointAttention(
                    own, sequences, num_references, align=align, keep=keep, lockstep=lockstep
                )
            )
            layer.set_processor(shared[-1])
            before.callback(layer.set_processor, own)
        yield shared
