"""What a result file says about where its figures come from."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from jaxtyping import Float

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def provenance(packages: Sequence[str], *, num_threads: int) -> str:
    """Commit, day, processor, threads, load and versions, as two lines of Markdown.

    The load average is that of the fifteen minutes before the call: call it at the start, and half
    the machine may belong to others if it is above zero.
    """
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return (
        f"Commit {commit}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {num_threads} of "
        f"{os.cpu_count()} cores ({_processor()}), {psutil.virtual_memory().total / 1e9:.0f} GB, "
        f"Python {platform.python_version()}, load average at the start "
        f"{', '.join(f'{load:.1f}' for load in os.getloadavg())}.\n{versions}."
    )


def table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def write_result(theme: str, text: str, *, num_threads: int) -> Path:
    """Write `benchmarks/results/THEME_Ncores_DAY.md` and print it."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    day = datetime.datetime.now(datetime.UTC)
    path = RESULTS / f"{theme}_{num_threads}cores_{day:%Y-%m-%d}.md"
    path.write_text(text.rstrip() + "\n", encoding="utf-8")
    print(text)
    return path


def write_picture(name: str, rgb: Float[np.ndarray, "height width 3"]) -> str:
    """Write `benchmarks/results/NAME.jpg`, a tenth of a PNG, since every clone carries it for ever.

    Returns:
        The file's name, for a link.
    """
    from scenestyle.viz.contact_sheet import to_pil

    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.jpg"
    to_pil(rgb).save(path, "JPEG", quality=88, optimize=True)
    return path.name


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"
