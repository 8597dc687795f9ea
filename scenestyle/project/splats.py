"""Take in a scene of splats: a copy of the file, and cameras in its frame beside it."""

import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from scenestyle.artifacts import pose_frame, write_json
from scenestyle.axes import Up
from scenestyle.cameras import PinholeCamera
from scenestyle.capture import Capture
from scenestyle.capture.frames import frame_of
from scenestyle.capture.splats import SPLATS
from scenestyle.geometry import bulk, look_at
from scenestyle.splat_file import SplatFile, read_splats

if TYPE_CHECKING:
    from scenestyle.nerfstudio_plugin.splat_raster import Gaussians

NUM_CAMERAS = 32
_TURNS = 2
_ELEVATIONS = np.radians([5.0, 40.0])
_WIDTH, _HEIGHT = 1600, 1200
_FIELD_OF_VIEW = np.radians(50.0)
"""vertical"""
_NEARER = 0.8
_MOST_NEARER = 6
_CLEAR = 0.5
"""what is nearer than this fraction of the distance to the middle stands in the way"""
_UPS: dict[Up, tuple[float, float, float]] = {"y-down": (0, -1, 0), "y": (0, 1, 0), "z": (0, 0, 1)}


def write_splat_scene(found: Capture, target: Path, up: Up | None) -> tuple[str, ...]:
    """Put a scene of splats and its cameras, as a `transforms.json`, into its folder.

    Args:
        found: With splats; without cameras, some are laid round them.
        target: Existing folder; a file of splats that lies in it stays.
        up: Which axis of the splats points up, where cameras are laid; none: y-down.

    Returns:
        What was done to have cameras, a phrase each.
    """
    assert found.splats is not None
    if not found.splats.resolve().is_relative_to(target.resolve()):
        shutil.copy2(found.splats, target / SPLATS)
    said: tuple[str, ...] = ()
    if found.model is not None:
        views = sorted(found.model.images.values(), key=lambda view: view.name)
        frames = [frame_of(view, found.model.camera(view.camera_id)) for view in views]
    else:
        cameras = cameras_round(read_splats(found.splats), up or "y-down")
        frames = [pose_frame(f"view_{n:03d}", camera) for n, camera in enumerate(cameras)]
        said = (f"{len(cameras)} cameras laid round the splats, {up or 'y-down'} up",)
    cameras_file = target / "transforms.json"
    write_json(cameras_file, {"camera_model": "PINHOLE", "frames": frames})
    # The date of the splats tells whether they are taken in already.
    date = found.splats.stat().st_mtime_ns
    os.utime(cameras_file, ns=(date, date))
    return said


def cameras_round(splats: SplatFile, up: Up, count: int = NUM_CAMERAS) -> list[PinholeCamera]:
    """Cameras on a rising spiral of two turns about the bulk of the splats, which fills the image.

    Where something stands between a camera and the middle, as a wall does, it goes nearer.

    Args:
        splats: At least one.
        up: Which of their axes points up.
        count: Of cameras.
    """
    centre, radius = bulk(splats.means, splats.opacities)
    axis = np.array(_UPS[up], dtype=np.float64)
    gaussians = _gaussians(splats)
    distance = radius / np.sin(_FIELD_OF_VIEW / 2)
    cameras = []
    for share in np.arange(count) / count:
        direction = _direction(
            axis, 2 * np.pi * _TURNS * share, np.interp(share, [0, 1], _ELEVATIONS)
        )
        away = distance
        camera = _camera(centre + away * direction, centre, axis)
        for _ in range(_MOST_NEARER):
            if _is_clear(gaussians, camera, away):
                break
            away *= _NEARER
            camera = _camera(centre + away * direction, centre, axis)
        cameras.append(camera)
    return cameras


def _direction(
    up: Float[np.ndarray, " 3"], azimuth: float, elevation: float
) -> Float[np.ndarray, " 3"]:
    right = np.cross(up, np.roll(up, 1))
    level = np.cos(azimuth) * right + np.sin(azimuth) * np.cross(up, right)
    return np.cos(elevation) * level + np.sin(elevation) * up


def _camera(
    place: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"], up: Float[np.ndarray, " 3"]
) -> PinholeCamera:
    focal = _HEIGHT / 2 / np.tan(_FIELD_OF_VIEW / 2)
    middle = _WIDTH / 2, _HEIGHT / 2
    return PinholeCamera(look_at(place, target, up), focal, focal, *middle, _WIDTH, _HEIGHT)


def _gaussians(splats: SplatFile) -> "Gaussians":
    import torch

    from scenestyle.nerfstudio_plugin.splat_raster import Gaussians

    parts = {part.name: torch.from_numpy(getattr(splats, part.name)) for part in fields(SplatFile)}
    # Where something is needs no colours that change with the direction.
    return Gaussians(**{**parts, "harmonics": parts["harmonics"][:, :1]})


def _is_clear(gaussians: "Gaussians", camera: PinholeCamera, distance: float) -> bool:
    """Whether the middle half of a small image shows mostly what is about the centre or behind."""
    from scenestyle.nerfstudio_plugin.splat_raster import rasterize

    seen = rasterize(gaussians, camera.resized(64, 48), with_median=True)
    assert seen.median_z is not None
    middle = slice(12, 36), slice(16, 48)
    is_near = (seen.opacity > _CLEAR) & (seen.median_z < _CLEAR * distance)
    return float(is_near[middle].float().mean()) < 1 - _CLEAR
