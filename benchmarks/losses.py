"""A loss step on one patch, style and content with VGG-19, against the step as the authors published it.

    python -m benchmarks.losses          # writes benchmarks/results/losses_*.md

The published code of Style-NeRF2NeRF runs the network four times per step, each time keeping the
graph: render and stylized patch for the style loss, both again for the content loss; its weights
are not frozen, so their gradients are computed too. That step is written down here as
`published_step`. Ours runs the frozen network once with a graph and once without. Both get the same
directions and must give the same value and the same gradient of the render.

The network has VGG-19's architecture and random weights: arithmetic costs the same, and nothing has
to be downloaded. Every measurement is a process of its own; memory is the growth of its resident
set's peak over the steps.
"""

import argparse
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from benchmarks.machine import provenance, table, write_result
from scenestyle.features import FeatureExtractor
from scenestyle.features.vgg import CHANNELS, TAPS, Vgg19
from scenestyle.losses import content_loss, random_directions, style_loss

SIDES = (64, 128, 256)
CONTENT_WEIGHT = 0.1
NUM_CONTENT_TAPS = 4
REPEATS = 5


@dataclass(frozen=True)
class Measurement:
    """Steps of one kind on one size of patch."""

    seconds: list[float]
    """of each step, forward and backward, without the first"""
    cpu_seconds: list[float]
    """the same in processor time of all threads, which a busy machine lengthens less"""
    megabytes: float
    """growth of the process's peak memory, 1e6 bytes"""
    value: float
    """of the loss"""
    gradient: float
    """norm of the gradient of the render"""


def random_vgg19() -> Vgg19:
    """VGG-19's architecture with weights that keep activations in scale."""
    torch.manual_seed(0)
    weights = {}
    inputs = 3
    for index, outputs in zip((0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25), CHANNELS, strict=True):
        weight = torch.empty(outputs, inputs, 3, 3)
        nn.init.kaiming_normal_(weight, nonlinearity="relu")
        weights |= {
            f"features.{index}.weight": weight,
            f"features.{index}.bias": torch.zeros(outputs),
        }
        inputs = outputs
    return Vgg19(weights)


def published_step(
    network: Vgg19, render: Tensor, target: Tensor, directions: list[Tensor]
) -> Tensor:
    """Four passes that keep their graphs."""
    style = render.new_zeros(())
    for x, y, rows in zip(network(render), network(target), directions, strict=True):
        sorted_x, sorted_y = ((rows @ f.flatten(2)).sort(dim=-1).values for f in (x, y))
        style = style + (sorted_x - sorted_y).square().mean()
    deep = list(zip(network(render), network(target), strict=True))[-NUM_CONTENT_TAPS:]
    return style + CONTENT_WEIGHT * sum(mse_loss(x, y) for x, y in deep)


def our_step(
    features: FeatureExtractor, render: Tensor, target: Tensor, directions: list[Tensor]
) -> Tensor:
    """What `finetune_nerf` does with a patch."""
    render_maps = features(render)
    with torch.no_grad():
        target_maps = features(target)
    deep = slice(-features.num_content_taps, None)
    return style_loss(render_maps, target_maps, directions) + CONTENT_WEIGHT * content_loss(
        render_maps[deep], target_maps[deep]
    )


def measure(kind: str, side: int, threads: int) -> Measurement:
    """Time steps of a kind; runs in a process of its own."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    render, target = (torch.rand(1, 3, side, side, generator=generator) for _ in range(2))
    directions = [random_directions(channels, channels, generator) for channels in CHANNELS]
    network = random_vgg19()
    if kind == "published":
        net = network.requires_grad_(True)
        step = partial(published_step, network)
    else:
        scales = torch.ones(len(TAPS))
        net = FeatureExtractor(network, num_content_taps=NUM_CONTENT_TAPS, scales=scales)
        step = partial(our_step, net)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, cpu_seconds, value, gradient = [], [], 0.0, render
    for _ in range(REPEATS + 1):
        leaf = render.clone().requires_grad_(True)
        net.zero_grad()
        start, cpu_start = time.perf_counter(), time.process_time()
        loss = step(leaf, target, directions)
        loss.backward()
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        value, gradient = float(loss.detach()), leaf.grad
    assert gradient is not None
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Measurement(
        seconds[1:],
        cpu_seconds[1:],
        (after - before) * 1024 / 1e6,
        value,
        float(gradient.norm()),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    origin = provenance(("torch",), num_threads=threads)
    rows = []
    for side in SIDES:
        found = {}
        for kind in ("published", "ours"):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found[kind] = pool.submit(measure, kind, side, threads).result()
        published, ours = found["published"], found["ours"]
        ratios = [
            statistics.median(before) / statistics.median(after)
            for before, after in (
                (published.seconds, ours.seconds),
                (published.cpu_seconds, ours.cpu_seconds),
            )
        ]
        rows.append(
            [
                f"{side} px",
                *(_spread(each.seconds) for each in (published, ours)),
                *(_spread(each.cpu_seconds) for each in (published, ours)),
                *(f"{ratio:.2f}" for ratio in ratios),
                *(f"{each.megabytes:.0f}" for each in (published, ours)),
                f"{abs(ours.value / published.value - 1):.1e}",
                f"{abs(ours.gradient / published.gradient - 1):.1e}",
            ]
        )
    header = [
        "patch", "published, s", "ours, s", "published, CPU s",
        "ours, CPU s", "times faster", "times less CPU", "published, MB", "ours, MB",
        "relative difference of the value", "of the gradient's norm",
    ]  # fmt: skip
    lines = [
        "# A loss step with VGG-19: ours against the published one",
        "",
        origin,
        f"Style and content, forward and backward; median and range of {REPEATS} steps after one "
        "warm-up.",
        "",
        table(header, rows),
    ]
    write_result("losses", "\n".join(lines), num_threads=threads)


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
