"""Matches of cameras that never were, made by COLMAP, with the model that explains them."""

from pathlib import Path

import pycolmap


def dataset(database: Path, *, num_photos: int = 6, num_points: int = 100, seed: int = 0):
    """Write the features and matches of photos that all see all points; returns their model."""
    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig = 1, num_photos
    options.num_points3D = num_points
    options.num_points2D_without_point3D = 0
    with pycolmap.Database.open(database) as opened:
        model = pycolmap.synthesize_dataset(options, opened)
    for view in model.images.values():
        view.name = name(view.name)
    return model


def name(file: str) -> str:
    """Of a photo: its frame's number is enough."""
    return file.removeprefix("camera000001_frame")


def views(model):
    """The images of a model in the order of their names."""
    return sorted(model.images.values(), key=lambda view: view.name)
