"""Many at once, and kills at any moment: nothing is lost, mixed or torn."""

import os
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from engine import Pipeline, run_stage
from scenestyle.errors import ScenestyleError
from scenestyle.project.params_file import edit_entry, update
from tests.support.kills import driver, kill_something
from tests.support.toy_project import Toy


def with_edits(toy: Toy, count: int) -> list[str]:
    """Ask for the garden in `count` new styles; returns their edits."""
    styles = [f"style{number}" for number in range(count)]
    update(
        toy.root / "params.yaml",
        {
            "styles": {style: {"prompt": style} for style in styles},
            "edits": {f"garden-{style}": edit_entry("garden", style) for style in styles},
        },
    )
    return [f"garden-{style}" for style in styles]


def test_eight_that_finish_at_once_lose_and_mix_nothing(toy: Toy, tmp_path: Path) -> None:
    """With one DVC repository shared by the threads, up to six of eight records got lost (tried)."""
    edits = with_edits(toy, 8)
    alone = toy.copy(tmp_path / "alone")
    toy.plant_trouble(
        "stylize_views",
        # Each waits until all have begun, so that all end at once.
        "import os, time\n"
        "Path('begun').mkdir(exist_ok=True); (Path('begun') / str(os.getpid())).touch()\n"
        "while len(list(Path('begun').iterdir())) < 8: time.sleep(0.01)\n",
    )
    names = [f"stylize_views@{edit}" for edit in edits]
    with ThreadPoolExecutor(8) as pool:
        kinds = list(pool.map(lambda name: run_stage(name, root=toy.root).kind, names))
    assert kinds == ["ran"] * 8
    assert set(names) <= yaml.safe_load((toy.root / "dvc.lock").read_text())["stages"].keys()
    assert toy.stale().isdisjoint(names)
    alone.repro(*names)
    assert toy.results() == alone.results()


@pytest.mark.timeout(300)
def test_two_flows_and_a_dvc_repro_at_once_do_each_stage_once(toy: Toy, tmp_path: Path) -> None:
    alone = toy.copy(tmp_path / "alone")
    for project in (toy, alone):
        project.replace("train_nerf: {seed: 0}", "train_nerf: {seed: 1}")
    toy.plant_trouble("train_nerf", "import time; time.sleep(1)")
    drivers = [driver(toy.root) for _ in range(2)]
    by_hand = toy.run("dvc", "--wait-for-lock", "repro")
    said = [process.communicate(timeout=200)[0] for process in drivers]
    assert [process.returncode for process in drivers] == [0, 0], said
    if by_hand.returncode != 0:
        # DVC's own door does not wait for a running stage: it refuses, or stumbles over results
        # just removed.
        refusals = ("is busy, it is being blocked by", "No such file or directory")
        assert any(words in by_hand.stdout for words in refusals), by_hand.stdout
    toy.repro()
    runs = toy.runs()
    assert len(runs) == len(set(runs)) == 8
    alone.repro()
    assert toy.results() == alone.results()
    assert toy.stale() == set()


def test_a_stage_that_runs_elsewhere_is_waited_for(toy: Toy) -> None:
    name = "stylize_views@garden-oil"
    toy.replace("oil painting of", "big oil painting of")
    toy.plant_trouble("stylize_views", "import time; Path('begun').touch(); time.sleep(3)")
    programs = Path(sys.executable).parent
    with subprocess.Popen(
        [programs / "dvc", "repro", "--single-item", name],
        cwd=toy.root,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
    ) as by_hand:
        while not (toy.root / "begun").exists():
            time.sleep(0.05)
        said: list[str] = []
        outcome = run_stage(name, root=toy.root, log=said.append)
        assert outcome.kind == "fresh"
        assert "modified: styles.oil" in outcome.reasons
    # Once, however long it takes; where it ends just before a further look, DVC finds nothing to do.
    assert said[1] == f"{name}: another program makes it; waiting for that"
    assert said[2:] in (
        [],
        [f"Stage '{name}' didn't change, skipping", "Data and pipelines are up to date."],
    )
    assert by_hand.returncode == 0
    assert toy.runs() == [name]


