"""A source field that is taken over, not trained: the splats that a scene came as."""

import logging
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np
import torch
from nerfstudio.engine.optimizers import Optimizers

from scenestyle.artifacts import (
    SPLATS_KEY,
    read_json,
    read_points,
    write_cut_out,
    write_json,
    write_points,
)
from scenestyle.device import select_device
from scenestyle.errors import InputError
from scenestyle.nerf.dataset import FRAME_KEY, MIN_VIEWS, reduced_frame, run_cameras
from scenestyle.nerf.run_folder import write_run
from scenestyle.nerf.splat_growth import least_scales
from scenestyle.nerf.splats import finetuned_optimizers
from scenestyle.nerf.trainer import Trainer, build_model
from scenestyle.nerfstudio_plugin.sizes import training_side
from scenestyle.nerfstudio_plugin.splat_field import SplatField
from scenestyle.params import TrainNerf
from scenestyle.splat_file import SplatFile, read_splats

_log = logging.getLogger(__name__)


def take_over(poses: Path, out: Path, params: TrainNerf) -> dict[str, object]:
    """Write the run of a scene that came as splats: each of them, in its order and its frame.

    In the place of photos are renders. Nothing is optimised, so nothing is measured either.

    Args:
        poses: Folder with `transforms.json` and the splats that it names.
        out: Empty folder that becomes the run.
        params: Largest size of the renders, and the split; that of the field's kind is ignored.

    Returns:
        The figures that also lie in `metrics.json`.

    Raises:
        ArtifactError: If the poses are incomplete.
        InputError: If there are too few cameras to hold one out.
    """
    start = time.monotonic()
    meta = read_json(poses / "transforms.json")
    if len(meta["frames"]) < MIN_VIEWS:
        raise InputError(
            f"{poses}: {len(meta['frames'])} cameras, wanted at least {MIN_VIEWS} (one is held "
            "out). Add cameras, or leave them all out: then cameras are laid round the splats."
        )
    splats = read_splats(poses / meta[SPLATS_KEY])
    params = replace(
        params,
        field="splats",
        num_gaussians=len(splats.means),
        sh_degree=round(splats.harmonics.shape[1] ** 0.5) - 1,
    )
    side = training_side(params)
    frames = [reduced_frame({**meta, **frame}, side) for frame in meta["frames"]]
    dataset = {"camera_model": "PINHOLE", FRAME_KEY: True, "frames": frames}
    write_json(out / "transforms.json", dataset)
    points = read_points(poses)
    if points is not None:
        write_points(out, points)
    _log.info("taking over %d splats of degree %d", len(splats.means), params.sh_degree)
    trainer = _trainer(out, splats, params)
    for name, camera in run_cameras(out, holdout_every=params.holdout_every).items():
        shown = trainer.model.render(camera)
        write_cut_out(out / "images" / f"{name}.png", shown.rgb, shown.opacity)
    metrics = {
        "gaussians": len(splats.means),
        "sh_degree": params.sh_degree,
        "iterations": 0,
        "seconds": round(time.monotonic() - start, 1),
        "device": str(trainer.model.device),
        "versions": {name: version(name) for name in ("nerfstudio", "numba", "torch")},
    }
    write_run(out, trainer, metrics, title="Source field, taken over")
    return metrics


def _trainer(run: Path, splats: SplatFile, params: TrainNerf) -> Trainer:
    device = select_device()
    model = cast(SplatField, build_model(run, params, device))
    cameras = list(run_cameras(run, holdout_every=params.holdout_every).values())
    plant_splats(model, splats)
    # None may become thinner than viewers draw, unless it was before.
    own = model.scales.detach().amin(dim=1)
    model.least_scales.copy_(torch.minimum(least_scales(model.means, cameras), own))
    optimizers: Optimizers = finetuned_optimizers(model, cameras, params)
    # The checkpoint of a run bears the number of its last step; taking over counts as the first.
    return Trainer(model, optimizers, params, params.seed, step=1)


@torch.no_grad()
def plant_splats(model: SplatField, splats: SplatFile) -> None:
    """Give a model of as many Gaussians and as high a degree the parameters of a file."""
    values = {
        "means": splats.means,
        "scales": splats.log_scales,
        "quats": splats.quats,
        "features_dc": splats.harmonics[:, 0],
        "features_rest": splats.harmonics[:, 1:],
        "opacities": splats.logits[:, None],
    }
    for name, value in values.items():
        model.gauss_params[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
