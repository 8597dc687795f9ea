"""Real spherical harmonics up to degree 3, in the order and with the signs of 3DGS."""

from typing import Any

import numpy as np
from jaxtyping import Float

_C0, _C1 = 0.28209479177387814, 0.4886025119029199
_C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
_C3 = (
    -0.5900435899266435,
    2.890611442640554,
    -0.4570457994644658,
    0.3731763325901154,
    1.445305721320277,
)
_NUM_DIRECTIONS = 64


def harmonics(x: Any, y: Any, z: Any, num_bases: int) -> list[Any]:
    """Values of the first harmonics in a direction of length 1; the first one is a number.

    Args:
        x: Part of the directions, array or tensor of any shape.
        y: Of the same shape.
        z: Of the same shape.
        num_bases: 1, 4, 9 or 16: degree 0 to 3.

    Source: Kerbl et al. 2023, "3D Gaussian Splatting", arXiv:2308.04079, its published code.
    """
    values: list[Any] = [_C0]
    if num_bases > 1:
        values += [-_C1 * y, _C1 * z, -_C1 * x]
    if num_bases > 4:
        values += [
            _C2[0] * x * y,
            _C2[1] * y * z,
            _C2[2] * (2 * z * z - x * x - y * y),
            _C2[1] * x * z,
            _C2[3] * (x * x - y * y),
        ]
    if num_bases > 9:
        values += [
            _C3[0] * y * (3 * x * x - y * y),
            _C3[1] * x * y * z,
            _C3[2] * y * (4 * z * z - x * x - y * y),
            _C3[3] * z * (2 * z * z - 3 * x * x - 3 * y * y),
            _C3[2] * x * (4 * z * z - x * x - y * y),
            _C3[4] * z * (x * x - y * y),
            _C3[0] * x * (x * x - 3 * y * y),
        ]
    return values


def rotated_harmonics(
    weights: Float[np.ndarray, "n bases 3"], rotation: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "n bases 3"]:
    """Weights of harmonics after the world was turned: the same colours, seen from along.

    A turn mixes the harmonics linearly; how, is told by their values in many directions.
    """
    num_bases = weights.shape[1]
    directions = np.random.default_rng(0).normal(size=(_NUM_DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    before, after = (
        _in_directions(each, num_bases) for each in (directions, directions @ rotation.T)
    )
    mixing = np.linalg.lstsq(after, before, rcond=None)[0]
    return np.einsum("ij,njc->nic", mixing, weights).astype(weights.dtype)


def _in_directions(
    directions: Float[np.ndarray, "n 3"], num_bases: int
) -> Float[np.ndarray, "n bases"]:
    x, y, z = directions.T
    return np.stack([value + np.zeros_like(x) for value in harmonics(x, y, z, num_bases)], axis=-1)
