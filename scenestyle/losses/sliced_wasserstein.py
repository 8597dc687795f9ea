"""Sliced Wasserstein distance between feature distributions, and the style loss made of it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from scenestyle.errors import ShapeError
from scenestyle.shapes import FeatureMap

LayerReduction = Literal["sum", "mean"]
DirectionKind = Literal["gaussian", "orthonormal"]
Directions = Float[Tensor, "_num_directions _channels"]


def random_directions(
    num: int, channels: int, generator: Generator
) -> Float[Tensor, "{num} {channels}"]:
    """Directions drawn uniformly from the unit sphere (normalised Gaussians).

    Args:
        num: How many rows; our `num` is the size of the paper's set of V.
        channels: Dimension of the feature space.
        generator: Source of randomness; the result lies on its device, float32.
    """
    gaussian = torch.randn(num, channels, generator=generator, device=generator.device)
    return functional.normalize(gaussian, dim=1)


def orthonormal_directions(
    num: int, channels: int, generator: Generator
) -> Float[Tensor, "{num} {channels}"]:
    """Directions that are uniform on the unit sphere, and orthonormal in sets of `channels`.

    They cover the sphere more evenly than independent ones, so that a distance over few of them
    varies less from draw to draw; its expectation is the same.

    Args:
        num: How many rows; beyond `channels`, further orthonormal sets follow.
        channels: Dimension of the feature space.
        generator: Source of randomness; the result lies on its device, float32.

    Source: Rowland et al. 2019, "Orthogonal Estimation of Wasserstein Distances",
        arXiv:1903.03784.
    """
    num_sets = -(-num // channels)
    gaussian = torch.randn(
        num_sets, channels, channels, generator=generator, device=generator.device
    )
    rotations, triangles = torch.linalg.qr(gaussian)
    # Without the signs the rotations would not be uniformly distributed.
    signs = triangles.diagonal(dim1=1, dim2=2).sign()
    return (rotations * signs[:, None]).transpose(1, 2).reshape(-1, channels)[:num]


def directions_for(
    maps: Sequence[FeatureMap],
    generator: Generator,
    num: int | None = None,
    *,
    kind: DirectionKind = "gaussian",
) -> list[Directions]:
    """One draw of directions per map; as many as the map has channels unless `num` is given."""
    draw = {"gaussian": random_directions, "orthonormal": orthonormal_directions}[kind]
    return [draw(num or f.shape[1], f.shape[1], generator) for f in maps]


def tag_region(
    maps: Sequence[FeatureMap],
    directions: Sequence[Directions],
    region: Float[Tensor, "batch 1 _ _"],
    *,
    reach: Sequence[float],
) -> tuple[list[FeatureMap], list[Directions]]:
    """Maps and directions under which features are only matched within the region, or without.

    Each map gets a channel that is `reach` inside the region and 0 outside, each direction a 1 for
    it. If `reach` exceeds the spread of all projections, sorting cannot mix the two. Both images of
    a comparison are tagged with the same region, so the tags themselves cancel.

    Args:
        maps: One map per tap.
        directions: One set of unit rows per tap.
        region: 1 inside, 0 outside, on any grid; averaged onto each map's.
        reach: One per tap: at least twice the norm of any feature vector of either image.

    Source: Heitz et al. 2021, arXiv:2006.07229 (spatial tags); Fujiwara et al. 2024,
        arXiv:2406.13393, whose tag is the largest activation, which need not separate.
    """
    tagged = [
        torch.cat([f, height * functional.interpolate(region, f.shape[2:], mode="area")], dim=1)
        for f, height in zip(maps, reach, strict=True)
    ]
    return tagged, [functional.pad(rows, (0, 1), value=1.0) for rows in directions]


def region_reach(
    render_maps: Sequence[FeatureMap], stylized_maps: Sequence[FeatureMap]
) -> list[float]:
    """Per tap, twice the largest norm of a feature vector: no two projections are further apart."""
    return [
        2 * max(float(f.detach().norm(dim=1).max()) for f in pair)
        for pair in zip(render_maps, stylized_maps, strict=True)
    ]


def sliced_wasserstein(
    x: Float[Tensor, "batch channels n"],
    y: Float[Tensor, "batch channels n"],
    directions: Float[Tensor, "num_directions channels"],
) -> Float[Tensor, ""]:
    """Squared 2-sliced Wasserstein distance between two clouds of features.

    Each column is one sample; positions are forgotten, only the distribution counts.
    With equal sample counts, transport along a direction is the sorted matching, hence the sorts.

    Args:
        x: Features of the render, any scale; gradient flows through it.
        y: Features of the stylized view; as many samples as `x`.
        directions: Unit rows. The caller draws them, so a fixed draw gives a fixed loss.

    Returns:
        Scalar >= 0, in squared feature units, averaged over batch, directions and samples.

    Raises:
        ShapeError: If the three do not fit together. (Unequal `n` would need resampled quantiles.)

    Source: Heitz et al. 2021, "A Sliced Wasserstein Loss for Neural Texture Synthesis",
        arXiv:2006.07229, eq. 5 and 6; Fujiwara et al. 2024, arXiv:2406.13393, section 3.3.
        The mean of squares is Heitz's; Fujiwara writes the L2 norm over the samples.
    """
    if x.shape != y.shape:
        raise ShapeError(f"x is {tuple(x.shape)} but y is {tuple(y.shape)}; resize one of them.")
    if directions.shape[1] != x.shape[1]:
        raise ShapeError(
            f"directions have {directions.shape[1]} channels, features {x.shape[1]}; "
            "draw them with random_directions(num, channels, generator)."
        )
    return (_sorted_projections(x, directions) - _sorted_projections(y, directions)).square().mean()


def style_loss(
    render_maps: Sequence[FeatureMap],
    stylized_maps: Sequence[FeatureMap],
    directions: Sequence[Directions],
    *,
    layer_reduction: LayerReduction = "sum",
) -> Float[Tensor, ""]:
    """Sliced Wasserstein distance over all taps of a feature extractor.

    Args:
        render_maps: One map per tap; gradient flows through them.
        stylized_maps: Maps of the same shapes, of the stylized view of the same camera.
        directions: One set of unit rows per tap, the same for both images.
        layer_reduction: `sum` over taps, or their `mean`.

    Raises:
        ShapeError: If the three lists differ in length or their entries in shape.

    Source: Fujiwara et al. 2024, arXiv:2406.13393, section 3.3 (sum over layers).
    """
    if not len(render_maps) == len(stylized_maps) == len(directions) > 0:
        raise ShapeError(
            f"one render map, stylized map and set of directions per tap are wanted, got "
            f"{len(render_maps)}, {len(stylized_maps)} and {len(directions)}."
        )
    per_tap = torch.stack(
        [
            sliced_wasserstein(x.flatten(2), y.flatten(2), v)
            for x, y, v in zip(render_maps, stylized_maps, directions, strict=True)
        ]
    )
    return per_tap.sum() if layer_reduction == "sum" else per_tap.mean()


def _sorted_projections(
    samples: Float[Tensor, "batch channels n"], directions: Float[Tensor, "num_directions channels"]
) -> Float[Tensor, "batch num_directions n"]:
    return _sorted_rows(directions @ samples)


def _sorted_rows(values: Float[Tensor, "*rows n"]) -> Float[Tensor, "*rows n"]:
    """Every row in ascending order, differentiable.

    On a CPU NumPy sorts, in vector instructions: 64 rows of 65,536 took torch 353 ms on one core,
    NumPy 20 ms, and 82 ms with the order that the gradient needs.
    """
    if values.device.type != "cpu":
        return values.sort(dim=-1).values
    if values.requires_grad:
        return _SortRows.apply(values)
    return torch.from_numpy(_beside_one_another(np.sort, values.numpy()))


def _beside_one_another(sort: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """What NumPy, which sorts in one thread, makes of rows, with as many threads as torch has."""
    rows, count = values.reshape(-1, values.shape[-1]), torch.get_num_threads()
    if count == 1 or len(rows) < 2:
        return sort(values)
    parts = _threads(count).map(sort, np.array_split(rows, count))
    return np.concatenate(list(parts)).reshape(values.shape)


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


class _SortRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor) -> Tensor:
        order = torch.from_numpy(_beside_one_another(np.argsort, values.detach().numpy()))
        ctx.save_for_backward(order)
        return values.gather(-1, order)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (order,) = ctx.saved_tensors
        return torch.empty_like(gradient).scatter_(-1, order, gradient)
