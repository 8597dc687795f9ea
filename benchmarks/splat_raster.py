"""A view of Gaussians, forward and backward: our kernels against gsplat's own torch code.

    python -m benchmarks.splat_raster          # writes benchmarks/results/splat_raster_*.md

gsplat's torch code is its reference for projection and colours; its compositing needs CUDA even
there, and is written down here as its formula says, every Gaussian at every pixel. Both get the
same Gaussians and must give the same picture and gradient. That is quadratic, so the peer is
measured on small views only; the last rows are ours alone, at the size of a real field.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import provenance, table, write_result
from scenestyle.cameras import PinholeCamera
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, rasterize
from tests.support.gsplat_formulas import projected

SIZES = ((64, 48, 500), (128, 96, 1500))
ALONE = ((240, 180, 15_000), (480, 360, 40_000))
REPEATS = 7


def some_gaussians(count: int, width: int) -> Gaussians:
    """Gaussians all over a ball before the camera, some pixels wide."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    drawn = (
        normal(count, 3),
        normal(count, 4),
        np.log(6 / width) + 0.4 * normal(count, 3),
        2 * normal(count) + 0.5,
        0.5 * normal(count, 4, 3),
    )
    return Gaussians(*(each.requires_grad_() for each in drawn))


def some_camera(width: int, height: int) -> PinholeCamera:
    """Three radii of the ball away from its centre."""
    w2c = np.diag([1.0, 1, 1, 1])
    w2c[2, 3] = 3
    c2w = np.linalg.inv(w2c) @ np.diag([1.0, -1, -1, 1])
    return PinholeCamera(c2w, width, width, width / 2, height / 2, width, height)


def ours(gaussians: Gaussians, camera: PinholeCamera) -> Tensor:
    """What the camera sees, (3, height, width)."""
    return rasterize(gaussians, camera, is_antialiased=True, with_median=False).rgb


def gsplats(gaussians: Gaussians, camera: PinholeCamera) -> Tensor:
    """The same by gsplat's torch code."""
    screen, depths, conics, opacities, colours = projected(gaussians, camera, is_antialiased=True)
    order = depths.argsort(stable=True)
    order = order[depths[order] > 0.01]
    y, x = torch.meshgrid(
        torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij"
    )
    dx = x.reshape(1, -1) - screen[order, :1]
    dy = y.reshape(1, -1) - screen[order, 1:]
    a, b, c = conics[order, :, None].unbind(1)
    alpha = opacities[order, None] * torch.exp(-(a * dx**2 + c * dy**2) / 2 - b * dx * dy)
    alpha = torch.where(alpha >= 1 / 255, alpha.clamp_max(0.999), 0)
    passes = torch.cumprod(torch.cat([torch.ones_like(alpha[:1]), 1 - alpha[:-1]]), 0)
    return (colours[order].T @ (passes * alpha)).reshape(3, camera.height, camera.width)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Median wall and CPU milliseconds, the first call left out."""
    work()
    walls, cpus = [], []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(1e3 * (time.perf_counter() - wall))
        cpus.append(1e3 * (time.process_time() - cpu))
    return statistics.median(walls), statistics.median(cpus)


def measured(
    view: Callable[[Gaussians, PinholeCamera], Tensor], gaussians: Gaussians, camera: PinholeCamera
) -> list[float]:
    """Milliseconds: wall and CPU of a view, wall and CPU of a view with its gradient."""

    def forward() -> None:
        with torch.no_grad():
            view(gaussians, camera)

    def step() -> None:
        view(gaussians, camera).square().sum().backward()

    return [*timed(forward), *timed(step)]


def largest_difference(gaussians: Gaussians, camera: PinholeCamera) -> float:
    """Of the two pictures, and of the gradients of the centres as a share of their norm."""
    pictures, gradients = [], []
    for view in (ours, gsplats):
        gaussians.means.grad = None
        picture = view(gaussians, camera)
        picture.square().sum().backward()
        pictures.append(picture.detach())
        gradients.append(gaussians.means.grad)
    apart = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    return max(float((pictures[0] - pictures[1]).abs().max()), float(apart))


def main() -> None:
    """Command line."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    threads = torch.get_num_threads()
    head = provenance(("gsplat", "numba", "torch"), num_threads=threads)
    rows = []
    for width, height, count in (*SIZES, *ALONE):
        gaussians, camera = some_gaussians(count, width), some_camera(width, height)
        own = measured(ours, gaussians, camera)
        line = [f"{width}x{height}", count, *(f"{value:.1f}" for value in own)]
        if (width, height, count) in SIZES:
            peer = measured(gsplats, gaussians, camera)
            line += [f"{value:.0f}" for value in peer]
            line += [f"{peer[i] / own[i]:.0f}" for i in (1, 3)]
            line.append(f"{largest_difference(gaussians, camera):.0e}")
        rows.append([*line, *[""] * (13 - len(line))])
    header = ["view", "Gaussians"]
    for name in ("ours", "gsplat's torch"):
        header += [f"{name}: view ms", "CPU", "with gradient ms", "CPU"]
    header += ["ratio in CPU time, view", "with gradient", "largest difference"]
    text = f"# A view of Gaussians on a CPU\n\n{head}\n\n{table(header, rows)}"
    write_result("splat_raster", text, num_threads=threads)


if __name__ == "__main__":
    main()
