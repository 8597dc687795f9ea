r"""A view of Gaussians, forward and backward: our kernels against others that run on a CPU.

    pip install --target PEERS mitsuba==3.9.1  # and LLVM 16 or later; Debian's libllvm19 will do
    PYTHONPATH=PEERS DRJIT_LIBLLVM_PATH=/usr/lib/x86_64-linux-gnu/libLLVM-19.so \
        python -m benchmarks.splat_raster      # writes benchmarks/results/splat_raster_*.md

gsplat's torch code is its reference for projection and colours; its compositing needs CUDA even
there, and is written down here as its formula says, every Gaussian at every pixel. Both get the
same Gaussians and must give the same picture and gradient. That is quadratic, so this peer is
measured on small views only.

Mitsuba 3 traces a ray per pixel through the Gaussians (Condor et al., 2024, arXiv 2405.15425),
compiled for the CPU by LLVM, with gradients. It takes them for ellipsoids in space that end at
three standard deviations, not for splats on the image, and 64 at most on a ray, so its picture is
near to ours, not equal. It keeps its tree of ellipsoids between views, and builds it anew where
there are gradients, since a training step moves them.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.machine import provenance, table, write_result
from scenestyle.cameras import PinholeCamera
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, rasterize
from tests.support.gsplat_formulas import projected

SIZES = ((64, 48, 500), (128, 96, 1500), (240, 180, 15_000), (480, 360, 40_000))
QUADRATIC = 1500
"""Gaussians up to which every one is composited at every pixel"""
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


class MitsubaScene:
    """The same by Mitsuba's ray tracer."""

    def __init__(self, gaussians: Gaussians, camera: PinholeCamera) -> None:
        import mitsuba  # pyright: ignore[reportMissingImports]

        mitsuba.set_variant("llvm_ad_rgb")
        self.mitsuba = mitsuba
        with torch.no_grad():
            quats = torch.nn.functional.normalize(gaussians.quats, dim=1).roll(-1, dims=1)
            count = len(quats)
            values = {
                "centers": gaussians.means,
                "scales": gaussians.log_scales.exp(),
                "quaternions": quats,
                "opacities": gaussians.logits.sigmoid()[:, None],
                "sh_coeffs": gaussians.harmonics.reshape(count, -1),
            }
            tensors = {name: mitsuba.TensorXf(each.numpy()) for name, each in values.items()}
        # Its cameras look along +z, their x to the left.
        to_world = mitsuba.ScalarTransform4f(camera.c2w_opengl @ np.diag([-1.0, 1, -1, 1]))
        film = {
            "type": "hdrfilm",
            "width": camera.width,
            "height": camera.height,
            "rfilter": {"type": "box"},
        }
        angle = float(np.degrees(2 * np.arctan(camera.width / 2 / camera.fx)))
        sensor = {"type": "perspective", "fov": angle, "to_world": to_world, "film": film}
        integrator = {"type": "volprim_rf_basic", "srgb_primitives": False}
        self.scene = mitsuba.load_dict(
            {
                "type": "scene",
                "integrator": integrator,
                "sensor": sensor,
                "shape": {"type": "ellipsoids", **tensors},
            }
        )
        self.parameters = mitsuba.traverse(self.scene)
        self.names = [f"shape.{name}" for name in ("data", "opacities", "sh_coeffs")]

    def forward(self) -> NDArray[np.float32]:
        """A view, (height, width, 3)."""
        return np.array(self.mitsuba.render(self.scene, spp=1))

    def step(self) -> None:
        """A view with its gradient."""
        import drjit  # pyright: ignore[reportMissingImports]

        for name in self.names:
            drjit.enable_grad(self.parameters[name])
            self.parameters.set_dirty(name)
        self.parameters.update()
        picture = self.mitsuba.render(self.scene, self.parameters, spp=1)
        drjit.backward(drjit.sum(picture * picture, axis=None))
        drjit.eval([drjit.grad(self.parameters[name]) for name in self.names])
        drjit.sync_thread()


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
    head = provenance(("gsplat", "mitsuba", "numba", "torch"), num_threads=threads)
    rows = []
    for width, height, count in SIZES:
        gaussians, camera = some_gaussians(count, width), some_camera(width, height)
        own = measured(ours, gaussians, camera)
        size = [f"{width}x{height}", count]
        rows.append([*size, "ours", *(f"{value:.1f}" for value in own), "", "", ""])
        if count <= QUADRATIC:
            peer = measured(gsplats, gaussians, camera)
            apart = f"{largest_difference(gaussians, camera):.0e} at most"
            rows.append([*size, "gsplat's torch", *against(peer, own), apart])
        traced = MitsubaScene(gaussians, camera)
        peer = [*timed(traced.forward), *timed(traced.step)]
        with torch.no_grad():
            picture = ours(gaussians, camera).permute(1, 2, 0).numpy()
        apart = f"{np.abs(traced.forward() - picture).mean():.3f} on average"
        rows.append([*size, "Mitsuba", *against(peer, own), apart])
    header = ["view", "Gaussians", "by", "view ms", "CPU ms", "with gradient ms", "CPU ms"]
    header += ["times ours in CPU time, view", "with gradient", "difference from ours"]
    text = f"# A view of Gaussians on a CPU\n\n{head}\n\n{table(header, rows)}"
    write_result("splat_raster", text, num_threads=threads)


def against(peer: list[float], own: list[float]) -> list[str]:
    """A peer's milliseconds, and the ratios of the CPU seconds."""
    return [*(f"{value:.0f}" for value in peer), *(f"{peer[i] / own[i]:.0f}" for i in (1, 3))]


if __name__ == "__main__":
    main()
