"""The visible surface of a field as a mesh: all depth maps fused in one distance field."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit, prange

from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError
from scenestyle.geometry import invert_rigid, opencv_from_opengl, unproject
from scenestyle.novel.surface import clean_depths

if TYPE_CHECKING:
    from scenestyle.nerf.field import Rendering

Points = Float[np.ndarray, "n 3"]

_CELLS = 384
"""cells of the grid along the diagonal of its points; in any box that is at most 11 million"""
_REACH = 8.0
"""cells before and behind a depth in which its view says something about the surface"""
_MIN_VIEWS = 2
"""renders that must have seen a corner of a cell"""
_MARGIN = 2
"""cells of the grid beyond its outermost points"""


@dataclass(frozen=True)
class Mesh:
    """Triangles in the field's frame, with a colour per vertex."""

    vertices: Float[np.ndarray, "n 3"]
    """scene units"""
    triangles: Int[np.ndarray, "m 3"]
    """vertices of each, counter-clockwise as seen from where the surface was seen from"""
    colours: Float[np.ndarray, "n 3"]
    """RGB in [0, 1]"""


@dataclass(frozen=True)
class Grid:
    """Where the corners of cubic cells lie: `corner + size * index`."""

    corner: Float[np.ndarray, " 3"]
    """scene units"""
    size: float
    """side of a cell, scene units"""
    shape: tuple[int, int, int]
    """number of corners along each axis"""


def fused_mesh(cameras: Sequence[PinholeCamera], renderings: "Sequence[Rendering]") -> Mesh:
    """A mesh by fusing the depth of all renders.

    A corner of a cell takes the mean, over the views that have a depth near it, of how far it lies
    before that depth, and of the colour there; the mesh is where the mean distance is zero.

    Args:
        cameras: One per render, any sizes.
        renderings: With depth; empty space, far background and outlines are left out.

    Raises:
        ArtifactError: If nothing is opaque, or no two views show the same surface.

    Source: Curless and Levoy 1996, "A Volumetric Method for Building Complex Models from Range
        Images", with weights of one.
    """
    depths_z = clean_depths(renderings)
    grid = _grid_around(
        np.concatenate(
            [unproject(z, camera)[z > 0] for z, camera in zip(depths_z, cameras, strict=True)]
        )
    )
    distance = np.zeros(grid.shape, np.float32)
    count = np.zeros(grid.shape, np.uint16)
    colour = np.zeros((*grid.shape, 3), np.float32)
    for camera, depth_z, rendering in zip(cameras, depths_z, renderings, strict=True):
        _add_view(
            depth_z,
            np.ascontiguousarray(rendering.rgb, dtype=np.float32),
            *_steps_on_picture(camera, grid),
            np.float32(_REACH * grid.size),
            distance,
            count,
            colour,
        )
    return _zero_surface(grid, distance, count >= _MIN_VIEWS, colour)


def _grid_around(points: Points) -> Grid:
    lowest, highest = points.min(axis=0), points.max(axis=0)
    size = float(np.linalg.norm(highest - lowest)) / _CELLS
    if size == 0:
        raise ArtifactError(
            "The renders show a surface of one point, which makes no mesh. Export with a larger "
            "--size, or train the field for longer (train_nerf.iterations)."
        )
    x, y, z = np.ceil((highest - lowest) / size).astype(int) + 1 + 2 * _MARGIN
    return Grid(lowest - _MARGIN * size, size, (int(x), int(y), int(z)))


def _steps_on_picture(
    camera: PinholeCamera, grid: Grid
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, "3 3"]]:
    """Where index 0 lies on the picture, and each axis' next index: `(z * column, z * row, z)`.

    Columns and rows count from the centre of the first pixel, so that the nearest one is found by
    rounding; z is the distance along the optical axis.
    """
    intrinsics = np.array(
        [[camera.fx, 0, camera.cx - 0.5], [0, camera.fy, camera.cy - 0.5], [0, 0, 1.0]]
    )
    w2c_opencv = invert_rigid(opencv_from_opengl(camera.c2w_opengl))
    rotation, translation = w2c_opencv[:3, :3], w2c_opencv[:3, 3]
    return intrinsics @ (rotation @ grid.corner + translation), grid.size * intrinsics @ rotation


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _add_view(depth_z, rgb, start, steps, reach, distance, count, colour):
    """Add a view to the means; `distance` is in reaches, above 0 before the surface."""
    height, width = depth_z.shape
    num_x, num_y, num_z = distance.shape
    for x in prange(num_x):
        for y in range(num_y):
            for z in range(num_z):
                along = start[2] + x * steps[2, 0] + y * steps[2, 1] + z * steps[2, 2]
                if along <= 0:
                    continue
                column = (start[0] + x * steps[0, 0] + y * steps[0, 1] + z * steps[0, 2]) / along
                row = (start[1] + x * steps[1, 0] + y * steps[1, 1] + z * steps[1, 2]) / along
                if not (-0.5 <= column < width - 0.5 and -0.5 <= row < height - 0.5):
                    continue
                i, j = int(row + 0.5), int(column + 0.5)
                before = depth_z[i, j] - along
                if depth_z[i, j] <= 0 or abs(before) > reach:
                    continue
                count[x, y, z] += 1
                share = np.float32(1 / count[x, y, z])
                distance[x, y, z] += share * (np.float32(before / reach) - distance[x, y, z])
                for channel in range(3):
                    mean = colour[x, y, z, channel]
                    colour[x, y, z, channel] = mean + share * (rgb[i, j, channel] - mean)


def _zero_surface(
    grid: Grid,
    distance: Float[np.ndarray, "x y z"],
    is_seen: Bool[np.ndarray, "x y z"],
    colour: Float[np.ndarray, "x y z 3"],
) -> Mesh:
    from skimage.measure import marching_cubes

    try:
        found = marching_cubes(distance, 0.0, mask=_all_corners(is_seen))
    except (RuntimeError, ValueError) as error:  # what scikit-image says where nothing crosses 0
        raise ArtifactError(
            "No two renders show the same surface, so that there is no mesh: the depths contradict "
            "each other. Train the field for longer (train_nerf.iterations), or export points."
        ) from error
    indices, triangles = found[:2]
    # A vertex lies on an edge of a cell, between two corners.
    lower = np.floor(indices).astype(np.int64)
    upper = np.ceil(indices).astype(np.int64)
    share = (indices - lower).sum(axis=1, keepdims=True)
    colours = (1 - share) * colour[tuple(lower.T)] + share * colour[tuple(upper.T)]
    vertices = (grid.corner + grid.size * indices).astype(np.float32)
    return Mesh(vertices, np.ascontiguousarray(triangles), colours.astype(np.float32))


def _all_corners(is_seen: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Whether all eight corners of a cell are seen, at its last one, where scikit-image looks."""
    whole = is_seen.copy()
    for axis in range(3):
        upper, lower = [slice(None)] * 3, [slice(None)] * 3
        upper[axis], lower[axis] = slice(1, None), slice(None, -1)
        first, *_ = np.split(whole, [1], axis=axis)
        rest = whole[tuple(upper)] & whole[tuple(lower)]
        whole = np.concatenate([np.zeros_like(first), rest], axis=axis)
    return whole
