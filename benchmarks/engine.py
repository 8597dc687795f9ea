"""What the engine costs: nothing to do, per executed stage, many finishers; on the toy project of the tests.

    python -m benchmarks.engine               # writes benchmarks/results/engine_*.md

The toy project has the real graph, engine and stage shell; its stages only mix bytes. So all that is measured
is DVC, Prefect and what lies between them.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from toy_project import Toy  # noqa: E402

_RUN_ALL = """\
import importlib, shlex
from pathlib import Path
from dvc.repo import Repo
from tasks._engine import Pipeline
from tasks._stage import parse, perform
commands = {stage.name: stage.cmd for stage in Repo(".").index.stages}
for name in Pipeline(Path(".")).needs():
    run = importlib.import_module("tasks." + name.split("@")[0]).run
    perform(run, parse(run, shlex.split(commands[name])[3:]))
"""


def grow(toy: Toy, num_scenes: int, num_styles: int) -> None:
    """Give a fresh toy project `num_scenes` x `num_styles` edits and bring all of them up to date."""
    from scenestyle.project.params_file import edit_entry, scene_entry, update

    scenes, styles = [f"s{n:03d}" for n in range(num_scenes)], [f"t{n}" for n in range(num_styles)]
    text = (toy.root / "params.yaml").read_text()
    head, tail = text.index("scenes:"), text.index("estimate_poses: {seed")
    (toy.root / "params.yaml").write_text(
        text[:head] + "scenes: {}\nstyles: {}\nedits: {}\n" + text[tail:]
    )
    update(
        toy.root / "params.yaml",
        {
            "styles": {style: {"prompt": style} for style in styles},
            "scenes": {scene: scene_entry(scene) for scene in scenes},
            "edits": {f"{s}-{t}": edit_entry(s, t) for s in scenes for t in styles},
        },
    )
    for scene in scenes:
        shutil.copytree(toy.root / "data/scenes/garden", toy.root / "data/scenes" / scene)
        (toy.root / "data/scenes" / scene / "photo.txt").write_text(scene)
    subprocess.run([sys.executable, "-c", _RUN_ALL], cwd=toy.root, check=True)
    toy.runs()
    done = toy.run("dvc", "commit", "-f", "-q")
    assert done.returncode == 0, done.stdout
