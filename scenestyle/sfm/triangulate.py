"""Points for a dataset that comes with poses and without points."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenestyle.files import partial_of
from scenestyle.params import EstimatePoses

if TYPE_CHECKING:
    import pycolmap

_MAX_EXHAUSTIVE = 40
"""up to so many photos every pair is matched; of more, each with its nearest alone"""
_NEIGHBOURS = 20

_log = logging.getLogger(__name__)


def triangulated(
    model: "pycolmap.Reconstruction",
    images: Path,
    masks: Path | None,
    params: EstimatePoses,
    *,
    work: Path,
) -> "pycolmap.Reconstruction":
    """The model with points, its poses and intrinsics as they are.

    Args:
        model: Posed images without points, their names as in `images`.
        images: Folder of the images.
        masks: Folder of `NAME.png.png`, if any; no features are taken where they are 0.
        params: Feature count and seed.
        work: Scratch folder; features and matches are kept in it as soon as they are complete.

    Returns:
        A new model; without points if the images share no features, which is said in the log.
    """
    import pycolmap

    database, found = work / "posed.db", work / "triangulated"
    if not database.is_file():
        _match(model, images, masks, params, out=database)
    found.mkdir(exist_ok=True)
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.triangulation.random_seed = params.seed
    # With several threads bundle adjustment sums in changing order.
    options.num_threads = options.mapper.num_threads = 1
    with_points = pycolmap.triangulate_points(model, database, images, found, options=options)
    _log.info("triangulated %d points with the given poses", with_points.num_points3D())
    return with_points


def nearest_pairs(
    c2w_opencv: Sequence[np.ndarray], *, max_exhaustive: int = _MAX_EXHAUSTIVE
) -> list[tuple[int, int]]:
    """Index pairs of cameras that may see the same: all, or of many each with its nearest.

    Args:
        c2w_opencv: Poses, 4x4 each.
        max_exhaustive: Up to so many cameras all pairs are taken; of more, the 20 nearest of each
            that do not look the other way.
    """
    count = len(c2w_opencv)
    if count <= max_exhaustive:
        return [(i, j) for i in range(count) for j in range(i + 1, count)]
    centres, axes = (np.stack([pose[:3, column] for pose in c2w_opencv]) for column in (3, 2))
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    distances[(axes @ axes.T < 0) | np.eye(count, dtype=bool)] = np.inf
    pairs = set()
    for i, row in enumerate(distances):
        nearest = np.argsort(row, kind="stable")[:_NEIGHBOURS]
        pairs |= {(min(i, int(j)), max(i, int(j))) for j in nearest if np.isfinite(row[j])}
    return sorted(pairs)


def _match(
    model: "pycolmap.Reconstruction",
    images: Path,
    masks: Path | None,
    params: EstimatePoses,
    *,
    out: Path,
) -> None:
    """Write features and matches of the model's own cameras, whole or not at all."""
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    unfinished = partial_of(out)
    for leftover in out.parent.glob(f"{unfinished.name}*"):
        leftover.unlink()
    with pycolmap.Database.open(unfinished) as database:
        for camera in model.cameras.values():
            database.write_camera(camera, use_camera_id=True)
        for rig in model.rigs.values():
            database.write_rig(rig, use_rig_id=True)
        for frame in model.frames.values():
            database.write_frame(frame, use_frame_id=True)
        for image in model.images.values():
            database.write_image(image, use_image_id=True)
    views = sorted(model.images.values(), key=_by_name)
    _log.info("extracting SIFT features of %d posed photos", len(views))
    reader = pycolmap.ImageReaderOptions()
    if masks is not None:
        reader.mask_path = masks
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.sift.max_num_features = params.max_num_features
    pycolmap.extract_features(
        unfinished,
        images,
        [view.name for view in views],
        reader_options=reader,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,  # COLMAP's GPU SIFT finds other keypoints
    )
    pairs = nearest_pairs([_c2w_opencv(view) for view in views])
    _log.info("matching %d pairs of them", len(pairs))
    pair_list = out.with_name("posed_pairs.txt")
    pair_list.write_text("".join(f"{views[i].name} {views[j].name}\n" for i, j in pairs))
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = pair_list
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = params.seed
    pycolmap.match_image_pairs(
        unfinished,
        pairing_options=pairing,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )
    unfinished.rename(out)


def _c2w_opencv(view: "pycolmap.Image") -> np.ndarray:
    pose = np.eye(4)
    pose[:3] = view.cam_from_world().inverse().matrix()
    return pose


def _by_name(view: "pycolmap.Image") -> str:
    return view.name
