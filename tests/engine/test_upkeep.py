"""`scenestyle status`, `prune` and `doctor`, on real DVC."""

import errno
import fcntl
import json
import os
import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from cli.doctor import examine, one_opencv
from cli.main import main
from cli.status import status_lines
from engine import Pipeline
from engine.cache import find_unused
from engine.pipeline import PipelineError
from engine.timing import estimate, recorded_seconds
from engine.upkeep import Foretold, foretell
from scenestyle.params import load_params
from tests.support.toy_project import Toy


@pytest.fixture
def here(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.chdir(toy.root)
    return toy


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    main(argv)
    return capsys.readouterr().out


def test_status_tells_what_would_run_and_why(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    here.add_overview()
    here.repro("overview")
    capsys.readouterr()
    assert said(capsys, "status").splitlines() == [
        "garden in ink: up to date",
        "garden in oil: up to date",
        "overview: up to date",
        "",
        "Nothing to do.",
    ]
    here.replace("oil painting of", "big oil painting of")
    (here.root / "data/results/garden/ink/metrics.json").write_text('{"seconds": 150}')
    lines = said(capsys, "status").splitlines()
    assert lines[0].startswith("garden in ink: 1 of 6 stages would run, about 2 min")
    assert lines[1] == "  evaluate@garden-ink: modified: data/results/garden/ink/metrics.json"
    assert lines[2].startswith("garden in oil: 3 of 6 stages would run")
    assert lines[3:5] == [
        "  stylize_views@garden-oil: modified: styles.oil",
        "  evaluate@garden-oil: modified: styles.oil",
    ]
    assert lines[5] == "overview: would be written anew"
    assert lines[-1].startswith("4 stages in all, about 5 min and 2 stages whose time is unknown")
    assert "garden in oil" in said(capsys, "status", "--scene", "garden")


def test_what_status_tells_is_what_runs(here: Toy) -> None:
    here.replace("max_image_side: 64", "max_image_side: 65")
    pipeline = Pipeline(here.root)
    foretold = foretell(pipeline.needs(), pipeline.stale(), pipeline.outputs())
    here.repro()
    assert here.runs() == list(foretold.runs)


def test_results_that_were_deleted_come_back_and_do_not_count_as_runs(
    here: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(here.root / "data/nerf")
    shutil.rmtree(here.root / "data/results/garden/oil")
    lines = said(capsys, "status").splitlines()
    assert lines[:4] == [
        "garden in ink: results of 1 stage would come back from the cache",
        "  train_nerf@garden: deleted: data/nerf/garden",
        "garden in oil: results of 2 stages would come back from the cache",
        "  train_nerf@garden: deleted: data/nerf/garden",
    ]
    assert lines[4].startswith("  evaluate@garden-oil: deleted: ")
    assert lines[5] == "overview: up to date"
    assert lines[-1] == "Nothing to run; dvc repro brings back the rest."
    here.repro()
    assert here.runs() == []
    assert said(capsys, "status").endswith("Nothing to do.\n")


def test_a_stage_that_follows_from_one_that_runs_would_run() -> None:
    needs = {"a": set(), "b": {"a"}, "c": {"b"}, "d": set()}
    outputs = {name: [Path(f"data/{name}")] for name in needs}
    assert foretell(needs, {"b": ["modified: x"]}, outputs) == Foretold(("b", "c"), ())
    assert foretell(needs, {}, outputs) == Foretold((), ())
    lost = {"a": ["deleted: data/a"], "b": ["deleted: data/a/config.yml"]}
    assert foretell(needs, lost, outputs) == Foretold((), ("a",))
    gone = {"a": ["not in cache: data/a", "deleted: data/a"], "b": ["deleted: data/a"]}
    assert foretell(needs, gone, outputs) == Foretold(("a", "b", "c"), ())
    assert foretell(needs, {"d": ["deleted: photos"]}, outputs) == Foretold(("d",), ())


def test_seconds_are_those_of_last_time_else_of_other_scenes(tmp_path: Path) -> None:
    recorded = {"train_nerf@a": 10.0, "train_nerf@b": 30.0, "evaluate@a-x": 7.0}
    assert estimate("train_nerf@b", recorded) == 30
    assert estimate("train_nerf@c", recorded) == 20
    assert estimate("render_views@a", recorded) is None
    (tmp_path / "x.json").write_text("[1")
    (tmp_path / "y.json").write_text('{"seconds": 2.5}')
    assert recorded_seconds([tmp_path]) == 2.5
    assert recorded_seconds([tmp_path / "y.json", tmp_path / "none"]) == 2.5
    assert recorded_seconds([tmp_path / "x.json"]) is None


def test_nothing_asked_for_is_said(here: Toy) -> None:
    text = (here.root / "params.yaml").read_text()
    edits = text[text.index("edits:") : text.index("estimate_poses: {seed")]
    (here.root / "params.yaml").write_text(text.replace(edits, "edits: {}\n"))
    lines = status_lines(load_params(here.root / "params.yaml"), {}, Foretold((), ()), {})
    assert lines == ["Nothing is asked for yet: scenestyle restyle SCENE STYLE"]


def test_prune_removes_what_nothing_needs_and_only_when_told(
    here: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "prune") == "Nothing to prune.\n"
    text = (here.root / "params.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("  garden-oil:")]
    (here.root / "params.yaml").write_text("\n".join(lines))
    old, held = here.root / ".work/train_nerf/old", here.root / ".work/train_nerf/held"
    for folder in (old, held, here.root / ".work/else", here.root / "data/nerf/.partial-x"):
        folder.mkdir(parents=True)
    handle = os.open(held, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    kept = {name: data for name, data in here.results().items() if "oil" not in name}

    before = here.results()
    listed = said(capsys, "prune")
    assert "record of stylize_views@garden-oil" in listed
    assert "data/finetuned/garden/oil" in listed
    assert ".work/train_nerf/old" in listed
    assert ".work/train_nerf/held" not in listed
    assert ".work/else" not in listed
    assert here.results() == before

    said(capsys, "prune", "--yes")
    os.close(handle)
    assert here.results() == kept
    assert not old.exists()
    assert not (here.root / "data/results/garden/oil").exists()
    assert (here.root / "data/scenes/garden/photo.txt").exists()
    assert here.stale() == set()
    assert "oil" not in (here.root / "dvc.lock").read_text()

    (here.root / "params.yaml").write_text(text)
    here.repro()
    assert here.runs() == [], "what was pruned is still in the cache"


def test_prune_takes_from_the_cache_what_is_old_and_not_asked_for(
    here: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three values of a parameter ran; the file asks for the first again, and nothing ran since."""
    first, second, third = (f"finetune_nerf: {{seed: {seed}}}" for seed in (0, 1, 2))
    wanted = here.results()
    for before, after in ((first, second), (second, third)):
        here.replace(before, after)
        here.repro()
    here.runs()
    here.replace(third, first)

    assert said(capsys, "prune", "--older-than", "1").endswith("Nothing to prune.\n")
    before = cached(here)
    assert "Nothing was deleted" in said(capsys, "prune", "--older-than", "0")
    assert cached(here) == before
    said(capsys, "prune", "--older-than", "0", "--yes")
    gone = {path for path in before - cached(here) if "runs" not in path.parts}
    assert gone, "the second value's results"

    here.repro()
    assert here.runs() == [], "the first value's results were kept"
    assert here.results() == wanted
    here.replace(first, second)
    here.repro("finetune_nerf@garden-ink")
    assert here.runs() == ["finetune_nerf@garden-ink"], "the second value's were not"


def cached(toy: Toy) -> set[Path]:
    return {path for path in (toy.root / ".dvc/cache").rglob("*") if path.is_file()}


def test_a_cache_that_others_share_and_a_torn_record_are_left_alone(
    here: Toy, tmp_path: Path
) -> None:
    (here.root / "dvc.lock").write_text("")
    with pytest.raises(PipelineError, match="torn"):
        find_unused(here.root, timedelta(0))
    here.run("dvc", "cache", "dir", "--local", str(tmp_path / "shared"))
    (here.root / "dvc.lock").unlink()
    with pytest.raises(PipelineError, match="lies outside of this project"):
        find_unused(here.root, timedelta(0))


def test_a_cache_without_its_lists_of_folders_is_left_alone(here: Toy) -> None:
    here.repro()
    for listing in (here.root / ".dvc/cache").rglob("*.dir"):
        listing.unlink()
    with pytest.raises(PipelineError, match="recorded folders are missing in the cache"):
        find_unused(here.root, timedelta(0))


def test_a_folder_without_a_project_has_no_cache_to_empty(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="not inside of a DVC repository"):
        find_unused(tmp_path, timedelta(0))


def test_a_record_that_others_laid_out_is_not_edited(tmp_path: Path) -> None:
    toy = Toy.make(tmp_path)
    record = '{"schema": "2.0", "stages": {"a": {"cmd": "a"}}}'
    (tmp_path / "dvc.lock").write_text(record)
    with pytest.raises(PipelineError, match="is not laid out as DVC does"):
        Pipeline(toy.root).forget(["a"])
    assert (tmp_path / "dvc.lock").read_text() == record


def test_doctor_finds_what_is_broken(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    findings = dict(examine(here.root))
    assert findings["dvc.lock"].state == findings["DVC's locks"].state == "ok"
    assert findings["params.yaml"].what == "1 scenes, 2 edits"
    (here.root / "dvc.lock").write_text("")
    (here.root / ".dvc/tmp/rwlock").write_text('{"read"')
    (here.root / "data/scenes/garden").rename(here.root / "data/scenes/moved")
    findings = dict(examine(here.root))
    broken = {name for name, finding in findings.items() if finding.state == "broken"}
    assert broken >= {"dvc.lock", "DVC's locks", "params.yaml"}
    assert all(findings[name].way_out for name in ("dvc.lock", "DVC's locks", "params.yaml"))
    with pytest.raises(SystemExit):
        main(["doctor"])
    out = capsys.readouterr()
    assert "broken  dvc.lock: a killed dvc left it torn" in out.out
    assert "must be mended" in out.err


def test_doctor_goes_on_where_a_file_may_not_be_read(
    here: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may be root, who may read everything.
    def refused(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(here.root / "params.yaml"))

    monkeypatch.setattr("cli.doctor.load_params", refused)
    findings = dict(examine(here.root))
    assert findings["params.yaml"].state == "broken"
    assert "may not be read" in findings["params.yaml"].what
    assert findings["nightly runs"]


def test_doctor_counts_what_the_cache_lacks(here: Toy) -> None:
    assert dict(examine(here.root))["results"].state == "ok"
    lost = next(path for path in (here.root / ".dvc/cache/files").rglob("*") if path.is_file())
    lost.chmod(0o600)
    lost.unlink()

    found = dict(examine(here.root))["results"]

    assert found.state == "note"
    assert re.match(r"[1-9]\d* of \d+ files", found.what)


def test_a_merge_conflict_is_named_and_nothing_is_moved(
    here: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    record = here.root / "dvc.lock"
    record.write_text(f"<<<<<<< HEAD\n=======\n{record.read_text()}>>>>>>> other\n")
    before = record.read_bytes()

    with pytest.raises(SystemExit):
        main(["status"])

    assert "conflict marks of a git merge" in capsys.readouterr().err
    assert dict(examine(here.root))["dvc.lock"].state == "broken"
    assert record.read_bytes() == before
    assert not record.with_name("dvc.lock.torn").exists()


def test_without_git_the_way_out_is_named(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    (here.root / ".dvc/config.local").unlink()

    with pytest.raises(SystemExit):
        main(["status"])

    assert "Run git init" in capsys.readouterr().err
    assert dict(examine(here.root))["git"].state == "broken"


def test_doctor_finds_two_packages_in_one_folder() -> None:
    one = {"numpy": "2.4.6", "opencv-python-headless": "4.10.0.84"}

    assert one_opencv(one).state == "ok"
    assert one_opencv({"numpy": "2.4.6"}).state == "broken"
    both = one_opencv(one | {"opencv-python": "5.0.0.93"})
    assert both.state == "broken"
    assert "opencv-python and opencv-python-headless" in both.what


def test_doctor_knows_locks_of_processes_that_ended(here: Toy) -> None:
    entry = {"pid": 2**22 + 1, "cmd": "dvc repro"}
    (here.root / ".dvc/tmp/rwlock").write_text(json.dumps({"write": {"/x": entry}, "read": {}}))
    assert dict(examine(here.root))["DVC's locks"].state == "note"
