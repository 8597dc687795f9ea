"""Stages that run in other clones: results travel by a DVC remote, a folder or S3."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from engine import Pipeline, parcel, run_shared, take_over
from engine.captures import track
from engine.share import ShareError
from tests.flows.test_stylize_catalog import photos
from tests.support.s3 import s3_server
from tests.support.terminal import free_port
from tests.support.toy_project import ROOT, Toy


@pytest.fixture
def s3() -> Iterator[str]:
    """Address of an S3 server of the test's own, with a bucket."""
    with s3_server() as url:
        yield url


def use_remote(toy: Toy, url: str, endpoint: str | None = None) -> None:
    assert toy.run("dvc", "remote", "add", "-d", "store", url).returncode == 0
    if endpoint:
        done = toy.run("dvc", "remote", "modify", "store", "endpointurl", endpoint)
        assert done.returncode == 0, done.stdout


def clone(toy: Toy, root: Path) -> Toy:
    """The project as git would give it: no results, no record, no captures, no cache."""
    other = Toy.make(root)
    (root / ".dvc/config").write_text((toy.root / ".dvc/config").read_text())
    for path in (root / "data/scenes/garden").iterdir():
        path.unlink()
    (root / "data/scenes/garden").rmdir()
    return other


@pytest.mark.parametrize("kind", ["folder", "s3"])
@pytest.mark.timeout(300)
def test_a_stage_runs_in_another_clone_and_its_result_comes_back(
    kind: str, toy: Toy, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "folder":
        use_remote(toy, str(tmp_path / "store"))
    else:
        use_remote(toy, "s3://store/x", request.getfixturevalue("s3"))
    there = clone(toy, tmp_path / "there")
    alone = toy.copy(tmp_path / "alone")
    for project in (toy, alone):
        project.replace("oil painting of", "big oil painting of")
    alone.repro()
    first, second = "stylize_views@garden-oil", "finetune_nerf@garden-oil"
    packed = parcel(toy.root, ["render_views@garden", "train_nerf@garden"], [])
    stylized = run_shared(first, there.root, packed, {})
    assert stylized.kind == "ran"
    finetuned = run_shared(second, there.root, packed, {first: stylized.entry})
    assert there.runs() == [first, second]
    assert not (there.root / "data/poses").exists(), "only what is read travels"

    take_over(toy.root, {first: stylized.entry, second: finetuned.entry})
    assert toy.runs() == []
    assert Pipeline(toy.root).stale().keys() == {"evaluate@garden-oil"}
    toy.repro()
    assert toy.results() == alone.results()

    # A third clone finds the results in the run-cache of the remote.
    third = clone(toy, tmp_path / "third")
    assert run_shared(first, third.root, packed, {}).kind == "restored"
    assert third.runs() == []


def test_a_capture_travels(toy: Toy, tmp_path: Path) -> None:
    use_remote(toy, str(tmp_path / "store"))
    there = clone(toy, tmp_path / "there")
    packed = parcel(toy.root, [], ["garden"])
    assert run_shared("estimate_poses@garden", there.root, packed, {}).kind == "ran"
    assert (there.root / "data/scenes/garden/photo.txt").read_text() == "a photo"
    assert Pipeline(toy.root).stale() == {}


@pytest.mark.timeout(300)
def test_a_clone_by_git_goes_on_where_the_first_one_was(toy: Toy, tmp_path: Path) -> None:
    def git(root: Path, *words: str) -> None:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)

    (toy.root / ".dvc/config.local").unlink()
    shutil.copy(ROOT / ".gitignore", toy.root)
    git(toy.root, "init", "--quiet")
    use_remote(toy, str(tmp_path / "store"))
    assert track(toy.root, ["garden"]) == ["data/scenes/garden.dvc"]
    git(toy.root, "add", "--all")
    git(toy.root, "commit", "--quiet", "--message", "first")
    assert toy.run("dvc", "push").returncode == 0

    git(tmp_path, "clone", "--quiet", str(toy.root), "second")
    second = Toy(tmp_path / "second")
    assert not (second.root / "data/scenes/garden").exists()
    done = second.run("dvc", "pull")
    assert done.returncode == 0, done.stdout
    assert second.results() == toy.results()
    assert second.stale() == set()
    assert (second.root / "data/scenes/garden/photo.txt").read_text() == "a photo"

    second.replace("oil painting of", "big oil painting of")
    second.repro()
    assert second.runs() == [
        f"{stage}@garden-oil" for stage in ("stylize_views", "finetune_nerf", "evaluate")
    ]


def test_without_a_remote_it_says_so(toy: Toy) -> None:
    with pytest.raises(ShareError, match="dvc remote"):
        parcel(toy.root, ["train_nerf@garden"], [])


DRIVE = """\
import sys
from flows.stylize_catalog import main
if __name__ == "__main__":
    raise SystemExit(main(["--catalog", "catalog.csv", "--dask", sys.argv[1]]))
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_catalog_runs_on_two_clones_with_two_dask_workers(
    toy: Toy, tmp_path: Path, prefect_server: None
) -> None:
    toy.add_overview()
    use_remote(toy, str(tmp_path / "store"))
    clones = [clone(toy, tmp_path / f"clone{number}") for number in range(2)]
    for project in (toy, *clones):
        project.plant_trouble("train_nerf", 'if "moss" in str(out): raise InputError("too dark")')
    photos(toy.root / "photos/fern")
    photos(toy.root / "photos/moss")
    (toy.root / "catalog.csv").write_text(
        "scene,source,caption,styles\n"
        "garden,,,ink\ngarden,,,made of glass\nfern,photos/fern,a fern,ink\nfern,photos/fern,a "
        "fern,oil\n"
        "lost,photos/lost,lost,ink\nmoss,photos/moss,moss,ink\n"
    )
    programs = Path(sys.executable).parent
    address = f"tcp://127.0.0.1:{free_port()}"
    env = {
        **os.environ,
        "PREFECT_API_URL": str(PREFECT_API_URL.value()),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    dask = [str(programs / "dask")]
    port = address.rsplit(":", 1)[1]
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"], env=env
        ),
        *(
            subprocess.Popen(
                [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"],
                cwd=project.root,
                env={**env, "PYTHONPATH": str(project.root)},
            )
            for project in clones
        ),
    ]
    try:
        done = subprocess.run(
            [sys.executable, "-c", DRIVE, address],
            cwd=toy.root,
            env=env,
            capture_output=True,
            text=True,
            timeout=1000,
        )
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert done.returncode == 1, done.stdout + done.stderr
    with (toy.root / "outputs/catalogs/catalog.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["Cached"] + ["Completed"] * 3 + ["Failed"] * 2, rows
    assert "photos/lost does not exist" in rows[4]["error"]
    assert rows[5]["error"] == "train_nerf@moss: too dark"
    ran = [set(project.runs()) for project in clones]
    assert all(ran), "both workers had work"
    assert ran[0].isdisjoint(ran[1])
    assert toy.runs() == []

    alone = toy.copy(tmp_path / "alone")
    assert {name for name in alone.stale() if "moss" not in name} == set()
    before = alone.results()
    (alone.root / "dvc.lock").unlink()
    shutil.rmtree(alone.root / ".dvc/cache/runs")
    alone.run("dvc", "repro", "--keep-going")
    assert {name: data for name, data in alone.results().items() if name in before} == before
