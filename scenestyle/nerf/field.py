"""Open a trained radiance field and look at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from scenestyle.artifacts import View
from scenestyle.cameras import PinholeCamera
from scenestyle.device import select_device
from scenestyle.geometry import z_from_ray_depth
from scenestyle.nerf.checkpoints import load_checkpoint, recorded_params, run_checkpoint
from scenestyle.nerf.dataset import camera_rays, read_run_views
from scenestyle.nerf.trainer import build_model, load_model_state
from scenestyle.nerfstudio_plugin.model import SourceModel
from scenestyle.params import TrainNerf

_RAYS_PER_CHUNK = {"cpu": 2048, "cuda": 4096}
"""per kind of device; from 4096 on, a CPU's C library asks the system for fresh memory at every
layer, a third of the time"""


@dataclass(frozen=True)
class Rendering:
    """What a camera sees."""

    rgb: Float[np.ndarray, "height width 3"]
    """colours in [0, 1]"""
    depth_z: Float[np.ndarray, "height width"]
    """expected distance along the optical axis, scene units"""
    opacity: Float[np.ndarray, "height width"]
    """share of the ray that meets something, 0 to 1"""


@dataclass(frozen=True)
class RadianceField:
    """A trained field with the cameras it was trained for."""

    model: SourceModel
    views: Sequence[View]
    """every posed camera at training size, by name"""
    params: TrainNerf
    """what the source field was trained with"""

    def render(self, camera: PinholeCamera) -> Rendering:
        """Render a camera of the field's frame, of any size, in bounded memory."""
        return render(self.model, camera)


def load_field(run: Path, *, device: torch.device | None = None) -> RadianceField:
    """Open a source or finetuned run.

    Args:
        run: Folder written by train_nerf or finetune_nerf.
        device: Where to render; None chooses.

    Raises:
        ArtifactError: If the folder is not a complete run, or not of a kind this machine can open.
    """
    checkpoint = load_checkpoint(run_checkpoint(run))
    params = recorded_params(checkpoint, run)
    model = build_model(run, params, device or select_device())
    load_model_state(model, checkpoint)
    views = read_run_views(run, holdout_every=params.holdout_every)
    return RadianceField(model=model.eval(), views=views, params=params)


@torch.inference_mode()
def render(model: SourceModel, camera: PinholeCamera) -> Rendering:
    """Render a camera of the field's frame, some thousand rays at a time."""
    was_training = model.training
    model.eval()
    rays, size = camera_rays(camera, model.device), _RAYS_PER_CHUNK[model.device.type]
    chunks = [model(rays[begin : begin + size]) for begin in range(0, len(rays), size)]
    model.train(was_training)
    rgb, depth_ray, opacity = (
        torch.cat([chunk[key] for chunk in chunks]).view(camera.height, camera.width, -1)
        for key in ("rgb", "expected_depth", "accumulation")
    )
    return Rendering(
        rgb=rgb.cpu().numpy(),
        depth_z=z_from_ray_depth(depth_ray[..., 0].cpu().numpy(), camera),
        opacity=opacity[..., 0].cpu().numpy(),
    )
