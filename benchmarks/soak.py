"""A soak of nights: server, worker or flow is killed at random moments, and a supervisor restarts them.

    nice python -m benchmarks.soak                 # 50 nights, writes benchmarks/results/soak_*.md
    nice python -m benchmarks.soak --nights 5

On the toy project of the tests: the real graph, engine, flows, server and worker; stages that only
mix bytes. Before each night the catalog changes, so that stages have to run. In the last third, of
the nights or of the minutes, only flows are killed, so that one server and one worker live long
enough to see them grow.
"""

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.catalogs import used_bytes
from benchmarks.machine import ROOT, provenance, table, write_result
from scenestyle.files import PARTIAL, is_locked
from tests.support.terminal import free_port
from tests.support.toy_project import Toy

_ROWS = ("garden", "ink"), ("garden", "oil"), ("pond", "ink")
_OVER = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_NIGHTLY = "stylize-catalog/nightly"
_SECONDS_A_NIGHT = 3600
_SECONDS_OF_SILENCE = 45
_FASTER = {
    # Nights come one after another here and not a day apart: what waits for a slot asks sooner.
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
    "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
}


@dataclass
class Wishes:
    """The catalog as it is tonight."""

    chance: random.Random
    restyle: dict[tuple[str, str], int] = field(default_factory=lambda: dict.fromkeys(_ROWS, 0))
    """scene and style -> seed of the restyled views"""
    measure: dict[tuple[str, str], int] = field(default_factory=lambda: dict.fromkeys(_ROWS, 0))
    """scene and style -> seed of the evaluation"""

    def change(self, night: int) -> None:
        """Ask for another evaluation, every third night for other views, every fifth for nothing."""
        if night % 5 != 4:
            seeds = self.restyle if night % 3 == 2 else self.measure
            seeds[self.chance.choice(_ROWS)] = night

    def write(self, path: Path) -> None:
        """As a CSV file."""
        rows = [
            f"{row[0]},a {row[0]},{row[1]},{self.restyle[row]},{self.measure[row]}" for row in _ROWS
        ]
        head = "scene,caption,styles,stylize_views.seed,evaluate.seed"
        path.write_text("\n".join([head, *rows, ""]))


class Supervised:
    """Server and worker, each started again when it ends, as systemd does."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root, self.home = root, home
        port = str(free_port())
        self.url = f"http://127.0.0.1:{port}/api"
        mine = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        self.env = {
            **mine,
            **_FASTER,
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TMPDIR": str(home / "tmp"),
        }
        (home / "tmp").mkdir(parents=True)
        self._commands = {
            "server": ["server", "start", "--port", port],
            "worker": ["worker", "start", "--pool", "local", "--type", "process"],
        }
        self.processes: dict[str, psutil.Popen] = {}
        self.restarts: Counter[str] = Counter()

    def keep(self) -> bool:
        """Start what is not there; whether anything had to be."""
        started = False
        for name, words in self._commands.items():
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                continue
            started = True
            if name == "worker" and not self.answers():
                continue
            self.restarts[name] += process is not None
            self.processes[name] = self._start(name, words)
        return started

    def _start(self, name: str, words: list[str]) -> psutil.Popen:
        with (self.home / f"{name}.log").open("a") as log:
            return psutil.Popen(
                [sys.executable, "-m", "prefect", *words],
                cwd=self.root,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def answers(self) -> bool:
        """Whether the server does."""
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=5).is_success
        return False

    def ask(self, path: str, wanted: dict[str, Any] | None = None) -> Any:
        """Ask the server, and again until it is up."""
        while True:
            self.keep()
            with contextlib.suppress(httpx.TransportError):
                found = httpx.post(f"{self.url}/{path}", json=wanted or {}, timeout=30)
                if not found.is_server_error:  # as it is while it starts
                    return found.raise_for_status().json()
            time.sleep(0.5)

    def prefect(self, *words: str) -> None:
        """Run Prefect's command."""
        subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *words],
            cwd=self.root,
            env=self.env,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def others(self) -> list[psutil.Process]:
        """All processes in the project's folder but server and worker: flows, DVC, stages."""
        mine = {process.pid for process in self.processes.values()}
        return [process for process in processes_at(self.root) if process.pid not in mine]

    def kill(self, victim: str) -> bool:
        """SIGKILL to the server, the worker, or the flow's own process."""
        if victim in self.processes:
            found = [self.processes[victim]]
        else:
            found = [p for p in self.others() if _is_flow(p)]
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in found:
                process.send_signal(signal.SIGKILL)
            if victim in self.processes:
                self.processes[victim].wait()
            return bool(found)
        return False

    def megabytes(self) -> dict[str, float]:
        """Resident memory of server and worker."""
        return {name: p.memory_info().rss / 1e6 for name, p in self.processes.items()}

    def end(self) -> None:
        """Stop both, the worker first."""
        for name in ("worker", "server"):
            process = self.processes[name]
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except psutil.TimeoutExpired:
                process.kill()


