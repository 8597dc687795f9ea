"""The cameras of a scene from above, as numbers for a drawing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from scenestyle.capture.poses import c2w_opengl_of
from scenestyle.geometry import common_up
from scenestyle.sfm.diagnosis import LostPhoto, spread

if TYPE_CHECKING:
    import pycolmap

_NUM_POINTS = 400
_SHOWN_PERCENT = 5, 95
"""points beyond these percentiles along an axis are not shown: they may lie very far away"""


def seen_from_above(
    model: "pycolmap.Reconstruction", lost: Sequence[LostPhoto], file_names: Mapping[str, str]
) -> dict[str, object]:
    """Cameras and points of a model from above, and about where the lost photos were taken.

    Up is what most cameras agree on; the cameras spread most from left to right. Lengths are in
    units of the model.

    Args:
        model: With at least one posed photo.
        lost: Photos without a place, under the names of their files. Such a photo is near the
            placed ones that it matches, by their number of matches.
        file_names: Name of a view -> name of its file.

    Returns:
        `cameras`: `photo`, `at` [x, y], `looks` [x, y], the viewing direction of length 1 or less;
        `points`: some [x, y]; `lost`: `photo` and `near` [x, y], null if it matches none of these.
    """
    views = sorted((view for view in model.images.values() if view.has_pose), key=_by_name)
    poses = np.stack([c2w_opengl_of(view) for view in views])
    centres, looks = poses[:, :3, 3], -poses[:, :3, 2]
    axes = ground_axes(centres, common_up(list(poses)))
    origin = centres.mean(axis=0)
    at = (centres - origin) @ axes
    names = [file_names[Path(view.name).stem] for view in views]
    place = dict(zip(names, at, strict=True))
    return {
        "cameras": [
            {"photo": name, "at": _short(xy), "looks": _short(direction @ axes)}
            for name, xy, direction in zip(names, at, looks, strict=True)
        ],
        "points": [_short(xy) for xy in _some_points(model, origin, axes)],
        "lost": [
            {"photo": each.photo, "near": None if near is None else _short(near)}
            for each, near in ((each, _near(each, place)) for each in lost)
        ],
    }


def ground_axes(
    centres: Float[np.ndarray, "cameras 3"], up: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "3 2"]:
    """Right and forward on a map: orthonormal, perpendicular to `up`, right where centres spread.

    Seen from the tip of `up`, forward is a quarter turn to the left of right.
    """
    offsets = centres - centres.mean(axis=0)
    offsets -= np.outer(offsets @ up, up)
    right = np.linalg.svd(np.vstack([offsets, 1e-9 * (np.eye(3) - np.outer(up, up))]))[2][0]
    right *= np.sign(right[np.abs(right).argmax()])
    return np.stack([right, np.cross(up, right)], axis=-1)


def _near(
    lost: LostPhoto, place: Mapping[str, Float[np.ndarray, " 2"]]
) -> Float[np.ndarray, " 2"] | None:
    """Mean place of its partners, weighted by matches."""
    partners = [partner for partner in lost.partners if partner.photo in place]
    if not partners:
        return None
    weights = np.array([partner.matches for partner in partners], dtype=float)
    return weights @ np.stack([place[p.photo] for p in partners]) / weights.sum()


def _some_points(
    model: "pycolmap.Reconstruction",
    origin: Float[np.ndarray, " 3"],
    axes: Float[np.ndarray, "3 2"],
) -> Float[np.ndarray, "points 2"]:
    numbers = spread(sorted(model.point3D_ids()), _NUM_POINTS)
    if not numbers:
        return np.zeros((0, 2))
    points = (np.stack([model.point3D(number).xyz for number in numbers]) - origin) @ axes
    low, high = np.percentile(points, _SHOWN_PERCENT, axis=0)
    return points[((points >= low) & (points <= high)).all(axis=1)]


def _short(xy: Float[np.ndarray, " 2"]) -> list[float]:
    return [float(f"{value:.5g}") + 0.0 for value in xy]


def _by_name(view: "pycolmap.Image") -> str:
    return view.name
