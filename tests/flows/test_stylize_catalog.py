"""Catalogs, on real DVC and a real Prefect server."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import fsspec
import numpy as np
import pytest
import yaml
from PIL import Image
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.stages import FlowError
from flows.stylize_catalog import add_scene, main, stylize_catalog
from scenestyle.errors import CatalogError, InputError
from tests.support.prefect_records import artifacts, task_runs
from tests.support.toy_project import Toy

HEADLINE = "scene,source,caption,styles,finetune_nerf.seed"


class Run:
    """One finished run of the flow over `catalog.csv`."""

    def __init__(self, root: Path, *rows: str, **parameters: Any) -> None:
        (root / "catalog.csv").write_text("\n".join([HEADLINE, *rows]) + "\n")
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            self.state = stylize_catalog("catalog.csv", **parameters, return_state=True)
        flow_run = self.state.state_details.flow_run_id
        assert flow_run is not None
        self.tasks, self.artifacts = seen_by_prefect(flow_run)
        table = root / "outputs/catalogs/catalog.csv"
        with table.open() as file:
            self.rows = {(row["scene"], row["style"]): row for row in csv.DictReader(file)}
        self.page = table.with_suffix(".html").read_text()

    def states(self) -> dict[tuple[str, str], str]:
        return {edit: row["state"] for edit, row in self.rows.items()}


def seen_by_prefect(flow_run: UUID) -> tuple[dict[str, str], dict[str, Any]]:
    """Task run -> name of its state; type of artifact -> its data."""
    return (
        {run.name: run.state.name or "" for run in task_runs(flow_run) if run.state},
        {artifact.type or "": artifact.data for artifact in artifacts(flow_run)},
    )


@pytest.fixture
def here(toy: Toy, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Toy:
    toy.add_overview()
    toy.repro("overview")
    monkeypatch.chdir(toy.root)
    return toy


def photos(folder: Path) -> Path:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for number in range(3):
        pixels = noise.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def of(stages: Sequence[str], row: dict[str, str]) -> set[str]:
    return {row[stage] for stage in stages}


PER_SCENE = ("estimate_poses", "train_nerf", "render_views")
PER_EDIT = ("stylize_views", "finetune_nerf", "evaluate")


@pytest.mark.timeout(300)
def test_each_row_is_brought_up_to_date_and_a_bad_one_fails_alone(here: Toy) -> None:
    photos(here.root / "photos/fern")
    photos(here.root / "photos/moss")
    here.plant_trouble(
        "train_nerf", 'if "moss" in str(out): raise InputError("too dark.\\n  - add light")'
    )
    rows = (
        "garden,,,ink;oil,",
        "fern,photos/fern,a fern,ink,7",
        "lost,photos/lost,lost,ink,",
        "moss,photos/moss,moss,made of glass,",
    )
    run = Run(here.root, *rows)
    assert run.state.is_failed()
    glass = next(style for scene, style in run.rows if scene == "moss")
    assert run.states() == {
        ("garden", "ink"): "Cached",
        ("garden", "oil"): "Cached",
        ("fern", "ink"): "Completed",
        ("lost", "ink"): "Failed",
        ("moss", glass): "Failed",
    }
    fern, moss = run.rows["fern", "ink"], run.rows["moss", glass]
    assert of((*PER_SCENE, *PER_EDIT), fern) == {"ran"}
    assert of((*PER_SCENE, *PER_EDIT), run.rows["garden", "oil"]) == {"fresh"}
    assert (moss["estimate_poses"], moss["train_nerf"]) == ("ran", "failed")
    assert of(("render_views", *PER_EDIT), moss) == {"not run"}
    assert moss["error"] == "train_nerf@moss: too dark.\n  - add light"
    assert "photos/lost does not exist" in run.rows["lost", "ink"]["error"]
    metrics = here.root / "data/results/fern/ink/metrics.json"
    assert float(fern["digest"]) == json.loads(metrics.read_text())["digest"]
    assert (here.root / fern["report"]).is_file()
    assert "too dark" in run.page
    assert "fern/ink/report.html" in run.page
    assert run.tasks["overview"] == "Completed"
    assert "3 of 4 made" in (here.root / "data/overview/index.html").read_text()
    assert len(json.loads(run.artifacts["table"])) == 5
    assert run.artifacts["progress"] == 100
    with pytest.raises(FlowError, match="2 of 5 results failed"):
        run.state.result()

    params = yaml.safe_load((here.root / "params.yaml").read_text())
    assert "lost" not in params["scenes"], "a scene without a capture would break `dvc repro`"
    assert params["edits"]["fern-ink"]["finetune_nerf"] == {"seed": 7}
    assert here.stale() == {f"{stage}@moss" for stage in PER_SCENE[1:]} | {
        f"{stage}@moss-{glass}" for stage in PER_EDIT
    }

    here.runs()
    before = (here.root / "params.yaml").read_bytes()
    again = Run(here.root, *rows[:2])
    assert again.state.is_completed()
    assert set(again.states().values()) == {"Cached"}
    assert again.tasks == {"overview": "Cached"}
    assert here.runs() == []
    assert (here.root / "params.yaml").read_bytes() == before

    changed = Run(here.root, rows[0], "fern,photos/fern,a fern,ink,8")
    assert here.runs() == ["finetune_nerf@fern-ink", "evaluate@fern-ink"]
    assert changed.states()["fern", "ink"] == "Completed"
    back = Run(here.root, *rows[:2])
    assert here.runs() == []
    assert of(("finetune_nerf", "evaluate"), back.rows["fern", "ink"]) == {"restored"}


def test_a_capture_that_changed_reruns_its_scene(here: Toy) -> None:
    source = photos(here.root / "photos/garden")
    (here.root / "data/scenes/garden/photo.txt").unlink()
    run = Run(here.root, f"garden,{source},,ink,")
    assert run.rows["garden", "ink"]["estimate_poses"] == "ran"
    assert {p.name for p in (here.root / "data/scenes/garden").iterdir()} == {
        "0.png",
        "1.png",
        "2.png",
    }


def test_a_capture_behind_a_url_is_fetched_once_into_the_cache(here: Toy) -> None:
    store = fsspec.filesystem("memory")
    for photo in photos(here.root / "photos/fern").iterdir():
        store.pipe(f"/{here.root.name}/fern/{photo.name}", photo.read_bytes())
    row = f"fern,memory://{here.root.name}/fern,a fern,ink,"
    first = Run(here.root, row)
    assert first.states() == {("fern", "ink"): "Completed"}
    assert first.tasks["add_scene@fern"] == "Completed"

    again = Run(here.root, row)
    assert again.tasks == {"overview": "Cached"}
    scene = here.root / "data/scenes/fern"
    before = {path.name: path.read_bytes() for path in scene.iterdir()}
    shutil.rmtree(scene)
    restored = Run(here.root, row)
    assert restored.tasks == {"add_scene@fern": "Cached", "overview": "Cached"}
    assert {path.name: path.read_bytes() for path in scene.iterdir()} == before


def test_a_row_without_a_source_needs_its_capture_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="data/scenes/fern does not exist, and the row names no"):
        add_scene.fn("fern", None)


def test_a_row_over_its_time_and_a_killed_one_fail_alone(here: Toy) -> None:
    here.plant_trouble("finetune_nerf", 'import time; time.sleep(60 if "oil" in str(out) else 0)')
    here.replace("finetune_nerf: {seed: 0}", "finetune_nerf: {seed: 1}")
    run = Run(here.root, "garden,,,ink;oil,", time_limits={"finetune_nerf": 0.2})
    assert run.states() == {("garden", "ink"): "Completed", ("garden", "oil"): "Failed"}
    assert "time limit" in run.rows["garden", "oil"]["error"]


def test_a_faulty_catalog_is_refused_before_anything_changes(
    here: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (here.root / "params.yaml").read_bytes()
    (here.root / "catalog.csv").write_text("scene,styles\ngarden,oyl\nnew,\n")
    with pytest.raises(CatalogError, match="3 faults"):
        stylize_catalog("catalog.csv")
    assert main(["--catalog", "catalog.csv"]) == 1
    assert "did you mean 'oil'" in capsys.readouterr().err
    assert (here.root / "params.yaml").read_bytes() == before
    assert here.runs() == []
    assert not (here.root / "outputs").exists()