def processes_at(folder: Path) -> list[psutil.Process]:
    """Those that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            if (entry / "cwd").readlink() == folder:
                found.append(psutil.Process(int(entry.name)))
    return found


def _is_flow(process: psutil.Process) -> bool:
    """The one that executes the flow: neither what watches over it nor what it starts."""
    with contextlib.suppress(psutil.Error):
        return process.cmdline()[1:3] == ["-m", "prefect.engine"]
    return False


@dataclass
class Night:
    """What became of one."""

    victim: str
    """`server`, `worker`, `flow`, or empty"""
    after: float
    """seconds from the flow's start to the kill"""
    state: str
    """Prefect's, of its run, when the next night began"""
    seconds: float
    """from asking for it to its end"""
    megabytes: dict[str, float]
    """of server and worker, afterwards"""
    restarts: tuple[int, int]
    """of server and worker, so far"""


def run_night(project: Supervised, deployment: str, victim: str, after: float) -> Night:
    """Ask for a run, kill the victim `after` seconds from the flow's start, wait for the end."""
    begun = time.monotonic()
    run = project.ask(f"deployments/{deployment}/create_flow_run", {})["id"]
    wanted = {"flow_runs": {"id": {"any_": [run]}}}
    killed_at, started = None, None
    while True:
        assert time.monotonic() - begun < _SECONDS_A_NIGHT, f"run {run} does not end"
        project.keep()
        state = project.ask("flow_runs/filter", wanted)[0]["state"]["type"]
        if started is None and any(map(_is_flow, project.others())):
            started = time.monotonic()
        due = started is not None and time.monotonic() - started >= after
        if victim and killed_at is None and due and project.kill(victim):
            killed_at = time.monotonic()
        if state in _OVER and not project.others():
            break
        silent = killed_at is not None and time.monotonic() - killed_at > _SECONDS_OF_SILENCE
        if silent and state != "SCHEDULED" and not project.others():
            break  # nobody is left who would tell the server
        time.sleep(1.0)
    seconds = time.monotonic() - begun
    while project.keep() or not project.answers():
        time.sleep(0.5)
    return Night(
        victim if killed_at else "",
        after if killed_at else 0.0,
        state,
        seconds,
        project.megabytes(),
        (project.restarts["server"], project.restarts["worker"]),
    )


def lay_out(root: Path) -> None:
    """A toy project with room for a catalog of two scenes."""
    Toy.make(root).add_overview()
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, root)
    (root / "data/scenes/pond").mkdir(parents=True)
    (root / "data/scenes/pond/photo.txt").write_text("another photo")
    (root / "examples/catalogs").mkdir(parents=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=50)
    parser.add_argument("--minutes", type=float, help="begin no night after that")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder to work in, which stays")
    args = parser.parse_args()
    num_threads = os.cpu_count() or 1
    origin = provenance(("prefect", "dvc"), num_threads=num_threads)
    with tempfile.TemporaryDirectory() as folder:
        told, text = soak(args.keep or Path(folder), args.nights, args.minutes, args.seed)
    title = f"# {len(told)} nights on toy stages with random kills (seed {args.seed})"
    write_result("soak", f"{title}\n\n{origin}\n\n{text}", num_threads=num_threads)


