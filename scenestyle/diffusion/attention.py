"""Shared self-attention: n views of one scene, restyled as one picture.

For view i, with one head's queries, keys and values Q, K, V, and the reference views R:

    Attn(Q_i, K_(i + R), V_(i + R)) = softmax(Q_i [K_i; K_R]^T / sqrt(d)) [V_i; V_R]

where a view that is itself a reference is not counted twice. With all n views as references this is
the fully shared attention of Fujiwara, Mukuta, Harada 2024, "Style-NeRF2NeRF", arXiv:2406.13393,
section 3.1, whose cost grows with n squared; with m of them it grows with n (m + 1), as in the
authors' sequel, Fujiwara et al. 2025, arXiv:2509.05285. Cross-attention (text) is left alone. The
views may differ in size: the formula asks for tokens, however many a view has.

Optionally the queries and keys of every view are first given the mean and the deviation over tokens
that those of the references have (adaptive instance normalisation, as in Hertz et al. 2024, "Style
Aligned Image Generation via Shared Attention", arXiv:2312.02133, section 3.2, who have one
reference).

Shape suffixes: B = (G N), batch; G parts of guidance (2 with classifier-free guidance, 3 where an
image guides, too, else 1); N views of the batch; L tokens of one view; D channels; H heads;
E = D / H.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from scenestyle.diffusion.lockstep import Lockstep, per_call
from scenestyle.errors import ShapeError


class SharedSelfAttention:
    """Attention of one layer: references attend to each other, others to themselves and to them.

    The first batch after construction or `forget` is the references; their keys and values are
    kept. The batches that follow hold any number of further views. The parts of
    classifier-free guidance never mix. References of several sizes are one batch per size, in calls
    that meet in `lockstep`.
    """

    def __init__(
        self,
        num_references: int | Sequence[int],
        *,
        align: bool = False,
        keep: bool = True,
        lockstep: Lockstep | None = None,
    ) -> None:
        """The first batch will hold `num_references` views per part of guidance.

        Several numbers: of each call in lockstep.
        `align`: normalise queries and keys; `keep`: further views follow, else every batch is a
        first one.
        """
        self.num_references = per_call(num_references)
        self.align = align
        self.keep = keep
        self.lockstep = lockstep or Lockstep()
        self._kept: tuple[Tensor, Tensor] | None = None
        self._statistics: list[tuple[Tensor, Tensor]] = []

    def forget(self) -> None:
        """Take the next batch for the references."""
        self._kept = None

    def __call__(
        self,
        layer: Any,
        hidden_states: Float[Tensor, "batch tokens channels"],
        encoder_hidden_states: None = None,
        attention_mask: None = None,
    ) -> Float[Tensor, "batch tokens channels"]:
        """Attend. Self-attention over whole images has neither encoder states nor a mask.

        `layer` is a diffusers `Attention` of a transformer block: projections and nothing round
        them.

        Raises:
            ShapeError: If the references' batch is not a whole number of sets of them.
        """
        x_BLD = hidden_states
        query, key, value = (
            project(x_BLD).unflatten(-1, (layer.heads, -1)).transpose(1, 2)  # B H L E
            for project in (layer.to_q, layer.to_k, layer.to_v)
        )
        kept, num_views = self._kept, self.num_references[self.lockstep.turn]
        if kept is None and len(query) % num_views:
            raise ShapeError(
                f"Shared attention over {num_views} views got a batch of {len(query)}; "
                "wanted the same number of views in every part of guidance."
            )
        if self.align:
            if kept is None:
                self._statistics = [self._over_references(part, num_views) for part in (query, key)]
            query, key = (
                with_statistics(part, *wanted)
                for part, wanted in zip((query, key), self._statistics, strict=True)
            )
        attended = (
            self._among_references(query, key, value, num_views)
            if kept is None
            else _with_references(query, key, value, kept)
        )
        dropout = layer.to_out[1]
        return dropout(layer.to_out[0](attended.transpose(1, 2).flatten(2)))

    def _over_references(
        self, part: Float[Tensor, "batch heads tokens width"], num_views: int
    ) -> tuple[Tensor, Tensor]:
        """Mean and deviation over all tokens of all references, per part of guidance."""
        met = self.lockstep.meet(part.unflatten(0, (-1, num_views)))
        if len(met) > 1:
            met = [each.transpose(1, 2).flatten(2, 3)[:, None] for each in met]
        part_GNHLE = joined(met, dim=3)
        return part_GNHLE.mean((1, 3), keepdim=True), part_GNHLE.std((1, 3), keepdim=True)

    def _among_references(
        self, query: Tensor, key: Tensor, value: Tensor, num_views: int
    ) -> Tensor:
        query_GHME, key_GHME, value_GHME = (
            part.unflatten(0, (-1, num_views)).transpose(1, 2).flatten(2, 3)
            for part in (query, key, value)
        )  # M = N L tokens, view after view
        keys, values = zip(*self.lockstep.meet((key_GHME, value_GHME)), strict=True)
        everyone = joined(keys, dim=2), joined(values, dim=2)
        if self.keep:
            self._kept = everyone
        attended = scaled_dot_product_attention(query_GHME, *everyone)
        return attended.unflatten(2, (num_views, -1)).transpose(1, 2).flatten(0, 1)


def joined(parts: Sequence[Tensor], dim: int) -> Tensor:
    """The parts as one tensor; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat([*parts], dim)


