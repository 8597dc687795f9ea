import math

import numpy as np
import pytest

from scenestyle.metrics.image import psnr, rmse

PICTURE = np.random.default_rng(0).random((6, 8, 3), dtype=np.float32)


def test_equal_pictures_do_not_differ() -> None:
    assert rmse([PICTURE, PICTURE[:3]], [PICTURE, PICTURE[:3]]) == 0
    assert psnr(PICTURE, PICTURE) == math.inf


def test_a_constant_change_is_read_back() -> None:
    assert rmse([PICTURE], [PICTURE + np.float32(0.1)]) == pytest.approx(0.1, rel=1e-5)
    assert psnr(PICTURE, PICTURE - np.float32(0.1)) == pytest.approx(20, rel=1e-5)


def test_a_tenth_of_the_error_is_twenty_decibels_more() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, PICTURE.shape)

    assert psnr(PICTURE, PICTURE + noise) == pytest.approx(
        -20 * math.log10(rmse([noise], [0 * noise])), rel=1e-6
    )
    assert psnr(PICTURE, PICTURE + noise / 10) == pytest.approx(psnr(PICTURE, PICTURE + noise) + 20)


def test_every_pixel_weighs_the_same_whatever_its_picture() -> None:
    large, small = np.zeros((9, 1, 3), np.float32), np.zeros((1, 1, 3), np.float32)

    assert rmse([large, small], [large, small + np.float32(1)]) == pytest.approx(math.sqrt(0.1))


def test_pictures_must_pair_up() -> None:
    with pytest.raises(ValueError, match="shorter"):
        rmse([PICTURE, PICTURE], [PICTURE])