def soak(folder: Path, nights: int, minutes: float | None, seed: int) -> tuple[list[Night], str]:
    """Run the nights.

    Args:
        folder: Where to work.
        nights: How many.
        minutes: After so many none begins any more.
        seed: Of changes, victims and moments.

    Returns:
        The nights, and what to tell of them.
    """
    over = time.monotonic() + 60 * minutes if minutes else float("inf")
    root, home = folder / "project", folder / "prefect"
    lay_out(root)
    chance = random.Random(seed)
    wishes = Wishes(chance)
    catalog = root / "examples/catalogs/demo.csv"
    wishes.write(catalog)
    project = Supervised(root, home)
    project.keep()
    project.ask("deployments/filter")
    project.prefect("work-pool", "create", "local", "--type", "process")
    project.prefect("deploy", "--all")
    deployment = next(
        found["id"] for found in project.ask("deployments/filter") if found["name"] == "nightly"
    )
    undisturbed = [run_night(project, deployment, "", 0.0).seconds for _ in range(2)]
    begin, told = sizes(root, home), []
    for night in range(nights):
        if time.monotonic() > over:
            break
        wishes.change(night)
        wishes.write(catalog)
        time_gone = 1 - (over - time.monotonic()) / (60 * minutes) if minutes else 0.0
        is_last_third = max(night / nights, time_gone) >= 2 / 3
        victims = ["flow"] if is_last_third else ["server", "worker", "flow"]
        victim, after = chance.choice([*victims, ""]), chance.uniform(0, undisturbed[1])
        told.append(run_night(project, deployment, victim, after))
        print(night, told[-1], flush=True)
    time.sleep(15)  # events reach the database after some seconds
    end = sizes(root, home)
    for _ in range(2):  # the first may have to repair, the second must find all up to date
        run_night(project, deployment, "", 0.0)
    left = left_behind(project)
    project.end()
    left["processes"] = [" ".join(p.cmdline()) for p in processes_at(root)]
    wrong = wrong_rows(root, folder / "undisturbed", catalog)
    return told, report(told, undisturbed, begin, end, left, wrong)


def report(
    told: Sequence[Night],
    undisturbed: Sequence[float],
    begin: Mapping[str, int],
    end: Mapping[str, int],
    left: Mapping[str, Sequence[str]],
    wrong: Sequence[str],
) -> str:
    """The result file's text."""
    per_night = {name: (end[name] - begin[name]) / len(told) for name in begin}
    victims = []
    for victim in ("server", "worker", "flow", ""):
        nights = [night for night in told if night.victim == victim]
        states = Counter(night.state.lower() for night in nights)
        seconds = np.median([night.seconds for night in nights]) if nights else 0
        said = ", ".join(f"{count} {state}" for state, count in states.items())
        victims.append([victim or "none", len(nights), said or "-", f"{seconds:.0f} s"])
    memory = [line for n, name in enumerate(("server", "worker")) for line in lives(told, n, name)]
    return "\n".join(
        [
            "Two scenes, three rows; before each night the catalog asks for another evaluation, "
            "sometimes for other views or for nothing. SIGKILL at a random moment after the "
            "flow's start; server and worker are started again at once. `ended`: what Prefect says "
            "of the run when its processes were gone and the next was asked for. A night with "
            f"nothing to do and nothing killed took {undisturbed[1]:.0f} s, the first, with all "
            f"16 stages, {undisturbed[0]:.0f} s.",
            "",
            table(["killed", "nights", "ended", "median"], victims),
            "",
            "After two more nights, the second with nothing to do:",
            "",
            f"- Rows that are not `Cached`, or files that differ from those of an undisturbed "
            f"`dvc repro` of the same params.yaml: {', '.join(wrong) or 'none'}.",
            *(
                f"- Left behind, {name}: {', '.join(found) or 'none'}."
                for name, found in left.items()
            ),
            "",
            "Resident memory, of each process that lived through ten nights and more, after its "
            "second night and after its last:",
            "",
            table(["process", "nights", "begin", "end", "slope of the second half"], memory),
            "",
            f"Growth per night: Prefect's database {per_night['database'] / 1e3:.0f} kB, DVC's "
            f"cache {per_night['cache files']:.1f} files of together "
            f"{per_night['cache'] / 1e3:.1f} kB (toy results; one file per folder).",
        ]
    )


