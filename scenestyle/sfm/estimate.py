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
from scenestyle.sfm.mapping import core, prune, shared_points
from scenestyle.sfm.matching import PhotoSet, keypoint_counts, verified_pairs
from scenestyle.sfm.photos import Photo, find_photos, write_upright_photos
from scenestyle.sfm.plan import seen_from_above
from scenestyle.sfm.posed import colmap_folder, read_colmap, read_transforms
from scenestyle.sfm.reconstruct import Rung, Search, best, reconstruct
from scenestyle.sfm.triangulate import triangulated
from scenestyle.viz.plan import camera_plan

if TYPE_CHECKING:
    import pycolmap

_NUM_NAMED = 10
"""lost photos that a message describes; the report holds all"""

_log = logging.getLogger(__name__)


def estimate_poses(
    source: Path, out: Path, params: EstimatePoses, *, work: Path
) -> dict[str, object]:
    """Pose the photos of a scene, or check the poses it comes with, and write the poses folder.

    A `transforms.json` (nerfstudio) or a COLMAP model in `source` is taken over, and gets points by
    triangulation if it has none; otherwise its photos go through structure from motion.

    Args:
        source: The scene's folder; it is only read.
        out: Existing empty folder for the poses artifact.
        params: Gate, sizes and seed.
        work: Scratch folder that survives a kill: features and matches are not computed twice. If
            too few photos find a place, `report.json` and `cameras.png` in it say why.

    Returns:
        The headlines of `report.json`: registered share, reprojection error, seconds, versions.

    Raises:
        InputError: If the source is no folder, holds too few photos, or has unusable photos or
            poses.
        GateError: If the camera only turned on the spot, or too small a share of the photos could
            be registered.
    """
    start = time.monotonic()
    if not source.is_dir():
        kind = "is a file" if source.exists() else "does not exist"
        raise InputError(f"{source} {kind}; a folder of photos or a posed dataset is needed.")
    work.mkdir(parents=True, exist_ok=True)
    images = work / "images"
    model_folder = colmap_folder(source)
    ignored: list[str] = []
    how: dict[str, object] = {}
    if (source / "transforms.json").is_file():
        kind, (model, photos) = "transforms.json", read_transforms(source, images)
    elif model_folder is not None:
        kind, (model, photos) = "COLMAP model", read_colmap(model_folder, source, images)
    else:
        kind, (photos, ignored) = "photos", find_photos(source)
        model, how = _structure_from_motion(photos, images, params, work=work)
    if not model.num_points3D():
        model = triangulated(model, images, params, work=work)
    headlines = {
        "source": kind,
        **_figures(model, photos),
        "ignored_files": ignored,
        "versions": {name: version(name) for name in ("pycolmap", "pillow")},
    }
    report = {**_details(model, photos), **how, **headlines}
    write_dataset(model, images, out, max_side=params.max_image_side)
    headlines["seconds"] = round(time.monotonic() - start, 1)
    _write_report(out, {**report, **headlines})
    return headlines


def _structure_from_motion(
    photos: list[Photo], images: Path, params: EstimatePoses, *, work: Path
) -> "tuple[pycolmap.Reconstruction, dict[str, object]]":
    """The model, pruned to its core, and what the report says about how it was found.

    Raises:
        GateError: If the camera only turned, or too few photos have a place.
    """
    lenses = write_upright_photos(photos, images, max_side=params.max_image_side)
    names = [photo.name for photo in photos]
    search = reconstruct(PhotoSet(images, names, lenses), params, work=work)
    how: dict[str, object] = {"parallax": search.parallax}
    if not search.rungs:
        _write_report(work, how)
        raise GateError(_turned_message(search.parallax or 0.0))
    found = best(search.rungs)
    lost = _lost(photos, found)
    how |= {
        "rungs": [_rung_report(rung) for rung in search.rungs],
        "lost_photos": [asdict(each) for each in lost],
    }
    model = found.models[0] if found.models else None
    if model is not None:
        prune(model)
        how["seen_from_above"] = seen_from_above(model, lost, _file_names(photos))
    if model is None or len(found.placed) < params.min_registered_share * len(photos):
        _write_report(work, {**(_details(model, photos) if model else {}), **how})
        raise GateError(_gate_message(len(photos), search, lost, params, work))
    if lost:
        _log.warning("%d of %d photos have no place:\n%s", len(lost), len(photos), _listed(lost))
    angle = triangulation_angle(model)
    if angle is not None and angle < MIN_ANGLE_DEG:
        _log.warning("%s", _little_movement(angle))
    return model, how


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
        "models": [len(core(model)) for model in rung.models],
        "placed": len(rung.placed),
        "points": rung.score[1],
        "cpu_seconds": rung.cpu_seconds,
    }


def _details(model: "pycolmap.Reconstruction", photos: Sequence[Photo]) -> dict[str, object]:
    """What the report says about a model, with or without points, beyond its headlines."""
    _, shared = shared_points(model)
    seen = np.diagonal(shared)
    return {
        "points_per_photo": {"least": int(seen.min()), "median": float(np.median(seen))},
        "triangulation_angle_degrees": triangulation_angle(model),
        "focal_lengths_px": [camera.mean_focal_length() for camera in model.cameras.values()],
        "seen_from_above": seen_from_above(model, [], _file_names(photos)),
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
    num_photos: int, search: Search, lost: Sequence[LostPhoto], params: EstimatePoses, work: Path
) -> str:
    rung = max(search.rungs, key=lambda rung: (len(rung.placed), len(rung.models)))
    sizes = [len(core(model)) for model in rung.models]
    groups = f" They fall into groups of {sizes} that do not overlap." if len(sizes) > 1 else ""
    angle = triangulation_angle(rung.models[0]) if rung.models else None
    moved = f"{_little_movement(angle)}\n" if angle and angle < MIN_ANGLE_DEG else ""
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


def _figures(model: "pycolmap.Reconstruction", photos: list[Photo]) -> dict[str, object]:
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
