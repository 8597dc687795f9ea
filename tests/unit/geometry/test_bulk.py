import numpy as np
import pytest

from scenestyle.geometry import bulk


def ball(count: int = 4000, centre=(2.0, -1.0, 0.5), radius: float = 1.5) -> np.ndarray:
    generator = np.random.default_rng(0)
    directions = generator.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.array(centre) + radius * generator.uniform(size=(count, 1)) ** (1 / 3) * directions


def test_the_bulk_of_a_ball_is_the_ball():
    points = ball()
    centre, radius = bulk(points, np.ones(len(points)))
    np.testing.assert_allclose(centre, [2, -1, 0.5], atol=0.06)
    assert 0.9 * 1.5 < radius < 1.5


def test_floaters_and_a_far_background_do_not_move_it():
    generator = np.random.default_rng(1)
    far = generator.uniform(-400, 800, size=(800, 3))
    points = np.concatenate([ball(), far])
    centre, radius = bulk(points, np.ones(len(points)))
    np.testing.assert_allclose(centre, [2, -1, 0.5], atol=0.1)
    assert radius < 1.6


def test_what_hardly_shows_hardly_counts():
    points = np.concatenate([ball(), ball(centre=(60.0, 0, 0))])
    weights = np.concatenate([np.ones(4000), np.full(4000, 0.01)])
    np.testing.assert_allclose(bulk(points, weights)[0], [2, -1, 0.5], atol=0.1)


@pytest.mark.parametrize("size", [1e-3, 1e4])
def test_units_do_not_matter(size: float):
    points = ball()
    centre, radius = bulk(points, np.ones(len(points)))
    scaled = bulk(size * points, np.ones(len(points)))
    np.testing.assert_allclose(scaled[0], size * centre)
    assert scaled[1] == pytest.approx(size * radius)


def test_a_single_point_has_a_bulk():
    centre, radius = bulk(np.ones((1, 3)), np.ones(1))
    np.testing.assert_array_equal(centre, [1, 1, 1])
    assert radius > 0
