"""Formats of photos, and where decoding says what is wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenestyle.capture import read_capture
from scenestyle.capture.panoramas import is_panorama
from scenestyle.capture.pictures import (
    decode,
    faults_of,
    is_deep,
    open_picture,
    read_mask,
    shown_size,
    to_rgb_or_rgba,
)
from tests.support.captures import noise

HEIC = Path(__file__).parents[2] / "assets/two_colours.heic"


def test_a_heic_photo_is_read_and_stands_upright_once():
    """64x48 pixels, red above blue, to be turned by 90 degrees to the right: blue left of red."""
    with open_picture(HEIC) as head:
        assert shown_size(head, upright=True) == (48, 64)
    pixels = np.asarray(to_rgb_or_rgba(decode(HEIC))).astype(int)
    assert pixels.shape == (64, 48, 3)
    assert abs(pixels[32, 8] - [40, 80, 200]).max() < 12
    assert abs(pixels[32, 40] - [220, 60, 40]).max() < 12


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_keep_the_eight_that_are_seen(tmp_path, suffix):
    values = np.arange(256, dtype=np.uint16).repeat(4).reshape(32, 32)
    Image.fromarray(values * 257).save(tmp_path / f"deep.{suffix}")
    image = to_rgb_or_rgba(decode(tmp_path / f"deep.{suffix}"))
    np.testing.assert_array_equal(np.asarray(image)[..., 1], values)


def test_a_check_at_an_eighth_of_the_size_still_finds_what_is_cut_off(tmp_path):
    good, cut = tmp_path / "good.jpg", tmp_path / "cut.jpg"
    noise(0, 400, 300).save(good)
    cut.write_bytes(good.read_bytes()[:-2000])
    (fault,) = faults_of([good, cut])
    assert fault.startswith("cut.jpg: damaged")


def test_masks_of_zeros_and_ones_and_of_grey_levels_mean_the_same(tmp_path):
    used = np.zeros((4, 6), np.uint8)
    used[:, 3:] = 1
    for name, values in {"ones": used, "full": used * 255, "soft": used * 190 + 20}.items():
        Image.fromarray(values).save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(np.asarray(read_mask(tmp_path / f"{name}.png")), used * 255)


def test_an_opaque_picture_with_an_alpha_channel_is_rgb():
    assert to_rgb_or_rgba(noise().convert("RGBA")).mode == "RGB"


def all_around(width=256):
    """A picture that goes on at its edges and is one colour at each pole."""
    turn, height = np.linspace(0, 2 * np.pi, width, endpoint=False), width // 2
    down = np.sin(np.linspace(0, np.pi, height))[:, None]
    bands = [128 + 100 * down * np.sin(k * turn + k) for k in (1, 3, 5)]
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8))


def test_a_panorama_is_known_by_its_pixels_or_its_tag(tmp_path):
    all_around().save(tmp_path / "pixels.png")
    assert is_panorama(tmp_path / "pixels.png")
    noise(0, 256, 128).save(tmp_path / "wide.jpg", quality=95)
    assert not is_panorama(tmp_path / "wide.jpg")
    xmp = b'<x GPano:ProjectionType="equirectangular"/>'
    noise(0, 256, 128).save(tmp_path / "tagged.jpg", xmp=xmp)
    assert is_panorama(tmp_path / "tagged.jpg")
    all_around().crop((0, 0, 256, 100)).save(tmp_path / "cropped.png")
    assert not is_panorama(tmp_path / "cropped.png")


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("colours", [1, 3])
def test_photos_of_sixteen_bits_are_reduced_and_it_is_said(tmp_path, suffix, colours):
    import cv2

    rng = np.random.default_rng(0)
    for number in range(3):
        values = rng.integers(0, 65536, (20, 30, colours), dtype=np.uint16)
        cv2.imwrite(str(tmp_path / f"{number}.{suffix}"), values)
    capture = read_capture(tmp_path)
    assert capture.changed == ("3 photos of more than 8 bits reduced to 8",)
    noise(1).save(tmp_path / "0.png")
    assert not is_deep(Image.open(tmp_path / "0.png"))
