"""Why photos have no place: with whom each matches and how well, and whether the camera moved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Float

from scenestyle.sfm.matching import Pair

if TYPE_CHECKING:
    import pycolmap

T = TypeVar("T")

MIN_MATCHES_TO_PLACE = 30
"""COLMAP gives a photo a pose if so many of its keypoints fit points of the scene"""
MIN_ANGLE_DEG = 3.0
"""twice the angle under which COLMAP drops points, as their depths would be guesses"""

MIN_PARALLAX = 0.003
"""cameras that turned on the spot had 0.0014 at most, captures 0.029 at least"""

_FEW_KEYPOINTS = 200
_NUM_PARTNERS = 5
_NUM_POINTS, _NUM_PAIRS = 2000, 100
_FOCAL_LENGTHS = np.geomspace(0.5, 3, 10)
"""of the lenses that people have, in long sides of the image"""


@dataclass(frozen=True)
class Partner:
    """A photo that another one matches."""

    photo: str
    """name"""
    matches: int
    """matches of the two that fit one geometry"""
    placed: bool
    """whether it has a place in the scene"""


@dataclass(frozen=True)
class LostPhoto:
    """A photo that has no place in the scene."""

    photo: str
    """name"""
    keypoints: int
    partners: Sequence[Partner]
    """the best five, placed ones first, then by matches"""
    advice: str
    """what to photograph next, or what else to do"""


def lost_photos(
    names: Iterable[str],
    placed: frozenset[str],
    pairs: Mapping[Pair, int],
    num_keypoints: Mapping[str, int],
) -> list[LostPhoto]:
    """The photos without a place, in the order of `names`, and what is known about each.

    Args:
        names: Of all photos.
        placed: Those that have a place.
        pairs: Verified pairs with their number of matches.
        num_keypoints: Of every photo.
    """
    found = []
    for name in names:
        if name not in placed:
            partners = [
                Partner(other, count, other in placed)
                for pair, count in pairs.items()
                if name in pair
                for other in pair
                if other != name
            ]
            partners.sort(key=lambda partner: (not partner.placed, -partner.matches, partner.photo))
            advice = _advice(num_keypoints[name], partners)
            found.append(LostPhoto(name, num_keypoints[name], partners[:_NUM_PARTNERS], advice))
    return found


def parallax(database: Path) -> float | None:
    """How much of the photos' motion is more than a turning of the camera on the spot.

    For each pair of photos, the rotation that best maps the viewing directions of its matches onto
    each other leaves a median distance, in long sides of the image: its parallax. The result is the
    90th percentile over (up to 100) pairs, with the focal length that explains most by turning.
    Without parallax there is no depth, whatever a reconstruction says: one that places all photos
    at once gives a whole scene for a camera that only turned.

    Args:
        database: Of `matching.match_photos`.

    Returns:
        None if there is no pair with 30 matches.
    """
    import pycolmap

    with pycolmap.Database.open(database) as opened:
        cameras = {camera.camera_id: camera for camera in opened.read_all_cameras()}
        sizes = {
            image.image_id: (cameras[image.camera_id].width, cameras[image.camera_id].height)
            for image in opened.read_all_images()
        }
        numbers, geometries = opened.read_two_view_geometries()
        matched = [
            (*pycolmap.pair_id_to_image_pair(number), geometry.inlier_matches)
            for number, geometry in sorted(zip(numbers, geometries, strict=True), key=_first)
            if len(geometry.inlier_matches) >= MIN_MATCHES_TO_PLACE
        ]
        residuals = [
            [rotation_residual(*ends, focal) for focal in _FOCAL_LENGTHS]
            for first, second, matches in spread(matched, _NUM_PAIRS)
            for ends in [
                (
                    _centred(opened.read_keypoints(first)[matches[:, 0], :2], sizes[first]),
                    _centred(opened.read_keypoints(second)[matches[:, 1], :2], sizes[second]),
                )
            ]
        ]
    return float(np.percentile(residuals, 90, axis=0).min()) if residuals else None


def rotation_residual(
    first: Float[np.ndarray, "matches 2"], second: Float[np.ndarray, "matches 2"], focal: float
) -> float:
    """Median distance that the best rotation of a camera leaves between matching points.

    Args:
        first: Points of one image, from its centre.
        second: The points of the other that they match.
        focal: Focal length of both, in the unit of the points.

    Source: Kabsch 1976, "A solution for the best rotation to relate two sets of vectors".
    """
    rays_first, rays_second = (
        rays / np.linalg.norm(rays, axis=1, keepdims=True)
        for rays in (np.insert(points / focal, 2, 1, axis=1) for points in (first, second))
    )
    left, _, right_t = np.linalg.svd(rays_second.T @ rays_first)
    turn = left @ np.diag([1, 1, np.linalg.det(left @ right_t)]) @ right_t
    turned = rays_first @ turn.T
    return float(np.median(np.linalg.norm(turned[:, :2] / turned[:, 2:] * focal - second, axis=1)))


def triangulation_angle(model: "pycolmap.Reconstruction") -> float | None:
    """Median over points of the largest angle between two of the rays that meet there, degrees.

    It says how far the camera moved, measured by the distance of what it saw. None without points.
    """
    centres = {
        number: view.projection_center() for number, view in model.images.items() if view.has_pose
    }
    angles = []
    for number in spread(sorted(model.point3D_ids()), _NUM_POINTS):
        point = model.point3D(number)
        seen_from = [centres[e.image_id] for e in point.track.elements if e.image_id in centres]
        angles.append(largest_angle(np.stack(seen_from) - point.xyz))
    return float(np.median(angles)) if angles else None


def largest_angle(rays: Float[np.ndarray, "rays 3"]) -> float:
    """Largest angle between two of some directions, degrees."""
    directions = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip((directions @ directions.T).min(), -1, 1))))


def _centred(
    points_px: Float[np.ndarray, "points 2"], size: tuple[int, int]
) -> Float[np.ndarray, "points 2"]:
    """From the middle of the image, in its long sides."""
    return (points_px - np.array(size) / 2) / max(size)


def _advice(num_keypoints: int, partners: Sequence[Partner]) -> str:
    if not partners and num_keypoints < _FEW_KEYPOINTS:
        return "blurred, dark or without texture: take it again"
    if not partners:
        return (
            "matches no other photo: take photos between it and its neighbours, or leave it out if "
            "it shows something else"
        )
    nearest = partners[0]
    if not nearest.placed:
        return (
            f"matches only photos without a place, best {nearest.photo}: take photos between these "
            "and the others, or leave them out if they show something else"
        )
    if nearest.matches < MIN_MATCHES_TO_PLACE:
        return (
            f"best match {nearest.photo} with {nearest.matches} points "
            f"({MIN_MATCHES_TO_PLACE} are needed): take photos between the two"
        )
    return (
        f"matches {nearest.photo} with {nearest.matches} points, too few of which other photos see "
        "as well: take photos between the two"
    )


def spread(items: Sequence[T], count: int) -> Sequence[T]:
    """At most `count` items, evenly spaced."""
    return items[:: -(-len(items) // count)] if items else items


def _first(item: tuple[int, object]) -> int:
    return item[0]
