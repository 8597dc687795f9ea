"""All that only a GPU can show, within eight minutes: the tests marked `gpu`, and SDXL's true size.

    make gpu-check        # or: python -m benchmarks.gpu_check

Writes benchmarks/results/gpu_check_*.md. No network is used. On a machine without a GPU it says
what it skipped, and exits without an error.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import true_size
from benchmarks.machine import ROOT, provenance, write_result

_SECONDS = 8 * 60
_FOR_TESTS = 3 * 60
_FOR_ONE_ROW = 45
"""no further row is begun with less left"""
_MODEL_GB = 12
"""free memory without which SDXL is not tried"""


def tests() -> tuple[bool, str]:
    """Whether the tests that need a GPU pass, and pytest's last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--durations=0", "tests/unit"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_FOR_TESTS)
    except subprocess.TimeoutExpired:
        return False, f"not finished within {_FOR_TESTS} s"
    print(done.stdout, done.stderr, sep="\n")
    return done.returncode == 0, done.stdout.strip().splitlines()[-1]


def true_sizes(until: float) -> list[dict[str, Any]]:
    """Figures of as many rows as time allows, few views first."""
    rows = true_size.measure_all("cuda", true_size.DEFAULT_ROWS["cuda"], side=1024, steps=3)
    figures = []
    for each in rows:
        figures.append(each)
        print(each, flush=True)
        if time.monotonic() > until - _FOR_ONE_ROW:
            break
    return figures


def report(origin: str, passed: bool, said: str, figures: Sequence[dict[str, Any]]) -> str:
    """The result file."""
    skipped = len(true_size.DEFAULT_ROWS["cuda"]) + 1 - len(figures) if figures else 0
    lines = ["# GPU check", "", origin, "", f"Tests marked `gpu`: {said}.", ""]
    lines += (
        [true_size.report("", 1024, figures).replace("# SDXL", "## SDXL", 1)] if figures else []
    )
    lines += ["", f"{skipped} rows were skipped for want of time."] if skipped else []
    lines += [] if passed else ["", "**The tests failed.**"]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    until = time.monotonic() + _SECONDS
    import torch

    if not torch.cuda.is_available():
        print(
            "No GPU that torch can use. Skipped: the tests marked `gpu`, and SDXL's true size at "
            "1024 pixels with 4, 16 and 32 views. On the CPU there is `python -m "
            "benchmarks.true_size` (14 GB of memory), and `make test`."
        )
        return
    num_threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    origin = provenance(("torch", "diffusers", "transformers"), num_threads=num_threads)
    origin += f"\n{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}."
    passed, said = tests()
    free = torch.cuda.mem_get_info()[0] / 1e9
    if free < _MODEL_GB:
        said += f"; SDXL's true size was skipped: {free:.1f} GB are free, wanted {_MODEL_GB}"
    figures = true_sizes(until) if free >= _MODEL_GB else []
    write_result("gpu_check", report(origin, passed, said, figures), num_threads=num_threads)
    if not passed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
