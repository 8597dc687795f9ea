"""Fully shared self-attention: n views of one scene, restyled as one picture.

For view i of n, with one head's queries, keys and values Q, K, V:

    Attn(Q_i, K_1..n, V_1..n) = softmax(Q_i [K_1; ...; K_n]^T / sqrt(d)) [V_1; ...; V_n]

This is plain attention over the views' tokens laid end to end, so the processor here lays them end
to end, calls whatever processor the layer had, and cuts the result apart. Cross-attention (text) is
left alone. The cost of these layers grows with n squared.

Source: Fujiwara, Mukuta, Harada 2024, "Style-NeRF2NeRF", arXiv:2406.13393, section 3.1.

Shape suffixes: B = (G N), batch; G guidance halves (2 with classifier-free guidance, unconditional
first, else 1); N views; L tokens of one view; D channels.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scenestyle.errors import ShapeError

Processor = Callable[..., Tensor]
"""What diffusers calls in place of a layer's attention: `processor(layer, hidden_states, ...)`."""


class SharedSelfAttention:
    """Attention processor that lets all views of a batch attend to all of them.

    The two halves of classifier-free guidance never mix. A batch of one view is exactly what the
    wrapped processor makes of it.
    """

    def __init__(self, processor: Processor, num_views: int) -> None:
        """Wrap the layer's own `processor`; batches hold `num_views` views per guidance half."""
        self.processor = processor
        self.num_views = num_views

    def __call__(
        self,
        layer: torch.nn.Module,
        hidden_states: Float[Tensor, "batch tokens channels"],
        encoder_hidden_states: None = None,
        attention_mask: None = None,
    ) -> Float[Tensor, "batch tokens channels"]:
        """Attend jointly. Self-attention over whole images has neither encoder states nor a mask.

        Raises:
            ShapeError: If the batch is not a whole number of sets of views.
        """
        x_BLD = hidden_states
        if len(x_BLD) % self.num_views:
            raise ShapeError(
                f"Shared attention over {self.num_views} views got a batch of {len(x_BLD)}; "
                "wanted the same number of views in every guidance half."
            )
        x_GMD = x_BLD.unflatten(0, (-1, self.num_views)).flatten(1, 2)  # M = N L, view after view
        return self.processor(layer, x_GMD).reshape(x_BLD.shape)


@contextmanager
def shared_self_attention(model: Any, num_views: int) -> Iterator[None]:
    """Share every self-attention layer of `model`; afterwards all is as before.

    `model` is a UNet or ControlNet of diffusers, anything with `set_attn_processor`. Batches must hold `num_views` views per guidance half, in the order that diffusers' pipelines
    give them: all views unconditional, then all views conditional.
    """
    before = model.attn_processors
    shared = {
        name: SharedSelfAttention(processor, num_views)
        if _is_self_attention(model, name)
        else processor
        for name, processor in before.items()
    }
    model.set_attn_processor(shared)
    try:
        yield
    finally:
        model.set_attn_processor(before)


def _is_self_attention(model: Any, processor_name: str) -> bool:
    return not model.get_submodule(processor_name.removesuffix(".processor")).is_cross_attention
