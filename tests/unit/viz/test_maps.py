import numpy as np
import pytest

from scenestyle.viz.maps import depth_change_map, error_map, scale_bar

GREY = pytest.approx(0.55, abs=1e-6)


def brightness(picture: np.ndarray) -> np.ndarray:
    return picture.mean(axis=-1)


def test_errors_get_brighter_up_to_the_top_and_the_unknown_is_grey() -> None:
    errors = np.array([[0.0, 0.05, 0.1, 0.2, np.nan]])

    picture = error_map(errors, top=0.1)

    shown = brightness(picture)[0]
    assert shown[0] < 0.01 < shown[1] < shown[2]
    assert (picture[0, 2] == picture[0, 3]).all()
    assert picture[0, 4] == GREY


def test_nearer_is_red_farther_is_blue_and_unchanged_white() -> None:
    before = np.full((1, 5), 2.0, np.float32)
    after = before * np.array([[0.8, 1.0, 1.25, 9.0, 9.0]], np.float32)
    surface = np.array([[True, True, True, True, False]])

    picture = depth_change_map(before, after, surface, limit=0.25)

    nearer, same, farther, beyond, nothing = picture[0]
    assert nearer[0] > nearer[2] + 0.2
    assert farther[2] > farther[0] + 0.2
    assert same == pytest.approx(0.97, abs=0.01)
    assert beyond[2] > beyond[0]
    assert nothing == GREY


def test_a_twofold_and_a_halved_distance_are_equally_deep() -> None:
    before = np.ones((1, 2), np.float32)
    after = np.array([[0.9, 1 / 0.9]], np.float32)

    nearer, farther = brightness(depth_change_map(before, after, before > 0, limit=0.25))[0]

    assert nearer == pytest.approx(farther, abs=0.12)


def test_the_scale_shows_the_colours_of_the_maps() -> None:
    bar = scale_bar("errors", width=11)

    assert bar[0] == pytest.approx(error_map(np.linspace(0, 1, 11)[None], top=1.0)[0])
    assert scale_bar("changes").shape == (12, 256, 3)
