"""Where most of a scene is, whatever else flies about."""

import numpy as np
from jaxtyping import Float

_ROUNDS = 5
_WITHIN = 2.0
"""radii about the centre beyond which a round does not look"""
_HELD = 0.8
"""fraction of the weight that lies within the radius"""


def bulk(
    points: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " 3"], float]:
    """Centre and radius of the ball that holds most of what is about the median.

    Medians and quantiles, once more of what lies near the last centre, so that neither floaters nor
    a far background move it.

    Args:
        points: Of a scene, at least one.
        weights: How much each counts, above 0.

    Returns:
        The centre, and the radius, above 0.
    """
    near, of_near = points.astype(np.float64), weights.astype(np.float64)
    for _ in range(_ROUNDS):
        centre, radius, distances = _ball(near, of_near)
        is_near = distances <= _WITHIN * radius
        near, of_near = near[is_near], of_near[is_near]
    centre, radius, _ = _ball(near, of_near)
    return centre, radius


def _ball(
    points: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " 3"], float, Float[np.ndarray, " n"]]:
    """Median, radius about it, and the distances of all points from it."""
    centre = np.array([_quantile(column, weights, 0.5) for column in points.T])
    distances = np.linalg.norm(points - centre, axis=1)
    least = 1e-6 * (1 + float(np.abs(centre).max()))
    return centre, max(_quantile(distances, weights, _HELD), least), distances


def _quantile(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], share: float
) -> float:
    order = np.argsort(values, kind="stable")
    summed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(summed, share * summed[-1])])
