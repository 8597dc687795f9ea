import numpy as np
import pytest

from scenestyle.embedded import scorecard
from scenestyle.embedded.scorecard import PROMPTS, example, score, train_classifier


@pytest.fixture(scope="module")
def held_out():
    return [example(7, index) for index in range(2)]


@pytest.fixture(scope="module")
def classify():
    return train_classifier([example(11, index) for index in range(6)])


def test_the_filters_themselves_get_full_marks(held_out, classify):
    by_photo = {each.photo.tobytes(): each for each in held_out}

    def draw(photo, disparity, prompts):
        each = by_photo[photo.tobytes()]
        np.testing.assert_array_equal(disparity, each.disparity)
        return [*each.styled.values(), photo]

    scores, identity = score(held_out, classify, draw)
    assert identity == 0
    for each in scores.values():
        assert each.recognised == each.filter_recognised
        assert each.edges == pytest.approx(1, abs=1e-3)
        assert each.colour == 0
    assert np.mean([each.recognised for each in scores.values()]) >= 0.9


def test_an_unchanged_photograph_is_recognised_as_no_style(held_out, classify):
    scores, identity = score(held_out, classify, lambda photo, _, prompts: [photo] * len(prompts))
    assert identity == 0
    assert np.mean([each.recognised for each in scores.values()]) <= 0.1


def test_the_table_has_a_row_per_style(held_out, classify):
    scores, identity = score(
        held_out, classify, lambda photo, _, prompts: [1 - photo] * len(prompts)
    )
    text = scorecard.report(scores, identity, len(held_out))
    assert all(f"| {style} |" in text for style in PROMPTS)
