"""All style filters on some photographs, to look at.

python -m training.photos.sheet --work .work/embedded --out sheet.png --names fox-photo-0001
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from scenestyle.artifacts import write_rgb
from training.photos.buffers import estimate, resized_depth
from training.photos.collect import Photograph, read_photographs
from training.procedural.arrays import floats
from training.procedural.raycast import Buffers
from training.procedural.styles import STYLES, stylize

_COLUMNS = 7


def whole(photograph: Photograph, long_side: int) -> Buffers:
    """Buffers of all of a photograph, at a size whose sides are multiples of 8."""
    rows, columns = photograph.picture.shape[:2]
    scale = long_side / max(rows, columns)
    height, width = (max(8, round(side * scale / 8) * 8) for side in (rows, columns))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(floats(photograph.picture) / 255, (width, height), interpolation=method)
    depth_z = resized_depth(photograph.depth_z, (height, width))
    return estimate(picture, depth_z, photograph.focal * scale)


def sheet(
    photographs: Sequence[Photograph], styles: Sequence[str], long_side: int = 320
) -> np.ndarray:
    """Per photograph some rows of pictures, one per style."""
    rows = []
    for photograph in photographs:
        buffers = whole(photograph, long_side)
        pictures = [stylize(buffers, style, seed=0) for style in styles]
        while len(pictures) % _COLUMNS and len(pictures) > _COLUMNS:
            pictures.append(np.ones_like(pictures[0]))
        for first in range(0, len(pictures), _COLUMNS):
            rows.append(np.concatenate(pictures[first : first + _COLUMNS], 1))
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, 6), (0, width - row.shape[1]), (0, 0)), constant_values=1) for row in rows
    ]
    return np.concatenate(padded)


def main() -> None:
    """Command line of `sheet`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".work/embedded"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--names", nargs="+", required=True, help="beginnings of names in the index"
    )
    parser.add_argument("--styles", nargs="+", default=list(STYLES))
    arguments = parser.parse_args()
    listed = read_photographs(arguments.work, held_out=False)
    listed += read_photographs(arguments.work, held_out=True)
    chosen = [
        next(each for each in listed if each.name.startswith(name)) for name in arguments.names
    ]
    write_rgb(arguments.out, sheet(chosen, arguments.styles))


if __name__ == "__main__":
    main()
