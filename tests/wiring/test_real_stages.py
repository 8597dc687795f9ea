"""The real stages on the demo scene, small: what dvc.yaml says they read and write is what they do."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from engine import Pipeline
from scenestyle.diffusion.weights import file_sha256
from scenestyle.project.layout import Layout
from tests.support.kills import bring_up_to_date, kill_each_stage
from tests.support.original_layout import write_single_file
from tests.support.tiny_diffusion import (
    tiny_first_pipeline,
    tiny_instructed,
    tiny_pipeline,
    write_tiny_lora,
)
from tests.support.toy_project import ROOT

SMALL = {
    "estimate_poses": {"max_image_side": 320},
    "train_nerf": {"iterations": 60, "rays_per_batch": 256, "max_image_side": 96},
    "render_views": {"max_image_side": 96},
    "stylize_views": {"num_inference_steps": 4, "image_side": 128},
    "finetune_nerf": {"iterations": 5},
    "evaluate": {"num_frames": 8, "max_image_side": 64, "num_stills": 2},
}
WITH_SECONDS = {"report.json", "metrics.json", "manifest.json", "report.html"}


def lay_out(root: Path) -> None:
    """The project without environment, results and cache, with small parameters and one edit."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for block, values in SMALL.items():
        params[block].update(values)
    params["scenes"] = {"demo": params["scenes"]["demo"]}
    params["edits"] = dict([next(iter(params["edits"].items()))])
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    (root / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")


def execute(root: Path, *command: str) -> None:
    programs = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        [programs / command[0], *command[1:]], cwd=root, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in WITH_SECONDS
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_stage_needs_only_what_it_depends_on_and_writes_the_same_again(tmp_path: Path) -> None:
    project = tmp_path / "project"
    lay_out(project)
    execute(project, "dvc", "repro")
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    assert set(lock) == set(Pipeline(project).needs())
    for name, stage in lock.items():
        outs = [out["path"] for out in stage["outs"]]
        folder = Path(shlex.split(stage["cmd"])[-1])
        written = {str(path.relative_to(project)) for path in (project / folder).iterdir()}
        assert outs == [str(folder)] or set(outs) == written, f"{name} writes more than its outs"

        alone = tmp_path / name
        lay_out(alone)
        shutil.rmtree(alone / "data")
        for dep in (dep["path"] for dep in stage["deps"]):
            (alone / dep).parent.mkdir(parents=True, exist_ok=True)
            if dep.startswith("data/"):
                copy = shutil.copytree if (project / dep).is_dir() else shutil.copy
                copy(project / dep, alone / dep)
        execute(alone, *shlex.split(stage["cmd"])[1:])
        assert files(alone / folder) == files(project / folder), name


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_of_each_stage_at_random_moments_change_no_result(tmp_path: Path) -> None:
    project, undisturbed = tmp_path / "project", tmp_path / "undisturbed"
    for folder in (project, undisturbed):
        lay_out(folder)
    ran = bring_up_to_date(undisturbed)
    assert {kind for kind, _ in ran.values()} == {"ran"}
    seconds = {name: seconds for name, (_, seconds) in ran.items()}

    killed = kill_each_stage(project, seconds, kills=2, seed=3)

    assert len([victim for _, victim in killed if victim]) >= 10, killed
    bring_up_to_date(project)
    assert Pipeline(project).stale() == {}
    assert files(project / "data") == files(undisturbed / "data")
    assert not list((project / "data").rglob(".partial-*"))
    assert {kind for kind, _ in bring_up_to_date(project).values()} == {"fresh"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_checkpoint_of_one_file_with_a_control_and_a_lora_goes_the_whole_way(
    tmp_path: Path,
) -> None:
    project, models = tmp_path / "project", tmp_path / "models"
    lay_out(project)
    pipeline = tiny_pipeline(second_text_width=24)
    pipeline.save_pretrained(models / "folder")
    checkpoint = write_single_file(pipeline, models / "my_model.safetensors")
    lora = write_tiny_lora(models / "lora.safetensors", seed=0, unet=pipeline.unet)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["stylize_views"] |= {
        "model": str(checkpoint),
        "model_sha256": file_sha256(checkpoint),
        "loras": [{"file": str(lora), "sha256": file_sha256(lora), "scale": 0.5}],
        "controls": [{"kind": "depth", "weights": str(models / "folder" / "controlnet")}],
        "image_side": 64,
    }
    (project / "params.yaml").write_text(yaml.safe_dump(params))

    execute(project, "dvc", "repro")

    edit = next(iter(params["edits"]))
    scene, style = edit.split("-")
    folder = Layout(project).stylized(scene, style)
    sources = json.loads((folder / "manifest.json").read_text())["sources"]
    assert sources["base"] == f"{checkpoint}, sha256:{file_sha256(checkpoint)}"
    assert sources["lora 0"] == f"{lora}, sha256:{file_sha256(lora)}"
    # Another file under the same name is another model.
    write_single_file(tiny_pipeline(second_text_width=32), checkpoint)
    with pytest.raises(AssertionError, match="write model_sha256"):
        execute(project, "dvc", "repro", "--single-item", "--force", f"stylize_views@{edit}")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_instruction_goes_the_whole_way(tmp_path: Path) -> None:
    """With a folder of InstructPix2Pix's kind: no caption, no control, a warning of nothing."""
    project, model = tmp_path / "project", tmp_path / "model"
    lay_out(project)
    tiny_instructed(tiny_first_pipeline()).save_pretrained(model)
    params = yaml.safe_load((project / "params.yaml").read_text())
    edit = next(iter(params["edits"]))
    scene, style = edit.split("-")
    params["stylize_views"] |= {"model": str(model), "image_side": 64, "num_inference_steps": 2}
    params["styles"][style] = {"prompt": "make it snow", "image_guidance_scale": 1.8}
    (project / "params.yaml").write_text(yaml.safe_dump(params))

    execute(project, "dvc", "repro")

    layout = Layout(project)
    manifest = json.loads((layout.stylized(scene, style) / "manifest.json").read_text())
    assert (manifest["warnings"], manifest["controls"]) == ([], [])
    assert manifest["settings"]["prompt"] == "make it snow"
    assert manifest["settings"]["image_guidance_scale"] == 1.8
    report = (layout.result(scene, style) / "report.html").read_text()
    assert "make it snow" in report
    assert "The prompt is an instruction: it does not say what the images show." in report
