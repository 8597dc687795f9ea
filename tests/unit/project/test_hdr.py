"""HDR video: laws of the tone mapping, and values of the standards."""

import numpy as np
import pytest

from scenestyle.project.hdr import transfer_of, yuv_to_srgb


def grey(signal):
    """A grey pixel of limited-range video, 16 bits, for a signal from 0 to 1."""
    luma = np.rint((16 + 219 * np.atleast_1d(signal)) * 256)
    return np.stack([luma, np.full_like(luma, 32768), np.full_like(luma, 32768)], -1)[None].astype(
        np.uint16
    )


def linear(srgb):
    value = srgb / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize(("transfer", "white"), [("HLG", 0.75), ("PQ", 0.5807)])
def test_reference_white_is_bright_but_not_the_end(transfer, white):
    """203 nits are 75 % of HLG and 58 % of PQ (BT.2408, table 1)."""
    level = yuv_to_srgb(grey(white), transfer)[0, 0]
    expected = 0.75 + 0.25 * (1 - np.exp(-1))
    assert linear(level.astype(float)).mean() == pytest.approx(expected, abs=0.01)
    assert level.max() - level.min() <= 1


@pytest.mark.parametrize("transfer", ["HLG", "PQ"])
def test_tones_rise_from_black_to_white(transfer):
    levels = yuv_to_srgb(grey(np.linspace(0, 1, 64)), transfer)[0, :, 1].astype(int)
    assert (np.diff(levels) >= 0).all()
    assert levels[0] == 0
    assert levels[-1] >= 254


def test_half_the_light_below_the_knee_is_half_the_light_afterwards():
    """HLG's lower half is a square root; with the display's gamma of 1.2, light goes as power 2.4."""
    bright, dark = (linear(yuv_to_srgb(grey(s), "HLG").astype(float)).mean() for s in (0.5, 0.4))
    assert dark / bright == pytest.approx((0.4 / 0.5) ** 2.4, rel=0.02)


def test_full_range_is_read_as_such():
    black = np.array([[[0, 32768, 32768]]], dtype=np.uint16)
    assert (yuv_to_srgb(black, "PQ", full_range=True) == 0).all()


def test_only_hdr_is_mapped():
    assert [transfer_of(number) for number in (1, 2, 13, 16, 18, None)] == [
        None, None, None, "PQ", "HLG", None,
    ]  # fmt: skip
