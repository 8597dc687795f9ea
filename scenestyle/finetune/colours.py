"""Gaussians take on the colours of the stylized views before the first step.

A step moves every colour by about as much, whether it is nearly right or wholly wrong, so that
after some hundred of them a red roof was still pink in a pencil drawing. Which colours make the
renders look like the targets is a linear problem, and a few passes over the views come close.
"""

import logging
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from scenestyle.finetune.patches import Target
from scenestyle.nerfstudio_plugin.splat_field import SplatField

_log = logging.getLogger(__name__)

_LEAST_SIGHT = 1e-3
"""pixels that a Gaussian covers in all views together; below, its colour is all but unseen"""


def take_on_colours(
    model: SplatField, targets: Sequence[Target], weights: Float[Tensor, " styles"], passes: int
) -> None:
    """Move each Gaussian's colour by how far, on average, renders are from targets where it is.

    The mean is weighted by the share that the Gaussian has in each pixel. Where the targets are
    what the field shows already, nothing changes.

    Args:
        model: Whose colours move.
        targets: What each view is to show, one per view.
        weights: Weight of each style, in the order of the targets' styles; they sum to 1.
        passes: How often.

    Source: Gilbert 1972, "Iterative Methods for the Three-dimensional Reconstruction of an Object
        from Projections", J. Theor. Biol. 36:105 (SIRT); ours applies it to colours.
    """
    if passes:
        _log.info("colours of %d views are taken on, in %d passes", len(targets), passes)
    sight = torch.zeros_like(model.features_dc)
    for count in range(passes):
        differences = torch.zeros_like(sight)
        for target in targets:
            shown = model.splatted(target.camera).rgb * target.used[0]
            wanted = torch.einsum("s,schw->chw", weights, target.rgb) * target.used[0]
            difference = (shown * (wanted - shown).detach()).sum()
            differences += _gradient(difference, model.features_dc, retain_graph=count == 0)
            if count == 0:  # no colour changes it
                sight += _gradient(shown.sum(), model.features_dc)
        model.shift_colours(differences / sight.clamp_min(_LEAST_SIGHT))


def coarsest(targets: Sequence[Target]) -> list[Target]:
    """Of the targets of each view the one with fewest pixels, in the order of the views.

    At half the size, the renders come about as near to the views, in half the time.
    """
    of_view = {}
    for target in sorted(targets, key=lambda target: -target.rgb.shape[-1]):
        of_view[target.view_index] = target
    return [of_view[index] for index in sorted(of_view)]


def _gradient(value: Tensor, by: Tensor, *, retain_graph: bool = False) -> Tensor:
    (gradient,) = torch.autograd.grad(value, by, retain_graph=retain_graph)
    return gradient