def kill_until_done(toy: Toy, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(kills):
        flow = driver(toy.root)
        time.sleep(chance.uniform(0.5, 5))
        kill_something(flow, chance)
        flow.communicate(timeout=100)
    while (flow := driver(toy.root)).wait(200) != 0:
        flow.communicate()


def check_kills(toy: Toy, alone: Toy, kills: int, seed: int) -> None:
    for project in (toy, alone):
        project.replace("{seed: 0}\ntrain", "{seed: 1}\ntrain")
    for stage in toy.graph():
        toy.plant_trouble(stage, "import time; time.sleep(0.3)")
    alone.repro()
    toy.runs()
    kill_until_done(toy, kills, seed)
    assert toy.results() == alone.results()
    assert toy.stale() == set()
    assert not list((toy.root / "data").rglob(".partial-*"))
    # A stage runs again only if it was killed, or the flow was between its end and its record.
    assert len(toy.runs()) <= 8 + kills


@pytest.mark.timeout(300)
def test_kills_at_random_moments_change_no_result(toy: Toy, tmp_path: Path) -> None:
    check_kills(toy, toy.copy(tmp_path / "alone"), kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_twenty_kills_at_random_moments_change_no_result(toy: Toy, tmp_path: Path) -> None:
    check_kills(toy, toy.copy(tmp_path / "alone"), kills=20, seed=2)


def test_a_result_whose_inputs_were_edited_meanwhile_is_not_recorded(toy: Toy) -> None:
    """DVC alone would record the new inputs as the cause of the old result (dvc#11058)."""
    name = "stylize_views@garden-oil"
    toy.replace("oil painting of", "big oil painting of")
    toy.plant_trouble(
        "stylize_views",
        "p = Path('params.yaml'); p.write_text(p.read_text().replace('big oil', 'bigger oil'))",
    )
    done = toy.run("dvc", "repro", "--single-item", name)
    assert done.returncode != 0
    assert "was changed while stylize_views ran" in done.stdout
    assert Pipeline(toy.root).reasons(name)
    assert run_stage(name, root=toy.root).kind == "ran"


def test_a_cache_that_cannot_be_written_is_said_and_stays_intact(toy: Toy) -> None:
    name = "stylize_views@garden-oil"
    toy.replace("oil painting of", "big oil painting of")
    cache = toy.root / ".dvc/cache"
    hidden = cache.rename(cache.with_name("hidden"))
    cache.write_text("no folder")  # to root, folders without write permission are writable
    before = (toy.root / "dvc.lock").read_bytes()
    with pytest.raises(ScenestyleError, match="cache"):
        run_stage(name, root=toy.root)
    assert (toy.root / "dvc.lock").read_bytes() == before
    cache.unlink()
    hidden.rename(cache)
    assert run_stage(name, root=toy.root).kind in ("ran", "restored")
    assert toy.stale() == {"finetune_nerf@garden-oil", "evaluate@garden-oil"}


READ_ONLY = "mount --bind .dvc/cache .dvc/cache; mount -o remount,ro,bind .dvc/cache"
FULL = (
    "cp -a .dvc/cache saved; mount -t tmpfs -o size=1m none .dvc/cache; cp -a saved/. .dvc/cache; "
    "dd if=/dev/zero of=.dvc/cache/filler bs=4k status=none || true"
)
RUN_AND_LOOK = """\
import hashlib, sys
from pathlib import Path
from engine import StageError, run_stage
before = {path: path.read_bytes() for path in Path(".dvc/cache/files").rglob("*") if path.is_file()}
try:
    run_stage(sys.argv[1])
except StageError as error:
    print(error)
assert before and all(path.read_bytes() == data for path, data in before.items())
for path in Path(".dvc/cache/files/md5").glob("??/*"):
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    assert path.parent.name + path.name.removesuffix(".dir") == md5, path
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0,
    reason="needs a mount namespace",
)
@pytest.mark.parametrize(
    ("trouble", "words"),
    [(READ_ONLY, "Read-only file system"), (FULL, "No space left on device")],
)
def test_a_read_only_and_a_full_cache_are_said_and_stay_intact(
    trouble: str, words: str, toy: Toy
) -> None:
    """Mounted so for this process alone, which binds root, too."""
    name = "stylize_views@garden-oil"
    toy.replace("oil painting of", "big oil painting of")
    before = (toy.root / "dvc.lock").read_bytes()
    program = [sys.executable, "-c", RUN_AND_LOOK, name]
    done = subprocess.run(
        ["unshare", "-rm", "bash", "-ec", f'{trouble}; exec "$@"', "bash", *program],
        cwd=toy.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: ")
    assert words in done.stdout
    assert (toy.root / "dvc.lock").read_bytes() == before
    assert run_stage(name, root=toy.root).kind == "ran"
    assert toy.stale() == {"finetune_nerf@garden-oil", "evaluate@garden-oil"}
