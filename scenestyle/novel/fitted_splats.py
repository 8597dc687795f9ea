"""Splats that show what a trained field of another kind shows: fitted to its renders."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenestyle.artifacts import (
    SparsePoints,
    View,
    pose_frame,
    write_cut_out,
    write_json,
    write_mask,
    write_points,
    write_rgb,
)
from scenestyle.geometry import unproject
from scenestyle.novel.surface import clean_depths
from scenestyle.params import TrainNerf
from scenestyle.progress import Progress

if TYPE_CHECKING:
    from jaxtyping import Bool

    from scenestyle.nerf.field import RadianceField
    from scenestyle.nerfstudio_plugin.interface import Rendering
    from scenestyle.nerfstudio_plugin.splat_field import SplatField

_NUM_POINTS = 8000

_log = logging.getLogger(__name__)


def fit_splats(
    field: "RadianceField",
    views: Sequence[View],
    work: Path,
    *,
    hidden: "Mapping[str, Bool[np.ndarray, 'height width']]",
    steps: int,
    seed: int = 0,
) -> "tuple[SplatField, float]":
    """Train splats on a field's renders, beginning at the surface that these show.

    The splats have the frame of the field.

    Args:
        field: Of any kind, in whose frame the views are.
        views: What to render; every eighth is held out.
        work: Existing empty folder.
        hidden: Of some views, where their photo was hidden and the field is not to be believed.
        steps: Of the training.
        seed: Of the training.

    Returns:
        The splats, and the PSNR of held-out renders in dB.

    Raises:
        ArtifactError: If no render shows a surface.
    """
    from scenestyle.nerf.field import load_field
    from scenestyle.nerf.train import train
    from scenestyle.nerfstudio_plugin.splat_field import SplatField

    poses, run = work / "poses", work / "run"
    run.mkdir()
    side = max(max(view.camera.width, view.camera.height) for view in views)
    _log.info("rendering %d views of the field at up to %d pixels", len(views), side)
    _write_renders(field, views, poses, hidden)
    _log.info("fitting splats to them in %d steps", steps)
    params = TrainNerf(
        field="splats",
        iterations=steps,
        max_image_side=side,
        holdout_every=8,
        start_pixels=0,  # the points are as dense
        seed=seed,
    )
    metrics = train(poses, run, params, work=work / "checkpoints")
    psnr = float(str(metrics["heldout_psnr"]))
    _log.info("the splats show held-out renders of the field to %.1f dB", psnr)
    model = load_field(run).model
    assert isinstance(model, SplatField)
    return model, psnr


def _write_renders(
    field: "RadianceField",
    views: Sequence[View],
    poses: Path,
    hidden: "Mapping[str, Bool[np.ndarray, 'height width']]",
) -> None:
    """Renders in the place of photos, as estimate_poses lays them out, in the field's frame."""
    from scenestyle.nerf.dataset import FRAME_KEY

    is_cut_out = any(view.is_cut_out for view in field.views)
    progress = Progress(_log, len(views), unit="view")
    renderings: list[Rendering] = []
    for count, view in enumerate(views, start=1):
        seen = field.render(view.camera)
        path = poses / "images" / f"{view.name}.png"
        if is_cut_out:
            write_cut_out(path, seen.rgb, seen.opacity)
        else:
            write_rgb(path, seen.rgb)
        if hidden:
            nothing = np.zeros(seen.opacity.shape, bool)
            write_mask(poses / "masks" / f"{view.name}.png", ~hidden.get(view.name, nothing))
        renderings.append(seen)
        progress.tell(count)
    write_points(poses, _points(views, renderings, hidden))
    frames = [
        pose_frame(view.name, view.camera)
        | ({"mask_path": f"masks/{view.name}.png"} if hidden else {})
        for view in views
    ]
    write_json(
        poses / "transforms.json", {"camera_model": "PINHOLE", FRAME_KEY: True, "frames": frames}
    )


def _points(
    views: Sequence[View],
    renderings: "Sequence[Rendering]",
    hidden: "Mapping[str, Bool[np.ndarray, 'height width']]",
) -> SparsePoints:
    """Evenly spaced pixels of every view, at their depth."""
    xyz, rgb, sightings = [], [], []
    begin, per_view = 0, -(-_NUM_POINTS // len(views))
    depths = clean_depths(renderings)
    for index, (view, seen, depth_z) in enumerate(zip(views, renderings, depths, strict=True)):
        is_shown = (depth_z > 0) & ~hidden.get(view.name, np.zeros(depth_z.shape, bool))
        pixels = np.flatnonzero(is_shown)
        pixels = pixels[:: max(1, len(pixels) // per_view)]
        xyz.append(unproject(depth_z, view.camera).reshape(-1, 3)[pixels])
        rgb.append(seen.rgb.reshape(-1, 3)[pixels])
        seen_points = np.arange(begin, begin + len(pixels))
        sightings.append(np.stack([np.full(len(pixels), index), seen_points], axis=-1))
        begin += len(pixels)
    return SparsePoints(
        np.concatenate(xyz),
        np.concatenate(rgb).clip(0, 1),
        np.zeros(begin, np.float32),
        [view.name for view in views],
        np.concatenate(sightings),
    )