def with_statistics(
    part: Float[Tensor, "batch heads tokens width"], mean: Tensor, deviation: Tensor
) -> Float[Tensor, "batch heads tokens width"]:
    """Every view with this mean and std over its tokens, per part of guidance, head and channel."""
    part_GNHLE = part.unflatten(0, (len(mean), -1))
    own_mean, own_deviation = (
        part_GNHLE.mean(3, keepdim=True),
        part_GNHLE.std(3, keepdim=True).clamp(min=1e-5),
    )
    return ((part_GNHLE - own_mean) / own_deviation * deviation + mean).flatten(0, 1)


def _with_references(
    query: Tensor, key: Tensor, value: Tensor, kept: tuple[Tensor, Tensor]
) -> Tensor:
    """One view at a time: the references' keys and values are not copied for the whole batch."""
    num_views = len(query) // len(kept[0])
    attended = [
        scaled_dot_product_attention(
            query[row],
            torch.cat([key[row], kept[0][row // num_views]], dim=1),
            torch.cat([value[row], kept[1][row // num_views]], dim=1),
        )
        for row in range(len(query))
    ]
    return torch.stack(attended)


@contextmanager
def shared_self_attention(
    model: Any,
    num_references: int | Sequence[int],
    *,
    align: bool = False,
    keep: bool = True,
    lockstep: Lockstep | None = None,
) -> Iterator[Sequence[SharedSelfAttention]]:
    """Share every self-attention layer of `model`; afterwards all is as before.

    Args:
        model: A UNet or ControlNet of diffusers, anything with `set_attn_processor`. Batches must
            hold the same number of views per part of guidance, in the order that diffusers'
            pipelines give them: all views of one part, such as the unconditional, then of the next.
        num_references: Views of the first batch per part of guidance; all views for the exact form.
            Several: of each of the calls that `lockstep` runs, one per size.
        align: Whether queries and keys take the references' mean and deviation.
        keep: Whether batches of further views follow, for which the references' keys and values
            stay in memory.
        lockstep: Runs the calls of references of several sizes.

    Yields:
        The layers' processors, to `forget` the references before the next timestep.
    """
    before = model.attn_processors
    shared = {
        name: SharedSelfAttention(num_references, align=align, keep=keep, lockstep=lockstep)
        for name in before
        if _is_self_attention(model, name)
    }
    model.set_attn_processor({**before, **shared})
    try:
        yield list(shared.values())
    finally:
        model.set_attn_processor(before)


def _is_self_attention(model: Any, processor_name: str) -> bool:
    return not model.get_submodule(processor_name.removesuffix(".processor")).is_cross_attention
