"""The field on a CPU against nerfstudio's nerfacto with its torch encoding: training, rendering, encoding.

    python -m benchmarks.field data/poses/demo [data/poses/OTHER ...]     # writes benchmarks/results/field_*.md

Both learn from the same photos at the same size, with the same split, poses and rays per step, in
the same process, one after the other. The peer is nerfstudio's method `nerfacto` as it stands, but
for three things: `implementation="torch"` (there is no CUDA), rays drawn in the training process
(its loader process would take one of the cores), and no LPIPS network (it would be downloaded, and
only measures). PSNR is over 4096 pixels of held-out views, the same for both; measuring it is not
timed.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.machine import provenance, table, write_result
from scenestyle.artifacts import View
from scenestyle.cameras import PinholeCamera
from scenestyle.nerfstudio_plugin.sizes import training_side
from scenestyle.params import TrainNerf

CPU = torch.device("cpu")
RAYS = 1024
PSNR_PIXELS = 4096
VIEW_SIZE = (248, 184)
MEASURED_AT = (5, 10, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000, 1500)
POINTS = 131_072


@dataclass(frozen=True)
class Learner:
    """Something that is trained step by step."""

    step: Callable[[int], object]
    model: Any


def stock_nerfacto(run: Path, params: TrainNerf) -> Learner:
    """Nerfstudio's trainer with its nerfacto over the photos of a run."""
    from nerfstudio.configs.method_configs import method_configs
    from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
    from nerfstudio.engine.callbacks import TrainingCallbackAttributes, TrainingCallbackLocation
    from nerfstudio.engine.trainer import Trainer

    from scenestyle.nerfstudio_plugin.quick_config import dataparser_config, machine_config

    config: Any = copy.deepcopy(method_configs["nerfacto"])
    config.machine = machine_config(params, CPU)
    config.mixed_precision = False
    config.pipeline.model.implementation = "torch"
    config.pipeline.datamanager = VanillaDataManagerConfig(
        dataparser=dataparser_config(run, holdout_every=params.holdout_every),
        train_num_rays_per_batch=RAYS,
    )
    config.output_dir = run / "stock"
    config.set_timestamp()
    torch.manual_seed(params.seed)
    trainer = Trainer(config)
    with patch(
        "torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity",
        lambda **_: torch.nn.Identity(),
    ):
        trainer.pipeline = config.pipeline.setup(device="cpu", test_mode="val")
    trainer.optimizers = trainer.setup_optimizers()
    attributes = TrainingCallbackAttributes(
        trainer.optimizers, trainer.grad_scaler, trainer.pipeline, trainer
    )
    callbacks = trainer.pipeline.get_training_callbacks(attributes)

    def step(number: int) -> None:
        trainer.pipeline.train()
        for location in (
            TrainingCallbackLocation.BEFORE_TRAIN_ITERATION,
            None,
            TrainingCallbackLocation.AFTER_TRAIN_ITERATION,
        ):
            if location is None:
                trainer.train_iteration(number)
                continue
            for callback in callbacks:
                callback.run_callback_at_location(number, location=location)

    return Learner(step, trainer.pipeline.model)


def our_field(run: Path, params: TrainNerf, views: list[View]) -> Learner:
    """Ours over the photos of the same run."""
    from scenestyle.nerf.train import photometric_losses, training_views
    from scenestyle.nerf.trainer import build_trainer

    trainer = build_trainer(run, params, CPU)
    losses = photometric_losses(trainer, training_views(run, views, CPU))
    return Learner(lambda _: trainer.update(losses), trainer.model)


@dataclass(frozen=True)
class Curve:
    """Held-out PSNR against seconds of training."""

    step_seconds: list[float]
    cpu_seconds: list[float]
    """of each step, processor time of all threads, which a busy machine lengthens less"""
    psnr: dict[int, float]
    """dB, by steps taken"""

    @property
    def median_step(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.step_seconds)

    def seconds_until(self, wanted: float) -> tuple[int, float]:
        """Steps and seconds until the PSNR was first measured to be at least `wanted`."""
        steps = next(step for step, found in self.psnr.items() if found >= wanted)
        return steps, sum(self.step_seconds[:steps])


