"""The engine under both doors, on real DVC and real processes, without Prefect."""

import fcntl
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from engine import Pipeline, StageError, run_stage
from engine.pipeline import PipelineError
from engine.runner import is_taken, last_words
from tests.support.toy_project import Toy


def test_it_agrees_with_dvc_status(toy: Toy) -> None:
    toy.replace("oil painting of", "big oil painting of")
    (toy.root / "data/poses/garden/transforms.json").unlink()
    pipeline = Pipeline(toy.root)
    assert {name for name in pipeline.needs() if pipeline.reasons(name)} == toy.stale()
    assert pipeline.reasons("stylize_views@garden-oil") == ["modified: styles.oil"]
    assert pipeline.reasons("train_nerf@garden") == ["deleted: data/poses/garden/transforms.json"]


def test_asking_changes_nothing_and_needs_no_lock(toy: Toy) -> None:
    before = {path: path.stat().st_mtime_ns for path in (toy.root / ".dvc").rglob("*")}
    lock = toy.root / ".dvc/tmp/lock"
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run_stage("evaluate@garden-oil", root=toy.root).kind == "fresh"
    assert {path: path.stat().st_mtime_ns for path in (toy.root / ".dvc").rglob("*")} == before


def test_a_result_that_vanishes_while_it_is_looked_at_is_looked_at_again(toy: Toy) -> None:
    """As when another process begins the stage, which removes what it wrote before."""
    out, saved = toy.root / "data/nerf/garden", toy.root / "saved"
    shutil.copytree(out, saved)

    def remove_and_write() -> None:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            shutil.rmtree(out)
            shutil.copytree(saved, out)

    pipeline = Pipeline(toy.root)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(remove_and_write)
        while not writing.done():
            reasons = pipeline.reasons("train_nerf@garden")
            assert set(reasons) <= {f"{word}: data/nerf/garden" for word in ("deleted", "modified")}
        writing.result()
    assert pipeline.reasons("train_nerf@garden") == []


def test_a_stage_is_run_then_fresh_then_restored(toy: Toy) -> None:
    name = "stylize_views@garden-oil"
    toy.replace("oil painting of", "big oil painting of")
    lines: list[str] = []
    ran = run_stage(name, root=toy.root, log=lines.append)
    assert (ran.kind, ran.reasons) == ("ran", ("modified: styles.oil",))
    assert any("stylize_views: digest " in line for line in lines)
    assert run_stage(name, root=toy.root).kind == "fresh"
    toy.replace("big oil painting of", "oil painting of")
    assert run_stage(name, root=toy.root).kind == "restored"
    assert toy.runs() == [name]
    assert toy.stale() == set()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ('raise InputError("no photos.\\n  - take some")', "no photos.\n  - take some"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import os; os.kill(os.getpid(), 9)", "its process was ended by SIGKILL"),
        ("import os; os._exit(3)", "exited with 3"),
    ],
)
def test_a_failed_stage_says_why_and_leaves_nothing(trouble: str, words: str, toy: Toy) -> None:
    name = "stylize_views@garden-oil"
    toy.replace("oil painting of", "big oil painting of")
    toy.plant_trouble("stylize_views", trouble)
    with pytest.raises(StageError) as error:
        run_stage(name, root=toy.root)
    assert str(error.value).startswith(f"{name}: ")
    assert words in str(error.value)
    assert not list((toy.root / "data/stylized/garden/oil").glob("[a-z]*"))
    assert Pipeline(toy.root).reasons(name)


@pytest.mark.parametrize(
    ("trouble", "passes", "words"),
    [
        ("raise MemoryError", True, "the memory was not enough"),
        ("import os; os.kill(os.getpid(), 9)", True, "SIGKILL"),
        ('raise InputError("no photos")', False, "no photos"),
        ('Path("/dev/full").write_text("x")', False, "the disk is full"),
    ],
)
def test_it_tells_whether_to_try_again(trouble: str, passes: bool, words: str, toy: Toy) -> None:
    toy.replace("oil painting of", "big oil painting of")
    toy.plant_trouble("stylize_views", trouble)
    with pytest.raises(StageError, match=words) as error:
        run_stage("stylize_views@garden-oil", root=toy.root)
    assert error.value.may_pass == passes


def test_a_stage_without_its_inputs_names_them(toy: Toy) -> None:
    (toy.root / "data/scenes/garden/photo.txt").unlink()
    (toy.root / "data/scenes/garden").rmdir()
    with pytest.raises(StageError, match="data/scenes/garden"):
        run_stage("estimate_poses@garden", root=toy.root)


