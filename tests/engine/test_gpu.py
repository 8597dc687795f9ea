import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.gpu import gpus, one_gpu

WORKER = """\
import os, sys, time
from pathlib import Path
from engine.gpu import one_gpu

folder = Path(sys.argv[1])
with one_gpu(["0", "1"], folder / "locks") as gpu:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == gpu
    alone = folder / f"at-{gpu}"
    alone.mkdir()  # fails if another one is at this GPU
    time.sleep(float(sys.argv[2]))
    alone.rmdir()
    (folder / f"done-{os.getpid()}-{gpu}").touch()
"""


def start(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), str(seconds)])


def test_each_gpu_has_one_stage_at_a_time_and_all_are_used(tmp_path: Path) -> None:
    workers = [start(tmp_path, 0.5) for _ in range(6)]
    assert [worker.wait(60) for worker in workers] == [0] * 6
    used = [path.name.rsplit("-", 1)[1] for path in tmp_path.glob("done-*")]
    assert len(used) == 6
    assert set(used) == {"0", "1"}


def test_a_killed_stage_gives_its_gpu_free(tmp_path: Path) -> None:
    killed = [start(tmp_path, 60) for _ in range(2)]
    while len(list(tmp_path.glob("at-*"))) < 2:
        time.sleep(0.05)
    for worker in killed:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    for left in tmp_path.glob("at-*"):
        left.rmdir()
    assert start(tmp_path, 0).wait(30) == 0


def test_without_gpus_nothing_happens(tmp_path: Path) -> None:
    with one_gpu([], tmp_path / "locks") as gpu:
        assert gpu is None
    assert not (tmp_path / "locks").exists()


@pytest.mark.parametrize(
    ("visible", "names"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-ab", ["GPU-ab"])]
)
def test_it_keeps_to_the_gpus_it_was_given(
    visible: str, names: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus() == names
    with one_gpu(names, tmp_path):
        pass
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
