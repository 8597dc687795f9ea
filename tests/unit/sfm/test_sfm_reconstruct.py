import pytest

from scenestyle.sfm.matching import pairs_of_sequence


@pytest.mark.parametrize("num_photos", [2, 3, 12, 40, 201, 1000])
def test_pairs_of_a_sequence(num_photos):
    pairs = pairs_of_sequence(num_photos)
    assert pairs == sorted(set(pairs))
    assert all(0 <= i < j < num_photos for i, j in pairs)
    assert {(i, i + 1) for i in range(num_photos - 1)} <= set(pairs), "neighbours in time"
    assert (0, num_photos - 1) in pairs, "the closing of the path"
    assert len(pairs) <= num_photos * 20


def test_a_short_sequence_is_matched_exhaustively():
    assert len(pairs_of_sequence(12)) == 12 * 11 / 2


def test_cost_grows_linearly_beyond_exhaustive_matching():
    assert len(pairs_of_sequence(400)) < 400 * 399 / 2 / 10
