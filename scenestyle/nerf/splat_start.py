"""Where the Gaussians of a scene begin: at the points of its poses, and around them.

Source: Kerbl et al. 2023, "3D Gaussian Splatting", arXiv:2308.04079, starts at the points of
structure from motion. Ours adds pixels at the depth of the points around them, which fills surfaces
that have no points of their own.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree

from scenestyle.artifacts import SparsePoints, View
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ParamsError
from scenestyle.geometry import project
from scenestyle.nerfstudio_plugin.splat_field import SplatField

if TYPE_CHECKING:
    from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs

Points = Float[np.ndarray, "_n 3"]

_OPACITY = 0.3
_SIZE = 0.7
"""standard deviation of a Gaussian, in distances to its neighbours"""
_NEIGHBOURS = 3
_DEPTHS = 4
"""points whose depth a pixel's is taken from"""
_MIN_POINTS = 50
"""with fewer, nothing is known of the scene"""
_NEAREST, _FARTHEST = 0.3, 4.0
"""where pixels begin that nothing is known of, in distances from the camera to what all look at"""
_SH_0 = 0.28209479177387814

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Gaussians to begin with, in the field's frame."""

    means: Float[np.ndarray, "n 3"]
    """centres, scene units"""
    sizes: Float[np.ndarray, " n"]
    """standard deviations, scene units; they begin as balls"""
    colours: Float[np.ndarray, "n 3"]
    """in [0, 1]"""


def in_field_frame(points: SparsePoints, outputs: "DataparserOutputs") -> SparsePoints:
    """The points in the frame of the field, which nerfstudio's dataparser turns and scales."""
    transform = outputs.dataparser_transform.numpy().astype(np.float64)
    moved = points.xyz @ transform[:3, :3].T + transform[:3, 3]
    return SparsePoints(
        (outputs.dataparser_scale * moved).astype(np.float32),
        points.rgb,
        points.error_px,
        points.names,
        points.sightings,
    )


def first_gaussians(
    views: Sequence[View],
    photos: Sequence[Float[np.ndarray, "_height _width 3"]],
    points: SparsePoints | None,
    *,
    max_points: int,
    num_pixels: int,
    seed: int,
) -> Start:
    """The Gaussians that training begins with.

    Args:
        views: To be trained on, in the field's frame.
        photos: Their colours in [0, 1].
        points: In the same frame; without (enough of) them, the pixels begin anywhere.
        max_points: With more points than these, those that most views saw.
        num_pixels: How many pixels of all views to begin at besides the points.
        seed: Of which pixels, and of depths that nothing is known of.
    """
    generator = np.random.default_rng(seed)
    if points is None or len(points.xyz) < _MIN_POINTS:
        _log.warning(
            "the poses have %d points, too few to begin at: Gaussians begin at random depths, and "
            "the scene comes out worse (photos without poses get points with their poses)",
            0 if points is None else len(points.xyz),
        )
        points = None
        # In the points' place as well, as far as there is room for those.
        num_pixels = max(min(8000, max_points + num_pixels), len(views))
    parts = [] if points is None else [_at_points(points, max_points)]
    if per_view := num_pixels // len(views):
        parts += [
            _at_pixels(view, photo, points, per_view, generator)
            for view, photo in zip(views, photos, strict=True)
        ]
    return Start(
        np.concatenate([part.means for part in parts]).astype(np.float32),
        _SIZE * np.concatenate([part.sizes for part in parts]).astype(np.float32),
        np.concatenate([part.colours for part in parts]).astype(np.float32),
    )


def nearest_known(points: SparsePoints | None, views: Sequence[View]) -> float:
    """Half the distance from cameras to the nearest points that they saw, scene units.

    Without points, or if no camera is known to have seen one, it is 0. The nearest two in a hundred
    are left out: single points may be wrong.

    Args:
        points: In the views' frame.
        views: With cameras.
    """
    if points is None or len(points.xyz) < _MIN_POINTS or not len(points.sightings):
        return 0.0
    distances = [
        np.linalg.norm(
            points.xyz[points.seen_by(view.name)] - view.camera.c2w_opengl[:3, 3], axis=1
        )
        for view in views
    ]
    return 0.5 * float(np.quantile(np.concatenate(distances), 0.02))


@torch.no_grad()
def plant(model: SplatField, start: Start) -> None:
    """Put Gaussians into a model that has none yet.

    Raises:
        ParamsError: If there are more of them than the model has room for.
    """
    count = len(start.means)
    if count > len(model.means):
        raise ParamsError(
            f"The scene begins with {count} Gaussians ({count} points and pixels), and may have "
            f"{len(model.means)}. Raise train_nerf.num_gaussians, or lower start_pixels."
        )
    model.means[:count] = torch.from_numpy(start.means)
    model.scales[:count] = torch.from_numpy(np.log(start.sizes))[:, None]
    model.features_dc[:count] = torch.from_numpy((start.colours - 0.5) / _SH_0)
    model.opacities[:count] = float(np.log(_OPACITY / (1 - _OPACITY)))


def _at_points(points: SparsePoints, max_points: int) -> Start:
    num_views = np.bincount(points.sightings[:, 1], minlength=len(points.xyz))
    chosen = np.sort(np.argsort(-num_views, kind="stable")[:max_points])
    xyz = points.xyz[chosen]
    distances, _ = KDTree(xyz).query(xyz, k=_NEIGHBOURS + 1)
    sizes = distances[:, 1:].mean(axis=1)
    # A point far from all others is more often wrong than large.
    return Start(xyz, np.minimum(sizes, np.quantile(sizes, 0.9)), points.rgb[chosen])


def _at_pixels(
    view: View,
    photo: Float[np.ndarray, "height width 3"],
    points: SparsePoints | None,
    count: int,
    generator: np.random.Generator,
) -> Start:
    camera = view.camera
    step = np.sqrt(camera.width * camera.height / count)
    grid = np.meshgrid(
        np.arange(step / 2, camera.width, step), np.arange(step / 2, camera.height, step)
    )
    pixels = np.stack(grid, axis=-1).reshape(-1, 2)
    pixels = pixels + generator.uniform(-0.5, 0.5, pixels.shape) * step
    pixels = pixels.clip(0, [camera.width - 1e-3, camera.height - 1e-3])
    z = (
        None
        if points is None
        else _depth_around(camera, points.xyz[points.seen_by(view.name)], pixels)
    )
    if z is None:
        distance = np.linalg.norm(camera.c2w_opengl[:3, 3])
        by_z = generator.uniform(1 / _FARTHEST, 1 / _NEAREST, len(pixels))
        z = distance / by_z
    x, y = ((pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]).T
    in_camera = np.stack([x * z, -y * z, -z], axis=-1)
    means = in_camera @ camera.c2w_opengl[:3, :3].T + camera.c2w_opengl[:3, 3]
    column, row = pixels.astype(int).T
    return Start(means, z / camera.fx * step, photo[row, column])


def _depth_around(
    camera: PinholeCamera, points: Points, pixels: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, " n"] | None:
    """Depth at pixels from that of points; its inverse, since that is linear on a plane."""
    at, z = project(points, camera)
    at, z = at[z > 0], z[z > 0]
    if len(z) < _DEPTHS:
        return None
    distances, nearest = KDTree(at).query(pixels, k=_DEPTHS)
    weights = 1 / (distances + 1)
    return weights.sum(axis=1) / (weights / z[nearest]).sum(axis=1)
