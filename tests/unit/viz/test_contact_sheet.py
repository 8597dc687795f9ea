import numpy as np
import pytest

from scenestyle.errors import ShapeError
from scenestyle.viz.contact_sheet import contact_sheet


def solid(height: int, width: int, colour: tuple[float, float, float]) -> np.ndarray:
    return np.broadcast_to(np.float32(colour), (height, width, 3))


RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def count(sheet: np.ndarray, colour: tuple[float, float, float]) -> int:
    return int((sheet == np.float32(colour)).all(axis=-1).sum())


def test_every_picture_appears_whole_and_in_its_place() -> None:
    sheet = contact_sheet([[solid(20, 30, RED), solid(20, 30, GREEN)], [solid(20, 30, BLUE)]])

    assert [count(sheet, colour) for colour in (RED, GREEN, BLUE)] == [600, 600, 600]
    centre = {
        colour: np.argwhere((sheet == np.float32(colour)).all(-1)).mean(axis=0)
        for colour in (RED, GREEN, BLUE)
    }
    assert centre[RED][1] < centre[GREEN][1]
    assert centre[RED][0] == centre[GREEN][0] < centre[BLUE][0]


def test_pictures_of_other_shapes_keep_them() -> None:
    sheet = contact_sheet([[solid(10, 40, RED), solid(40, 10, GREEN)]])

    assert count(sheet, RED) == count(sheet, GREEN) == 400


def test_large_pictures_are_reduced_to_the_longest_side() -> None:
    sheet = contact_sheet([[solid(400, 800, RED)]], max_picture_side=80)

    assert count(sheet, RED) == 40 * 80


def test_labels_add_ink_outside_the_pictures() -> None:
    pictures = [[solid(60, 60, RED), solid(60, 60, GREEN)]]
    plain = contact_sheet(pictures)
    labelled = contact_sheet(pictures, row_labels=["oil"], column_labels=["left", "right"])

    assert labelled.shape[0] > plain.shape[0]
    assert labelled.shape[1] > plain.shape[1]
    assert count(labelled, RED) == count(labelled, GREEN) == 3600
    assert (labelled.sum(axis=-1) < 1).any()
    assert not (plain.sum(axis=-1) < 0.9).any()


def test_long_labels_are_wrapped_instead_of_widening_the_sheet() -> None:
    sheet = contact_sheet(
        [[solid(20, 20, RED)]], row_labels=["a rather long description of one single style " * 3]
    )

    assert sheet.shape[1] < 250
    assert sheet.shape[0] > 100


def test_same_pictures_same_bytes() -> None:
    picture = np.random.default_rng(0).random((33, 47, 3), dtype=np.float32)

    first, second = (contact_sheet([[picture]], row_labels=["view"]) for _ in range(2))

    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        ([], {}, "no picture"),
        ([[solid(4, 4, RED)]], {"row_labels": ["a", "b"]}, "2 row labels for 1 row"),
        ([[solid(4, 4, RED)]], {"column_labels": []}, "0 column labels for 1 column"),
    ],
)
def test_misfits_are_refused(rows: list, labels: dict, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        contact_sheet(rows, **labels)
