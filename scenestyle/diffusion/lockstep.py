"""Calls that need values of each other before they can go on: one for each size of views.

A network takes a batch of one size. Where views of several sizes attend to each other, layer by
layer, each size is a call of its own, and the calls meet at every shared layer.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Lockstep:
    """Runs calls by turns, each from one meeting to the next; only one runs at a time."""

    def __init__(self) -> None:
        """No call is running."""
        self.turn = 0
        """which of the calls is running; 0 outside `run`"""
        self._met: list[Any] = [None]
        self._wake: list[threading.Semaphore] = []
        self._error: BaseException | None = None

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The results of all calls, which must meet equally often.

        A single call runs in the caller's thread, several in one thread each, with the caller's
        mode of gradients. The first error of a call ends all of them and is raised.
        """
        if len(calls) == 1:
            return [calls[0]()]
        import torch

        gradients = torch.is_grad_enabled()
        results: list[Any] = [None] * len(calls)
        self._met, self._error = [None] * len(calls), None
        self._wake = [threading.Semaphore(0) for _ in calls]

        def work(index: int) -> None:
            try:
                self._wait(index)
                with torch.set_grad_enabled(gradients):
                    results[index] = calls[index]()
            except BaseException as error:  # noqa: BLE001 (raised by `run`, whatever it is)
                self._error = self._error or error
            self._hand_over(index)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(calls))]
        for thread in threads:
            thread.start()
        self._wake[0].release()
        try:
            self._join(threads)
        except KeyboardInterrupt as error:
            self._error = error  # ends the calls at their next meeting
            self._join(threads)
        self.turn, self._met = 0, [None]
        if self._error is not None:
            raise self._error
        return results

    def meet(self, value: T) -> list[T]:
        """Hand in a value and wait for the others; what all of them handed in, in their order."""
        index, num_calls = self.turn, len(self._met)
        if index == 0:  # the first call to arrive; the others may still have to read the last round
            self._met = [None] * num_calls
        met = self._met
        met[index] = value
        if num_calls > 1:
            self._hand_over(index)
            self._wait(index)
        return met

    def _hand_over(self, index: int) -> None:
        self._wake[(index + 1) % len(self._wake)].release()

    def _wait(self, index: int) -> None:
        self._wake[index].acquire()
        if self._error is not None:
            raise self._error
        self.turn = index

    @staticmethod
    def _join(threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            thread.join()


def per_call(num_views: int | Sequence[int]) -> tuple[int, ...]:
    """Numbers of views of the calls, of which there is one unless several numbers are given."""
    return (num_views,) if isinstance(num_views, int) else tuple(num_views)
