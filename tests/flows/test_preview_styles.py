"""The flow that paints a contact sheet, on real DVC, a real Prefect server and a tiny model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from engine import StageError
from flows.preview_styles import main, preview_styles
from scenestyle.artifacts import read_rgb
from scenestyle.errors import ParamsError
from tests.support.prefect_records import artifacts, task_runs
from tests.support.tiny_diffusion import tiny_pipeline, write_tiny_views
from tests.support.toy_project import ROOT, Toy

PER_SCENE = [f"{stage}@garden" for stage in ("estimate_poses", "train_nerf", "render_views")]
SHEET = "outputs/previews/garden.png"

RENDER_VIEWS = """\
import shutil
from pathlib import Path
from scenestyle.params import RenderViews
from engine.stage import stage_main

def run(nerf: Path, poses: Path, out: Path, params: RenderViews, *, work: Path) -> dict[str, object]:
    shutil.copytree("tiny/views", out, dirs_exist_ok=True)
    return {}

if __name__ == "__main__":
    stage_main(run)
"""


@pytest.fixture
def here(toy: Toy, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Toy:
    """A finished toy project as the current folder, beside a running server; its views are no pictures."""
    monkeypatch.chdir(toy.root)
    return toy


@pytest.fixture
def paintable(here: Toy) -> Toy:
    """The same, whose next rendered views are pictures, and whose model is a tiny one."""
    write_tiny_views(here.root / "tiny/views", num_views=3)
    tiny_pipeline().save_pretrained(here.root / "tiny/model")
    (here.root / "tasks/render_views.py").write_text(RENDER_VIEWS)
    small = "model: tiny/model, image_side: 64, num_inference_steps: 2"
    here.replace("stylize_views: {seed: 0}", f"stylize_views: {{seed: 0, {small}}}")
    return here


class Run:
    """One finished run of the flow."""

    def __init__(self, *arguments: object) -> None:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            self.state = preview_styles(*arguments, return_state=True)
        run = self.state.state_details.flow_run_id
        assert run is not None
        self.states = {task.name: task.state.name or "" for task in task_runs(run) if task.state}
        self.artifacts = {found.key: str(found.data) for found in artifacts(run) if found.key}


def test_it_renders_what_is_out_of_date_and_shows_the_sheet(paintable: Toy) -> None:
    run = Run("garden", ["oil", "pen"], 2)
    assert run.state.result() == [SHEET]
    assert run.states == {
        "estimate_poses@garden": "Cached",
        "train_nerf@garden": "Cached",
        "render_views@garden": "Completed",
        "preview@garden": "Completed",
    }
    height, width, _ = read_rgb(Path(SHEET)).shape
    assert height > 3 * 24  # rendered, oil, pen
    assert width > 2 * 32
    assert run.artifacts.keys() == {"preview-garden-styles", "preview-garden-sheet"}
    assert run.artifacts["preview-garden-sheet"].startswith("data:image/jpeg;base64,")
    assert "| pen | pen drawing of {caption} |" in run.artifacts["preview-garden-styles"]
    assert "| ink " not in run.artifacts["preview-garden-styles"]


def test_a_preview_that_fails_fails_the_flow_with_its_sentence(here: Toy) -> None:
    run = Run("garden")
    assert run.state.is_failed()
    with pytest.raises(StageError, match=r"^preview of garden: data/views/garden/cameras\.json"):
        run.state.result()
    assert run.states == {**dict.fromkeys(PER_SCENE, "Cached"), "preview@garden": "Failed"}
    assert run.artifacts == {}
    assert here.runs() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gardn",), "did you mean 'garden'"),
        (("garden", ["oil", "oyl"]), "did you mean 'oil'"),
        (("garden", ["oil"], 0), "above 0, got 0"),
    ],
)
def test_what_does_not_exist_ends_the_flow_before_any_stage(
    arguments: tuple[object, ...], words: str, here: Toy
) -> None:
    run = Run(*arguments)
    with pytest.raises(ParamsError, match=words):
        run.state.result()
    assert run.states == {}


def test_the_program_says_what_is_wrong(here: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scene", "garden", "--styles", "oil", "oyl"]) == 1
    assert "did you mean 'oil'" in capsys.readouterr().err
    assert main(["--scene", "garden", "--views", "0"]) == 1
    assert "above 0" in capsys.readouterr().err


def test_the_flow_loads_no_model_library() -> None:
    heavy = {"torch", "diffusers", "transformers", "nerfstudio", "pycolmap", "numba", "av"}
    code = f"import sys, json, flows.preview_styles; print(json.dumps(sorted({heavy!r} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
