"""From whatever describes a scene to the poses folder."""

import logging
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from scenestyle.artifacts import write_json
from scenestyle.capture import Capture, Photo, read_capture
from scenestyle.errors import GateError, InputError
from scenestyle.params import EstimatePoses
from scenestyle.sfm.dataset import write_dataset
from scenestyle.sfm.photos import write_feature_masks, write_photos
from scenestyle.sfm.reconstruct import reconstruct

if TYPE_CHECKING:
    import pycolmap

_log = logging.getLogger(__name__)


def estimate_poses(
    source: Path, out: Path, params: EstimatePoses, *, work: Path
) -> dict[str, object]:
    """Pose the photos of a scene, or check the poses it comes with, and write the poses folder.

    Poses that come with `source` are taken over; otherwise its photos go through structure from
    motion.

    Args:
        source: The scene's folder; it is only read.
        out: Existing empty folder for the poses artifact.
        params: Gate, sizes and seed.
        work: Scratch folder that survives a kill: features and matches are not computed twice.

    Returns:
        What `report.json` says: registered share, reprojection error, seconds, versions.

    Raises:
        InputError: If `read_capture` finds the source unusable, or it holds panoramas.
        GateError: If too small a share of the photos could be registered.
    """
    start = time.monotonic()
    capture = read_capture(source)
    if capture.panoramas:
        raise InputError(
            f"{source} holds 360 degree pictures, which have to be split first: take it in with "
            "scenestyle add-scene."
        )
    work.mkdir(parents=True, exist_ok=True)
    images, masks = work / "images", work / "masks"
    if capture.model is None:
        model = _structure_from_motion(capture.photos, images, masks, params, work=work)
    else:
        write_photos(capture.photos, images, masks, max_side=None)
        model = capture.model
    write_dataset(
        model, images, masks, out, max_side=params.max_image_side, carried=capture.carried
    )
    report = {
        "source": capture.layout,
        **_figures(model, capture),
        "left_out": list(capture.left_out),
        "changed": list(capture.changed),
        "warnings": list(capture.warnings),
        "seconds": round(time.monotonic() - start, 1),
        "versions": {name: version(name) for name in ("pycolmap", "pillow")},
    }
    write_json(out / "report.json", report)
    return report


def _structure_from_motion(
    photos: Sequence[Photo], images: Path, masks: Path, params: EstimatePoses, *, work: Path
) -> "pycolmap.Reconstruction":
    lenses = write_photos(photos, images, masks, max_side=params.max_image_side)
    looked_at = work / "feature_masks"
    has_masks = write_feature_masks(photos, images, masks, looked_at)
    models = reconstruct(
        images,
        [photo.name for photo in photos],
        lenses,
        params,
        work=work,
        masks=looked_at if has_masks else None,
    )
    sizes = [model.num_reg_images() for model in models]
    _log.info("models of %s photos", sizes)
    if not models or sizes[0] < params.min_registered_share * len(photos):
        lost = photos if not models else _not_registered(models[0], photos)
        raise GateError(_gate_message(len(photos), sizes, lost, params.min_registered_share))
    return models[0]


def _not_registered(model: "pycolmap.Reconstruction", photos: Sequence[Photo]) -> list[Photo]:
    registered = {image.name for image in model.images.values() if image.has_pose}
    return [photo for photo in photos if f"{photo.name}.png" not in registered]


def _gate_message(
    num_photos: int, sizes: list[int], lost: Sequence[Photo], threshold: float
) -> str:
    placed = sizes[0] if sizes else 0
    groups = f" They fall into groups of {sizes} that do not overlap." if len(sizes) > 1 else ""
    names = ", ".join(photo.path.name for photo in lost[:10]) + (", ..." if len(lost) > 10 else "")
    return (
        f"{placed} of {num_photos} photos ({placed / num_photos:.0%}) could be placed in one "
        f"scene, but {threshold:.0%} must be (estimate_poses.min_registered_share).{groups} Not "
        f"placed: {names}. Every photo must share at least half of what it shows with its "
        "neighbours: add photos in between, leave out blurred or unrelated ones, and see that "
        "the scene has texture."
    )


def _figures(model: "pycolmap.Reconstruction", capture: Capture) -> dict[str, object]:
    photos = capture.photos
    lost = _not_registered(model, photos)
    has_points = model.num_points3D() > 0
    return {
        "photos": len(photos),
        "registered": len(photos) - len(lost),
        "registered_share": 1 - len(lost) / len(photos),
        "not_registered": [photo.path.name for photo in lost],
        "points": model.num_points3D(),
        "mean_reprojection_error_px": model.compute_mean_reprojection_error()
        if has_points
        else None,
    }