def test_a_stage_over_its_time_is_ended(toy: Toy) -> None:
    toy.replace("oil painting of", "big oil painting of")
    toy.plant_trouble(
        "stylize_views", "import os, time; Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    )
    seconds = 6
    while not (toy.root / "pid").exists():  # on a busy machine it may not have begun by then
        with pytest.raises(StageError, match=f"time limit of {seconds} s"):
            run_stage("stylize_views@garden-oil", root=toy.root, timeout=seconds)
        seconds *= 2
    assert not runs((toy.root / "pid").read_text())


def test_what_is_no_project_or_no_stage_is_said(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="stylize_views@garden-sepia"):
        run_stage("stylize_views@garden-sepia", root=toy.root)
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(PipelineError, match="elsewhere"):
        run_stage("stylize_views@garden-oil", root=tmp_path / "elsewhere")
    (toy.root / "params.yaml").write_text("scenes: [")
    with pytest.raises(PipelineError, match=r"params\.yaml"):
        run_stage("stylize_views@garden-oil", root=toy.root)


def test_stages_that_finish_at_once_are_all_recorded(toy: Toy) -> None:
    names = [f"stylize_views@garden-{style}" for style in ("ink", "oil")]
    toy.replace("{max_image_side: 64}", "{max_image_side: 64} # same")
    toy.replace("stylize_views: {seed: 0}", "stylize_views: {seed: 1}")
    with ThreadPoolExecutor(4) as pool:
        kinds = list(pool.map(lambda name: run_stage(name, root=toy.root).kind, names))
    assert kinds == ["ran", "ran"]
    assert all(run_stage(name, root=toy.root).kind == "fresh" for name in names)


def test_a_stage_dies_with_the_flow_and_the_record_stays_whole(toy: Toy) -> None:
    toy.replace("oil painting of", "big oil painting of")
    toy.plant_trouble(
        "stylize_views", "import os, time; Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    )
    code = "from engine import run_stage; run_stage('stylize_views@garden-oil')"
    with subprocess.Popen([sys.executable, "-c", code], cwd=toy.root) as flow:
        pid = wait_for(lambda: (toy.root / "pid").read_text())
        flow.kill()
    wait_for(lambda: not runs(pid))
    assert "evaluate@garden-oil" in yaml.safe_load((toy.root / "dvc.lock").read_text())["stages"]
    toy.plant_trouble("stylize_views", "")
    assert run_stage("stylize_views@garden-oil", root=toy.root).kind == "ran"


def test_an_ended_dvc_finishes_what_it_records(toy: Toy) -> None:
    """SIGTERM that comes when the stage is done must not tear dvc.lock."""
    toy.replace("oil painting of", "big oil painting of")
    name = "stylize_views@garden-oil"

    def end_it(line: str) -> None:
        if line.startswith("Updating lock file"):
            for process in psutil.Process().children():
                if "engine.dvc_cli" in process.cmdline():
                    process.terminate()
                    ended.append(process.pid)

    ended: list[int] = []

    assert run_stage(name, root=toy.root, log=end_it).kind == "ran"
    assert len(ended) == 1
    assert run_stage(name, root=toy.root).kind == "fresh"


@pytest.fixture(params=[None, "/bin/bash", "/bin/sh"])
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC starts stages by the shell in SHELL; some stay as the stage's parent, others become the stage."""
    monkeypatch.delenv("SHELL", raising=False)
    if request.param:
        monkeypatch.setenv("SHELL", request.param)


@pytest.mark.usefixtures("shell")
def test_a_dvc_that_is_killed_is_named_and_the_stage_may_be_tried_again(toy: Toy) -> None:
    toy.replace("oil painting of", "big oil painting of")
    toy.plant_trouble(
        "stylize_views",
        "import os, time; Path('pid').write_text(str(os.getpid())); os.kill(os.getppid(), 9); "
        "time.sleep(60)",
    )
    with pytest.raises(StageError, match="its dvc was ended by SIGKILL") as error:
        run_stage("stylize_views@garden-oil", root=toy.root)
    assert error.value.may_pass
    wait_for(lambda: not runs((toy.root / "pid").read_text()))
    (toy.root / "trouble/stylize_views.py").unlink()
    assert run_stage("stylize_views@garden-oil", root=toy.root).kind == "ran"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("error: a\nERROR: failed to reproduce 'x': failed to run: y, exited with 1\n", "a"),
        (
            "ERROR: failed to reproduce 'x': missing data 'source': z\n",
            "'x': missing data 'source': z",
        ),
        (
            "ERROR: failed to reproduce 'x': failed to run: y, exited with -9\n",
            "its process was ended by SIGKILL; most often the memory was not enough.",
        ),
        (
            "ERROR: failed to reproduce 'x': failed to run: y, exited with 143\n",
            "its process was ended by SIGTERM.",
        ),
        (
            "ERROR: failed to reproduce 'x': failed to run: y, exited with 128\n",
            "'x': failed to run: y, exited with 128",
        ),
        ("", "dvc gave no reason."),
    ],
)
def test_the_last_words(output: str, words: str) -> None:
    assert last_words(output) == words


@pytest.mark.parametrize(
    ("vanished", "taken"),
    [
        ("data/nerf/garden/config.yml", True),
        ("data/nerf/garden", True),
        ("data/poses/garden/images", False),
        ("data/nerf/garden2", False),
    ],
)
def test_a_stage_whose_results_were_just_removed_is_run_elsewhere(
    vanished: str, taken: bool, toy: Toy
) -> None:
    """Its inputs, if they are gone, are really missing."""
    trouble = f"[Errno 2] No such file or directory: '{toy.root / vanished}'"
    for name in ("train_nerf@garden", "render_views@garden"):
        output = f"ERROR: failed to reproduce '{name}': {trouble}\n"
        assert is_taken(name, toy.root, output) == (taken and name == "train_nerf@garden")


def runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except FileNotFoundError:
            pass
        threading.Event().wait(0.05)
    raise TimeoutError
