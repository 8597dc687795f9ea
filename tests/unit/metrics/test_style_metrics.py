import numpy as np
import pytest

from scenestyle.metrics.style import style_distances


def test_each_render_is_held_against_its_own_stylized_view() -> None:
    renders = [np.full((4, 4, 3), value, np.float32) for value in (0.1, 0.5)]
    stylized = [np.full((4, 4, 3), value, np.float32) for value in (0.2, 0.9)]

    distances = style_distances(renders, stylized, lambda x, y: float(np.abs(x - y).mean()))

    assert distances == pytest.approx([0.1, 0.4], rel=1e-5)


def test_views_must_pair_up() -> None:
    with pytest.raises(ValueError, match="shorter"):
        style_distances([np.zeros((4, 4, 3), np.float32)], [], lambda _x, _y: 0.0)
