"""Our kernels against gsplat's formulas, as gsplat's own torch code and a plain loop have them."""

from dataclasses import replace

import numba
import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ParamsError
from scenestyle.nerfstudio_plugin import splat_raster
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, rasterize
from tests.support.gsplat_formulas import projected

NAMES = ("means", "quats", "log_scales", "logits", "harmonics")


def some_gaussians(
    count: int, *, bases: int = 1, seed: int = 0, spread: float = 1.0, dtype=torch.float64
) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    drawn = (
        spread * normal(count, 3),
        normal(count, 4),
        -2.2 + 0.7 * normal(count, 3),
        2 * normal(count) + 0.5,
        0.5 * normal(count, bases, 3),
    )
    # Both precisions get the same numbers.
    return Gaussians(*(each.float().to(dtype).requires_grad_() for each in drawn))


def some_camera(width: int = 70, height: int = 52) -> PinholeCamera:
    c, s = np.cos(0.4), np.sin(0.4)
    w2c = np.array([[c, 0, s, 0.1], [0, 1, 0, -0.05], [-s, 0, c, 3.0], [0, 0, 0, 1]])
    return PinholeCamera(
        c2w_opengl=np.linalg.inv(w2c) @ np.diag([1.0, -1, -1, 1]),
        fx=1.1 * width,
        fy=1.05 * width,
        cx=width / 2 + 1.3,
        cy=height / 2 - 2.1,
        width=width,
        height=height,
    )


def by_gsplats_formulas(
    gaussians: Gaussians, camera: PinholeCamera, is_antialiased: bool
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What a camera sees, by gsplat's torch projection and a loop over the Gaussians; screen means."""
    screen, depths, conics, opacities, colours = projected(
        gaussians, camera, is_antialiased=is_antialiased
    )
    screen.retain_grad()
    y, x = torch.meshgrid(
        torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij"
    )
    passes = torch.ones(camera.height, camera.width, dtype=torch.float64)
    rgb = torch.zeros(3, camera.height, camera.width, dtype=torch.float64)
    weighted_z, median_z = torch.zeros_like(passes), torch.zeros_like(passes)
    for g in depths.argsort(stable=True).tolist():
        if depths[g] < 0.01:
            continue
        dx, dy = x - screen[g, 0], y - screen[g, 1]
        a, b, c = conics[g]
        alpha = opacities[g] * torch.exp(-(a * dx**2 + c * dy**2) / 2 - b * dx * dy)
        alpha = torch.where(alpha >= 1 / 255, alpha.clamp_max(0.999), 0)
        weight = passes * alpha
        rgb = rgb + weight * colours[g, :, None, None]
        weighted_z = weighted_z + weight * depths[g]
        is_median = (passes >= 0.5) & (passes - weight < 0.5)
        median_z = torch.where(is_median, depths[g].detach(), median_z)
        passes = passes - weight
    depth_z = weighted_z / (1 - passes).clamp_min(1e-6)
    median_z = torch.where(median_z > 0, median_z, depth_z.detach())
    seen = {"rgb": rgb, "opacity": 1 - passes, "depth_z": depth_z, "median_z": median_z}
    return seen, screen


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("count", "bases", "is_antialiased", "spread"),
    [(200, 1, True, 1.0), (200, 4, True, 1.0), (60, 9, True, 1.0), (60, 16, False, 2.5)],
)
def test_values_and_gradients_are_gsplats(dtype, count, bases, is_antialiased, spread):
    camera = some_camera()
    theirs = some_gaussians(count, bases=bases, seed=1, spread=spread)
    ours = some_gaussians(count, bases=bases, seed=1, spread=spread, dtype=dtype)
    wanted, screen = by_gsplats_formulas(theirs, camera, is_antialiased)
    found = rasterize(ours, camera, is_antialiased=is_antialiased, with_median=True)
    # An expected depth is compared where there is something to take it of.
    is_there = (wanted["opacity"] > 0.1).detach()
    generator = torch.Generator().manual_seed(2)
    losses = {"wanted": torch.zeros((), dtype=torch.float64), "found": torch.zeros(())}
    for name in ("rgb", "opacity", "depth_z"):
        value, target = getattr(found, name), wanted[name]
        if name == "depth_z":
            value, target = value[is_there], target[is_there]
        torch.testing.assert_close(value.double(), target, rtol=2e-5, atol=2e-5)
        weight = torch.randn(target.shape, generator=generator, dtype=torch.float64)
        losses["wanted"] = losses["wanted"] + (target * weight).sum()
        losses["found"] = losses["found"] + (value * weight).sum()
    agrees = torch.isclose(found.median_z.double(), wanted["median_z"], rtol=1e-4)[is_there]
    assert agrees.float().mean() > 0.998  # rounding may put the half before or behind a Gaussian
    for loss in losses.values():
        loss.backward()
    pairs = [(getattr(ours, name).grad, getattr(theirs, name).grad) for name in NAMES]
    for value, target in [*pairs, (found.screen.grad, screen.grad)]:
        assert float((value - target).norm() / target.norm()) < 5e-5


