"""Metrics count no difference where a photo is hidden."""

from dataclasses import replace

import numpy as np
import pytest

from scenestyle.artifacts import View
from scenestyle.cameras import PinholeCamera
from scenestyle.evaluation.measure import movements, without_hidden
from scenestyle.evaluation.renders import Step
from scenestyle.metrics.image import rmse
from scenestyle.nerf.field import Rendering


def some_step(is_used):
    rng = np.random.default_rng(0)
    photo, before, stylized, after = rng.random((4, 12, 16, 3))
    camera = PinholeCamera(np.eye(4), 20.0, 20.0, 8.0, 6.0, 16, 12)
    ones = np.ones((12, 16))
    rendering = Rendering(after, ones, ones)
    view = View("photo", "train", camera)
    return Step(view, photo, before, stylized, rendering, ones, is_used, is_used)


def test_what_is_hidden_is_the_same_in_all_images():
    is_used = np.random.default_rng(1).random((12, 16)) > 0.3
    step, shown = some_step(is_used), without_hidden(some_step(is_used))
    for name in ("photo", "stylized", "after"):
        found = getattr(shown, name)
        np.testing.assert_array_equal(found[~is_used], step.before[~is_used])
        np.testing.assert_array_equal(found[is_used], getattr(step, name)[is_used])
    whole = some_step(np.ones((12, 16), bool))
    assert without_hidden(whole) is whole


def test_movement_is_that_of_the_pixels_that_count():
    is_used = np.zeros((12, 16), bool)
    is_used[:, :8] = True
    step = some_step(is_used)
    left = rmse([step.before[:, :8]], [step.after[:, :8]])
    assert movements([step.before], [step.after], [is_used]) == pytest.approx([left])
    everything = np.ones((12, 16), bool)
    assert rmse([step.before], [step.after], [everything]) == rmse([step.before], [step.after])
    assert rmse([step.before], [step.after], [~everything]) == 0


def test_hidden_content_changes_no_metric():
    is_used = np.random.default_rng(1).random((12, 16)) > 0.3
    step = some_step(is_used)
    other = replace(step, stylized=np.where(is_used[..., None], step.stylized, 0.123))
    np.testing.assert_array_equal(without_hidden(step).stylized, without_hidden(other).stylized)
