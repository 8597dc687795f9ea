"""Time and memory of restyling n views together: exact full sharing against references, in step.

    python -m benchmarks.sharing                  # writes benchmarks/results/
    python -m benchmarks.sharing --side 256

The embedded model with guidance. A step is all that the networks do for all views at one timestep,
the least of three; shared self-attention, which is all that the forms of sharing differ in, is also
timed by itself. Memory is the largest resident memory of a call less that before it, after a
warm-up on one small view, with an allocator that gives back at once what is freed (Linux). Each
figure comes from a process of its own. Random pictures, since the time does not depend on what they
show.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import provenance, table, write_result
from scenestyle.diffusion.plan import VIEWS_PER_CALL_ON_CPU

Row = tuple[str, int, int]
"""form of sharing, references, views"""

_ALLOCATOR_THRESHOLDS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
"""glibc's settings of what is given back to the system at once"""


@dataclass(frozen=True)
class Job:
    """Random pictures that are ready to be restyled in one of the forms of sharing."""

    model: Any
    plan: Any
    rgb: Any
    params: Any

    @classmethod
    def of(cls, row: Row, side: int) -> "Job":
        """Load the model and warm it up on one small view."""
        import numpy as np
        import torch

        from scenestyle.diffusion.models import load_pipeline
        from scenestyle.diffusion.plan import plan_views
        from scenestyle.diffusion.stylize import stylize
        from scenestyle.params import StylizeViews
        from training.procedural.demo_scene import demo_cameras

        form, num_references, num_views = row
        model = load_pipeline("embedded", torch.device("cpu"))
        params = StylizeViews(
            sharing=form,  # pyright: ignore[reportArgumentType]
            num_references=num_references,
            image_side=side,
            num_inference_steps=4,
        )
        cameras = list(demo_cameras().values())[:num_views]
        settings = _settings(model, params, executed_steps=1)
        width, height = settings.working_size(4, 3, model)
        rgb = np.random.default_rng(0).random((num_views, height, width, 3), dtype=np.float32)
        stylize(model, [rgb[0, :64, :64]], [rgb[0, :64, :64, 0]], settings)
        sizes = [(width, height)] * len(cameras)
        return cls(model, plan_views(model, cameras, sizes, params), rgb, params)

    def run(self, executed_steps: int) -> None:
        """Restyle the views."""
        from scenestyle.diffusion.stylize import stylize

        settings = _settings(self.model, self.params, executed_steps)
        stylize(self.model, list(self.rgb), list(self.rgb[..., 0]), settings, self.plan)


def _settings(model: Any, params: Any, executed_steps: int) -> Any:
    from scenestyle.diffusion.stylize import resolve_settings
    from scenestyle.params import Style

    style = Style(prompt="a pencil sketch of {caption}", strength=executed_steps / 4)
    return resolve_settings("a red ball", style, params, model.preset)


def measure_seconds(row: Row, side: int) -> dict[str, float]:
    """Of a step, and of its shared attention."""
    from scenestyle.diffusion.attention import SharedSelfAttention
    from scenestyle.diffusion.unet_loop import UNetLoop

    job = Job.of(row, side)
    with calls_timed(UNetLoop) as steps, calls_timed(SharedSelfAttention) as layers:
        job.run(3)
    per_step = len(layers) // len(steps)
    in_attention = [sum(layers[index * per_step :][:per_step]) for index in range(len(steps))]
    return {"step": min(steps), "attention": min(in_attention)}


def measure_gb(row: Row, side: int) -> dict[str, float]:
    """Memory that a call of one step adds at its peak, and what the plan foretells, 1e9 bytes."""
    job = Job.of(row, side)
    # Else loading, which needs more than it leaves behind, would hide the first views.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _peak_gb()
    job.run(1)
    return {"gb": _peak_gb() - before, "planned_gb": job.plan.peak_gb}


@contextmanager
def calls_timed(kind: Any) -> Iterator[list[float]]:
    """Collect the seconds of every call of objects of a class."""
    call, seconds = kind.__call__, []

    def timed(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = call(self, *args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return result

    kind.__call__ = timed
    try:
        yield seconds
    finally:
        kind.__call__ = call


def _peak_gb() -> float:
    """Largest resident memory since the mark was last set back, 1e9 bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9


def measure_apart(row: Row, args: argparse.Namespace) -> dict[str, float]:
    """The best of some processes: other work on the machine only ever adds time."""
    runs = [_in_process("seconds", row, args.side, os.environ) for _ in range(args.repeats)]
    figures = {name: min(run[name] for run in runs) for name in runs[0]}
    # Else the allocator keeps what is freed, by chance up to twice as much as is used at the peak;
    # this takes time.
    environment = {**os.environ, **dict.fromkeys(_ALLOCATOR_THRESHOLDS, str(256 * 1024))}
    return {**figures, **_in_process("gb", row, args.side, environment)}


def _in_process(what: str, row: Row, side: int, environment: Mapping[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.sharing", "--one", what, *map(str, row)]
    command += ["--side", str(side)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout)


def report(origin: str, rows: dict[Row, dict[str, float]], args: argparse.Namespace) -> str:
    """The result file."""
    figures = [
        (
            num_views,
            f"{num_references} references" if form == "references" else form,
            f"{row['step']:.2f}",
            f"{row['step'] / num_views:.3f}",
            f"{row['attention']:.2f}" if row["attention"] else "",
            f"{row['gb']:.2f}",
            f"{row['planned_gb']:.2f}",
        )
        for (form, num_references, num_views), row in rows.items()
    ]
    ratios = [
        (
            num_views,
            num_references,
            *(
                f"{rows['full', 1, num_views][what] / row[what]:.2f}"
                for what in ("step", "attention", "gb")
            ),
        )
        for (form, num_references, num_views), row in rows.items()
        if form == "references"
    ]
    lines = [
        "# Sharing attention between views: exact and in step",
        "",
        origin,
        f"Embedded model, long side {args.side}, with guidance, least of {args.repeats} processes "
        f"of three steps; at most {VIEWS_PER_CALL_ON_CPU} views per call, unless all or the "
        "references pass together.",
        "",
        table(
            [
                "views",
                "sharing",
                "a step, s",
                "a step and view, s",
                "its shared attention, s",
                "memory, GB",
                "planned, GB",
            ],
            figures,
        ),
        "",
        table(
            [
                "views",
                "references",
                "a step, full / references",
                "its shared attention",
                "memory",
            ],
            ratios,
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=512, help="long side of the pictures, pixels")
    parser.add_argument("--views", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--references", type=int, nargs="+", default=[4, 2])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        what, form, num_references, num_views = args.one
        measure = {"seconds": measure_seconds, "gb": measure_gb}[what]
        print(json.dumps(measure((form, int(num_references), int(num_views)), args.side)))
        return
    num_threads = os.cpu_count() or 1
    origin = provenance(("torch", "diffusers"), num_threads=num_threads)
    rows = {}
    for num_views in args.views:
        forms = [("full", 1), *(("references", number) for number in args.references), ("none", 1)]
        for form, num_references in forms:
            row = form, num_references, num_views
            rows[row] = measure_apart(row, args)
            print(*row, rows[row], flush=True)
    write_result(f"sharing_{args.side}px", report(origin, rows, args), num_threads=num_threads)


if __name__ == "__main__":
    main()
