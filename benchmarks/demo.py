"""Time and peak memory of every stage of the demo edit, from photos to report, then of a `dvc repro` with nothing to do.

    python -m benchmarks.demo                 # a fresh clone of HEAD in a temporary folder; writes benchmarks/results/
    python -m benchmarks.demo --noop-repeats 5

Nothing is shared with this checkout but the virtual environment: the clone starts with an empty DVC
cache and an empty cache of compiled code, as after `make setup`. Each stage runs once, since it
takes minutes; the no-op is repeated after one warm-up.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.machine import ROOT, provenance, table, write_result

STAGES = (
    "estimate_poses",
    "train_nerf",
    "render_views",
    "stylize_views",
    "finetune_nerf",
    "evaluate",
)
PACKAGES = ("torch", "nerfstudio", "diffusers", "transformers", "pycolmap", "dvc", "numba", "numpy")


@dataclass(frozen=True)
class Measurement:
    """One command, measured from outside."""

    seconds: float
    """wall clock"""
    cpu_seconds: float
    """user and system time of the command and its finished children"""
    peak_gb: float
    """largest sum of resident memory over the process tree, sampled five times a second, in 1e9
    bytes"""


def measure(command: list[str], folder: Path) -> Measurement:
    """Run a command to its end; raises if it fails."""
    env = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NUMBA_CACHE_DIR": str(folder / ".work" / "numba"),
    }
    before, start = os.times(), time.perf_counter()
    process = psutil.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL)
    peak, done = [0], threading.Event()

    def sample() -> None:
        while not done.wait(0.2):
            peak[0] = max(peak[0], _tree_bytes(process))

    sampler = threading.Thread(target=sample)
    sampler.start()
    code = process.wait()
    seconds, after = time.perf_counter() - start, os.times()
    done.set()
    sampler.join()
    if code:
        raise SystemExit(f"{' '.join(command)} ended with code {code}")
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return Measurement(seconds, cpu, peak[0] / 1e9)


def _tree_bytes(process: psutil.Process) -> int:
    total = 0
    try:
        members = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in members:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def clone_head(folder: Path) -> Path:
    """A clone of this checkout's HEAD with DVC ready to run."""
    clone = folder / "scenestyle"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    return clone


def stage_names(scene: str, style: str) -> list[str]:
    """Stage instances of one edit, in running order."""
    return [f"{stage}@{scene}" for stage in STAGES[:3]] + [
        f"{stage}@{scene}-{style}" for stage in STAGES[3:]
    ]


def report(origin: str, rows: dict[str, Measurement], noop: list[float]) -> str:
    """The result file."""
    cells = [
        (f"`{name}`", f"{row.seconds:.1f}", f"{row.cpu_seconds:.1f}", f"{row.peak_gb:.2f}")
        for name, row in rows.items()
    ]
    total = f"**{sum(row.seconds for row in rows.values()):.1f}**"
    peak = f"**{max(row.peak_gb for row in rows.values()):.2f}**"
    lines = [
        "# The demo, stage by stage",
        "",
        origin,
        "Parameters: `params.yaml` of that commit. Fresh clone, empty caches; each stage once.",
        "",
        table(
            ["stage", "seconds", "CPU seconds", "peak memory, GB"],
            [*cells, ("**all**", total, "", peak)],
        ),
        "",
        f"`dvc repro` with nothing to do, {len(noop)} runs after one warm-up: median "
        f"{statistics.median(noop):.2f} s, {min(noop):.2f} to {max(noop):.2f} s.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", default="demo")
    parser.add_argument("--style", default="ukiyoe")
    parser.add_argument("--noop-repeats", type=int, default=5)
    args = parser.parse_args()
    num_threads = os.cpu_count() or 1
    origin = provenance(PACKAGES, num_threads=num_threads)
    dvc = [sys.executable, "-m", "dvc"]
    with tempfile.TemporaryDirectory() as folder:
        clone = clone_head(Path(folder))
        rows = {}
        for name in stage_names(args.scene, args.style):
            rows[name] = measure([*dvc, "repro", "--single-item", name], clone)
            print(f"{name}: {rows[name].seconds:.1f} s, {rows[name].peak_gb:.2f} GB", flush=True)
        target = f"evaluate@{args.scene}-{args.style}"
        noop = [
            measure([*dvc, "repro", target], clone).seconds for _ in range(args.noop_repeats + 1)
        ]
    write_result("demo", report(origin, rows, noop[1:]), num_threads=num_threads)


if __name__ == "__main__":
    main()
