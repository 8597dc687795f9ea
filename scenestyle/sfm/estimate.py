"""From whatever describes a scene to the poses folder."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scenestyle.artifacts import write_json
from scenestyle.capture import Photo, read_capture
from scenestyle.errors import GateError, InputError
from scenestyle.files import whole_file
from scenestyle.params import EstimatePoses
from scenestyle.sfm.dataset import write_dataset
from scenestyle.sfm.diagnosis import (
    MIN_ANGLE_DEG,
    MIN_PARALLAX,
    LostPhoto,
    lost_photos,
    triangulation_angle,
)
from scenestyle.sfm.mapping import prune, shared_points
from scenestyle.sfm.matching import PhotoSet, keypoint_counts, verified_pairs
from scenestyle.sfm.photos import write_feature_masks, write_photos
from scenestyle.sfm.plan import seen_from_above
from scenestyle.sfm.reconstruct import Rung, Search, best, reconstruct
from scenestyle.sfm.splats import write_splat_poses
from scenestyle.sfm.triangulate import triangulated
from scenestyle.viz.plan import camera_plan

if TYPE_CHECKING:
    import pycolmap

_NUM_NAMED = 10
"""lost photos that a message describes; the report holds all"""

_LITTLE_LEFT = (
    "What is cut away or hidden is not looked at. If little is left, bring poses that another "
    "program found in the uncut photos (docs/howto/captures.md), or hide less.\n"
)

_log = logging.getLogger(__name__)


def estimate_poses(
    source: Path, out: Path, params: EstimatePoses, *, work: Path
) -> dict[str, object]:
    """Pose the photos of a scene, or check the poses it comes with, and write the poses folder.

    Poses that come with `source` are taken over, and get points by triangulation if they have none;
    otherwise its photos go through structure from motion. Splats are taken over with their cameras.

    Args:
        source: The scene's folder; it is only read.
        out: Existing empty folder for the poses artifact.
        params: Gate, sizes and seed.
        work: Scratch folder that survives a kill: features and matches are not computed twice. If
            too few photos find a place, `report.json` and `cameras.png` in it say why.

    Returns:
        The headlines of `report.json`: registered share, reprojection error, seconds, versions.

    Raises:
        InputError: If `read_capture` finds the source unusable, or it holds panoramas.
        GateError: If the camera only turned on the spot, or too small a share of the photos could
            be registered.
    """
    start = time.monotonic()
    capture = read_capture(source)
    if capture.panoramas:
        raise InputError(
            f"{source} holds 360 degree pictures, which have to be split first: take it in with "
            "scenestyle add-scene."
        )
    if capture.splats is not None:
        return write_splat_poses(capture, source, out, params)
    work.mkdir(parents=True, exist_ok=True)
    images, masks, photos = work / "images", work / "masks", capture.photos
    if capture.model is None:
        model, details = _structure_from_motion(photos, images, masks, params, work=work)
    else:
        write_photos(photos, images, masks, max_side=None)
        model = capture.model
        if not model.num_points3D():
            looked_at = work / "feature_masks"
            has_masks = write_feature_masks(photos, images, masks, looked_at)
            model = triangulated(model, images, looked_at if has_masks else None, params, work=work)
        details = _details(model, photos, [])
    headlines = {
        "source": capture.layout,
        **_figures(model, photos),
        "left_out": list(capture.left_out),
        "changed": list(capture.changed),
        "warnings": list(capture.warnings),
        "versions": {name: version(name) for name in ("pycolmap", "pillow")},
    }
    write_dataset(
        model, images, masks, out, max_side=params.max_image_side, carried=capture.carried
    )
    headlines["seconds"] = round(time.monotonic() - start, 1)
    _write_report(out, {**details, **headlines})
    return headlines


def _structure_from_motion(
    photos: Sequence[Photo], images: Path, masks: Path, params: EstimatePoses, *, work: Path
) -> "tuple[pycolmap.Reconstruction, dict[str, object]]":
    """The model, pruned to its core, and what the report says beyond its headlines.

    Raises:
        GateError: If the camera only turned, or too few photos have a place.
    """
    lenses = write_photos(photos, images, masks, max_side=params.max_image_side)
    looked_at = work / "feature_masks"
    has_masks = write_feature_masks(photos, images, masks, looked_at)
    names = [photo.name for photo in photos]
    photo_set = PhotoSet(images, names, lenses, looked_at if has_masks else None)
    search = reconstruct(photo_set, params, work=work)
    details: dict[str, object] = {"parallax": search.parallax}
    if not search.rungs:
        _write_report(work, details)
        raise GateError(_turned_message(search.parallax or 0.0))
    found = best(search.rungs)
    lost = _lost(photos, found)
    details |= {
        "rungs": [_rung_report(rung) for rung in search.rungs],
        "lost_photos": [asdict(each) for each in lost],
    }
    model = found.models[0] if found.models else None
    if model is not None:
        prune(model, found.placed)
        details |= _details(model, photos, lost)
    if model is None or len(found.placed) < params.min_registered_share * len(photos):
        _write_report(work, details)
        raise GateError(_gate_message(photos, search, lost, params, work))
    if lost:
        _log.warning("%d of %d photos have no place:\n%s", len(lost), len(photos), _listed(lost))
    angle = triangulation_angle(model)
    if angle is not None and angle < MIN_ANGLE_DEG:
        _log.warning("%s", _little_movement(angle))
    return model, details


def _lost(photos: Sequence[Photo], found: Rung) -> list[LostPhoto]:
    """The photos without a place, under the names of their files."""
    shown = _file_names(photos)
    pairs = verified_pairs(found.database)
    return lost_photos(
        list(shown.values()),
        frozenset(shown[name] for name in found.placed),
        {(shown[first], shown[second]): count for (first, second), count in pairs.items()},
        {shown[name]: count for name, count in keypoint_counts(found.database).items()},
    )


def _file_names(photos: Sequence[Photo]) -> dict[str, str]:
    """Name of the view -> name of the file, or of the view where several files have one name."""
    times = Counter(photo.path.name for photo in photos)
    return {p.name: p.path.name if times[p.path.name] == 1 else p.name for p in photos}


def _rung_report(rung: Rung) -> dict[str, object]:
    return {
        "name": rung.name,
        "models": [len(kept) for kept in rung.cores],
        "placed": len(rung.placed),
        "points": rung.num_points,
        "cpu_seconds": rung.cpu_seconds,
    }


def _details(
    model: "pycolmap.Reconstruction", photos: Sequence[Photo], lost: Sequence[LostPhoto]
) -> dict[str, object]:
    """What the report says about a model, with or without points, beyond its headlines."""
    _, shared = shared_points(model)
    seen = np.diagonal(shared)
    return {
        "points_per_photo": {"least": int(seen.min()), "median": float(np.median(seen))},
        "triangulation_angle_degrees": triangulation_angle(model),
        "focal_lengths_px": [
            model.camera(number).mean_focal_length() for number in sorted(model.cameras)
        ],
        "seen_from_above": seen_from_above(model, lost, _file_names(photos)),
    }


def _write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write `report.json` and, if there are cameras, `cameras.png`."""
    write_json(folder / "report.json", report)
    if "seen_from_above" in report:
        with whole_file(folder / "cameras.png") as file:
            file.write_bytes(camera_plan(report["seen_from_above"]))


