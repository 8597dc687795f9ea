"""Whether a picture is equirectangular: all around, 360 by 180 degrees."""

from pathlib import Path

import numpy as np
from PIL import Image

from scenestyle.capture.pictures import open_picture
from scenestyle.errors import InputError

_MAX_JUMP = 2.0
"""how much more than neighbouring columns the first and the last one may differ"""
_MAX_POLE = 0.25
"""how much of the picture's variation its first and last row may have"""


def is_panorama(path: Path) -> bool:
    """Whether the file says so (Google's photo sphere tags), or its pixels do.

    Pixels do if the picture is twice as wide as high, its left edge goes on where its right edge
    ends, and the rows that are the poles hardly vary.
    """
    try:
        with open_picture(path) as image:
            if image.width != 2 * image.height:
                return False
            if b"equirectangular" in bytes(image.info.get("xmp", b"")):
                return True
            image.draft("RGB", (512, 256))
            small = image.convert("RGB").resize((512, 256), Image.Resampling.BOX)
    except (InputError, OSError):
        return False
    pixels = np.asarray(small, dtype=np.float32)
    steps = np.abs(np.diff(pixels, axis=1)).mean()
    seam = np.abs(pixels[:, 0] - pixels[:, -1]).mean()
    poles = max(pixels[row].std(axis=0).mean() for row in (0, -1))
    return bool(seam <= _MAX_JUMP * steps and poles <= _MAX_POLE * pixels.std())
