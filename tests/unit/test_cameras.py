from itertools import product

import pytest

from scenestyle.cameras import fit_within

SIZES = [(497, 369), (369, 497), (101, 100), (1491, 1107), (64, 64), (1000, 3)]


@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_size_that_fits_keeps_to_the_limit_and_enlarges_nothing(
    width: int, height: int, multiple: int
) -> None:
    for most in (8, 95, 240, 1100, 5000):
        fitted = fit_within(width, height, most, multiple_of=multiple)
        assert all(side % multiple == 0 for side in fitted)
        assert max(fitted) <= most
        for new, old in zip(fitted, (width, height), strict=True):
            assert new <= old or new == multiple
        if multiple == 1 and most >= max(width, height):
            assert fitted == (width, height)


def test_the_shape_is_kept_within_half_a_multiple() -> None:
    for (width, height), most in product(SIZES[:4], (240, 320)):
        scale = min(1, most / max(width, height))
        fitted = fit_within(width, height, most, multiple_of=8)
        assert abs(fitted[0] - width * scale) < 8
        assert abs(fitted[1] - height * scale) < 8
