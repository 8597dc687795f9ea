"""What the engine costs: nothing to do, per executed stage, eight that finish at once; on the toy project of the tests.

    python -m benchmarks.engine                        # writes benchmarks/results/engine_*.md
    python -m benchmarks.engine --pairs 1x1 --rounds 2

The toy project has the real graph, engine and stage shell; its stages only mix bytes. So all that is measured
is DVC, Prefect, processes, and what lies between them.
"""

import argparse
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import psutil
import yaml

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


def seconds(action: Callable[[], object], repeats: int = 3) -> float:
    """Median wall clock of an action."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def noop(toy: Toy, env: dict[str, str]) -> dict[str, float]:
    """Seconds of each door when there is nothing to do, and of the imports alone."""
    edits = yaml.safe_load((toy.root / "params.yaml").read_text())["edits"].values()
    rows = "".join(f"{edit['scene']},{edit['style']}\n" for edit in edits)
    (toy.root / "catalog.csv").write_text(f"scene,styles\n{rows}")

    def python(*arguments: str) -> Callable[[], object]:
        command = [sys.executable, *arguments]
        return lambda: subprocess.run(
            command, cwd=toy.root, env=env, check=True, stdout=subprocess.DEVNULL
        )

    return {
        "import dvc.repo": seconds(python("-c", "import dvc.repo")),
        "dvc repro": seconds(python("-m", "dvc", "repro", "-q")),
        "import flow": seconds(python("-c", "import flows.stylize_catalog, dvc.repo")),
        "flow": seconds(python("-m", "flows.stylize_catalog", "--catalog", "catalog.csv")),
        "scenestyle status": seconds(python("-c", "from tasks._cli import main; main(['status'])")),
    }


def per_stage(toy: Toy, repeats: int = 5) -> tuple[float, float]:
    """Seconds to have one stage run through the engine, and of its function in a warm process."""
    from tasks._engine import run_stage

    def once() -> None:
        count[0] += 1
        params = yaml.safe_load(path.read_text())
        params["styles"]["t0"]["prompt"] = f"prompt {count[0]}"
        path.write_text(yaml.safe_dump(params, sort_keys=False))
        start = time.perf_counter()
        outcome = run_stage("stylize_views@s000-t0", root=toy.root)
        assert outcome.kind == "ran", outcome
        times.append(time.perf_counter() - start)

    count, times, path = [0], [], toy.root / "params.yaml"
    for _ in range(repeats):
        once()
    warm = subprocess.run(
        [sys.executable, "-c", _WARM], cwd=toy.root, check=True, capture_output=True, text=True
    )
    return statistics.median(times), float(warm.stdout)


_WARM = """\
import importlib, time, shlex
from pathlib import Path
from dvc.repo import Repo
from tasks._stage import parse, perform
stage = Repo(".").stage.load_one("dvc.yaml", "stylize_views@s000-t0")
run = importlib.import_module("tasks.stylize_views").run
job = parse(run, shlex.split(stage.cmd)[3:])
times = []
for _ in range(5):
    start = time.perf_counter()
    perform(run, job)
    times.append(time.perf_counter() - start)
print(sorted(times)[2])
"""


def finishers(toy: Toy, rounds: int) -> tuple[int, float]:
    """Have eight stages end at once again and again.

    Returns:
        How many records were lost or wrong, and the seconds of a round.
    """
    from tasks._engine import Pipeline, run_stage

    path, lost, times = toy.root / "params.yaml", 0, []
    names = [f"stylize_views@s000-t{number}" for number in range(8)]
    toy.plant_trouble(
        "stylize_views",
        "import os, time\n"
        "place = Path('begun') / Path('round').read_text(); place.mkdir(parents=True, exist_ok=True)\n"
        "(place / str(os.getpid())).touch()\n"
        "while len(list(place.iterdir())) < 8: time.sleep(0.01)\n",
    )
    for number in range(rounds):
        (toy.root / "round").write_text(str(number))
        params = yaml.safe_load(path.read_text())
        params["stylize_views"] = {"seed": number + 1}
        path.write_text(yaml.safe_dump(params, sort_keys=False))
        start = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            kinds = list(pool.map(lambda name: run_stage(name, root=toy.root).kind, names))
        times.append(time.perf_counter() - start)
        stale = Pipeline(toy.root).stale()
        lost += sum(kind != "ran" or name in stale for kind, name in zip(kinds, names, strict=True))
        print(f"round {number}: {times[-1]:.1f} s, {lost} lost so far", flush=True)
    return lost, statistics.median(times)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", nargs="*", default=["1x1", "4x5", "20x5"])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    args = parser.parse_args()
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    date = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    lines = [
        "# The engine on toy stages",
        "",
        f"{date}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB, Python "
        f"{platform.python_version()}, prefect {version('prefect')}, dvc {version('dvc')}. Other work ran "
        f"on the machine (load average {os.getloadavg()[2]:.1f} at the start): ratios count, not seconds. "
        "Medians of 3 (nothing to do) and 5 (per stage). The flow talks to a running server.",
        "",
        "| scenes x styles | stages | `import dvc.repo` | `dvc repro`, nothing to do | imports of the flow | "
        "flow, nothing to do | `scenestyle status` | one stage through the engine | its function, warm |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder, prefect_test_harness(server_startup_timeout=300):
        env = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
        for pair in args.pairs:
            num_scenes, num_styles = map(int, pair.split("x"))
            toy = Toy.make(Path(folder) / pair)
            grow(toy, num_scenes, num_styles)
            times = noop(toy, env)
            through, warm = per_stage(toy)
            stages = 3 * num_scenes * (1 + num_styles)
            cells = [*times.values(), through, warm]
            lines.append(f"| {pair} | {stages} | " + " | ".join(f"{t:.2f} s" for t in cells) + " |")
            print(lines[-1], flush=True)
        if args.rounds:
            toy = Toy.make(Path(folder) / "finishers")
            grow(toy, 1, 8)
            lost, middle = finishers(toy, args.rounds)
            lines += [
                "",
                f"Eight stages that end at the same moment, {args.rounds} rounds: {lost} records lost or "
                f"wrong; {middle:.1f} s a round.",
            ]
    text = "\n".join(lines) + "\n"
    print(text)
    args.results.mkdir(parents=True, exist_ok=True)
    name = f"engine_{os.cpu_count()}cores_{date}.md"
    (args.results / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
