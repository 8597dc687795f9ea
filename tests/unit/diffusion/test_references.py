from itertools import combinations

import numpy as np
import pytest

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.references import farthest_views
from scenestyle.geometry import look_at


def ring(count: int) -> list[PinholeCamera]:
    """Cameras on a circle that look at its middle."""
    angles = 2 * np.pi * np.arange(count) / count
    centres = np.stack([3 * np.cos(angles), 3 * np.sin(angles), np.ones(count)], axis=-1)
    up = np.array([0.0, 0.0, 1.0])
    poses = [look_at(centre, np.zeros(3), up) for centre in centres]
    return [PinholeCamera(pose, 50.0, 50.0, 32.0, 24.0, 64, 48) for pose in poses]


def test_chosen_views_are_spread_evenly_over_a_ring():
    chosen = farthest_views(ring(32), 4)
    assert np.diff([*chosen, chosen[0] + 32]).tolist() == [8, 8, 8, 8]


def test_more_than_all_is_all():
    assert farthest_views(ring(5), 9) == list(range(5))
    assert farthest_views(ring(1), 4) == [0]


def test_cameras_at_one_place_are_told_apart_by_their_direction():
    centre, up = np.zeros(3), np.array([0.0, 0.0, 1.0])
    targets = [(1, 0, 0), (1, 0.1, 0), (0, 1, 0), (0.1, 1, 0)]
    poses = [look_at(centre, np.array(target, float), up) for target in targets]
    cameras = [PinholeCamera(pose, 50.0, 50.0, 32.0, 24.0, 64, 48) for pose in poses]
    first, second = farthest_views(cameras, 2)
    assert {first, second} in ({0, 2}, {0, 3}, {1, 2}, {1, 3})


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_choice_covers_twice_as_well(count):
    """Gonzalez's guarantee, for the mutual distance of the chosen: at least half of the best."""
    rng = np.random.default_rng(0)
    up = np.array([0.0, 0.0, 1.0])
    cameras = [
        PinholeCamera(look_at(rng.normal(size=3), rng.normal(size=3), up), 1.0, 1.0, 1.0, 1.0, 2, 2)
        for _ in range(9)
    ]
    centres = np.stack([camera.c2w_opengl[:3, 3] for camera in cameras])
    centres -= centres.mean(0)
    centres /= np.sqrt(np.square(centres).sum(1).mean())
    directions = np.stack([-camera.c2w_opengl[:3, 2] for camera in cameras])

    def nearest_pair(chosen):
        return min(
            np.linalg.norm(centres[i] - centres[j]) + np.linalg.norm(directions[i] - directions[j])
            for i, j in combinations(chosen, 2)
        )

    best = max(nearest_pair(chosen) for chosen in combinations(range(9), count))
    assert nearest_pair(farthest_views(cameras, count)) >= best / 2
