import numpy as np
import pytest

from scenestyle.sfm.matching import alike_pairs, pairs_of_sequence
from scenestyle.sfm.reconstruct import connected, pairs_to_guide


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


def descriptors(seed, count=40):
    """As SIFT's: bytes, of about one length."""
    values = np.random.default_rng(seed).gamma(0.5, 1, (count, 128))
    return np.rint(512 * values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.uint8)


def test_photos_with_the_same_keypoints_are_alike_in_any_order_and_others_are_not():
    first, second = descriptors(0), descriptors(1)
    shuffled = np.random.default_rng(2).permutation(first)
    assert alike_pairs([first, second, shuffled], max_partners=9) == [(0, 2)]
    half = np.concatenate([first[:6], descriptors(3, 30)])
    assert alike_pairs([half, second, first], max_partners=9) == [(0, 2)]


def test_photos_with_hardly_a_keypoint_are_alike_to_none():
    full = descriptors(0)
    few = [full[:0], full[:1]]
    assert alike_pairs([full, *few], max_partners=9) == []


def test_each_photo_keeps_the_partners_with_most_matches():
    """A photo of 8 parts; the others show 8, 6 and 4 of its keypoints each 5-fold."""
    full = descriptors(0, 40)
    parts = [np.concatenate([full[: 5 * n], descriptors(n, 40)]) for n in (8, 6, 4)]
    pairs = alike_pairs([full, *parts], max_partners=1)
    assert (0, 1) in pairs
    assert {(0, 2), (0, 3)} <= set(alike_pairs([full, *parts], max_partners=3))


PAIRS = {("a", "b"): 50, ("a", "c"): 300, ("b", "c"): 40, ("c", "d"): 20, ("d", "e"): 30}
NUM_KEYPOINTS = dict.fromkeys("abcde", 10)


def test_pairs_with_a_lost_photo_are_guided_first_then_those_with_most_matches():
    assert pairs_to_guide(PAIRS, frozenset("abc"), NUM_KEYPOINTS) == [
        ("d", "e"), ("c", "d"), ("a", "b"), ("b", "c"),
    ]  # fmt: skip


@pytest.mark.parametrize(("budget", "count"), [(0, 0), (100, 1), (399, 3), (400, 4)])
def test_guiding_ends_with_its_budget(budget, count):
    assert len(pairs_to_guide(PAIRS, frozenset("abc"), NUM_KEYPOINTS, budget=budget)) == count


def test_connected_photos_come_in_sets_the_largest_first():
    assert connected([("a", "b"), ("x", "y"), ("b", "c")]) == [{"a", "b", "c"}, {"x", "y"}]
    assert connected([]) == []
