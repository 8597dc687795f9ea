"""The ladder: ways to find the poses of photos, the cheapest first, until all are found."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scenestyle.params import EstimatePoses
from scenestyle.sfm.diagnosis import MIN_PARALLAX, parallax
from scenestyle.sfm.mapping import core, incremental, regrown
from scenestyle.sfm.matching import (
    Pair,
    PhotoSet,
    keypoint_counts,
    match_guided,
    match_photos,
    verified_pairs,
)

if TYPE_CHECKING:
    import pycolmap

Kind = Literal["plain", "guided", "affine"]

_KINDS: tuple[Kind, ...] = ("plain", "guided", "affine")
_MAPPINGS = {"incremental": incremental, "global, regrown": regrown}
_GOOD_SHARE = 0.9
"""affine features are not tried for the last tenth of the photos"""
_ENOUGH_INLIERS = 200
"""a pair with so many matches holds without guided matching"""
_GUIDED_BUDGET = 50_000_000_000
"""comparisons of two keypoints that guided matching may cost, about ten minutes of one core"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rung:
    """One attempt at the poses of all photos."""

    name: str
    """which matches, and how they were mapped"""
    database: Path
    """the matches it started from"""
    models: "Sequence[pycolmap.Reconstruction]"
    """what came out, the best first"""
    cores: Sequence[frozenset[str]]
    """photos that hang together in each model"""
    cpu_seconds: float
    """processor time of all threads, with the features and matches that it was the first to need"""

    @property
    def placed(self) -> frozenset[str]:
        """Photos in the core of its best model."""
        return self.cores[0] if self.cores else frozenset()

    @property
    def num_points(self) -> int:
        """Points of its best model."""
        return self.models[0].num_points3D() if self.models else 0


@dataclass(frozen=True)
class Search:
    """What was tried to find the poses of some photos."""

    database: Path
    """the plain matches"""
    parallax: float | None
    """how far the camera moved; see `diagnosis.parallax`"""
    rungs: Sequence[Rung]
    """in their order, the models not pruned; none if the camera did not move"""


def reconstruct(photos: PhotoSet, params: EstimatePoses, *, work: Path) -> Search:
    """Find the poses of photos that see one scene.

    Three kinds of matches are each mapped in two ways: photo by photo, and all at once, pruned to
    what hangs together and regrown photo by photo. The matches are plain ones; the weak pairs of
    these matched again, guided by their geometry; and guided matches of affine features.

    A rung is tried only if the ones before have left out photos that it may add. On the same
    features no model can hold more photos than one connected part of the graph of verified pairs;
    affine features, which cost most, are tried if more than a tenth of the photos has no place.

    Args:
        photos: The photos.
        params: Feature count and seed.
        work: Scratch folder; features and matches are kept in it as soon as they are complete.
    """
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    start = time.process_time()
    plain = work / "matches.db"
    if not plain.is_file():
        match_photos(photos, params, out=plain)
    moved = parallax(plain)
    if moved is not None and moved < MIN_PARALLAX:
        return Search(plain, moved, [])
    reachable = max(map(len, connected(verified_pairs(plain))), default=0)
    rungs: list[Rung] = []
    for kind in _KINDS:
        enough = _GOOD_SHARE * len(photos.names) if kind == "affine" else reachable
        for how, mapping in _MAPPINGS.items():
            placed = best(rungs).placed if rungs else frozenset()
            if rungs and len(placed) >= enough:
                break
            database = _database(kind, photos, params, placed, work=work)
            models = mapping(database, photos.images, params.seed, work=work / "models")
            ranked = sorted(((core(model), model) for model in models), key=_rank, reverse=True)
            rung = Rung(
                f"{kind} matches, {how}",
                database,
                models=[model for _, model in ranked],
                cores=[kept for kept, _ in ranked],
                cpu_seconds=round(time.process_time() - start, 1),
            )
            rungs.append(rung)
            _log.info("%s: %d of %d photos", rung.name, len(rung.placed), len(photos.names))
            start = time.process_time()
    return Search(plain, moved, rungs)


def best(rungs: Sequence[Rung]) -> Rung:
    """The rung with most photos in the core of its best model, then most points."""
    return max(rungs, key=lambda rung: (len(rung.placed), rung.num_points))


def connected(pairs: Iterable[Pair]) -> list[set[str]]:
    """Photos that pairs join, directly or by way of others, as sets, the largest first."""
    groups: list[set[str]] = []
    for pair in pairs:
        joined = [group for group in groups if not group.isdisjoint(pair)]
        groups = [group for group in groups if group.isdisjoint(pair)]
        groups.append(set(pair).union(*joined))
    return sorted(groups, key=len, reverse=True)


def pairs_to_guide(
    pairs: Mapping[Pair, int],
    placed: frozenset[str],
    num_keypoints: Mapping[str, int],
    *,
    budget: int = _GUIDED_BUDGET,
) -> list[Pair]:
    """Pairs worth matching again under guidance, the most needed first, until the budget is spent.

    Pairs with plenty of matches hold anyway. Of the others come first those with a photo that has
    no place yet, and of these the ones with most matches.

    Args:
        pairs: Verified pairs with their number of matches.
        placed: Photos that have a place.
        num_keypoints: Of every photo.
        budget: Largest sum over pairs of the product of their keypoints, to which time is
            proportional.
    """
    weak = [pair for pair, count in pairs.items() if count < _ENOUGH_INLIERS]
    weak.sort(key=lambda pair: (placed.issuperset(pair), -pairs[pair], pair))
    chosen, cost = [], 0
    for first, second in weak:
        cost += num_keypoints[first] * num_keypoints[second]
        if cost > budget:
            break
        chosen.append((first, second))
    return chosen


def _rank(found: "tuple[frozenset[str], pycolmap.Reconstruction]") -> tuple[int, int]:
    """What makes a model better than another: photos in its core, then points."""
    kept, model = found
    return len(kept), model.num_points3D()


def _database(
    kind: Kind, photos: PhotoSet, params: EstimatePoses, placed: frozenset[str], *, work: Path
) -> Path:
    """The database of one kind of matches, made if it is not there yet."""
    plain = work / "matches.db"
    if kind == "plain":
        return plain
    out = work / f"matches_{kind}.db"
    if not out.is_file():
        unguided = plain if kind == "guided" else work / "matches_affine_unguided.db"
        if not unguided.is_file():
            match_photos(photos, params, out=unguided, affine=True)
        pairs = verified_pairs(unguided)
        chosen = pairs_to_guide(pairs, placed, keypoint_counts(unguided))
        _log.info("matching %d of %d pairs again, guided", len(chosen), len(pairs))
        match_guided(unguided, chosen, params.seed, out=out)
    return out
