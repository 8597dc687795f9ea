"""Features of photos and their matches, in a COLMAP database that is there whole or not at all."""

import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from scenestyle.files import partial_of
from scenestyle.params import EstimatePoses
from scenestyle.sfm.photos import Lens

if TYPE_CHECKING:
    import pycolmap

Pair = tuple[str, str]
"""names of two photos"""

MIN_INLIERS = 15
"""COLMAP keeps no pair with fewer matches that fit one geometry"""

_MAX_EXHAUSTIVE = 200
"""up to so many photos every pair is matched; beyond, the cost grows too fast"""
_SEQUENCE_WINDOW = 10
_PREVIEW_KEYPOINTS = 256
"""the coarsest keypoints of a photo, which tell whether two photos are worth matching in full"""
_PREVIEW_MIN_MATCHES = 4
_PREVIEW_PARTNERS = 16
_MAX_RATIO, _MIN_COSINE = 0.8, np.cos(0.7)
"""COLMAP's limits for a match: distance to the best over that to the second best, and cosine"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhotoSet:
    """Photos to pose, as they lie on disk."""

    images: Path
    """folder of upright photos `NAME.png`"""
    names: Sequence[str]
    """their names, in the order in which they were taken"""
    lenses: Sequence[Lens]
    """one per photo; equal lenses share one set of intrinsics (SIMPLE_RADIAL)"""
    masks: Path | None = None
    """folder of `NAME.png.png`; no features are taken where they are 0"""


def match_photos(
    photos: PhotoSet, params: EstimatePoses, *, out: Path, affine: bool = False
) -> None:
    """Find the SIFT features of photos, match them, and keep the matches that fit one geometry.

    Up to 200 photos every pair is matched. Of more, each photo is matched with its neighbours in
    the order of names, ever more sparsely with those far ahead, and with those of which a preview,
    a few coarse keypoints of each photo, says that they show the same.

    Args:
        photos: The photos.
        params: Feature count and seed.
        out: The database, written whole or not at all.
        affine: Whether keypoints adapt to slanted surfaces and descriptors are pooled over sizes:
            more matches of blurred, small and distant photos, at about six times the time.

    Source: Lowe 2004, "Distinctive Image Features from Scale-Invariant Keypoints"; Dong & Soatto
    2015, "Domain-Size Pooling in Local Descriptors", arXiv:1412.8556; the preview is Wu 2013,
    "Towards Linear-time Incremental Structure from Motion".
    """
    import pycolmap

    names, lenses = list(photos.names), list(photos.lenses)
    unfinished = _fresh(out)
    pycolmap.Database.open(unfinished).close()
    # Extraction alone would number the photos in the order in which its threads finish.
    for lens in sorted(set(lenses), key=lenses.index):
        sharing = [_file(name) for name, own in zip(names, lenses, strict=True) if own == lens]
        pycolmap.import_images(
            unfinished,
            photos.images,
            camera_mode=pycolmap.CameraMode.SINGLE,
            image_names=sharing,
            options=_reader_options(lens),
        )
    _log.info("extracting %sSIFT features of %d photos", "affine " if affine else "", len(names))
    reader = pycolmap.ImageReaderOptions()
    if photos.masks is not None:
        reader.mask_path = photos.masks
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.sift.max_num_features = params.max_num_features
    extraction.sift.estimate_affine_shape = affine
    extraction.sift.domain_size_pooling = affine
    pycolmap.extract_features(
        unfinished,
        photos.images,
        [_file(name) for name in names],
        reader_options=reader,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,  # COLMAP's GPU SIFT finds other keypoints
    )
    if len(names) <= _MAX_EXHAUSTIVE:
        _log.info("matching all pairs of %d photos", len(names))
        pycolmap.match_exhaustive(
            unfinished,
            verification_options=_verification_options(params.seed),
            device=pycolmap.Device.cpu,
        )
    else:
        indices = {*pairs_of_sequence(len(names)), *_alike(unfinished, names)}
        _log.info("matching %d pairs of %d photos", len(indices), len(names))
        pairs = [(names[i], names[j]) for i, j in sorted(indices)]
        _match_pairs(unfinished, pairs, params.seed, guided=False)
    unfinished.rename(out)


def match_guided(plain: Path, pairs: Iterable[Pair], seed: int, *, out: Path) -> None:
    """Match pairs again, with the geometry that their matches fit as guide.

    A keypoint is then compared only with those near its epipolar line, so that its match need not
    be distinctive in the whole image. It costs about twelve times as much and acts only on pairs
    that have a geometry already.

    Args:
        plain: A database that `match_photos` wrote; it stays as it is.
        pairs: The pairs to match again; the others are kept as they are.
        seed: Of the robust estimators.
        out: The new database, written whole or not at all.
    """
    import pycolmap

    unfinished, pairs = _fresh(out), list(pairs)
    shutil.copyfile(plain, unfinished)
    with pycolmap.Database.open(unfinished) as database:
        numbers = {_name(image): image.image_id for image in database.read_all_images()}
        for first, second in pairs:
            database.delete_matches(numbers[first], numbers[second])
            database.delete_two_view_geometry(numbers[first], numbers[second])
    _match_pairs(unfinished, pairs, seed, guided=True)
    unfinished.rename(out)


def verified_pairs(database: Path) -> dict[Pair, int]:
    """Pairs of photos whose matches fit one geometry, with the number of these matches."""
    import pycolmap

    with pycolmap.Database.open(database) as opened:
        names = {image.image_id: _name(image) for image in opened.read_all_images()}
        numbers, counts = opened.read_two_view_geometry_num_inliers()
    pairs = {}
    for number, count in zip(numbers, counts, strict=True):
        if count >= MIN_INLIERS:
            first, second = sorted(names[i] for i in pycolmap.pair_id_to_image_pair(number))
            pairs[first, second] = count
    return dict(sorted(pairs.items()))


def keypoint_counts(database: Path) -> dict[str, int]:
    """Number of keypoints of every photo."""
    import pycolmap

    with pycolmap.Database.open(database) as opened:
        return {
            _name(image): opened.num_keypoints_for_image(image.image_id)
            for image in opened.read_all_images()
        }


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


def alike_pairs(
    descriptors: Sequence[UInt8[np.ndarray, "_ dimensions"]], *, max_partners: int
) -> list[tuple[int, int]]:
    """Index pairs of photos of which a few descriptors each match.

    A match is mutually nearest, distinctive (Lowe's ratio) and near, as in COLMAP. The result is
    exact in any order of summation, as products of SIFT's bytes sum to integers below 2^24.

    Args:
        descriptors: Of a few keypoints per photo.
        max_partners: Each photo keeps so many, those with most matches.
    """
    vectors = [each.astype(np.float32) for each in descriptors]
    lengths = [np.sqrt((each * each).sum(axis=1)) for each in vectors]
    counts = np.zeros((len(vectors), len(vectors)), dtype=int)
    for i in range(len(vectors)):
        for j in range(i):
            if len(vectors[i]) > 1 and len(vectors[j]) > 1:
                cosines = vectors[i] @ vectors[j].T
                cosines /= lengths[i][:, None]
                cosines /= lengths[j]
                counts[i, j] = counts[j, i] = _num_matches(cosines)
    kept = set()
    for i, row in enumerate(counts):
        for j in np.argsort(-row, kind="stable")[:max_partners]:
            if row[j] >= _PREVIEW_MIN_MATCHES:
                kept.add((min(i, int(j)), max(i, int(j))))
    return sorted(kept)


def _num_matches(cosines: Float[np.ndarray, "first second"]) -> int:
    rows, forward = np.arange(len(cosines)), cosines.argmax(axis=1)
    best = cosines[rows, forward]
    is_match = (best >= _MIN_COSINE) & (cosines.argmax(axis=0)[forward] == rows)
    rivals = cosines[is_match]
    rivals[np.arange(len(rivals)), forward[is_match]] = -1
    distance, second = (np.arccos(np.clip(c, -1, 1)) for c in (best[is_match], rivals.max(axis=1)))
    return int((distance <= _MAX_RATIO * second).sum())


def _alike(database: Path, names: list[str]) -> list[tuple[int, int]]:
    import pycolmap

    coarsest = []
    with pycolmap.Database.open(database) as opened:
        numbers = {_name(image): image.image_id for image in opened.read_all_images()}
        for number in (numbers[name] for name in names):
            keypoints = opened.read_keypoints(number)
            # x, y and the affine shape, whose columns are as long as the keypoint's scale
            scales = np.hypot(keypoints[:, 2], keypoints[:, 4])
            chosen = np.argsort(-scales, kind="stable")[:_PREVIEW_KEYPOINTS]
            coarsest.append(opened.read_descriptors(number).data[chosen])
    _log.info("looking for photos that show the same")
    return alike_pairs(coarsest, max_partners=_PREVIEW_PARTNERS)


def _match_pairs(database: Path, pairs: Sequence[Pair], seed: int, *, guided: bool) -> None:
    import pycolmap

    pair_list = database.with_suffix(".txt")
    pair_list.write_text("".join(f"{_file(i)} {_file(j)}\n" for i, j in pairs))
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = pair_list
    matching = pycolmap.FeatureMatchingOptions()
    matching.guided_matching = guided
    pycolmap.match_image_pairs(
        database,
        matching_options=matching,
        pairing_options=pairing,
        verification_options=_verification_options(seed),
        device=pycolmap.Device.cpu,
    )
    pair_list.unlink()


def _fresh(out: Path) -> Path:
    """Where a database is written; what a kill left there goes."""
    unfinished = partial_of(out)
    for leftover in out.parent.glob(f"{unfinished.name}*"):
        leftover.unlink()
    return unfinished


def _reader_options(lens: Lens) -> "pycolmap.ImageReaderOptions":
    import pycolmap

    options = pycolmap.ImageReaderOptions()
    options.camera_model = "SIMPLE_RADIAL"
    if lens.focal_px is not None:
        options.camera_params = f"{lens.focal_px},{lens.width / 2},{lens.height / 2},0"
    return options


def _verification_options(seed: int) -> "pycolmap.TwoViewGeometryOptions":
    import pycolmap

    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = seed
    return options


def _file(name: str) -> str:
    return f"{name}.png"


def _name(image: "pycolmap.Image") -> str:
    return Path(image.name).stem