def _turned_message(parallax: float) -> str:
    return (
        "The camera turned but did not move: turning alone explains all matches to "
        f"{parallax:.2%} of the image's long side, {MIN_PARALLAX:.1%} is the least (parallax). "
        "Depth comes from moving: walk around the scene or sideways, half a step between photos, "
        "and do not turn on the spot. A flat picture, filmed or cropped, has no depth either."
    )


def _little_movement(angle: float) -> str:
    return (
        f"The camera hardly moved: points are seen under {angle:.1f} degrees (median over points), "
        f"below {MIN_ANGLE_DEG:.0f} depths are vague. Step further aside between photos."
    )


def _gate_message(
    photos: Sequence[Photo],
    search: Search,
    lost: Sequence[LostPhoto],
    params: EstimatePoses,
    work: Path,
) -> str:
    num_photos = len(photos)
    # Of equally good rungs the one that shows more of the groups.
    rung = max(search.rungs, key=lambda rung: (len(rung.placed), len(rung.models)))
    sizes = [len(kept) for kept in rung.cores]
    groups = f" They fall into groups of {sizes} that do not overlap." if len(sizes) > 1 else ""
    angle = triangulation_angle(rung.models[0]) if rung.models else None
    moved = f"{_little_movement(angle)}\n" if angle and angle < MIN_ANGLE_DEG else ""
    if any(photo.transparent or photo.mask is not None for photo in photos):
        moved += _LITTLE_LEFT
    picture = f", cameras from above: {work / 'cameras.png'}" if rung.models else ""
    return (
        f"{len(rung.placed)} of {num_photos} photos ({len(rung.placed) / num_photos:.0%}) could be "
        f"placed in one scene, but {params.min_registered_share:.0%} must be "
        f"(estimate_poses.min_registered_share).{groups} Not placed:\n{_listed(lost)}\n{moved}"
        "Every photo must share at least half of what it shows with its neighbours, and be sharp. "
        f"All that is known: {work / 'report.json'}{picture}."
    )


def _listed(lost: Sequence[LostPhoto]) -> str:
    lines = [f"  - {each.photo}: {each.advice}" for each in lost[:_NUM_NAMED]]
    more = [f"  and {len(lost) - _NUM_NAMED} more"] if len(lost) > _NUM_NAMED else []
    return "\n".join([*lines, *more])


def _figures(model: "pycolmap.Reconstruction", photos: Sequence[Photo]) -> dict[str, object]:
    registered = {Path(view.name).stem for view in model.images.values() if view.has_pose}
    lost = [photo.path.name for photo in photos if photo.name not in registered]
    has_points = model.num_points3D() > 0
    return {
        "photos": len(photos),
        "registered": len(photos) - len(lost),
        "registered_share": 1 - len(lost) / len(photos),
        "not_registered": lost,
        "points": model.num_points3D(),
        "mean_reprojection_error_px": model.compute_mean_reprojection_error()
        if has_points
        else None,
    }
