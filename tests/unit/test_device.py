import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scenestyle.device import VARIABLE, let_idle_threads_sleep, others_at_work, select_device
from scenestyle.errors import ParamsError


def test_a_gpu_is_taken_if_there_is_one(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert select_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_environment_overrides_and_an_argument_overrides_both(monkeypatch):
    monkeypatch.setenv(VARIABLE, "cpu")
    assert select_device() == torch.device("cpu")
    monkeypatch.setenv(VARIABLE, "nonsense")
    assert select_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["nonsense", "cuda:99", "meta", "cpu:x"])
def test_nonsense_is_refused(monkeypatch, name):
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(ParamsError, match=rf"{VARIABLE}='{name}'"):
        select_device()


@pytest.fixture
def unset(monkeypatch):
    """An environment that says nothing of how OpenMP's threads wait, nor keeps what is said here."""
    for variable in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(variable, "to be put back")
        os.environ.pop(variable)


@pytest.mark.parametrize(
    ("busy_share", "spins"), [(0.0, True), (0.2, True), (0.5, False), (4.0, False)]
)
@pytest.mark.usefixtures("unset")
def test_threads_look_for_work_only_where_the_machine_has_room(monkeypatch, busy_share, spins):
    at_work = busy_share * (os.cpu_count() or 1)
    monkeypatch.setattr("scenestyle.device.others_at_work", lambda: at_work)
    let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert (int(os.environ["GOMP_SPINCOUNT"]) > 0) == spins


@pytest.mark.usefixtures("unset")
def test_threads_look_less_often_on_processors_where_oftener_does_not_pay(monkeypatch):
    monkeypatch.setattr("scenestyle.device.others_at_work", lambda: 0)
    looks = {}
    for amd in (True, False):
        monkeypatch.setattr("scenestyle.device._is_amd", lambda amd=amd: amd)
        let_idle_threads_sleep()
        looks[amd] = int(os.environ.pop("GOMP_SPINCOUNT"))
        os.environ.pop("OMP_WAIT_POLICY")
    assert 0 < looks[True] < looks[False]


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="other systems tell only the load")
def test_another_process_at_work_is_counted():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            looks = [others_at_work() for _ in range(20)]
        finally:
            busy.kill()
    assert statistics.median(looks) >= 0.9


@pytest.mark.parametrize("variable", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
@pytest.mark.usefixtures("unset")
def test_what_the_environment_says_of_waiting_is_respected(monkeypatch, variable):
    monkeypatch.setenv(variable, "7")
    before = dict(os.environ)
    let_idle_threads_sleep()
    assert dict(os.environ) == before


_FAULTS = """
import resource, sys
import numpy as np
from scenestyle.device import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def use():
    return sum(each[0] for each in [np.ones(2_000_000) for _ in range(8)])
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have no such option")
def test_arrays_get_the_pages_that_others_of_their_size_had():
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", _FAULTS, how]))
        for how in ("kept", "returned")
    )
    assert kept < 0.1 * returned


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have no such option")
def test_what_glibcs_variables_say_of_memory_is_respected():
    asked = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144"}
    kept, returned = (
        int(subprocess.check_output([sys.executable, "-c", _FAULTS, how], env=os.environ | asked))
        for how in ("kept", "returned")
    )
    assert kept > 0.5 * returned > 0


_THREADS = """
import sys
import numba, numpy as np, torch
from scenestyle.device import select_device
if sys.argv[1] == "kept":
    select_device("cpu")
@numba.njit(parallel=True)
def kernel(values):
    for i in numba.prange(len(values)):
        values[i] += 1
kernel(np.zeros(8))
print(torch.get_num_threads())
"""


def test_torch_keeps_its_number_of_threads_when_numba_begins_its_own():
    env = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    kept, changed = (
        int(subprocess.check_output([sys.executable, "-c", _THREADS, how], env=env))
        for how in ("kept", "left alone")
    )
    assert kept == 1
    assert changed in (1, 2)  # 2 where numba's threads are OpenMP's
