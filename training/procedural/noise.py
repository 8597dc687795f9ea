"""Smooth random functions of 3D position: the same seedless field for every scene."""

from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

_LATTICE = 32


@cache
def _lattice() -> Float[np.ndarray, "32 32 32"]:
    values = np.random.default_rng(0).standard_normal((_LATTICE,) * 3)
    smooth = gaussian_filter(values, 0.8, mode="wrap")
    return ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)


def value_noise(
    points: Float[np.ndarray, "*batch 3"], frequency: float, offset: float = 0.0
) -> Float[np.ndarray, "*batch"]:
    """Trilinear value noise, mean 0, standard deviation about 0.7, period 32 / frequency units."""
    lattice = _lattice()
    scaled = points * np.float32(frequency) + np.float32(offset)
    cell = np.floor(scaled).astype(np.int32)
    part = (scaled - cell).astype(np.float32)
    part = part * part * (3 - 2 * part)
    low = cell % _LATTICE
    high = (low + 1) % _LATTICE
    fx, fy, fz = part[..., 0], part[..., 1], part[..., 2]
    # Flat indices: numpy gathers by one index much faster than by three.
    flat = lattice.ravel()
    x0, x1 = low[..., 0] * _LATTICE**2, high[..., 0] * _LATTICE**2
    y0, y1 = low[..., 1] * _LATTICE, high[..., 1] * _LATTICE
    z0, z1 = low[..., 2], high[..., 2]

    def plane(z: np.ndarray) -> np.ndarray:
        front = flat.take(x0 + y0 + z) * (1 - fx) + flat.take(x1 + y0 + z) * fx
        back = flat.take(x0 + y1 + z) * (1 - fx) + flat.take(x1 + y1 + z) * fx
        return front * (1 - fy) + back * fy

    near, far = plane(z0), plane(z1)
    return near * (1 - fz) + far * fz


def fractal_noise(
    points: Float[np.ndarray, "*batch 3"], frequency: float, offset: float = 0.0
) -> Float[np.ndarray, "*batch"]:
    """Two octaves of value noise; their periods have no small common multiple."""
    return 0.65 * value_noise(points, frequency, offset) + 0.35 * value_noise(
        points, 2.1 * frequency, offset + 7.3
    )
