"""From whatever describes a scene to the poses folder."""

import logging
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from scenestyle.artifacts import write_json
from scenestyle.errors import GateError, InputError
from scenestyle.params import EstimatePoses
from scenestyle.sfm.dataset import write_dataset
from scenestyle.sfm.photos import Photo, find_photos, write_upright_photos
from scenestyle.sfm.posed import colmap_folder, read_colmap, read_transforms
from scenestyle.sfm.reconstruct import reconstruct

if TYPE_CHECKING:
    import pycolmap

_log = logging.getLogger(__name__)


def estimate_poses(
    source: Path, out: Path, params: EstimatePoses, *, work: Path
) -> dict[str, object]:
    """Pose the photos of a scene, or check the poses it comes with, and write the poses folder.

    A `transforms.json` (nerfstudio) or a COLMAP model in `source` is taken over; otherwise its
    photos go through structure from motion.

    Args:
        source: The scene's folder; it is only read.
        out: Existing empty folder for the poses artifact.
        params: Gate, sizes and seed.
        work: Scratch folder that survives a kill: features and matches are not computed twice.

    Returns:
        What `report.json` says: registered share, reprojection error, seconds, versions.

    Raises:
        InputError: If the source is no folder, holds too few photos, or has unusable photos or
            poses.
        GateError: If too small a share of the photos could be registered.
    """
    start = time.monotonic()
    if not source.is_dir():
        kind = "is a file" if source.exists() else "does not exist"
        raise InputError(f"{source} {kind}; a folder of photos or a posed dataset is needed.")
    work.mkdir(parents=True, exist_ok=True)
    images = work / "images"
    model_folder = colmap_folder(source)
    if (source / "transforms.json").is_file():
        kind, (model, photos), ignored = "transforms.json", read_transforms(source, images), []
    elif model_folder is not None:
        kind, (model, photos), ignored = (
            "COLMAP model",
            read_colmap(model_folder, source, images),
            [],
        )
    else:
        kind = "photos"
        photos, ignored = find_photos(source)
        model = _structure_from_motion(photos, images, params, work=work)
    write_dataset(model, images, out, max_side=params.max_image_side)
    report = {
        "source": kind,
        **_figures(model, photos),
        "ignored_files": ignored,
        "seconds": round(time.monotonic() - start, 1),
        "versions": {name: version(name) for name in ("pycolmap", "pillow")},
    }
    write_json(out / "report.json", report)
    return report


def _structure_from_motion(
    photos: list[Photo], images: Path, params: EstimatePoses, *, work: Path
) -> "pycolmap.Reconstruction":
    lenses = write_upright_photos(photos, images, max_side=params.max_image_side)
    models = reconstruct(images, [photo.name for photo in photos], lenses, params, work=work)
    sizes = [model.num_reg_images() for model in models]
    _log.info("models of %s photos", sizes)
    if not models or sizes[0] < params.min_registered_share * len(photos):
        lost = photos if not models else _not_registered(models[0], photos)
        raise GateError(_gate_message(len(photos), sizes, lost, params.min_registered_share))
    return models[0]


def _not_registered(model: "pycolmap.Reconstruction", photos: list[Photo]) -> list[Photo]:
    registered = {image.name for image in model.images.values() if image.has_pose}
    return [photo for photo in photos if f"{photo.name}.png" not in registered]


def _gate_message(num_photos: int, sizes: list[int], lost: list[Photo], threshold: float) -> str:
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


def _figures(model: "pycolmap.Reconstruction", photos: list[Photo]) -> dict[str, object]:
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
