"""The flow, on real DVC and a real Prefect server."""

import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from engine import StageError
from flows.stages import FlowError, stage_task
from flows.stylize_scene import main, stylize_scene
from scenestyle.errors import ParamsError
from tests.support.prefect_records import artifacts, task_runs
from tests.support.toy_project import Toy

ROOT = Path(__file__).parents[2]
PER_SCENE = [f"{stage}@garden" for stage in ("estimate_poses", "train_nerf", "render_views")]
PER_EDIT = [f"{stage}@garden-oil" for stage in ("stylize_views", "finetune_nerf", "evaluate")]


class Run:
    """One finished run of the flow."""

    def __init__(self, scene: str = "garden", style: str = "oil") -> None:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            self.state = stylize_scene(scene, style, return_state=True)
        assert self.state.state_details.flow_run_id is not None
        self.states, self.messages = task_states(self.state.state_details.flow_run_id)
        found = artifacts(self.state.state_details.flow_run_id)
        self.shown = {artifact.type or "": str(artifact.data) for artifact in found}


def task_states(flow_run: UUID) -> tuple[dict[str, str], dict[str, str]]:
    runs = task_runs(flow_run)
    return (
        {run.name: run.state.name or "" for run in runs if run.state},
        {run.name: run.state.message or "" for run in runs if run.state},
    )


@pytest.fixture
def here(toy: Toy, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Toy:
    """A finished toy project as the current folder, beside a running server."""
    monkeypatch.chdir(toy.root)
    return toy


def test_after_dvc_repro_every_task_is_cached(here: Toy) -> None:
    run = Run()
    assert run.state.is_completed()
    assert run.states == dict.fromkeys([*PER_SCENE, *PER_EDIT], "Cached")
    assert set(run.messages.values()) == {"up to date"}
    assert run.shown.keys() >= {"markdown", "table"}
    assert here.runs() == []


def test_a_new_prompt_runs_three_stages_and_the_old_one_none(here: Toy) -> None:
    before = here.results()
    here.replace("oil painting of", "big oil painting of")
    run = Run()
    assert run.states == {
        **dict.fromkeys(PER_SCENE, "Cached"),
        **dict.fromkeys(PER_EDIT, "Completed"),
    }
    assert run.messages["stylize_views@garden-oil"] == "ran (modified: styles.oil)"
    assert here.runs() == PER_EDIT
    assert here.stale() == set()
    assert "Running stage" not in here.repro()

    here.replace("big oil painting of", "oil painting of")
    run = Run()
    assert set(run.states.values()) == {"Cached"}
    assert run.messages["stylize_views@garden-oil"] == "restored (modified: styles.oil)"
    assert here.runs() == []
    assert here.results() == before
    assert here.stale() == set()


def test_a_failed_stage_fails_the_flow_with_its_sentence(here: Toy) -> None:
    here.replace("oil painting of", "big oil painting of")
    here.plant_trouble("finetune_nerf", 'raise InputError("the renders did not move.")')
    run = Run()
    assert run.state.is_failed()
    with pytest.raises(FlowError) as error:
        run.state.result()
    assert str(error.value) == (
        "Stages failed:\n  - finetune_nerf@garden-oil: the renders did not move.\n"
        "Not run: evaluate@garden-oil."
    )
    assert run.states["finetune_nerf@garden-oil"] == "Failed"
    assert "the renders did not move." in run.shown["markdown"]
    assert here.stale() >= {"finetune_nerf@garden-oil", "evaluate@garden-oil"}


@pytest.mark.parametrize(
    ("error", "words", "runs"),
    [("MemoryError", "", 2), ('InputError("no photos")', "no photos", 1)],
)
def test_what_may_pass_is_tried_again_and_what_cannot_is_not(
    error: str, words: str, runs: int, here: Toy
) -> None:
    here.replace("oil painting of", "big oil painting of")
    here.plant_trouble(
        "stylize_views",
        "first = not Path('tries').exists()\n"
        "Path('tries').open('a').write('x')\n"
        f"if first: raise {error}",
    )
    stylize_views = stage_task("stylize_views").with_options(retry_delay_seconds=0)
    state = stylize_views("garden-oil", return_state=True)
    assert (here.root / "tries").read_text() == "x" * runs
    assert state.is_completed() == (not words)
    if words:
        with pytest.raises(StageError, match=words):
            state.result()


@pytest.mark.parametrize(
    ("scene", "style", "words"),
    [
        ("gardn", "oil", "did you mean 'garden'"),
        ("garden", "oyl", "did you mean 'oil'"),
        ("garden", "pen", "scenestyle restyle garden pen"),
        ("../x", "oil", "is not allowed"),
    ],
)
def test_what_does_not_exist_ends_the_flow_before_any_stage(
    scene: str, style: str, words: str, here: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(scene, style)
    with pytest.raises(ParamsError, match=words):
        run.state.result()
    assert run.states == {}
    assert main(["--scene", scene, "--style", style]) == 1
    assert words in capsys.readouterr().err


def test_the_program_names_the_results(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scene", "garden", "--style", "oil"]) == 0
    named = capsys.readouterr().out.split()
    assert "data/results/garden/oil/report.html" in named
    assert all((here.root / name).exists() for name in named)


def test_the_flow_loads_no_model_library() -> None:
    heavy = {"torch", "diffusers", "transformers", "nerfstudio", "pycolmap", "numba", "av"}
    code = f"import sys, flows.stylize_scene; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