def train(
    learner: Learner, num_steps: int, psnr: Callable[[Any], float], measured_at: Sequence[int]
) -> Curve:
    """Take steps, timing each, and measure after some of them and the last."""
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    measured: dict[int, float] = {}
    for number in range(num_steps):
        start, cpu_start = time.perf_counter(), time.process_time()
        learner.step(number)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        if number + 1 in measured_at or number + 1 == num_steps:
            measured[number + 1] = psnr(learner.model)
    return Curve(seconds, cpu_seconds, measured)


def held_out_psnr(run: Path, views: list[View]) -> Callable[[Any], float]:
    """Measures a model over the same random held-out pixels every time."""
    from scenestyle.nerf.dataset import TrainingViews, read_photo

    held_out = [view for view in views if view.split == "held_out"]
    photos = [torch.from_numpy(read_photo(run, view)) for view in held_out]
    rays, colours = TrainingViews(held_out, photos).random_rays(
        PSNR_PIXELS, torch.Generator().manual_seed(0)
    )

    @torch.inference_mode()
    def measure(model: Any) -> float:
        model.eval()
        rendered = torch.cat(
            [model(copy.copy(rays[i : i + 2048]))["rgb"] for i in range(0, PSNR_PIXELS, 2048)]
        )
        model.train()
        return float(-10 * torch.log10(torch.mean((rendered - colours) ** 2)))

    return measure


def rendering(run: Path, views: list[View], ours: Any) -> list[list[object]]:
    """Seconds per view of 248x184, and PSNR of ours as accelerated and in nerfstudio's operations."""
    from nerfstudio.models.nerfacto import NerfactoModel

    from scenestyle.nerf.dataset import read_photo
    from scenestyle.nerfstudio_plugin.rays import camera_rays

    held_out = [view for view in views if view.split == "held_out"]
    camera = held_out[0].camera.resized(*VIEW_SIZE)

    @torch.inference_mode()
    def with_nerfstudio(model: Any, camera: PinholeCamera) -> np.ndarray:
        model.eval()
        rays = camera_rays(camera, CPU)
        chunks = [
            NerfactoModel.get_outputs(model, model.collider(rays[i : i + 4096]))["rgb"]
            for i in range(0, len(rays), 4096)
        ]
        return torch.cat(chunks).view(camera.height, camera.width, 3).numpy()

    def seconds(call: Callable[[], object], repeats: int) -> list[float]:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return times

    def psnr(draw: Callable[[PinholeCamera], np.ndarray]) -> float:
        errors = [np.mean((draw(view.camera) - read_photo(run, view)) ** 2) for view in held_out]
        return float(np.mean(-10 * np.log10(errors)))

    ours.render(camera)
    ours_seconds = seconds(lambda: ours.render(camera), 9)
    plain_seconds = seconds(lambda: with_nerfstudio(ours, camera), 3)
    return [
        [
            "our field, nerfstudio's operations",
            _median_and_range(plain_seconds),
            f"{psnr(lambda view: with_nerfstudio(ours, view)):.2f}",
        ],
        [
            "our field, ours",
            _median_and_range(ours_seconds),
            f"{psnr(lambda view: ours.render(view).rgb):.2f}",
        ],
    ]


def encoding() -> list[list[object]]:
    """Seconds of 131,072 points through 8 levels of 2 features, nerfstudio's and ours."""
    from nerfstudio.field_components.encodings import HashEncoding

    from scenestyle.nerfstudio_plugin.hash_encoding import CpuHashEncoding

    torch.manual_seed(0)
    stock = HashEncoding(num_levels=8, log2_hashmap_size=16, implementation="torch")
    points = torch.rand(POINTS, 3)
    rows = []
    for name, layer in (("nerfstudio, torch", stock), ("ours", CpuHashEncoding.sharing(stock))):
        forward, backward = [], []
        for _ in range(8):
            start = time.perf_counter()
            encoded = layer(points)
            middle = time.perf_counter()
            encoded.sum().backward()
            forward.append(middle - start)
            backward.append(time.perf_counter() - middle)
        rows.append([name, *(_median_and_range(each[1:], 1e3) for each in (forward, backward))])
    return rows


