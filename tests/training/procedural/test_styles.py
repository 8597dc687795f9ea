import re
from itertools import combinations

import cv2
import numpy as np
import pytest

from training.procedural.captions import KEY_WORDS, TEMPLATES, caption
from training.procedural.raycast import FIRST_OBJECT, render
from training.procedural.scenes import NamedScene, nearby, random_scene
from training.procedural.styles import STYLES, stylize


@pytest.fixture(scope="module")
def named() -> NamedScene:
    return random_scene(np.random.default_rng(3))


@pytest.fixture(scope="module")
def buffers(named):
    return render(named.scene, named.viewpoint.camera(96, 96))


def test_random_scene_is_a_function_of_the_generator_alone():
    again = [random_scene(np.random.default_rng(11)) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0] != random_scene(np.random.default_rng(12))


def test_scene_shows_solids_from_its_own_and_a_nearby_viewpoint(named):
    other = nearby(named.viewpoint, np.random.default_rng(0))
    for viewpoint in (named.viewpoint, other):
        ids = render(named.scene, viewpoint.camera(48, 48)).ids
        assert (ids >= FIRST_OBJECT).mean() > 0.02


@pytest.mark.parametrize("style", STYLES)
def test_style_is_deterministic_and_in_range(buffers, style):
    first, second = (stylize(buffers, style, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == buffers.rgb.shape
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1


@pytest.mark.parametrize("style", [style for style in STYLES if style != "photo"])
def test_objects_stay_visible_in_every_style(buffers, style):
    """Where the outline runs, the styled picture has stronger edges than elsewhere."""
    luma = cv2.GaussianBlur(stylize(buffers, style, seed=5).mean(-1), (0, 0), 1.0)
    edges = np.hypot(cv2.Sobel(luma, -1, 1, 0), cv2.Sobel(luma, -1, 0, 1))
    near = cv2.dilate(buffers.outline, np.ones((3, 3))) > 0
    assert edges[near].mean() > 1.1 * edges[~near].mean()


def test_no_two_styles_look_alike(buffers):
    drawn = {style: stylize(buffers, style, seed=5) for style in STYLES}
    for first, second in combinations(STYLES, 2):
        assert np.abs(drawn[first] - drawn[second]).mean() > 0.04, (first, second)


def test_captions_cover_every_style_and_name_the_content(named):
    assert set(TEMPLATES) == set(STYLES)
    rng = np.random.default_rng(0)
    for style in STYLES:
        sentences = {caption(named, style, rng) for _ in range(40)}
        assert len(sentences) > 10
        assert all("{" not in sentence for sentence in sentences)


@pytest.mark.parametrize("style", [style for style in STYLES if style != "photo"])
def test_each_sentence_has_a_key_word_of_its_style_and_of_no_other(style):
    assert len(TEMPLATES[style]) >= 10
    for template in TEMPLATES[style]:
        words = set(re.findall(r"[a-z]+", template))
        named = {other for other, keys in KEY_WORDS.items() if words & set(keys)} - {"photo"}
        assert named == {style}, template
