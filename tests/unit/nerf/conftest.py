from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenestyle.artifacts import read_json, read_rgb, write_json, write_rgb
from scenestyle.params import TrainNerf
from tests.support.tiny_field import PARAMS, write_tiny_poses


@pytest.fixture(scope="session")
def poses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight posed photos of 48x36 pixels, but the first is twice as large."""
    folder = tmp_path_factory.mktemp("poses") / "demo"
    write_tiny_poses(folder)
    meta = read_json(folder / "transforms.json")
    first = meta["frames"][0]
    first.update({key: 2 * first[key] for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")})
    write_json(folder / "transforms.json", meta)
    photo = folder / first["file_path"]
    write_rgb(photo, np.kron(read_rgb(photo), np.ones((2, 2, 1), np.float32)))
    return folder


@pytest.fixture(scope="session")
def params() -> TrainNerf:
    """A field so small that its pictures are fog."""
    return replace(PARAMS, iterations=12, rays_per_batch=128, max_image_side=24)
