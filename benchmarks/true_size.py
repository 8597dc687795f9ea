"""SDXL at its true size, without its weights: seconds and memory of a step, beside what is planned.

    python -m benchmarks.true_size                    # 2 and 4 views at 512 pixels on the CPU
    python -m benchmarks.true_size --device cuda      # 4, 16 and 32 views at 1024 pixels

UNet, ControlNet, autoencoder and text encoders have their published configurations, random numbers
and bfloat16: time and memory do not depend on what the numbers are. The pictures are random, too. A
step is all that ControlNet and UNet do for all views at one timestep, with guidance; encoding and
decoding are measured beside it. Memory is what is added to the weights at the peak: on a GPU what
torch has allocated, on the CPU the resident memory of a process of its own, with an allocator that
gives back at once what is freed (Linux), after a warm-up on a small view.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import provenance, table, write_result

Row = tuple[str, int]
"""form of sharing, views"""

_ALLOCATOR_THRESHOLDS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
_POOL = 1_048_573
"""random numbers of which all weights are made; a prime, so that no two rows begin alike"""
_REFERENCES = 4


def random_model(device: str) -> Any:
    """SDXL with its depth ControlNet, bfloat16, on the device."""
    import diffusers
    import torch

    from scenestyle.diffusion import architectures, presets
    from scenestyle.diffusion.models import DiffusionModel

    pool = torch.randn(_POOL, generator=torch.Generator().manual_seed(0))
    pool = pool.to(device, torch.bfloat16)
    parts = {name: _filled(name, pool) for name in architectures.PARTS["sdxl"]}
    scheduler: Any = diffusers.EulerDiscreteScheduler.from_pretrained(
        architectures.configuration("sdxl"), subfolder="scheduler"
    )
    pipeline = diffusers.StableDiffusionXLControlNetImg2ImgPipeline(
        **parts, **architectures.tokenizers("sdxl"), scheduler=scheduler, add_watermarker=False
    )
    pipeline.vae.enable_slicing()
    pipeline.set_progress_bar_config(disable=True)
    return DiffusionModel(pipeline, torch.device(device), presets.SDXL, {"base": "random numbers"})


def _filled(name: str, pool: Any) -> Any:
    """A network of SDXL whose weights are random, of the size of its inputs' inverse root; norms are one."""
    import torch
    from accelerate import init_empty_weights

    from scenestyle.diffusion import architectures

    with init_empty_weights():
        network = architectures.network("sdxl", name)
    for module in network.modules():
        for key, parameter in module._parameters.items():
            if parameter is None:
                continue
            repeats = -(-parameter.numel() // _POOL)
            values = pool.repeat(repeats)[: parameter.numel()].view(parameter.shape)
            scale = (parameter.numel() / len(parameter)) ** -0.5 if parameter.ndim > 1 else 0.02
            values = values * scale  # a tensor of its own, not a part of the repeated numbers
            if key == "weight" and parameter.ndim == 1:
                values = torch.ones_like(values)
            if parameter.ndim == 4:
                values = values.to(memory_format=torch.channels_last)
            module._parameters[key] = torch.nn.Parameter(values, requires_grad=False)
    return network.to(pool.device).eval()


@dataclass
class Meter:
    """Seconds, and memory added at the peak, 1e9 bytes, by phase: before, in and after the steps."""

    device: Any
    before: float = field(init=False)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before = self._now()
        self.start()

    def start(self) -> None:
        """Forget the peak."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._since = time.perf_counter()

    def stop(self, phase: str) -> None:
        """What was since the start is of this phase."""
        peak = self._now("peak") - self.before
        self.seconds.setdefault(phase, []).append(time.perf_counter() - self._since)
        self.peaks[phase] = max(peak, self.peaks.get(phase, 0.0))

    def _now(self, what: str = "now") -> float:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize()
            peak, now = torch.cuda.max_memory_allocated, torch.cuda.memory_allocated
            return (peak if what == "peak" else now)() / 1e9
        status = Path("/proc/self/status").read_text(encoding="ascii")
        key = "VmHWM:" if what == "peak" else "VmRSS:"
        return int(status.partition(key)[2].split()[0]) * 1024 / 1e9


@contextmanager
def steps_measured(meter: Meter) -> Iterator[None]:
    """Within the block every timestep is a phase of its own."""
    from scenestyle.diffusion.unet_loop import UNetLoop

    call = UNetLoop.__call__

    def measured(self: Any, *args: Any, **kwargs: Any) -> Any:
        meter.stop("around")
        meter.start()
        result = call(self, *args, **kwargs)
        meter.stop("step")
        meter.start()
        return result

    UNetLoop.__call__ = measured
    try:
        yield
        meter.stop("around")
    finally:
        UNetLoop.__call__ = call


def measure(model: Any, row: Row, side: int, steps: int) -> dict[str, Any]:
    """Figures of one row."""
    import numpy as np

    from scenestyle.diffusion.plan import plan_views
    from scenestyle.diffusion.stylize import resolve_settings, stylize
    from scenestyle.params import Style, StylizeViews
    from training.procedural.demo_scene import demo_cameras

    form, num_views = row
    params = StylizeViews(
        sharing=form,  # pyright: ignore[reportArgumentType]
        num_references=min(_REFERENCES, max(num_views // 2, 1)),
        image_side=side,
        num_inference_steps=steps,
    )
    style = Style(prompt="a watercolor painting of {caption}", strength=1.0)
    settings = resolve_settings("a garden", style, params, model.preset)
    rgb = list(np.random.default_rng(0).random((num_views, side, side, 3), dtype=np.float32))
    cameras = list(demo_cameras().values())[:num_views]
    plan = plan_views(model, cameras, [(side, side)] * num_views, params)
    meter = Meter(model.device)
    with steps_measured(meter):
        pictures = stylize(model, rgb, [each[..., 0] for each in rgb], settings, plan)
    return {
        "form": form if form == "full" else f"{params.num_references} references",
        "views": num_views,
        "step": min(meter.seconds["step"]),
        "around": sum(meter.seconds["around"]),
        "gb": meter.peaks["step"],
        "around_gb": meter.peaks["around"],
        "planned_gb": plan.step_gb,
        "planned_around_gb": plan.coding_gb,
        "finite": bool(np.isfinite(pictures).all()),
    }


def measure_all(
    device: str, rows: Sequence[Row], side: int, steps: int
) -> Iterator[dict[str, Any]]:
    """Figures of the weights, then of each row, in this process."""
    import torch

    start = time.perf_counter()
    model = random_model(device)
    weights = sum(
        each.numel() * each.element_size()
        for part in model.pipeline.components.values()
        if hasattr(part, "parameters")
        for each in part.parameters()
    )
    name = torch.cuda.get_device_name() if device == "cuda" else "the CPU"
    yield {"weights_gb": weights / 1e9, "loading": time.perf_counter() - start, "device": name}
    measure(model, ("none", 1), 64, 1)  # what is prepared once
    for row in rows:
        yield measure(model, row, side, steps)


def report(origin: str, side: int, figures: Sequence[dict[str, Any]]) -> str:
    """The result file."""
    first, *rows = figures
    cells = [
        (
            row["views"],
            row["form"],
            f"{row['step']:.2f}",
            f"{row['around']:.1f}",
            f"{row['gb']:.2f}",
            f"{row['planned_gb']:.2f}",
            f"{row['planned_gb'] / row['gb'] - 1:+.0%}",
            f"{row['around_gb']:.2f}",
            f"{row['planned_around_gb']:.2f}",
        )
        for row in rows
    ]
    header = [
        *("views", "sharing", "a step, s", "encoding and decoding, s", "a step, GB"),
        *("planned, GB", "planned too much", "encoding and decoding, GB", "planned, GB"),
    ]
    finite = all(row["finite"] for row in rows)
    return "\n".join(
        [
            "# SDXL at its true size, random numbers",
            "",
            origin,
            f"On {first['device']}, bfloat16, {side} x {side} pixels, with guidance; "
            f"{first['weights_gb']:.2f} GB of weights, made in {first['loading']:.0f} s. "
            f"All pictures are finite: {'yes' if finite else 'NO'}.",
            "",
            table(header, cells),
        ]
    )


def in_own_process(device: str, rows: Sequence[Row], side: int, steps: int) -> list[dict[str, Any]]:
    """Figures measured in a process that does nothing else; each is printed when it is known."""
    # Else the allocator keeps what is freed.
    environment = {**os.environ, **dict.fromkeys(_ALLOCATOR_THRESHOLDS, str(256 * 1024))}
    command = [sys.executable, "-m", "benchmarks.true_size", "--device", device, "--only"]
    command += ["--side", str(side), "--steps", str(steps)]
    command += ["--rows", *(f"{form}:{views}" for form, views in rows)]
    figures = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout or ():
            figures.append(json.loads(line))
            print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(process.returncode)
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--side", type=int, help="pixels; 512 on the CPU, 1024 on a GPU")
    parser.add_argument("--steps", type=int, help="1 on the CPU, 3 on a GPU")
    parser.add_argument("--rows", nargs="+", help="such as full:4 references:16")
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    rows = DEFAULT_ROWS[args.device]
    if args.rows:
        rows = [(form, int(views)) for form, views in (row.split(":") for row in args.rows)]
    side = args.side or {"cpu": 512, "cuda": 1024}[args.device]
    steps = args.steps or {"cpu": 1, "cuda": 3}[args.device]
    if args.only:
        for figures in measure_all(args.device, rows, side, steps):
            print(json.dumps(figures), flush=True)
        return
    num_threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    origin = provenance(("torch", "diffusers", "transformers"), num_threads=num_threads)
    figures = in_own_process(args.device, rows, side, steps)
    theme = f"true_size_{args.device}_{side}px"
    write_result(theme, report(origin, side, figures), num_threads=num_threads)


DEFAULT_ROWS: dict[str, list[Row]] = {
    "cpu": [("full", 2), ("full", 4), ("references", 4)],
    "cuda": [(form, views) for views in (4, 16, 32) for form in ("full", "references")],
}
"""what is measured unless rows are named"""

if __name__ == "__main__":
    main()
