"""What ties a child process to the one that started it."""

import ctypes
import os
import signal
import sys

MAY_PASS = os.EX_TEMPFAIL
"""exit code of a stage that may succeed when it is just tried again"""

_PR_SET_PDEATHSIG = 1


def die_with_parent(death_signal: signal.Signals) -> None:
    """Have the kernel send `death_signal` to this process when the thread that started it ends.

    Without it a stage whose `dvc` was killed goes on writing beside the next one. Linux only;
    elsewhere nothing happens.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