def test_gradients_are_those_of_the_values():
    camera = some_camera(18, 14)
    start = some_gaussians(6, bases=4, seed=3)

    def seen(*parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = rasterize(Gaussians(*parameters), camera)
        return found.rgb, found.opacity, found.depth_z * found.opacity

    parameters = tuple(getattr(start, name) for name in NAMES)
    assert torch.autograd.gradcheck(seen, parameters, eps=1e-7, atol=1e-5, rtol=1e-4)


def test_the_number_of_threads_leaves_no_trace():
    before = numba.get_num_threads()
    results = []
    for count in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(count)
        gaussians = some_gaussians(300, seed=4, dtype=torch.float32)
        found = rasterize(gaussians, some_camera(100, 80), with_median=True)
        (found.rgb.square().sum() + found.depth_z.sum()).backward()
        gradients = [getattr(gaussians, name).grad for name in NAMES]
        results.append(
            [each.detach().numpy().tobytes() for each in (found.rgb, found.median_z, *gradients)]
        )
    numba.set_num_threads(before)
    assert all(result == results[0] for result in results)


def test_who_is_seen_is_who_has_a_gradient():
    gaussians = some_gaussians(100, seed=5, spread=4.0)
    found = rasterize(gaussians, some_camera())
    found.rgb.sum().backward()
    assert 0 < found.is_visible.sum() < 100
    assert not found.screen.grad[~found.is_visible].any()
    assert not gaussians.means.grad[~found.is_visible].any()


def test_antialiased_renders_of_two_sizes_agree():
    """A cloud of points far smaller than a pixel keeps its brightness when the image is halved."""
    gaussians = some_gaussians(400, seed=6, spread=0.6, dtype=torch.float32)
    tiny = replace(
        gaussians, log_scales=gaussians.log_scales - 3.0, logits=gaussians.logits.abs() * 0 + 2.0
    )
    camera = some_camera(64, 48)
    sums = {}
    for is_antialiased in (True, False):
        large, small = (
            rasterize(tiny, each, is_antialiased=is_antialiased).opacity.mean()
            for each in (camera, camera.resized(32, 24))
        )
        sums[is_antialiased] = float((small / large).detach())
    assert abs(sums[True] - 1) < 0.2 < 0.5 < sums[False] - 1


def test_nothing_is_seen_of_nothing():
    gaussians = some_gaussians(3, dtype=torch.float32)
    behind = replace(gaussians, means=gaussians.means - torch.tensor([0.0, 0.0, 50.0]))
    found = rasterize(behind, some_camera(), with_median=True)
    for name in ("rgb", "opacity", "depth_z", "median_z"):
        assert not getattr(found, name).any()


@pytest.mark.skipif(torch.cuda.is_available(), reason="of machines without gsplat's kernels")
def test_a_gpu_without_gsplats_kernels_is_refused():
    with pytest.raises(ParamsError, match=r"gsplat has none here.*SCENESTYLE_DEVICE=cpu"):
        splat_raster._on_cuda(some_gaussians(3), some_camera(), True, False)
