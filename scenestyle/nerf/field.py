"""Open a trained radiance field and look at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from scenestyle.artifacts import View
from scenestyle.cameras import PinholeCamera
from scenestyle.device import select_device
from scenestyle.nerf.checkpoints import load_checkpoint, recorded_params, run_checkpoint
from scenestyle.nerf.trainer import build_model, load_model_state
from scenestyle.nerfstudio_plugin.interface import FieldModel, Rendering
from scenestyle.params import TrainNerf


@dataclass(frozen=True)
class RadianceField:
    """A trained field with the cameras it was trained for."""

    model: FieldModel
    run: Path
    """folder that it was opened from"""
    params: TrainNerf
    """what the source field was trained with"""

    @cached_property
    def views(self) -> Sequence[View]:
        """Every posed camera at training size, by name.

        Raises:
            ArtifactError: If the folder's `transforms.json` is missing or damaged.
        """
        # nerfstudio's dataparser takes a second to import, and who only renders needs none of it.
        from scenestyle.nerf.dataset import read_run_views

        return read_run_views(self.run, holdout_every=self.params.holdout_every)

    def render(self, camera: PinholeCamera) -> Rendering:
        """Render a camera of the field's frame, of any size, in bounded memory."""
        return self.model.render(camera)


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
    return RadianceField(model=model.eval(), run=run, params=params)
