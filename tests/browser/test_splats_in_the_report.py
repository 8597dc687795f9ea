"""The report's 3D view of Gaussians, held to the rasterizer that trains them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Locator

from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import look_at
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, rasterize
from scenestyle.novel.surface import contracted
from scenestyle.report.look import Look, pack_splats, start_at
from tests.support.browser_sizes import OpenPage
from tests.support.report_page import still, write_report

FOCUS, UP = np.array([0.1, -0.2, 0.05]), np.array([0.0, 0.0, 1.0])
EYE = np.array([2.0, 1.0, 0.7])
AT_THE_CORNER = "position: fixed; inset: 0 auto auto 0; width: 320px; height: 240px; border: none; border-radius: 0; z-index: 9"
STEP = 0.1
"""radians that a press of an arrow key turns the scene by"""


def some_gaussians(bases: int) -> Gaussians:
    """Flat and long ones near the middle, large ones far behind, some brighter than white."""
    generator = torch.Generator().manual_seed(bases)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    index = torch.arange(3000)
    away = torch.where(index % 3 == 0, 12.0, 0.9) * (1 + 0.3 * normal(3000).clamp(-2, 2))
    size = away * torch.where(index % 5 == 0, 0.002, 0.05)
    harmonics = 0.5 * normal(3000, bases, 3)
    harmonics[:, 0] += torch.where(index % 7 == 0, 2.5, 0.0)[:, None]
    return Gaussians(
        means=torch.nn.functional.normalize(normal(3000, 3)) * away[:, None] + torch.tensor(FOCUS),
        quats=torch.nn.functional.normalize(normal(3000, 4)),
        log_scales=0.8 * normal(3000, 3) + size.log()[:, None],
        logits=2 * normal(3000),
        harmonics=harmonics,
    )


def camera_at(eye: np.ndarray) -> PinholeCamera:
    return PinholeCamera(look_at(eye, FOCUS, UP), 300.0, 300.0, 160.0, 120.0, 320, 240)


def look_of(gaussians: Gaussians) -> Look:
    cloud = pack_splats(
        contracted(gaussians.means.numpy(), focus=FOCUS, radius=1.0),
        quats=gaussians.quats.numpy(),
        log_scales=gaussians.log_scales.numpy(),
        logits=gaussians.logits.numpy(),
        harmonics=gaussians.harmonics.numpy(),
    )
    begin = start_at(camera_at(EYE), focus=FOCUS, radius=1.0, up=UP)
    return Look(cloud, cloud, begin)


def shown_at(canvas: Locator) -> np.ndarray:
    """The canvas in [0, 1], at the camera's size, whole pixels from the corner of the page."""
    canvas.scroll_into_view_if_needed()
    canvas.evaluate("canvas => canvas.style.cssText += ';" + AT_THE_CORNER + "'")
    # The page's policy forbids the evaluation of strings that waiting for a function takes.
    canvas.evaluate(
        "canvas => new Promise(done => { const look = () => canvas.width === 320 ? done() : "
        "requestAnimationFrame(look); look(); })"
    )
    return still(canvas) / 255


def rasterized(gaussians: Gaussians, eye: np.ndarray) -> np.ndarray:
    """What the project's rasterizer makes of a camera, on the page's white card."""
    splatted = rasterize(gaussians, camera_at(eye))
    on_white = splatted.rgb + 1 - splatted.opacity
    return on_white.clamp(0, 1).permute(1, 2, 0).detach().numpy()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


@pytest.mark.parametrize("bases", [1, 4])
def test_splats_look_as_the_rasterizer_draws_them(
    bases: int, open_page: OpenPage, tmp_path: Path
) -> None:
    gaussians = some_gaussians(bases)
    page = open_page(write_report(tmp_path, look_of(gaussians)))

    shown = shown_at(page.locator(".look canvas"))

    wanted = rasterized(gaussians, EYE)
    assert wanted.std() > 0.1
    assert psnr(shown, wanted) > 45


def test_splats_are_sorted_anew_when_the_scene_turns(open_page: OpenPage, tmp_path: Path) -> None:
    gaussians = some_gaussians(1)
    page = open_page(write_report(tmp_path, look_of(gaussians)))
    canvas = page.locator(".look canvas")
    first = shown_at(canvas)
    canvas.focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    canvas.blur()

    shown = shown_at(canvas)

    sine, cosine = np.sin(-20 * STEP), np.cos(-20 * STEP)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    wanted = rasterized(gaussians, FOCUS + turn @ (EYE - FOCUS))
    assert psnr(shown, first) < 20
    assert psnr(shown, wanted) > 45
