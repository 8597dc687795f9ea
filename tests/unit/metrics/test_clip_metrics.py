import numpy as np
import pytest

from scenestyle.errors import ShapeError
from scenestyle.metrics.clip import (
    direction_consistency_edit,
    direction_consistency_motion,
    text_image_directional_similarity,
)


def at(*degrees: float) -> np.ndarray:
    """Embeddings on the unit circle."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=-1)


def test_an_edit_along_its_sentence_scores_one_against_it_minus_one() -> None:
    along = text_image_directional_similarity(at(0, 90), at(90, 0), at(0)[0], at(90)[0])

    assert along == pytest.approx([1, -1])


def test_the_angle_between_picture_and_text_direction_is_read_back() -> None:
    # The chords from 0 to 40 and from 0 to 100 degrees stand at 110 and 140 degrees.
    scores = text_image_directional_similarity(at(0), at(40), at(0)[0], at(100)[0])

    assert scores == pytest.approx([np.cos(np.radians(30))])


def test_embeddings_count_by_direction_only() -> None:
    scale = np.array([[0.5], [7.0]])
    args = (at(0, 20), at(50, 90), at(10)[0], at(70)[0])
    scaled = (args[0] * scale, args[1] * 3, args[2] * 9, args[3] * 0.1)

    assert text_image_directional_similarity(*scaled) == pytest.approx(
        text_image_directional_similarity(*args)
    )


def test_no_edit_has_no_direction() -> None:
    frames = at(0, 10, 30)

    assert list(text_image_directional_similarity(frames, frames, at(0)[0], at(90)[0])) == [0] * 3
    assert list(direction_consistency_edit(frames, frames)) == [0] * 2
    assert direction_consistency_motion(frames, frames) == pytest.approx([1, 1])


def test_edit_and_motion_are_different_figures() -> None:
    """Frames walk along x while the edit lifts them by more and more along z."""
    original = np.array([[0.0, 1, 0], [0.1, 1, 0], [0.2, 1, 0]])
    edited = original + np.array([[0, 0, 0.1], [0, 0, 0.2], [0, 0, 0.3]])

    edit = direction_consistency_edit(original, edited)
    motion = direction_consistency_motion(original, edited)

    assert (edit > 0.98).all()
    assert (motion < 0.8).all()


def test_an_edit_that_turns_round_between_neighbours_is_inconsistent() -> None:
    original = np.array([[1.0, 0, 0]] * 3)
    edited = np.array([[1.0, 0.1, 0], [1.0, -0.1, 0], [1.0, 0.1, 0]])

    assert (direction_consistency_edit(original, edited) < -0.95).all()


@pytest.mark.parametrize("figure", [direction_consistency_edit, direction_consistency_motion])
def test_one_frame_has_no_neighbour(figure: object) -> None:
    with pytest.raises(ShapeError, match="at least 2"):
        figure(at(0), at(10))  # pyright: ignore[reportCallIssue]


def test_frames_must_pair_up() -> None:
    with pytest.raises(ShapeError, match="2 original and 3 edited"):
        text_image_directional_similarity(at(0, 1), at(0, 1, 2), at(0)[0], at(1)[0])
