"""Where the tensors of a stage are, on a GPU or the CPU; how threads wait and memory is kept."""

import ctypes
import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scenestyle.errors import ParamsError

if TYPE_CHECKING:
    import torch

_MALLOPT = {"MALLOC_MMAP_THRESHOLD_": (-3, 32), "MALLOC_TRIM_THRESHOLD_": (-1, 512)}
"""glibc's variable -> number of the option, and megabytes: the size from which an array is no part
of the heap (32 is the most that every version takes), and what may lie free at the heap's end"""

_LOOKS, _LOOKS_ON_AMD = 30_000, 10_000
"""how often a thread of GNU's OpenMP looks for work before it sleeps: as often as pays on idle
cores, which was measured on a Xeon and an EPYC (docs/decisions/edit_loop.md)"""
_MOST_BUSY = 0.25
"""share of the cores that others may be at work on for that"""

VARIABLE = "SCENESTYLE_DEVICE"
"""Environment variable that overrides the choice: `cpu`, `cuda` or `cuda:1`."""


def let_idle_threads_sleep() -> None:
    """Have OpenMP's threads sleep soon while they wait for work; call it before torch is imported.

    By default they spin, and on cores that are shared with other processes they then take the time
    that the others, and their own siblings, need: beside a dozen busy processes on two cores, a
    training step with two threads fell from about 2.4 s to 0.3 s. But waking a thread takes longer
    than many an operation of a network does, so that on two idle cores threads that sleep at once
    are hardly faster than one: where nobody else is at work they look for work for a moment first,
    which takes no more CPU time. What the environment says of either is respected.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        return
    has_room = others_at_work() <= _MOST_BUSY * (os.cpu_count() or 1)
    looks = (_LOOKS_ON_AMD if _is_amd() else _LOOKS) if has_room else 0
    os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": str(looks)})


def others_at_work() -> float:
    """How many threads of other processes run or wait for a core, on average over 20 ms.

    Linux counts them; elsewhere the answer is the load average, which is late by a minute.
    """
    counts = Path("/proc/loadavg")  # three load averages, then "running/all" threads
    if not counts.exists():
        return os.getloadavg()[0]
    looks = []
    for _ in range(10):
        time.sleep(0.002)
        running, _ = counts.read_text().split()[3].split("/")
        looks.append(max(0, int(running) - 1))  # the one who looks is running, too
    return statistics.fmean(looks)


def _is_amd() -> bool:
    described = Path("/proc/cpuinfo")
    return described.exists() and "AuthenticAMD" in described.read_text()


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, up to 0.5 GB, for the next array of its size.

    By default it returns every array of more than a few megabytes to the system, and gets the next
    as fresh pages, which the system fills with zeros. A step of a network frees and takes dozens:
    decoding a view took 15 % longer, encoding one 25 %. Without glibc nothing happens. glibc's own
    variables are respected where they are set, as memory is measured with them.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    for variable, (option, megabytes) in _MALLOPT.items():
        if variable not in os.environ:
            mallopt(option, megabytes << 20)


def select_device(wanted: str | None = None) -> "torch.device":
    """The device to compute on: `wanted`, else what SCENESTYLE_DEVICE names, else CUDA, else CPU.

    Also has torch keep its number of threads, see `keep_number_of_threads`.

    Raises:
        ParamsError: If the named device is not one of torch's kinds, or this machine lacks it.
    """
    import torch

    keep_number_of_threads()
    name = wanted or os.environ.get(VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ParamsError(
            f"{VARIABLE}={name!r} is not a device; use cpu, cuda or cuda:N, or leave it unset."
        ) from error
    num_gpus = torch.cuda.device_count()
    if device.type not in ("cpu", "cuda") or (
        device.type == "cuda" and (device.index or 0) >= num_gpus
    ):
        raise ParamsError(
            f"{VARIABLE}={name!r}: this machine offers cpu and {num_gpus} CUDA device(s) that "
            "torch can use. Name one of them, or leave the variable unset."
        )
    return device


def keep_number_of_threads() -> None:
    """Have torch compute with as many threads as it began with, whatever numba's number is.

    When numba begins its threads it sets OpenMP's number for the whole process. Where the two
    differ (OMP_NUM_THREADS=1 on two cores), torch would sum in another order from the first kernel
    on, and results depend on when that was. So numba begins here, and torch takes back its number.
    """
    import numba
    import torch

    count = torch.get_num_threads()
    numba.get_num_threads()  # which begins the threads
    torch.set_num_threads(count)
