"""Laws of calls that meet, against the same sums made in one loop."""

import threading

import pytest
import torch

from scenestyle.diffusion.lockstep import Lockstep


def walk(lockstep, start, steps=5):
    """A number that at every step adds what all calls have."""
    number = start
    for _ in range(steps):
        number += sum(lockstep.meet(number))
    return number


def walks_in_a_loop(starts, steps=5):
    numbers = list(starts)
    for _ in range(steps):
        total = sum(numbers)
        numbers = [number + total for number in numbers]
    return numbers


@pytest.mark.parametrize("starts", [[1], [1, 10], [3, 5, 7, 11]])
def test_every_call_sees_what_all_have_at_that_meeting(starts):
    lockstep = Lockstep()
    for _ in range(3):
        calls = [lambda start=start: walk(lockstep, start) for start in starts]
        assert lockstep.run(calls) == walks_in_a_loop(starts)
        assert lockstep.meet("alone") == ["alone"]


def test_one_call_runs_at_a_time_in_their_order():
    lockstep, seen, running = Lockstep(), [], threading.Semaphore(1)

    def call(name):
        for _ in range(3):
            assert running.acquire(blocking=False)
            seen.append(name)
            running.release()
            lockstep.meet(name)

    lockstep.run([lambda name=name: call(name) for name in "abc"])
    assert "".join(seen) == "abcabcabc"


def test_an_error_ends_all_calls_and_the_next_run_works():
    lockstep, num_threads = Lockstep(), threading.active_count()

    def fail():
        lockstep.meet(1)
        raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        lockstep.run([lambda: walk(lockstep, 1), fail, lambda: walk(lockstep, 2)])
    assert threading.active_count() == num_threads
    assert lockstep.run([lambda: walk(lockstep, 1), lambda: walk(lockstep, 2)]) == walks_in_a_loop(
        [1, 2]
    )


@pytest.mark.parametrize("mode", [True, False])
def test_calls_keep_the_callers_mode_of_gradients(mode):
    with torch.set_grad_enabled(mode):
        assert Lockstep().run([torch.is_grad_enabled] * 2) == [mode] * 2
