"""What the engine costs: nothing to do, per executed stage, eight that finish at once; on the toy project of the tests.

    python -m benchmarks.engine                        # writes benchmarks/results/engine_*.md, finishers_*.md
    python -m benchmarks.engine --pairs 1x1 --rounds 2

The toy project has the real graph, engine and stage shell; its stages only mix bytes. So all that
is measured is DVC, Prefect, processes, and what lies between them.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.machine import provenance, table, write_result
from tests.support.toy_project import Toy

_RUN_ALL = """\
import importlib, shlex
from pathlib import Path
from dvc.repo import Repo
from engine import Pipeline
from engine.stage import parse, perform
commands = {stage.name: stage.cmd for stage in Repo(".").index.stages}
for name in Pipeline(Path(".")).needs():
    run = importlib.import_module("tasks." + name.split("@")[0]).run
    perform(run, parse(run, shlex.split(commands[name])[4:]))
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
    toy.add_overview()
    toy.repro("overview")


@dataclass(frozen=True)
class Cost:
    """What a command takes."""

    seconds: float
    """wall clock"""
    cpu_seconds: float
    """processor time of it and its finished children, which other work on the machine lengthens
    less"""

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.cpu_seconds:.2f})"


def cost(action: Callable[[], object], repeats: int = 3) -> Cost:
    """Medians of an action that starts processes and waits for them."""
    costs = []
    for _ in range(repeats):
        before = os.times()
        action()
        after = os.times()
        processor = [getattr(after, f"children_{mode}") for mode in ("user", "system")]
        earlier = [getattr(before, f"children_{mode}") for mode in ("user", "system")]
        costs.append(Cost(after.elapsed - before.elapsed, sum(processor) - sum(earlier)))
    return Cost(
        statistics.median(cost.seconds for cost in costs),
        statistics.median(cost.cpu_seconds for cost in costs),
    )


def noop(toy: Toy, env: Mapping[str, str]) -> dict[str, Cost]:
    """What each door costs when there is nothing to do, and its imports alone."""
    edits = yaml.safe_load((toy.root / "params.yaml").read_text())["edits"].values()
    rows = "".join(f"{edit['scene']},{edit['style']}\n" for edit in edits)
    (toy.root / "catalog.csv").write_text(f"scene,styles\n{rows}")

    def python(*arguments: str) -> Callable[[], object]:
        command = [sys.executable, *arguments]
        return lambda: subprocess.run(
            command, cwd=toy.root, env=env, check=True, stdout=subprocess.DEVNULL
        )

    return {
        "`import dvc.repo`": cost(python("-c", "import dvc.repo")),
        "`dvc repro`": cost(python("-m", "dvc", "repro", "-q")),
        "imports of the flow": cost(python("-c", "import flows.stylize_catalog, dvc.repo")),
        "flow": cost(python("-m", "flows.stylize_catalog", "--catalog", "catalog.csv")),
        "`scenestyle status`": cost(python("-c", "from cli.main import main; main(['status'])")),
    }


def per_stage(toy: Toy, repeats: int = 5) -> dict[str, str]:
    """What it takes to have one stage run through the engine, and its function in a warm process."""
    from engine import run_stage

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
    through, function = statistics.median(times), float(warm.stdout)
    named = {"engine": through, "function": function, "overhead": through - function}
    return {name: f"{seconds:.2f} s" for name, seconds in named.items()}


_WARM = """\
import importlib, time, shlex
from pathlib import Path
from dvc.repo import Repo
from engine.stage import parse, perform
stage = Repo(".").stage.load_one("dvc.yaml", "stylize_views@s000-t0")
run = importlib.import_module("tasks.stylize_views").run
job = parse(run, shlex.split(stage.cmd)[4:])
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
    from engine import Pipeline, run_stage

    path, lost, times = toy.root / "params.yaml", 0, []
    names = [f"stylize_views@s000-t{number}" for number in range(8)]
    toy.plant_trouble(
        "stylize_views",
        "import os, time\n"
        "place = Path('begun') / Path('round').read_text(); place.mkdir(parents=True, "
        "exist_ok=True)\n"
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
    parser.add_argument("--pairs", nargs="+", default=["1x1", "4x5", "20x5"])
    parser.add_argument("--rounds", type=int, default=50)
    args = parser.parse_args()
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    num_threads = os.cpu_count() or 1
    origin = provenance(("prefect", "dvc"), num_threads=num_threads)
    doors, stages = [], []
    with tempfile.TemporaryDirectory() as folder, prefect_test_harness(server_startup_timeout=300):
        env = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
        for pair in args.pairs:
            num_scenes, num_styles = map(int, pair.split("x"))
            size = {"scenes x styles": pair, "stages": 1 + 3 * num_scenes * (1 + num_styles)}
            toy = Toy.make(Path(folder) / pair)
            grow(toy, num_scenes, num_styles)
            doors.append({**size, **noop(toy, env)})
            stages.append({**size, **per_stage(toy)})
            print(*doors[-1].values(), *stages[-1].values(), sep=", ", flush=True)
        lines = [
            "# The engine on toy stages",
            "",
            origin,
            "",
            "Nothing to do, each command in a process of its own: medians of 3, wall clock and in "
            "brackets processor time. The flow talks to a running server, whose time is not in "
            "the brackets.",
            "",
            table([*doors[0]], [[*row.values()] for row in doors]),
            "",
            "One stage that has to run, medians of 5: through the engine; its function in a warm "
            "process; the difference.",
            "",
            table([*stages[0]], [[*row.values()] for row in stages]),
        ]
        write_result("engine", "\n".join(lines), num_threads=num_threads)
        if args.rounds:
            toy = Toy.make(Path(folder) / "finishers")
            grow(toy, 1, 8)
            lost, middle = finishers(toy, args.rounds)
            lines = [
                "# Stages that end at the same moment",
                "",
                origin,
                "",
                f"Eight stages, {args.rounds} rounds: {lost} of {8 * args.rounds} records lost or "
                f"wrong; {middle:.1f} s a round (median).",
            ]
            write_result("finishers", "\n".join(lines), num_threads=num_threads)


if __name__ == "__main__":
    main()
