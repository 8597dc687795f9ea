"""nerfacto's way along a ray, compiled for CPUs: sampling, compositing and the losses on weights.

The same formulas as in nerfstudio's samplers, renderers and losses, where each is a chain of torch
operations that writes its every intermediate to memory. One ray is one iteration of a parallel loop
and no two threads write to the same place, so results do not depend on the number of threads.

Along a ray, `bins` are the edges of its samples in nerfacto's spacing, 0 at the near plane and 1 at
the far plane, linear in distance up to 1 and in disparity beyond. Gradients flow through densities
and weights, not through positions: nerfacto detaches its bins, and our cameras are fixed.

Sources: Barron et al. 2022, "Mip-NeRF 360", arXiv:2111.12077, for contraction (equation 10),
interlevel loss (13), distortion loss (15) and annealing (18); nerfstudio 1.1.5 for the rest.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from numba import njit, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

_INTERLEVEL_EPSILON = 1e-7
_PDF_PADDING = 0.01
_MAX_EXPONENT = 15.0


def spread_bins(
    num_rays: int, num_samples: int, jitter: Float[Tensor, "rays 1"] | None
) -> Float[Tensor, "rays bins"]:
    """Evenly spaced bins, each edge moved by the same share `jitter` of its room."""
    edges = torch.linspace(0, 1, num_samples + 1)[None]
    if jitter is None:
        return edges.expand(num_rays, -1).contiguous()
    centres = (edges[:, 1:] + edges[:, :-1]) / 2
    lower = torch.cat([edges[:, :1], centres], dim=-1)
    upper = torch.cat([centres, edges[:, -1:]], dim=-1)
    return lower + (upper - lower) * jitter


def concentrated_bins(
    bins: Float[Tensor, "rays bins"],
    weights: Float[Tensor, "rays samples"],
    num_samples: int,
    *,
    anneal: float,
    jitter: Float[Tensor, "rays 1"] | None,
) -> Float[Tensor, "rays new_bins"]:
    """Bins of equal probability under the histogram `weights ** anneal` over `bins`, padded by 1 %.

    `jitter` in [0, 1) moves all edges of a ray by a share of their spacing; None: half of it.
    """
    num_bins = num_samples + 1
    offsets = bins.new_full((len(bins), 1), 0.5) if jitter is None else jitter
    concentrated = bins.new_empty(len(bins), num_bins)
    annealed = weights if anneal == 1 else weights**anneal
    _invert_cdf(*_arrays(bins, annealed, offsets[:, 0] / num_bins, concentrated))
    return concentrated


def sample_along(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    nears: Float[Tensor, "rays 1"],
    fars: Float[Tensor, "rays 1"],
    bins: Float[Tensor, "rays bins"],
) -> tuple[
    Float[Tensor, "rays samples 3"], Float[Tensor, "rays samples"], Float[Tensor, "rays samples"]
]:
    """Positions of the samples in the contracted unit cube, their distances and their lengths.

    Distances are from the ray's origin to a sample's middle. A sample outside the cube gets length
    zero and so neither density nor gradient.
    """
    num_rays, num_samples = len(bins), bins.shape[1] - 1
    positions = bins.new_empty(num_rays, num_samples, 3)
    distances, lengths = bins.new_empty(2, num_rays, num_samples)
    _sample_along(
        *_arrays(origins, directions, nears[:, 0], fars[:, 0], bins, positions, distances, lengths)
    )
    return positions, distances, lengths


def composite_weights(
    log_density: Float[Tensor, "rays samples"],
    lengths: Float[Tensor, "rays samples"],
    density_scale: float,
) -> Float[Tensor, "rays samples"]:
    """Share of each sample in the colour of its ray: its opacity times what light reaches it.

    Density is `density_scale * exp(log_density)`; the gradient of the exponential is cut off beyond
    +-15, as in nerfacto.
    """
    return _CompositeWeights.apply(log_density, lengths, density_scale)


def interlevel_loss(
    bins: Float[Tensor, "rays bins"],
    weights: Float[Tensor, "rays samples"],
    proposal_bins: Float[Tensor, "rays proposal_bins"],
    proposal_weights: Float[Tensor, "rays proposal_samples"],
) -> Float[Tensor, ""]:
    """How far the field's weights stick out of their envelope, the proposal network's weights.

    The gradient goes to the proposal's weights only.
    """
    return _InterlevelLoss.apply(bins, weights.detach(), proposal_bins, proposal_weights)


def distortion_loss(
    bins: Float[Tensor, "rays bins"], weights: Float[Tensor, "rays samples"]
) -> Float[Tensor, ""]:
    """How widely the weights of a ray are spread, averaged over the rays."""
    return _DistortionLoss.apply(bins, weights)


class _CompositeWeights(torch.autograd.Function):
    @staticmethod
    def forward(ctx, log_density: Tensor, lengths: Tensor, density_scale: float) -> Tensor:
        log_density = log_density.contiguous()
        weights = torch.empty_like(log_density)
        _composite(density_scale, *_arrays(log_density, lengths, weights))
        ctx.save_for_backward(log_density, lengths, weights)
        ctx.density_scale = density_scale
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        log_density, lengths, weights = ctx.saved_tensors
        by_log_density = torch.empty_like(log_density)
        _composite_gradient(
            ctx.density_scale,
            *_arrays(log_density, lengths, weights, gradient.contiguous(), by_log_density),
        )
        return by_log_density, None, None


class _InterlevelLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, bins: Tensor, weights: Tensor, outer_bins: Tensor, outer: Tensor) -> Tensor:
        per_ray, by_outer = outer.new_empty(len(outer)), torch.empty_like(outer)
        _interlevel(*_arrays(bins, weights, outer_bins, outer, per_ray, by_outer))
        ctx.save_for_backward(by_outer.div_(weights.numel()))
        return per_ray.sum() / weights.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[None, None, None, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (by_outer,) = ctx.saved_tensors
        return None, None, None, by_outer * gradient


class _DistortionLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, bins: Tensor, weights: Tensor) -> Tensor:
        per_ray, by_weights = weights.new_empty(len(weights)), torch.empty_like(weights)
        _distortion(*_arrays(bins, weights, per_ray, by_weights))
        ctx.save_for_backward(by_weights.div_(len(weights)))
        return per_ray.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (by_weights,) = ctx.saved_tensors
        return None, by_weights * gradient


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)


@njit(inline="always")
@no_type_check
def _spacing(distance):
    return distance / 2 if distance < 1 else 1 - 1 / (2 * distance)


@njit(inline="always")
@no_type_check
def _distance(spacing):
    return 2 * spacing if spacing < 0.5 else 1 / (2 - 2 * spacing)


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _sample_along(origins, directions, nears, fars, bins, positions, distances, lengths):
    num_rays, num_bins = bins.shape
    for ray in prange(num_rays):
        near, far = _spacing(nears[ray]), _spacing(fars[ray])
        begin = _distance(bins[ray, 0] * far + (1 - bins[ray, 0]) * near)
        for i in range(num_bins - 1):
            end = _distance(bins[ray, i + 1] * far + (1 - bins[ray, i + 1]) * near)
            middle = (begin + end) / 2
            x = origins[ray, 0] + directions[ray, 0] * middle
            y = origins[ray, 1] + directions[ray, 1] * middle
            z = origins[ray, 2] + directions[ray, 2] * middle
            size = max(abs(x), abs(y), abs(z))
            shrink = 1.0 if size < 1 else (2 - 1 / size) / size
            x, y, z = (x * shrink + 2) / 4, (y * shrink + 2) / 4, (z * shrink + 2) / 4
            is_inside = 0 < x < 1 and 0 < y < 1 and 0 < z < 1
            positions[ray, i, 0] = x if is_inside else 0
            positions[ray, i, 1] = y if is_inside else 0
            positions[ray, i, 2] = z if is_inside else 0
            distances[ray, i] = middle
            lengths[ray, i] = end - begin if is_inside else 0
            begin = end


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _invert_cdf(bins, weights, offsets, concentrated):
    num_rays, num_samples = weights.shape
    num_new = concentrated.shape[1]
    for ray in prange(num_rays):
        total = 0.0
        for i in range(num_samples):
            total += weights[ray, i] + _PDF_PADDING
        # Both the edges wanted and the cumulated weights ascend: one walk over the bins finds all.
        below, above = 0.0, (weights[ray, 0] + _PDF_PADDING) / total
        i = 0
        for k in range(num_new):
            wanted = k / num_new + offsets[ray]
            while above <= wanted and i < num_samples - 1:
                i += 1
                below = above
                above += (weights[ray, i] + _PDF_PADDING) / total
            share = min((wanted - below) / (above - below), 1.0)
            concentrated[ray, k] = bins[ray, i] + share * (bins[ray, i + 1] - bins[ray, i])


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _composite(density_scale, log_density, lengths, weights):
    num_rays, num_samples = weights.shape
    for ray in prange(num_rays):
        passed = 1.0
        for i in range(num_samples):
            through = np.exp(-density_scale * np.exp(log_density[ray, i]) * lengths[ray, i])
            weights[ray, i] = passed * (1 - through)
            passed *= through


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _composite_gradient(density_scale, log_density, lengths, weights, gradient, by_log_density):
    num_rays, num_samples = weights.shape
    for ray in prange(num_rays):
        opaque = 0.0
        for i in range(num_samples):
            opaque += weights[ray, i]
        # What a sample takes from those behind it is the sum of their gradients times weights.
        behind, passed = 0.0, 1 - opaque
        for i in range(num_samples - 1, -1, -1):
            clamped = min(max(log_density[ray, i], -_MAX_EXPONENT), _MAX_EXPONENT)
            slope = density_scale * np.exp(clamped) * lengths[ray, i]
            by_log_density[ray, i] = (gradient[ray, i] * passed - behind) * slope
            behind += gradient[ray, i] * weights[ray, i]
            passed += weights[ray, i]


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _interlevel(bins, weights, outer_bins, outer, per_ray, by_outer):
    num_rays, num_samples = weights.shape
    num_outer = outer.shape[1]
    for ray in prange(num_rays):
        per_ray[ray] = 0
        by_outer[ray] = 0
        first, last = 0, 0
        # The envelope of a sample is the weight of all outer bins that it touches. Both walks only
        # go forward; by_outer gathers where gradients begin and end, and is cumulated afterwards.
        envelope_before, envelope_until = 0.0, 0.0 + outer[ray, 0]
        for i in range(num_samples):
            while first < num_outer - 1 and outer_bins[ray, first + 1] <= bins[ray, i]:
                envelope_before += outer[ray, first]
                first += 1
            while last < num_outer - 1 and outer_bins[ray, last + 1] <= bins[ray, i + 1]:
                last += 1
                envelope_until += outer[ray, last]
            weight = weights[ray, i]
            excess = weight - (envelope_until - envelope_before)
            if excess > 0:
                per_ray[ray] += excess * excess / (weight + _INTERLEVEL_EPSILON)
                slope = -2 * excess / (weight + _INTERLEVEL_EPSILON)
                by_outer[ray, first] += slope
                if last + 1 < num_outer:
                    by_outer[ray, last + 1] -= slope
        for i in range(1, num_outer):
            by_outer[ray, i] += by_outer[ray, i - 1]


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _distortion(bins, weights, per_ray, by_weights):
    num_rays, num_samples = weights.shape
    for ray in prange(num_rays):
        total, moment = 0.0, 0.0
        for i in range(num_samples):
            total += weights[ray, i]
            moment += weights[ray, i] * (bins[ray, i] + bins[ray, i + 1]) / 2
        before, moment_before, loss = 0.0, 0.0, 0.0
        for i in range(num_samples):
            weight = weights[ray, i]
            middle = (bins[ray, i] + bins[ray, i + 1]) / 2
            length = bins[ray, i + 1] - bins[ray, i]
            after = total - before - weight
            moment_after = moment - moment_before - weight * middle
            spread = middle * (before - after) - moment_before + moment_after
            loss += weight * spread + weight * weight * length / 3
            by_weights[ray, i] = 2 * spread + 2 * weight * length / 3
            before += weight
            moment_before += weight * middle
        per_ray[ray] = loss
