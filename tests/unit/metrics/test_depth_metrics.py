import numpy as np
import pytest

from scenestyle.errors import ArtifactError
from scenestyle.metrics.depth import depth_change

DEPTHS = [np.random.default_rng(seed).uniform(1, 5, (6, 8)).astype(np.float32) for seed in (0, 1)]
EVERYWHERE = [np.ones((6, 8), bool)] * 2


def test_unchanged_depth() -> None:
    change = depth_change(DEPTHS, DEPTHS, EVERYWHERE)

    assert (change.abs_rel, change.delta_125) == (0, 1)


@pytest.mark.parametrize(
    ("scale", "share_within"), [(1.2, 1), (1.3, 0), (0.85, 1), (0.7, 0), (0.5, 0)]
)
def test_a_known_scaling_is_read_back(scale: float, share_within: float) -> None:
    scaled = [depth * np.float32(scale) for depth in DEPTHS]

    change = depth_change(DEPTHS, scaled, EVERYWHERE)

    assert change.abs_rel == pytest.approx(abs(scale - 1), rel=1e-5)
    assert change.delta_125 == share_within


def test_within_a_ratio_of_1_25_is_symmetric() -> None:
    noisy = [
        depth * np.random.default_rng(2).uniform(0.7, 1.5, depth.shape).astype(np.float32)
        for depth in DEPTHS
    ]

    forth, back = depth_change(DEPTHS, noisy, EVERYWHERE), depth_change(noisy, DEPTHS, EVERYWHERE)

    assert 0 < forth.delta_125 == back.delta_125 < 1


def test_only_surfaces_count() -> None:
    surface = np.zeros((6, 8), bool)
    surface[2:4] = True
    after = np.where(surface, DEPTHS[0], 99).astype(np.float32)

    assert depth_change(DEPTHS[:1], [after], [surface]).abs_rel == 0
    assert depth_change(DEPTHS[:1], [after], [~surface]).delta_125 == 0


def test_an_empty_field_is_refused() -> None:
    with pytest.raises(ArtifactError, match="empty"):
        depth_change(DEPTHS[:1], DEPTHS[:1], [np.zeros((6, 8), bool)])
