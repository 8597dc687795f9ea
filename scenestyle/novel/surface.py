"""The visible surface of a field as coloured points, from renders with depth."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from scenestyle.artifacts import MIN_OPACITY
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError
from scenestyle.geometry import unproject

if TYPE_CHECKING:
    from scenestyle.nerf.field import Rendering

Points = Float[np.ndarray, "n 3"]

_MAX_SLOPE = 0.1
"""relative step of depth to a neighbouring pixel above which a pixel lies on an outline"""
_MAX_DISTANCE = 3.0
"""what is farther away than this many times the median depth is background and left out"""
_FULL_ENOUGH, _AIMED_AT = 0.96, 0.98
"""shares of the points asked for with which the search of a cell size ends, and that it aims at"""


@dataclass(frozen=True)
class PointCloud:
    """Points of a surface in the field's frame."""

    points: Float[np.ndarray, "n 3"]
    """scene units"""
    colours: Float[np.ndarray, "n 3"]
    """RGB in [0, 1]"""


def surface_points(
    cameras: Sequence[PinholeCamera], renderings: "Sequence[Rendering]"
) -> PointCloud:
    """The points that the renders show, one per pixel.

    Left out are empty space, far background, and outlines: between a near and a far surface an
    expected depth lies in mid-air.

    Raises:
        ArtifactError: If nothing is opaque.
    """
    depths_z = clean_depths(renderings)
    points = [unproject(z, camera)[z > 0] for z, camera in zip(depths_z, cameras, strict=True)]
    colours = [r.rgb[z > 0] for r, z in zip(renderings, depths_z, strict=True)]
    return PointCloud(
        np.concatenate(points).astype(np.float32), np.concatenate(colours).astype(np.float32)
    )


def clean_depths(
    renderings: "Sequence[Rendering]",
) -> "list[Float[np.ndarray, 'height width']]":
    """Depth of each render along the optical axis, scene units; 0 where `surface_points` has none.

    Raises:
        ArtifactError: If nothing is opaque.
    """
    limit = _MAX_DISTANCE * _median_depth(renderings)
    masks = [_is_clean(r.depth_z, r.opacity, limit) for r in renderings]
    return [
        np.where(mask, r.depth_z, 0).astype(np.float32)
        for r, mask in zip(renderings, masks, strict=True)
    ]


def thinned(
    cloud: PointCloud, max_points: int, *, warp: Callable[[Points], Points] = lambda points: points
) -> PointCloud:
    """One point, the mean, per occupied cell of a cubic grid, its cells just about large enough.

    A cloud that is small enough already stays as it is.

    Args:
        cloud: To be thinned.
        max_points: Most points of the result.
        warp: Where the grid is laid; by default in space, so that points become evenly spaced.
    """
    if len(cloud.points) <= max_points:
        return cloud
    warped = warp(cloud.points)
    warped = warped - warped.min(axis=0)
    low, high = 0.0, float(warped.max())  # cell sizes: too small, large enough
    size = high / math.sqrt(max_points)
    for _ in range(20):
        num_cells = len(np.unique(_cells(warped, size)))
        low, high = (low, size) if num_cells <= max_points else (size, high)
        if _FULL_ENOUGH * max_points <= num_cells <= max_points:
            break
        # A surface fills about as many cells as the square of its extent over their size.
        guess = size * math.sqrt(num_cells / max_points / _AIMED_AT)
        size = guess if low < guess < high else (low + high) / 2
    _, cell, count = np.unique(_cells(warped, high), return_inverse=True, return_counts=True)
    return PointCloud(_means(cloud.points, cell, count), _means(cloud.colours, cell, count))


def contracted(points: Points, *, focus: Float[np.ndarray, " 3"], radius: float) -> Points:
    """Draw all space beyond `radius` about the focus into a ball of twice that radius.

    A grid laid there grows with the distance, as detail does in the renders of cameras about the
    focus.

    Source: Barron et al. 2022, "Mip-NeRF 360", arXiv:2111.12077, eq. 10.
    """
    offsets = (points - focus) / radius
    away = np.maximum(np.linalg.norm(offsets, axis=-1, keepdims=True), 1)
    return ((2 - 1 / away) * offsets / away).astype(points.dtype)


def _median_depth(renderings: "Sequence[Rendering]") -> float:
    depths_z = np.concatenate([r.depth_z[r.opacity > MIN_OPACITY] for r in renderings])
    if depths_z.size == 0:
        raise ArtifactError(
            "No pixel of the renders is opaque, so that there is no surface: the field is empty. "
            "Train it for longer (train_nerf.iterations)."
        )
    return float(np.median(depths_z))


def _is_clean(
    depth_z: Float[np.ndarray, "height width"],
    opacity: Float[np.ndarray, "height width"],
    limit: float,
) -> Bool[np.ndarray, "height width"]:
    slope = np.hypot(*np.gradient(np.log(np.maximum(depth_z, 1e-6))))
    return (opacity > MIN_OPACITY) & (depth_z > 0) & (depth_z < limit) & (slope < _MAX_SLOPE)


def _cells(offsets: Float[np.ndarray, "n 3"], size: float) -> np.ndarray:
    """Number of the cubic cell that each point lies in."""
    x, y, z = np.floor(offsets / size).astype(np.int64).T
    return (x << 42) + (y << 21) + z


def _means(
    values: Float[np.ndarray, "n 3"], cell: np.ndarray, count: np.ndarray
) -> Float[np.ndarray, "cells 3"]:
    sums = [np.bincount(cell, weights=column) for column in values.T]
    return (np.stack(sums, axis=-1) / count[:, None]).astype(np.float32)
