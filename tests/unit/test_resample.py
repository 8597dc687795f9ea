"""Reduced pictures show everything where it was."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from scenestyle.resample import area_averaged

SIZES = [(30, 20), (29, 19), (47, 35), (17, 36)]
"""of a picture of 48x36: width and height"""


@pytest.mark.parametrize("size", SIZES)
def test_everything_stays_where_it_was(size: tuple[int, int]) -> None:
    """A ramp, which says where things are; Pillow's BOX is off by 0.2 to 0.5 pixels (tried)."""
    rows, columns = np.meshgrid(np.arange(36.0), np.arange(48.0), indexing="ij")
    wide, high = 48 / size[0], 36 / size[1]
    wanted_rows, wanted_columns = np.meshgrid(
        (np.arange(size[1]) + 0.5) * high - 0.5,
        (np.arange(size[0]) + 0.5) * wide - 0.5,
        indexing="ij",
    )
    found = area_averaged(np.stack([rows, columns], axis=-1), size)
    np.testing.assert_allclose(found[..., 0], wanted_rows, atol=0.08)
    np.testing.assert_allclose(found[..., 1], wanted_columns, atol=0.08)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [(), (1,), (3,), (5,)])
def test_the_mean_is_kept(size: tuple[int, int], channels: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).random((36, 48, *channels), dtype=np.float32)
    found = area_averaged(picture, size)
    assert found.shape == (size[1], size[0], *channels)
    np.testing.assert_allclose(found.mean((0, 1)), picture.mean((0, 1)), rtol=1e-5)


def test_where_sizes_divide_each_other_it_is_torchs_area() -> None:
    picture = np.random.default_rng(0).random((36, 48, 3), dtype=np.float32)
    wanted = interpolate(torch.from_numpy(picture).permute(2, 0, 1)[None], (12, 16), mode="area")
    found = area_averaged(picture, (16, 12))
    np.testing.assert_allclose(found, wanted[0].permute(1, 2, 0).numpy(), atol=1e-6)


def test_integers_are_rounded_and_a_picture_of_the_size_stays_as_it_is() -> None:
    picture = np.array([[0, 255, 255], [0, 0, 255]], np.uint8)
    assert area_averaged(picture, (3, 2)) is picture
    np.testing.assert_array_equal(area_averaged(picture, (1, 1)), [[128]])
