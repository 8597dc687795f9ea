"""A project with the real graph, engine and stage shell, whose stages only mix the bytes they are given.

Its dvc.yaml is the real one, less the overview, which comes after all others and can be added. A
toy stage writes what dvc.yaml says it writes, as a function of its inputs and parameters. Trouble
is planted as Python code in `trouble/STAGE.py`, which the toy stage executes first.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]

PARAMS = """\
# Remarks stay.
scenes:
  garden: {caption: a garden, estimate_poses: {}, train_nerf: {}, render_views: {}}   # mine

styles:
  ink: {prompt: "ink drawing of {caption}"}
  oil: {prompt: "oil painting of {caption}", seed: 3}
  pen: {prompt: "pen drawing of {caption}"}

edits:
  garden-ink: {scene: garden, style: ink, stylize_views: {}, finetune_nerf: {}, evaluate: {}}
  garden-oil: {scene: garden, style: oil, stylize_views: {}, finetune_nerf: {}, evaluate: {}}

estimate_poses: {seed: 0}
train_nerf: {seed: 0}
render_views: {max_image_side: 64}
stylize_views: {seed: 0}
finetune_nerf: {seed: 0}
evaluate: {seed: 0}
"""

_SIGNATURES = {
    "estimate_poses": "source: Path, out: Path, params: EstimatePoses, *, work: Path",
    "train_nerf": "poses: Path, out: Path, params: TrainNerf, *, work: Path",
    "render_views": "nerf: Path, poses: Path, out: Path, params: RenderViews, *, work: Path",
    "stylize_views": "views: Path, out: Path, params: StylizeViews, *, work: Path, caption: str, style: Style",
    "finetune_nerf": "nerf: Path, views: Path, stylized: Path, out: Path, params: FinetuneNerf, *, work: Path",
    "evaluate": "poses: Path, nerf: Path, views: Path, stylized: Path, finetuned: Path, out: Path, params: Evaluate, *, work: Path, caption: str, style: Style",
}

_FILES = {
    "estimate_poses": ["images", "masks", "points.npz", "transforms.json", "report.json"],
    "train_nerf": ["config.yml", "images", "nerfstudio_models", "transforms.json", "metrics.json"],
    "render_views": ["rgb", "depth_z", "opacity", "cameras.json", "report.json"],
    "stylize_views": ["rgb", "manifest.json"],
    "finetune_nerf": [
        "config.yml",
        "images",
        "nerfstudio_models",
        "transforms.json",
        "metrics.json",
    ],
}

_STAGE = """\
import hashlib
from pathlib import Path

from scenestyle.errors import InputError
from scenestyle.params import EstimatePoses, Evaluate, FinetuneNerf, RenderViews, Style, StylizeViews, TrainNerf
from engine.stage import stage_main

FIGURES = {{
    "metrics.json": '{{"digest": %d}}',
    "flicker.csv": "frame,after\\n1,%d\\n",
    "losses.csv": "step,style\\n1,%d\\n",
}}


def run({signature}) -> dict[str, object]:
    given = {{name: value for name, value in locals().items() if name not in ("out", "work")}}
    trouble = Path("trouble/{stage}.py")
    if trouble.is_file():
        exec(trouble.read_text())
    mixed = hashlib.sha256()
    for name, value in sorted(given.items()):
        files = sorted(p for p in value.rglob("*") if p.is_file()) if isinstance(value, Path) else []
        mixed.update(b"".join(p.read_bytes() for p in files) if isinstance(value, Path) else repr(value).encode())
    for name in {names}:
        path = out / name if "." in name else out / name / "content"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FIGURES[name] % mixed.digest()[0] if name in FIGURES else mixed.hexdigest())
    with Path("runs.log").open("a") as log:
        log.write("{stage}@" + "-".join(out.parts[2:]).replace(".partial-", "") + "\\n")
    return {{"digest": mixed.hexdigest()[:8]}}


if __name__ == "__main__":
    stage_main(run)
"""


class Toy:
    """A toy project at `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def make(cls, root: Path) -> "Toy":
        """Lay the project out; nothing has run yet."""
        toy = cls(root)
        skip = shutil.ignore_patterns("__pycache__", "weights", ".partial-*")
        for package in ("scenestyle", "tasks", "flows"):
            shutil.copytree(ROOT / package, root / package, ignore=skip)
        (root / ".dvc").mkdir()
        for name in (".dvcignore", "dvc.yaml", ".dvc/config"):
            shutil.copy(ROOT / name, root / name)
        stages, _, _ = (root / "dvc.yaml").read_text().partition("\n  overview:\n")
        (root / "dvc.yaml").write_text(stages)
        (root / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
        (root / "params.yaml").write_text(PARAMS)
        for stage, definition in toy.graph().items():
            names = _FILES.get(stage) or [Path(out).name for out in written_by(definition)]
            program = _STAGE.format(stage=stage, signature=_SIGNATURES[stage], names=names)
            (root / f"tasks/{stage}.py").write_text(program)
        sums = "scenestyle/embedded/weights/SHA256SUMS"
        (root / sums).parent.mkdir()
        shutil.copy(ROOT / sums, root / sums)
        (root / "data/scenes/garden").mkdir(parents=True)
        (root / "data/scenes/garden/photo.txt").write_text("a photo")
        return toy

    def copy(self, root: Path) -> "Toy":
        """The same project, with its results and cache, at another place."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Toy(root)

    def graph(self) -> dict[str, dict[str, Any]]:
        """Stage -> what dvc.yaml says it does, not yet interpolated."""
        stages = yaml.safe_load((self.root / "dvc.yaml").read_text())["stages"]
        return {name: stage["do"] for name, stage in stages.items() if "do" in stage}

    def add_overview(self) -> None:
        """Have the page of all results as a stage, too; it is not made yet."""
        shutil.copy(ROOT / "dvc.yaml", self.root)
        (self.root / "data/results").mkdir(exist_ok=True)
        shutil.copy(ROOT / "data/results/.gitkeep", self.root / "data/results")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the project; both its outputs come as `stdout`."""
        programs = Path(sys.executable).parent
        return subprocess.run(
            [programs / command[0], *command[1:]],
            cwd=self.root,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )

    def repro(self, *targets: str) -> str:
        """`dvc repro`; its output."""
        done = self.run("dvc", "repro", *targets)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def stale(self) -> set[str]:
        """The stage instances that `dvc status` reports."""
        done = self.run("dvc", "status", "--json")
        assert done.returncode == 0, done.stdout
        return set(yaml.safe_load(done.stdout))

    def runs(self) -> list[str]:
        """The stage instances that were computed since the last call, in order."""
        log = self.root / "runs.log"
        lines = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def replace(self, old: str, new: str) -> None:
        """Edit params.yaml."""
        path = self.root / "params.yaml"
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def plant_trouble(self, stage: str, code: str) -> None:
        """Have a stage execute `code` at its start."""
        (self.root / "trouble").mkdir(exist_ok=True)
        (self.root / f"trouble/{stage}.py").write_text(code)

    def results(self) -> dict[str, bytes]:
        """Every file the stages wrote."""
        data = self.root / "data"
        return {
            str(path.relative_to(data)): path.read_bytes()
            for path in sorted(data.rglob("*"))
            if path.is_file() and "scenes" not in path.parts and path.name != ".gitkeep"
        }


def written_by(definition: dict[str, Any]) -> list[str]:
    """The outputs of a stage of dvc.yaml: data, metrics and plots."""
    entries = [entry for kind in ("outs", "metrics", "plots") for entry in definition.get(kind, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
