"""Crops of one photograph, with buffers, as the views of a training scene."""

from collections.abc import Sequence

import cv2
import numpy as np

from training.photos.buffers import estimate, resized_depth
from training.photos.collect import Photograph
from training.procedural.arrays import floats
from training.procedural.raycast import Buffers

_LONG_SIDES = (180, 480)
"""pixels to which a photograph is scaled before it is cut: the whole in few, or a part in many"""


def crops(
    photograph: Photograph, rng: np.random.Generator, size: tuple[int, int], count: int = 2
) -> list[Buffers]:
    """Buffers of random parts of a photograph, all at one random scale, mirrored or not.

    Args:
        photograph: What is cut.
        rng: Chooses scale, places and mirroring.
        size: Height and width of a part, pixels.
        count: How many.
    """
    rows, columns = photograph.picture.shape[:2]
    least = max((size[0] + 1) / rows, (size[1] + 1) / columns)
    low, high = np.log(_LONG_SIDES)
    scale = max(float(np.exp(rng.uniform(low, high))) / max(rows, columns), least)
    wanted = (round(columns * scale), round(rows * scale))
    smaller = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(floats(photograph.picture) / 255, wanted, interpolation=smaller)
    depth_z = resized_depth(photograph.depth_z, (wanted[1], wanted[0]))
    if rng.random() < 0.5:
        picture, depth_z = picture[:, ::-1], depth_z[:, ::-1]
    parts = []
    for _ in range(count):
        top = int(rng.integers(wanted[1] - size[0] + 1))
        left = int(rng.integers(wanted[0] - size[1] + 1))
        place = (slice(top, top + size[0]), slice(left, left + size[1]))
        parts.append(
            estimate(
                np.ascontiguousarray(picture[place]),
                np.ascontiguousarray(depth_z[place]),
                photograph.focal * scale,
            )
        )
    return parts


def worth_a_look(views: Sequence[Buffers], least_contrast: float = 0.04) -> bool:
    """Whether the pictures show more than an even surface, by their brightness' deviation."""
    return all(float(view.rgb.mean(-1).std()) > least_contrast for view in views)
