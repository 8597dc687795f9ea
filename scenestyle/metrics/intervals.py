"""How far a mean over views would scatter, had other views of the same scene been looked at."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from scenestyle.errors import ArtifactError

_NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    """lower end"""
    high: float
    """upper end"""


def bootstrap_mean(
    values: Float[np.ndarray, " views"], *, seed: int, level: float = 0.95
) -> Estimate:
    """Mean over views, and the percentile bootstrap interval round it.

    The views are drawn anew with replacement 2,000 times; the interval spans the middle `level` of
    the means. It is the scatter over views of this scene only, not over seeds or trainings, and too
    narrow for neighbouring frames, whose errors resemble each other.

    Args:
        values: One figure per view or pair of views.
        seed: Seed of the resampling.
        level: Fraction of the resampled means that the interval holds, 0 to 1.

    Raises:
        ArtifactError: If there is no value.

    Source: Efron 1979, "Bootstrap Methods: Another Look at the Jackknife"; the percentile method of
        Efron 1981, "Nonparametric Standard Errors and Confidence Intervals".
    """
    if values.size == 0:
        raise ArtifactError("There is no view to take a mean over, so the figure has no interval.")
    generator = np.random.default_rng(seed)
    draws = generator.integers(values.size, size=(_NUM_RESAMPLES, values.size))
    low, high = np.percentile(
        values[draws].mean(axis=1), [50 * (1 - level), 50 * (1 + level)]
    ).tolist()
    return Estimate(float(values.mean()), low, high)
