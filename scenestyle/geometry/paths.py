"""Smooth novel camera paths through the region that a capture has covered."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ShapeError
from scenestyle.geometry.depth import unproject
from scenestyle.geometry.poses import common_up, look_at

_FULL_CIRCLE_GAP = np.pi / 2
"""a capture goes all the way round if no two neighbours in azimuth are further apart, radians"""


def focus_from_depths(
    cameras: Sequence[PinholeCamera], depths_z: Sequence[Float[np.ndarray, "height width"]]
) -> Float[np.ndarray, " 3"]:
    """The point that the capture is about: the median of what the views see in their middle.

    Unlike the intersection of the optical axes it also exists for forward-facing captures, whose
    axes are nearly parallel.

    Args:
        cameras: Cameras of the views.
        depths_z: Their z-depths, scene units; only the middle fifth of each side is read.

    Raises:
        ShapeError: If a depth map is not of its camera's size, or nothing finite is in the middle.
    """
    points = np.concatenate(
        [
            _middle(unproject(depth_z, camera))
            for depth_z, camera in zip(depths_z, cameras, strict=True)
        ]
    )
    points = points[np.isfinite(points).all(axis=-1)]
    if len(points) == 0:
        raise ShapeError("No view has a finite depth in its middle, so the scene has no focus.")
    return np.median(points, axis=0)


def smooth_orbit(
    cameras: Sequence[PinholeCamera], num_frames: int, *, focus: Float[np.ndarray, " 3"]
) -> list[PinholeCamera]:
    """A closed novel path that stays where the capture has been, always looking at the focus.

    Seen from the focus, every camera has an azimuth and an elevation about the scene's up direction
    and a distance. If the capture surrounds the focus, the path is one turn whose elevation and
    distance follow the cameras' smoothly. Otherwise (an arc, or a forward-facing capture) it is an
    ellipse in azimuth and elevation that spans the middle 80 % of each.

    Args:
        cameras: At least three; the path takes its intrinsics from the first that has the commonest
            image size.
        num_frames: Frames in one period; the frame after the last would be the first.
        focus: The point to look at, for example from `focus_from_depths`.

    Returns:
        `num_frames` cameras, evenly spaced in the angle along the path.

    Raises:
        ShapeError: If there are fewer than three cameras.
    """
    if len(cameras) < 3:
        raise ShapeError(f"An orbit needs at least 3 cameras, got {len(cameras)}.")
    poses = [camera.c2w_opengl for camera in cameras]
    axes = _orbit_axes(poses, focus)
    offsets = (np.stack(poses)[:, :3, 3] - focus) @ axes
    distance = np.linalg.norm(offsets, axis=-1)
    azimuth = np.arctan2(offsets[:, 1], offsets[:, 0])
    elevation = np.arcsin(offsets[:, 2] / distance)

    phase = 2 * np.pi * np.arange(num_frames) / num_frames
    if _largest_gap(azimuth) <= _FULL_CIRCLE_GAP:
        path_azimuth = phase
        path_elevation = _periodic_fit(azimuth, elevation, phase)
        path_distance = np.exp(_periodic_fit(azimuth, np.log(distance), phase))
    else:
        path_azimuth = _swing(azimuth, np.sin(phase))
        path_elevation = _swing(elevation, np.cos(phase))
        path_distance = np.full(num_frames, np.median(distance))

    directions = np.stack(
        [
            np.cos(path_elevation) * np.cos(path_azimuth),
            np.cos(path_elevation) * np.sin(path_azimuth),
            np.sin(path_elevation),
        ],
        axis=-1,
    )
    centres = focus + path_distance[:, None] * directions @ axes.T
    size, _ = Counter((camera.width, camera.height) for camera in cameras).most_common(1)[0]
    first = next(camera for camera in cameras if (camera.width, camera.height) == size)
    return [replace(first, c2w_opengl=look_at(centre, focus, axes[:, 2])) for centre in centres]


def _middle(values: Float[np.ndarray, "height width 3"]) -> Float[np.ndarray, "points 3"]:
    height, width = values.shape[:2]
    rows = slice(2 * height // 5, 2 * height // 5 + max(1, height // 5))
    columns = slice(2 * width // 5, 2 * width // 5 + max(1, width // 5))
    return values[rows, columns].reshape(-1, 3)


def _orbit_axes(
    c2w_opengl: Sequence[Float[np.ndarray, "4 4"]], focus: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "3 3"]:
    """Columns: azimuth 0 (towards the mean camera, away from the seam at 180 degrees), 90, up."""
    up = common_up(c2w_opengl)
    toward = np.stack(c2w_opengl)[:, :3, 3].mean(axis=0) - focus
    toward = toward - up * (toward @ up)
    if np.linalg.norm(toward) == 0:
        toward = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    toward = toward / np.linalg.norm(toward)
    return np.stack([toward, np.cross(up, toward), up], axis=-1)


def _largest_gap(angles: Float[np.ndarray, " n"]) -> float:
    ordered = np.sort(angles)
    return float(np.diff(ordered, append=ordered[0] + 2 * np.pi).max())


def _periodic_fit(
    angles: Float[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
    at: Float[np.ndarray, " frames"],
) -> Float[np.ndarray, " frames"]:
    """Least-squares fit of a constant and one harmonic: what a hand-held circle does, no wobble."""

    def basis(angle: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m 3"]:
        return np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], axis=-1)

    return basis(at) @ np.linalg.lstsq(basis(angles), values, rcond=None)[0]


def _swing(
    values: Float[np.ndarray, " n"], phase: Float[np.ndarray, " frames"]
) -> Float[np.ndarray, " frames"]:
    low, high = np.percentile(values, (10, 90))
    return (low + high) / 2 + (high - low) / 2 * phase