def lives(told: Sequence[Night], which: int, name: str) -> list[list[str]]:
    """How resident memory went in each process of ten nights and more.

    Args:
        told: All nights.
        which: Place of the process in `Night.restarts`.
        name: Its name.
    """
    lines = []
    for _, nights in groupby(told, key=lambda night: night.restarts[which]):
        sizes = [night.megabytes[name] for night in nights][1:]
        if len(sizes) >= 9:
            late = sizes[len(sizes) // 2 :]
            slope = np.polyfit(range(len(late)), late, 1)[0]
            cells = [f"{sizes[0]:.0f} MB", f"{sizes[-1]:.0f} MB", f"{slope:+.2f} MB per night"]
            lines.append([name, str(len(sizes) + 1), *cells])
    return lines


def sizes(root: Path, home: Path) -> dict[str, int]:
    """What grows: Prefect's database and DVC's cache."""
    cache = [path for path in (root / ".dvc/cache").rglob("*") if path.is_file()]
    return {
        "database": used_bytes(home),
        "cache files": len(cache),
        "cache": sum(path.stat().st_size for path in cache),
    }


def left_behind(project: Supervised) -> dict[str, list[str]]:
    """What should not be there when no night runs."""
    root, temporary = project.root, project.home / "tmp"
    rwlock = root / ".dvc/tmp/rwlock"
    held = json.loads(rwlock.read_text()) if rwlock.exists() else {}
    runs = project.ask(
        "flow_runs/filter", {"flow_runs": {"state": {"type": {"not_any_": list(_OVER)}}}}
    )
    limits = project.ask("v2/concurrency_limits/filter")
    return {
        "processes": [" ".join(p.cmdline()) for p in project.others()],
        "locks": [
            *(f"rwlock: {name}" for entries in held.values() for name in entries),
            *(str(p) for p in (root / ".dvc/tmp").glob("*lock") if p.is_file() and is_locked(p)),
        ],
        "half-written results": [str(path) for path in root.rglob(f"{PARTIAL}*")],
        "checkpoints": [str(path) for path in (root / ".work").glob("*/*")],
        "temporary folders": [
            path.name for path in temporary.iterdir() if path.name != "runner_storage"
        ],
        "slots": [limit["name"] for limit in limits if limit["active_slots"]],
        "runs that never ended": [run["name"] for run in runs if not run["auto_scheduled"]],
    }


def wrong_rows(root: Path, other: Path, catalog: Path) -> list[str]:
    """Rows whose line is not `Cached`, and files that differ from those of an undisturbed project."""
    lay_out(other)
    shutil.copytree(root / "data/scenes", other / "data/scenes", dirs_exist_ok=True)
    shutil.copy(root / "params.yaml", other)
    Toy(other).repro()
    mine, wanted = (
        {n: b for n, b in Toy(at).results().items() if "provenance" not in n}
        for at in (root, other)
    )
    with (root / f"outputs/catalogs/{catalog.stem}.csv").open() as file:
        rows = [
            f"{r['scene']} in {r['style']}: {r['state']}"
            for r in csv.DictReader(file)
            if r["state"] != "Cached"
        ]
    return [
        *rows,
        *(name for name in mine.keys() | wanted.keys() if mine.get(name) != wanted.get(name)),
    ]


if __name__ == "__main__":
    main()
