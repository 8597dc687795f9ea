"""The points of a COLMAP model, for whoever starts from them."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenestyle.artifacts import SparsePoints

if TYPE_CHECKING:
    import pycolmap


def points_of(model: "pycolmap.Reconstruction") -> SparsePoints:
    """The model's points by their id, and who saw them, the views by name."""
    ids = sorted(model.points3D)
    points = [model.points3D[number] for number in ids]
    position = {number: row for row, number in enumerate(ids)}
    views = sorted((view for view in model.images.values() if view.has_pose), key=_by_name)
    sightings = [
        (row, position[keypoint.point3D_id])
        for row, view in enumerate(views)
        for keypoint in view.points2D
        if keypoint.has_point3D()
    ]
    return SparsePoints(
        xyz=np.array([point.xyz for point in points], np.float32).reshape(-1, 3),
        rgb=np.array([point.color for point in points], np.float32).reshape(-1, 3) / 255,
        error_px=np.array([point.error for point in points], np.float32),
        names=[Path(view.name).stem for view in views],
        sightings=np.array(sightings, np.int32).reshape(-1, 2),
    )


def _by_name(view: "pycolmap.Image") -> str:
    return view.name
