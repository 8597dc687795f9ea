"""The frame of a nerfstudio field, as its run tells it."""

from pathlib import Path

import numpy as np

from scenestyle.capture.texts import read_json
from scenestyle.errors import InputError
from scenestyle.geometry import Similarity, is_rigid

FIELD_FRAME = "dataparser_transforms.json"


def read_field_frame(path: Path) -> Similarity:
    """The map from the coordinates of a data set to those of the field, from a run's file.

    They are the data set's as its photos were posed, before `applied_transform`.

    Raises:
        InputError: If it is not what nerfstudio writes.
    """
    said = read_json(path)
    fault = (
        f"{path} is not what nerfstudio writes: an object with `transform`, a rotation and a "
        "translation as 3x4 numbers, and `scale`."
    )
    try:
        transform = np.vstack([np.array(said["transform"], dtype=np.float64), [0, 0, 0, 1]])
        scale = float(said["scale"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(fault) from error
    if transform.shape != (4, 4) or not is_rigid(transform) or not scale > 0:
        raise InputError(fault)
    return Similarity(scale, transform[:3, :3], scale * transform[:3, 3])
