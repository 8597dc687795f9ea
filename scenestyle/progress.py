"""How far a long computation is, in one line now and then."""

import logging
import time

_SECONDS_BETWEEN_MESSAGES = 10.0
_FEWEST_STEPS, _FEWEST_SECONDS = 5, 3.0
"""before both, the time left is unknown: first steps compile and fill caches"""


class Progress:
    """Logs `step 12 of 100, about 40 s left`, at most every ten seconds."""

    def __init__(self, log: logging.Logger, total: int, *, done: int = 0, unit: str = "step"):
        """Start the clock.

        Args:
            log: Where the lines go.
            total: Number of steps in all.
            done: Those that an interrupted run has done already.
            unit: What a step is.
        """
        self._log, self._total, self._unit = log, total, unit
        self._first = done
        self._start = self._told = time.monotonic()

    def tell(self, done: int, detail: str = "") -> None:
        """Say how far it is, if it is time to; `detail` stands between step and time left."""
        now = time.monotonic()
        if now - self._told < _SECONDS_BETWEEN_MESSAGES:
            return
        self._told = now
        left = time_left(now - self._start, done - self._first, self._total - done)
        parts = [f"{self._unit} {done} of {self._total}", detail, left]
        self._log.info("%s", ", ".join(part for part in parts if part))


def time_left(seconds: float, done: int, left: int) -> str:
    """In words, by the mean of the steps that were done in so many seconds."""
    if done < _FEWEST_STEPS or seconds < _FEWEST_SECONDS:
        return "time left not known yet"
    return f"about {duration(left * seconds / done)} left"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
