"""Incremental structure from motion with COLMAP, in steps whose rerun gives the same bytes."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from scenestyle.capture import MIN_PHOTOS
from scenestyle.files import partial_of
from scenestyle.params import EstimatePoses
from scenestyle.sfm.photos import Lens

if TYPE_CHECKING:
    import pycolmap

_MAX_EXHAUSTIVE = 200
"""up to so many photos every pair is matched; beyond, the cost grows too fast"""
_SEQUENCE_WINDOW = 10

_log = logging.getLogger(__name__)


def reconstruct(
    images: Path,
    names: list[str],
    lenses: list[Lens],
    params: EstimatePoses,
    *,
    work: Path,
    masks: Path | None = None,
) -> "list[pycolmap.Reconstruction]":
    """Find the poses of photos that see one scene.

    Args:
        images: Folder of upright photos `NAME.png`.
        names: Their names, in the order in which they were taken.
        lenses: One per photo; equal lenses share one set of intrinsics (SIMPLE_RADIAL).
        params: Feature count and seed.
        work: Scratch folder; features and matches are kept in it as soon as they are complete.
        masks: Folder of `NAME.png.png`; no features are taken where they are 0.

    Returns:
        The models found, the one with most photos first; empty if no two photos fit together.
    """
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    database = work / "matches.db"
    if not database.is_file():
        _match(images, names, lenses, params, out=database, masks=masks)
    models = work / "models"
    models.mkdir(exist_ok=True)
    found = pycolmap.incremental_mapping(database, images, models, _mapping_options(params.seed))
    return sorted(found.values(), key=lambda model: -model.num_reg_images())


def pairs_of_sequence(num_photos: int) -> list[tuple[int, int]]:
    """Index pairs worth matching when photos follow each other along a path that may be closed.

    Each photo meets the next few and, ever more sparsely, those far ahead (distances 16, 32, ...),
    counted round the end to the start, so that a closed path is also matched where it closes.
    """
    steps = list(range(1, _SEQUENCE_WINDOW + 1))
    while steps[-1] * 2 < num_photos:
        steps.append(16 if steps[-1] == _SEQUENCE_WINDOW else steps[-1] * 2)
    pairs = {
        (min(i, j), max(i, j))
        for i in range(num_photos)
        for j in ((i + step) % num_photos for step in steps)
        if i != j
    }
    return sorted(pairs)


def _match(
    images: Path,
    names: list[str],
    lenses: list[Lens],
    params: EstimatePoses,
    *,
    out: Path,
    masks: Path | None,
) -> None:
    import pycolmap

    unfinished = partial_of(out)
    for leftover in out.parent.glob(f"{unfinished.name}*"):
        leftover.unlink()
    pycolmap.Database.open(unfinished).close()
    # Extraction alone would number the photos in the order in which its threads finish.
    for lens in sorted(set(lenses), key=lenses.index):
        sharing = [f"{name}.png" for name, own in zip(names, lenses, strict=True) if own == lens]
        pycolmap.import_images(
            unfinished,
            images,
            camera_mode=pycolmap.CameraMode.SINGLE,
            image_names=sharing,
            options=_reader_options(lens),
        )
    _log.info("extracting SIFT features of %d photos", len(names))
    cpu = pycolmap.Device.cpu  # COLMAP's GPU SIFT finds other keypoints
    reader = pycolmap.ImageReaderOptions()
    if masks is not None:
        reader.mask_path = masks
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.sift.max_num_features = params.max_num_features
    pycolmap.extract_features(
        unfinished,
        images,
        [f"{name}.png" for name in names],
        reader_options=reader,
        extraction_options=extraction,
        device=cpu,
    )
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = params.seed
    if len(names) <= _MAX_EXHAUSTIVE:
        _log.info("matching all pairs of %d photos", len(names))
        pycolmap.match_exhaustive(unfinished, verification_options=verification, device=cpu)
    else:
        pairs = pairs_of_sequence(len(names))
        _log.info("matching %d pairs of %d photos, taken as a sequence", len(pairs), len(names))
        pair_list = out.with_name("pairs.txt")
        pair_list.write_text("".join(f"{names[i]}.png {names[j]}.png\n" for i, j in pairs))
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = pair_list
        pycolmap.match_image_pairs(
            unfinished,
            pairing_options=pairing,
            verification_options=verification,
            device=cpu,
        )
    unfinished.rename(out)


def _reader_options(lens: Lens) -> "pycolmap.ImageReaderOptions":
    import pycolmap

    options = pycolmap.ImageReaderOptions()
    options.camera_model = "SIMPLE_RADIAL"
    if lens.focal_px is not None:
        options.camera_params = f"{lens.focal_px},{lens.width / 2},{lens.height / 2},0"
    return options


def _mapping_options(seed: int) -> "pycolmap.IncrementalPipelineOptions":
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = MIN_PHOTOS
    options.random_seed = seed
    options.mapper.random_seed = seed
    options.triangulation.random_seed = seed
    # With several threads bundle adjustment sums in changing order.
    options.num_threads = 1
    options.mapper.num_threads = 1
    return options
