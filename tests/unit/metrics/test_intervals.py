import numpy as np
import pytest

from scenestyle.errors import ArtifactError
from scenestyle.metrics.intervals import bootstrap_mean


def test_equal_values_leave_no_doubt() -> None:
    estimate = bootstrap_mean(np.full(5, 0.25), seed=0)

    assert (estimate.mean, estimate.low, estimate.high) == (0.25, 0.25, 0.25)


def test_the_interval_of_a_large_sample_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)

    estimate = bootstrap_mean(values, seed=1)

    half_width = 1.96 * values.std() / np.sqrt(values.size)
    assert estimate.low == pytest.approx(values.mean() - half_width, abs=0.1 * half_width)
    assert estimate.high == pytest.approx(values.mean() + half_width, abs=0.1 * half_width)


def test_it_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    estimates = [bootstrap_mean(generator.random(30), seed=s, level=0.8) for s in range(200)]

    assert 0.7 < np.mean([e.low < 0.5 < e.high for e in estimates]) < 0.9


def test_a_seed_fixes_it_and_a_shift_moves_it() -> None:
    values = np.random.default_rng(0).random(9)

    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    moved = bootstrap_mean(values + 1, seed=3)
    assert moved.low == pytest.approx(bootstrap_mean(values, seed=3).low + 1)


def test_without_a_view_there_is_no_mean() -> None:
    with pytest.raises(ArtifactError, match="no view"):
        bootstrap_mean(np.array([]), seed=0)
