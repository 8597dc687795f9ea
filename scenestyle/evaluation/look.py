"""What the report's 3D view shows: the Gaussians of both fields, or points on their surfaces."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from scenestyle.cameras import PinholeCamera
from scenestyle.evaluation.renders import Step, spread
from scenestyle.geometry import common_up, focus_from_depths
from scenestyle.novel.surface import contracted, surface_points, thinned
from scenestyle.report.look import Cloud, Look, pack_points, pack_splats, start_at
from scenestyle.splat_file import SplatFile

if TYPE_CHECKING:
    from scenestyle.nerf.field import Rendering

Points = Float[np.ndarray, "n 3"]

_NUM_POINTS = 80_000
_NUM_SPLATS = 100_000
"""most Gaussians on the page, before and after each: 2.3 MB of it"""
_NUM_BASES = 4
"""most harmonics of a colour on the page: the first degree; of a scene that came with finer gloss,
this is left out, which would treble its bytes"""
_RATING_VIEWS = 16
"""views that tell which Gaussians show most"""
_RADIUS = 0.6
"""share of the cameras' distance from the focus within which places are evenly spaced"""


def look_round(
    steps: Sequence[Step],
    splats: tuple[SplatFile, SplatFile] | None,
    *,
    begin: PinholeCamera,
) -> Look:
    """Both fields, to look round.

    Args:
        steps: All views of the capture.
        splats: The Gaussians before and after the edit; None: the fields have none, and are shown
            as points, sampled where the views see them.
        begin: The camera that the look begins at.
    """
    cameras = [step.view.camera for step in steps]
    focus = focus_from_depths(cameras, [step.surface_z for step in steps])
    away = [np.linalg.norm(camera.c2w_opengl[:3, 3] - focus) for camera in cameras]
    radius = _RADIUS * float(np.median(away))
    up = common_up([camera.c2w_opengl for camera in cameras])
    warp = partial(contracted, focus=focus, radius=radius)
    if splats is None:
        before, after = _points_before(steps, warp), _points_after(steps, warp)
    else:
        before, after = (_gaussians(field, cameras, warp) for field in splats)
    start = start_at(begin, focus=focus, radius=radius, up=up)
    return Look(before, after, start, aspect=begin.width / begin.height)


def most_seen(splats: SplatFile, cameras: Sequence[PinholeCamera], count: int) -> SplatFile:
    """The Gaussians that make up most of what cameras see, in their order.

    Args:
        splats: Those that are few enough already stay as they are.
        cameras: In their frame.
        count: Most of them to keep.
    """
    if len(splats.means) <= count:
        return splats
    import torch

    from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, rasterize

    # The gradient of an image's sum by a Gaussian's colour is what it weighs in the image.
    tint = torch.zeros(len(splats.means), 1, 3, requires_grad=True)
    gaussians = Gaussians(
        torch.from_numpy(splats.means),
        torch.from_numpy(splats.quats),
        torch.from_numpy(splats.log_scales),
        torch.from_numpy(splats.logits),
        tint,
    )
    for camera in cameras:
        rasterize(gaussians, camera).rgb.sum().backward()
    assert tint.grad is not None
    weights = tint.grad[:, 0, 0].numpy()
    return splats.chosen(np.sort(np.argsort(-weights, kind="stable")[:count]))


def _gaussians(
    splats: SplatFile, cameras: Sequence[PinholeCamera], warp: Callable[[Points], Points]
) -> Cloud:
    shown = most_seen(splats, spread(cameras, _RATING_VIEWS), _NUM_SPLATS)
    return pack_splats(
        warp(shown.means),
        quats=shown.quats,
        log_scales=shown.log_scales,
        logits=shown.logits,
        harmonics=shown.harmonics[:, :_NUM_BASES],
    )


def _points_before(steps: Sequence[Step], warp: Callable[[Points], Points]) -> Cloud:
    from scenestyle.nerf.field import Rendering

    return _points(
        steps,
        [
            Rendering(
                step.before,
                np.nan_to_num(step.surface_z),
                np.isfinite(step.surface_z).astype(np.float32),
            )
            for step in steps
        ],
        warp,
    )


def _points_after(steps: Sequence[Step], warp: Callable[[Points], Points]) -> Cloud:
    masked = [
        replace(step.rendering, opacity=step.rendering.opacity * step.is_used) for step in steps
    ]
    return _points(steps, masked, warp)


def _points(
    steps: Sequence[Step], renderings: "Sequence[Rendering]", warp: Callable[[Points], Points]
) -> Cloud:
    cameras = [step.view.camera for step in steps]
    points = thinned(surface_points(cameras, renderings), _NUM_POINTS, warp=warp)
    return pack_points(points.points, points.colours)
