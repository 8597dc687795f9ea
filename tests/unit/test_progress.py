import pytest

from scenestyle.progress import duration, time_left


@pytest.mark.parametrize(("seconds", "done"), [(100.0, 4), (2.0, 50)])
def test_first_steps_foretell_nothing(seconds: float, done: int) -> None:
    assert time_left(seconds, done, 50) == "time left not known yet"


def test_time_left_goes_by_the_mean_step() -> None:
    assert time_left(10.0, 20, 60) == "about 30 s left"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99.0, "99 s"), (150.0, "2 min"), (9000.0, "2.5 h")]
)
def test_durations_have_a_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words
