"""Differences between images, pixel by pixel."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float


def rmse(
    pictures: Sequence[Float[np.ndarray, "_ _ 3"]],
    others: Sequence[Float[np.ndarray, "_ _ 3"]],
    where: Sequence[Bool[np.ndarray, "_ _"]] | None = None,
) -> float:
    """Root mean squared difference over all pixels and channels of all images.

    sqrt( sum |x - y|^2 / (number of values) ); 0 for equal images, 1 for white against black.
    Between the renders before and after an edit, over one path, it is the edit's *movement*: near 0
    nothing was edited.

    Args:
        pictures: RGB in [0, 1].
        others: As many images, of the same sizes, RGB in [0, 1].
        where: The pixels that count, per pair; None: all. Without any it is 0.
    """
    squares = [np.square(x.astype(np.float64) - y) for x, y in zip(pictures, others, strict=True)]
    if where is None:
        return math.sqrt(sum(s.sum() for s in squares) / sum(s.size for s in squares))
    total = sum((s * mask[..., None]).sum() for s, mask in zip(squares, where, strict=True))
    return math.sqrt(total / max(1, 3 * sum(int(mask.sum()) for mask in where)))


def psnr(
    picture: Float[np.ndarray, "height width 3"], other: Float[np.ndarray, "height width 3"]
) -> float:
    """Peak signal-to-noise ratio, -20 log10(RMSE) dB; inf if equal.

    Args:
        picture: RGB in [0, 1].
        other: Another image of the same size, RGB in [0, 1].
    """
    error = rmse([picture], [other])
    return -20 * math.log10(error) if error else math.inf
