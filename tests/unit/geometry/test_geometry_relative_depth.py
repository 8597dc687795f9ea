import numpy as np
import pytest

from scenestyle.geometry import disparity_from_z, fit_line, on_one_scale, scaled_disparity

RNG = np.random.default_rng(0)
DEPTHS_Z = RNG.uniform(1, 9, (4, 30, 40))
SCALES, SHIFTS = RNG.uniform(0.1, 20, (4, 1, 1)), RNG.uniform(-5, 5, (4, 1, 1))
RELATIVE = (1 / DEPTHS_Z - SHIFTS) / SCALES
"""what a perfect estimator says, with a scale and a shift of its own per view"""


def planted(share, *, kind):
    """Points on a line, and a share of them moved off it."""
    x = RNG.random(5000)
    y = 0.7 * x + 0.1
    wrong = {"anywhere": RNG.random(5000) < share, "at one end": x > 1 - share}[kind]
    y[wrong] = RNG.uniform(1, 10, wrong.sum()) if kind == "anywhere" else 0.0
    return x, y


@pytest.mark.parametrize("kind", ["anywhere", "at one end"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.45])
def test_a_line_is_found_exactly_whatever_a_minority_does(share, kind):
    assert fit_line(*planted(share, kind=kind)) == pytest.approx((0.7, 0.1), abs=1e-9)


def test_least_squares_would_not_have_found_it():
    x, y = planted(0.2, kind="anywhere")
    assert abs(np.polyfit(x, y, 1)[1] - 0.1) > 0.5


def test_noise_costs_little():
    x = RNG.random(5000)
    y = 0.7 * x + 0.1 + 0.01 * RNG.standard_normal(5000)
    assert fit_line(x, y) == pytest.approx(tuple(np.polyfit(x, y, 1)), abs=1e-3)


def test_a_constant_estimate_tells_nothing():
    assert fit_line(np.ones(9), np.arange(9.0)) == (0.0, 4.0)


def test_scale_and_shift_of_every_view_are_undone():
    disparity, is_fitted = on_one_scale(list(RELATIVE), list(DEPTHS_Z))
    disparity = np.stack(disparity)
    np.testing.assert_allclose(disparity, 1 / DEPTHS_Z, atol=1e-9)
    assert is_fitted.all()


def test_one_scale_serves_all_views_and_it_is_that_of_the_fields_depth():
    disparity, _ = on_one_scale(list(RELATIVE), list(DEPTHS_Z))
    disparity = np.stack(disparity)
    scaled = scaled_disparity(list(disparity), np.percentile(disparity, (1, 99)))
    np.testing.assert_allclose(
        scaled, disparity_from_z(list(DEPTHS_Z), list(np.ones_like(DEPTHS_Z))), atol=1e-9
    )


def test_a_field_that_is_wrong_in_a_third_of_the_pixels_and_empty_in_others_is_overruled():
    field = DEPTHS_Z.copy()
    field[:, :, :13] = 0.05  # floaters before the camera
    field[:, :6] = np.nan
    disparity, is_fitted = on_one_scale(list(RELATIVE), list(field))
    disparity = np.stack(disparity)
    np.testing.assert_allclose(disparity, 1 / DEPTHS_Z, atol=1e-9)
    assert is_fitted.all()


@pytest.mark.parametrize("what", ["no surface", "contradiction"])
def test_a_view_that_cannot_be_fitted_is_stretched_to_the_range_of_the_scene(what):
    relative, field = RELATIVE.copy(), DEPTHS_Z.copy()
    if what == "no surface":
        field[2] = np.nan
    else:
        relative[2] *= -1
    disparity, is_fitted = on_one_scale(list(relative), list(field))
    disparity = np.stack(disparity)
    assert is_fitted.tolist() == [True, True, False, True]
    np.testing.assert_allclose(disparity[[0, 1, 3]], 1 / DEPTHS_Z[[0, 1, 3]], atol=1e-9)
    known = 1 / field[np.isfinite(field)]
    np.testing.assert_allclose(
        np.percentile(disparity[2], (1, 99)), np.percentile(known, (1, 99)), rtol=1e-6
    )
    assert np.corrcoef(disparity[2].ravel(), relative[2].ravel())[0, 1] > 0.999
