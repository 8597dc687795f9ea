"""Cameras and points from a database of matches, and which of the photos to believe.

All mapping runs in one thread and with fixed seeds: with several, bundle adjustment sums in
changing order.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenestyle.capture import MIN_PHOTOS

if TYPE_CHECKING:
    import pycolmap

MIN_SHARED_POINTS = 30
"""two photos hang together if they see at least so many points of the scene in common"""

_START_ANGLE_DEG = 4.0
"""COLMAP's default of 16 and its fixed relaxations (8, then 4) never come down to the parallax of a
forward-facing capture; from 4 they come to 2 and 1"""


def incremental(
    database: Path, images: Path, seed: int, *, work: Path, start: Path | None = None
) -> "list[pycolmap.Reconstruction]":
    """Grow models photo by photo, each from its best pair, or the one model that lies in `start`.

    Args:
        database: Of `match_photos` or `match_guided`.
        images: Folder of the photos, for the colours of points.
        seed: Of the robust estimators.
        work: Scratch folder.
        start: Folder of a model to continue; null: from nothing.

    Source: Schönberger & Frahm 2016, "Structure-from-Motion Revisited".
    """
    import pycolmap

    found = pycolmap.incremental_mapping(
        database,
        images,
        _emptied(work),
        _incremental_options(seed, multiple=start is None),
        input_path=start or "",
    )
    return list(found.values())


def regrown(
    database: Path, images: Path, seed: int, *, work: Path
) -> "list[pycolmap.Reconstruction]":
    """Place all photos at once, keep the core of what comes out, and add the others one by one.

    Global mapping reaches photos that no chain of single steps does, but it places every photo
    somewhere: blocks that hang on a few matches fold, turned by up to 65 degrees, with hundreds of
    points and a low error. So its model is only a proposal.

    Args:
        database: Of `match_photos` or `match_guided`.
        images: Folder of the photos, for the colours of points.
        seed: Of the robust estimators.
        work: Scratch folder.

    Returns:
        One model, or none if the proposal has no core of three photos.

    Source: Pan et al. 2024, "Global Structure-from-Motion Revisited", arXiv:2407.20219.
    """
    import pycolmap

    proposed = pycolmap.global_mapping(
        database, images, _emptied(work / "global"), _global_options(seed)
    )
    cores = {number: core(model) for number, model in proposed.items()}
    best = max(sorted(cores), key=lambda number: len(cores[number]), default=None)
    if best is None or len(cores[best]) < MIN_PHOTOS:
        return []
    prune(proposed[best], cores[best])
    start = _emptied(work / "start")
    proposed[best].write(start)
    return incremental(database, images, seed, work=work / "regrown", start=start)


def core(model: "pycolmap.Reconstruction") -> frozenset[str]:
    """Names of the photos that hang together: those to believe.

    The largest set of photos that is connected where two photos with at least 30 points in common
    are. Neither a pose nor a number of points says as much: on folded models of real captures
    every photo had 33 points and more, and this alone told the right from the wrong.
    """
    from scipy.sparse.csgraph import connected_components

    names, shared = shared_points(model)
    if not names:
        return frozenset()
    _, labels = connected_components(shared >= MIN_SHARED_POINTS, directed=False)
    largest = np.bincount(labels).argmax()
    return frozenset(name for name, label in zip(names, labels, strict=True) if label == largest)


def shared_points(model: "pycolmap.Reconstruction") -> tuple[list[str], np.ndarray]:
    """Sorted names of the posed photos, and the points that two see in common, as square matrix.

    The diagonal holds the number of points that a photo sees.
    """
    from scipy.sparse import csr_array

    posed = sorted((view for view in model.images.values() if view.has_pose), key=_by_name)
    rows, columns = [], []
    for row, view in enumerate(posed):
        seen = {point.point3D_id for point in view.points2D if point.has_point3D()}
        rows.extend([row] * len(seen))
        columns.extend(seen)
    numbers, columns = np.unique(np.array(columns, dtype=np.int64), return_inverse=True)
    sees = csr_array(
        (np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(len(posed), len(numbers))
    )
    return [Path(view.name).stem for view in posed], (sees @ sees.T).toarray()


def prune(model: "pycolmap.Reconstruction", kept: frozenset[str]) -> None:
    """Take the poses of all photos but some away, and the points that only the others see."""
    for view in list(model.images.values()):
        if view.has_pose and Path(view.name).stem not in kept:
            model.deregister_frame(view.frame_id)


def _by_name(view: "pycolmap.Image") -> str:
    return view.name


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _incremental_options(seed: int, *, multiple: bool) -> "pycolmap.IncrementalPipelineOptions":
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.multiple_models = multiple
    options.min_model_size = MIN_PHOTOS
    options.mapper.init_min_tri_angle = _START_ANGLE_DEG
    options.random_seed = seed
    options.mapper.random_seed = seed
    options.triangulation.random_seed = seed
    options.num_threads = 1
    options.mapper.num_threads = 1
    return options


def _global_options(seed: int) -> "pycolmap.GlobalPipelineOptions":
    import pycolmap

    options = pycolmap.GlobalPipelineOptions()
    options.min_model_size = MIN_PHOTOS
    options.random_seed = seed
    options.num_threads = 1
    mapper = options.mapper
    mapper.random_seed = seed
    mapper.rotation_averaging.random_seed = seed
    mapper.global_positioning.random_seed = seed
    mapper.retriangulation.random_seed = seed
    mapper.num_threads = 1
    mapper.bundle_adjustment.ceres.solver_options.num_threads = 1
    return options