def _median_and_range(seconds: list[float], factor: float = 1) -> str:
    low, middle, high = (f(seconds) * factor for f in (min, statistics.median, max))
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def scene_report(poses: Path, params: TrainNerf, stock_steps: int) -> str:
    """One scene's section of the result file."""
    from scenestyle.nerf.dataset import read_run_views, write_dataset

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        write_dataset(poses, run, max_image_side=training_side(params))
        views = read_run_views(run, holdout_every=params.holdout_every)
        psnr = held_out_psnr(run, views)
        train(our_field(run, params, views), 3, psnr, [])  # compiles
        stock, ours = stock_nerfacto(run, params), our_field(run, params, views)
        stock_curve = train(stock, stock_steps, psnr, [])
        our_curve = train(ours, params.iterations, psnr, MEASURED_AT)
        stock_psnr = stock_curve.psnr[stock_steps]
        stock_seconds = sum(stock_curve.step_seconds)
        steps, seconds = our_curve.seconds_until(stock_psnr)
        ratio = stock_curve.median_step / our_curve.median_step
        cpu_ratio = statistics.median(stock_curve.cpu_seconds) / statistics.median(
            our_curve.cpu_seconds
        )
        lines = [
            f"## {poses.name}",
            "",
            f"{len(views)} photos, long side {params.max_image_side} px, {RAYS} rays per step.",
            "",
            table(
                ["", "steps", "seconds per step, median",
                    "CPU seconds per step, median", "rays per second", "held-out PSNR at the end, dB"],
                [
                    _training_row("stock nerfacto", stock_curve),
                    _training_row("ours", our_curve),
                ],
            ),
            "",
            f"Rays per second: {ratio:.1f} times stock's; per second of processor time: "
            f"{cpu_ratio:.1f} times. Stock has {stock_psnr:.2f} dB after its first {stock_steps} "
            f"steps, {stock_seconds:.0f} s; ours has them after {steps} steps, {seconds:.2f} s: "
            f"{stock_seconds / seconds:.0f} times sooner.",
            "",
            table(["steps", *our_curve.psnr], [["stock, dB", *_at(stock_curve, our_curve)], ["ours, dB", *_at(our_curve, our_curve)]]),
            "",
            f"A view of {VIEW_SIZE[0]}x{VIEW_SIZE[1]}:",
            "",
            table(
                ["", "seconds per view, median and range", "held-out PSNR, whole views, dB"],
                rendering(run, views, ours.model),
            ),
            "",
        ]  # fmt: skip
    return "\n".join(lines)


def _at(curve: Curve, grid: Curve) -> list[str]:
    return [f"{curve.psnr[step]:.1f}" if step in curve.psnr else "" for step in grid.psnr]


def _training_row(name: str, curve: Curve) -> list[object]:
    steps = len(curve.step_seconds)
    return [
        name,
        steps,
        f"{curve.median_step:.3g}",
        f"{statistics.median(curve.cpu_seconds):.3g}",
        f"{RAYS / curve.median_step:.0f}",
        f"{curve.psnr[steps]:.2f}",
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("poses", nargs="+", type=Path, help="folders that estimate_poses wrote")
    parser.add_argument("--stock-steps", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=TrainNerf().iterations, help="of ours")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    import numba

    torch.set_num_threads(arguments.threads)
    numba.set_num_threads(arguments.threads)
    params = replace(
        TrainNerf(field="nerfacto"), rays_per_batch=RAYS, iterations=arguments.iterations
    )
    origin = provenance(("torch", "nerfstudio", "numba", "numpy"), num_threads=arguments.threads)
    sections = [
        "\n".join(
            [
                "# The field on a CPU against stock nerfacto",
                "",
                origin,
                "Ours with the defaults of `train_nerf`, stock with nerfstudio's.",
                "",
                f"## Hash encoding alone, {POINTS} points, 8 levels, 2 features",
                "",
                table(["", "forward, ms, median and range", "backward, ms"], encoding()),
                "",
            ]
        )
    ]
    for poses in arguments.poses:
        sections.append(scene_report(poses, params, arguments.stock_steps))
        write_result("field", "\n".join(sections), num_threads=arguments.threads)


if __name__ == "__main__":
    main()
