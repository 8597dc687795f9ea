"""dvc.lock as the engine writes it: DVC's bytes, never torn."""

import fcntl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from dvc.utils.serialize import parse_yaml

from engine import Pipeline, run_stage
from engine.lockfile import read, set_aside_if_torn, with_entries, without
from tests.support.toy_project import Toy

NAME = "stylize_views@garden-oil"


def test_a_record_is_what_dvc_would_have_written(toy: Toy) -> None:
    toy.replace(
        '"oil painting of {caption}"',
        '"big oil painting of {caption}: ümläut, a long line that has to be folded somewhere, surely"',
    )
    lock = toy.root / "dvc.lock"
    assert run_stage(NAME, root=toy.root).kind == "ran"
    ours = lock.read_bytes()
    assert toy.run("dvc", "commit", "-f", NAME).returncode == 0
    assert lock.read_bytes() == ours
    lock.unlink()
    assert run_stage("estimate_poses@garden", root=toy.root).kind == "restored"
    ours = lock.read_bytes()
    assert toy.run("dvc", "commit", "-f", "estimate_poses@garden").returncode == 0
    assert lock.read_bytes() == ours


def test_an_entry_is_read_as_dvc_reads_it(toy: Toy) -> None:
    """PyYAML would take `1e-05` for a text and `yes` for a truth, and a result of another clone would not fit."""
    odd = {"rate": 1e-05, "caption": "yes", "ratio": "1:30", "none": None, "mode": "0o17"}
    lock = toy.root / "dvc.lock"
    entries = yaml.safe_load(lock.read_text())["stages"]
    entries[NAME]["params"] = {"params.yaml": odd}
    text = with_entries(lock.read_text(), {NAME: entries[NAME]})
    assert text is not None
    lock.write_text(text)
    assert read(lock)[NAME]["params"]["params.yaml"] == odd
    assert dict(read(lock)) == parse_yaml(text, lock)["stages"]
    assert with_entries(text, read(lock)) == text
    lock.write_text(text + "datasets: []\n")
    assert dict(read(lock)) == parse_yaml(text, lock)["stages"]


def test_what_is_laid_out_otherwise_is_left_to_dvc(toy: Toy) -> None:
    text = (toy.root / "dvc.lock").read_text()
    entries = yaml.safe_load(text)["stages"]
    assert with_entries(text, {NAME: entries[NAME]}) == text
    for other in (
        text.replace("stages:\n", ""),
        text + "datasets: []\n",
        text.replace(f"  {NAME}:\n", f"  ? {NAME}\n  :\n"),
        text.replace(f"  {NAME}:\n", f"\n  {NAME}:\n"),
    ):
        assert with_entries(other, {NAME: entries[NAME]}) is None
    assert with_entries(text, {"x" * 130: entries[NAME]}) is None
    assert with_entries(text, {NAME: {**entries[NAME], "params": {"a": "b\n\nc"}}}) is not None


def test_stages_are_taken_out(toy: Toy) -> None:
    text = (toy.root / "dvc.lock").read_text()
    left = without(text, [NAME])
    assert left is not None
    wanted = yaml.safe_load(text)
    del wanted["stages"][NAME]
    assert yaml.safe_load(left) == wanted


@pytest.mark.parametrize("size", [0, 10, 20, 300, 2000, -1, -30, -400])
def test_a_torn_record_is_found_and_everything_restored(size: int, toy: Toy) -> None:
    lock = toy.root / "dvc.lock"
    whole = lock.read_bytes()
    lock.write_bytes(whole[:size])
    results = toy.results()
    pipeline = Pipeline(toy.root)
    names = list(pipeline.needs())
    assert [run_stage(name, root=toy.root).kind for name in names].count("ran") == 0
    assert toy.runs() == []
    assert toy.results() == results
    assert toy.stale() == set()


def test_a_record_that_is_just_being_written_is_waited_for(toy: Toy) -> None:
    """A `dvc repro` by hand writes it in place, under DVC's lock."""
    record = toy.root / "dvc.lock"
    whole = record.read_bytes()
    begun = threading.Event()

    def write_slowly() -> None:
        with (toy.root / ".dvc/tmp/lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            record.write_bytes(whole[: whole.rindex(b"    - ") + len("    - ")])
            begun.set()
            time.sleep(1)
            record.write_bytes(whole)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write_slowly)
        begun.wait()
        assert Pipeline(toy.root).stale() == {}
        writing.result()
    assert record.read_bytes() == whole
    assert not list(toy.root.glob("dvc.lock.*"))


def test_a_whole_record_stays(toy: Toy) -> None:
    lock = toy.root / "dvc.lock"
    before = lock.read_bytes()
    assert set_aside_if_torn(lock) is None
    assert lock.read_bytes() == before
    assert set_aside_if_torn(toy.root / "nothing.lock") is None


_KILLED_WHILE_WRITING = """\
import os, signal, sys
from dvc.utils.serialize import _yaml
from engine import dvc_cli

def end(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def begin_to_print(data, stream):
    if not str(stream.name).endswith("dvc.lock"):
        return dump(data, stream)
    stream.write("schema")
    stream.flush()
    end()

dump = _yaml._dump
if {ours}:
    os.fsync = end
else:
    dvc_cli.teach_dvc = lambda: None
    _yaml._dump = begin_to_print
sys.argv[1:] = ["repro", "--single-item", "{name}"]
dvc_cli.main()
"""


@pytest.mark.parametrize("ours", [True, False])
def test_a_kill_in_the_middle_of_writing_tears_nothing(ours: bool, toy: Toy) -> None:
    """With DVC's own way of writing the same kill leaves nothing of the record: that is what ours cures."""
    toy.replace("oil painting of", "big oil painting of")
    lock = toy.root / "dvc.lock"
    before = lock.read_bytes()
    done = toy.run("python", "-c", _KILLED_WHILE_WRITING.format(ours=ours, name=NAME))
    assert done.returncode == -9, done.stdout
    assert lock.read_bytes() == (before if ours else b"schema")
    toy.runs()
    assert run_stage(NAME, root=toy.root).kind == "restored"
    assert toy.runs() == []
    if ours:
        assert toy.stale() == {"finetune_nerf@garden-oil", "evaluate@garden-oil"}
