"""Train the source radiance field of a scene from its posed photos."""

import logging
import shutil
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from scenestyle.artifacts import View, came_as_splats
from scenestyle.device import select_device
from scenestyle.errors import ParamsError
from scenestyle.metrics.image import psnr
from scenestyle.nerf.dataset import (
    TrainingViews,
    read_is_used,
    read_photo,
    read_run_views,
    write_dataset,
)
from scenestyle.nerf.progress import ProgressStrip
from scenestyle.nerf.run_folder import write_run
from scenestyle.nerf.splat_source import take_over
from scenestyle.nerf.splats import build_splat_trainer, view_losses
from scenestyle.nerf.trainer import Losses, Trainer, build_trainer, optimise
from scenestyle.nerfstudio_plugin.sizes import training_side
from scenestyle.nerfstudio_plugin.splat_field import SplatField
from scenestyle.params import TrainNerf

if TYPE_CHECKING:
    from scenestyle.nerfstudio_plugin.model import SourceModel

_log = logging.getLogger(__name__)


def train(poses: Path, out: Path, params: TrainNerf, *, work: Path) -> dict[str, object]:
    """Train a field and write its run. Of a scene that came as splats, these are the field.

    Args:
        poses: Folder with `transforms.json` and undistorted images.
        out: Empty folder that becomes the run.
        params: Sizes, steps and seed.
        work: Folder for checkpoints and the strip of a held-out view; an interrupted call with the
            same arguments goes on from it.

    Returns:
        The figures that also lie in `metrics.json`.

    Raises:
        ArtifactError: If the poses are incomplete.
        InputError: If there are too few views to hold one out.
        ParamsError: If photos were cut out and the background is not random.
        GateError: If training diverges.
    """
    if came_as_splats(poses):
        return take_over(poses, out, params)
    device = select_device()
    start = time.monotonic()
    write_dataset(poses, out, max_image_side=training_side(params))
    views = read_run_views(out, holdout_every=params.holdout_every)
    check_background(views, params)
    hidden = hidden_share(out, views)
    if hidden:
        _log.info("masks hide %.1f %% of the pixels, which are left out", 100 * hidden)
    build, losses_of = _KINDS[params.field]
    trainer = build(out, params, device)
    losses = losses_of(trainer, training_views(out, views, device))
    strip = held_out_strip(out, views, work, steps=params.iterations)
    _log.info("how a held-out view comes out is shown in %s", strip.path)
    steps_per_second = optimise(
        trainer,
        losses,
        until=params.iterations,
        work=work,
        look=lambda: strip.look(trainer, trainer.step),
    )
    shutil.copy2(strip.path, out / strip.path.name)
    metrics = {
        "iterations": trainer.step,
        **_own_figures(trainer, steps_per_second),
        **psnr_by_split(trainer, out, views),
        **({"hidden_share": hidden} if hidden else {}),
        "seconds": round(time.monotonic() - start, 1),
        "device": str(device),
        "versions": {name: version(name) for name in ("nerfstudio", "numba", "torch")},
    }
    write_run(out, trainer, metrics, title="Training the source field")
    return metrics


def photometric_losses(trainer: Trainer, data: TrainingViews) -> Losses:
    """Nerfacto's losses on random rays: squared colour error, interlevel and distortion."""
    model, num_rays = cast("SourceModel", trainer.model), trainer.params.rays_per_batch

    def losses(generator: torch.Generator) -> dict[str, Tensor]:
        rays, colours = data.random_rays(num_rays, generator)
        outputs = model(rays)
        rendered, wanted = model.renderer_rgb.blend_background_for_loss_computation(
            outputs["rgb"], outputs["accumulation"], colours
        )
        return {"rgb": mse_loss(rendered, wanted), **model.auxiliary_losses(outputs)}

    return losses


_KINDS = {
    "nerfacto": (build_trainer, photometric_losses),
    "splats": (build_splat_trainer, view_losses),
}
"""how a kind of field is built, and what it learns from"""


def _own_figures(trainer: Trainer, steps_per_second: float) -> dict[str, int | float]:
    if isinstance(trainer.model, SplatField):
        gaussians = int(trainer.model.in_use.sum())
        return {"gaussians": gaussians, "views_per_second": round(steps_per_second, 1)}
    return {"rays_per_second": round(steps_per_second * trainer.params.rays_per_batch)}


def held_out_strip(run: Path, views: Sequence[View], work: Path, *, steps: int) -> ProgressStrip:
    """The first held-out view: its photo, and its renders in the course of training."""
    view = next(view for view in views if view.split == "held_out")
    photo = ("held-out photo", read_photo(run, view))
    return ProgressStrip(work, view.camera, steps=steps, before=[photo])


def training_views(run: Path, views: Sequence[View], device: torch.device) -> TrainingViews:
    """The training split with its photos on `device`."""
    return TrainingViews.read(run, [view for view in views if view.split == "train"], device)


def check_background(views: Sequence[View], params: TrainNerf) -> None:
    """Refuse to train cut-outs before a background that the field could learn.

    Raises:
        ParamsError: If a photo was cut out and the background is not random.
    """
    count = sum(view.is_cut_out for view in views)
    if count and params.background != "random":
        raise ParamsError(
            f"train_nerf.background: {count} of {len(views)} photos are cut out (transparent), and "
            f"with {params.background} the emptiness behind them would be learned as matter. Set "
            "it to random."
        )


def hidden_share(run: Path, views: Sequence[View]) -> float:
    """Share of all pixels that masks hide, 0 to 1."""
    masks = [mask for view in views if (mask := read_is_used(run, view)) is not None]
    return sum(int((~mask).sum()) for mask in masks) / max(1, sum(mask.size for mask in masks))


def psnr_by_split(trainer: Trainer, run: Path, views: Sequence[View]) -> dict[str, object]:
    """PSNR of whole views in dB, hidden pixels left out: means of both splits, and each view's."""
    by_view = {}
    for view in views:
        pictures = [trainer.model.render(view.camera).rgb, read_photo(run, view)]
        is_used = read_is_used(run, view)
        if is_used is not None and not is_used.all():
            pictures = [picture[is_used][None] for picture in pictures]
        by_view[view.name] = psnr(*pictures)
    train, held_out = (
        float(np.mean([by_view[view.name] for view in views if view.split == split]))
        for split in ("train", "held_out")
    )
    return {"heldout_psnr": held_out, "train_psnr": train, "psnr_by_view": by_view}
