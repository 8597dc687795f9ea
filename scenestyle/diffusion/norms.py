"""Shared norms: n views of one scene are normalised with one mean and std for all of them.

A group norm takes the mean and the deviation of each group of channels over one picture; a view
with much sky then gives the same surface other activations than a view with little. Here they are
taken over the reference views together, and every view is normalised with these, as Hertz et al.
2024, "Style Aligned Image Generation via Shared Attention", arXiv:2312.02133, share theirs with one
reference. Layer norms have nothing to share: they look at one token at a time.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenestyle.diffusion.lockstep import Lockstep, per_call
from scenestyle.diffusion.seams import replaced
from scenestyle.errors import ShapeError


class SharedGroupNorm:
    """Stands in for the `forward` of one group norm.

    The first batch after construction or `forget` is the references; mean and deviation of them all
    together are kept, and the batches that follow, of any number of further views, are normalised
    with them. The parts of classifier-free guidance never mix. With all views as references
    this is the group norm of the views as one picture. References of several sizes are one batch
    per size, in calls that meet in `lockstep`.
    """

    def __init__(
        self,
        norm: nn.GroupNorm,
        num_references: int | Sequence[int],
        *,
        lockstep: Lockstep | None = None,
    ) -> None:
        """The first batch will hold `num_references` views per part of guidance.

        Several numbers: of each call in lockstep.
        """
        self.norm = norm
        self.num_references = per_call(num_references)
        self.lockstep = lockstep or Lockstep()
        self._kept: tuple[Tensor, Tensor] | None = None

    def forget(self) -> None:
        """Take the next batch for the references."""
        self._kept = None

    def __call__(
        self, x: Float[Tensor, "batch channels *pixels"]
    ) -> Float[Tensor, "batch channels *pixels"]:
        """Normalise. In single precision at least, like torch's own group norm.

        Raises:
            ShapeError: If the references' batch is not a whole number of sets of them.
        """
        kept, num_views = self._kept, self.num_references[self.lockstep.turn]
        if kept is None and len(x) % num_views:
            raise ShapeError(
                f"Shared norms over {num_views} views got a batch of {len(x)}; "
                "wanted the same number of views in every part of guidance."
            )
        num_halves = len(kept[0]) if kept else len(x) // num_views
        grouped = x.unflatten(1, (self.norm.num_groups, -1)).flatten(3)
        grouped = grouped.unflatten(0, (num_halves, -1))  # half, view, group, channel, pixel
        exact = grouped.to(torch.promote_types(x.dtype, torch.float32))
        if kept is None:
            met = self.lockstep.meet(exact)
            if len(met) > 1:  # half, 1, group, 1, everything else
                met = [torch.cat([e.transpose(1, 2).flatten(2) for e in met], 2)[:, None, :, None]]
            kept = self._kept = torch.var_mean(met[0], dim=(1, 3, 4), keepdim=True, correction=0)
        variance, mean = kept
        normalised = (exact - mean) * torch.rsqrt(variance + self.norm.eps)
        return self._scaled(normalised.reshape(x.shape)).to(x.dtype)

    def _scaled(self, normalised: Tensor) -> Tensor:
        if not self.norm.affine:
            return normalised
        per_channel = (-1, *[1] * (normalised.ndim - 2))
        return normalised * self.norm.weight.view(per_channel) + self.norm.bias.view(per_channel)


@contextmanager
def shared_group_norms(
    model: nn.Module, num_references: int | Sequence[int], *, lockstep: Lockstep | None = None
) -> Iterator[Sequence[SharedGroupNorm]]:
    """Share every group norm of `model`; afterwards all is as before.

    Args:
        model: A UNet of diffusers. Batches must hold the same number of views per part of guidance,
            as for shared attention.
        num_references: Views of the first batch per part of guidance; all views for the exact form.
            Several: of each of the calls that `lockstep` runs, one per size.
        lockstep: Runs the calls of references of several sizes.

    Yields:
        The norms, to `forget` the references before the next timestep.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.GroupNorm)]
    shared = [SharedGroupNorm(norm, num_references, lockstep=lockstep) for norm in norms]
    with ExitStack() as stand_ins:
        for norm, stand_in in zip(norms, shared, strict=True):
            stand_ins.enter_context(replaced(norm, "forward", stand_in))
        yield shared
