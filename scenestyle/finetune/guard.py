"""Checks of a finetune: its renders move, its loss falls, its geometry holds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenestyle.artifacts import ViewsFolder
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError, GateError
from scenestyle.geometry import ray_from_z_depth
from scenestyle.metrics.depth import depth_change
from scenestyle.metrics.image import rmse
from scenestyle.nerf.trainer import Trainer
from scenestyle.nerfstudio_plugin.interface import FieldModel

_WINDOW = 20
_MAX_GROWTH = 3.0
_NUM_PROBES = 2048
_MOST_VIEWS = 16


@dataclass(frozen=True)
class DepthProbes:
    """Pixels of some views with the depth that they had in the source field."""

    cameras: Sequence[PinholeCamera]
    """of each view"""
    pixels: Sequence[Int[Tensor, " _pixels"]]
    """sampled pixels of each view, counted row by row"""
    known: Float[Tensor, " pixels"]
    """distance from the camera centre at all of them, scene units"""

    @classmethod
    def read(cls, source: ViewsFolder, device: torch.device) -> "DepthProbes":
        """About 2000 pixels, evenly spread over some views, where the source is opaque.

        They are not the held-out ones: where a capture is sparse, these show veils without a depth.

        Raises:
            ArtifactError: If a map is missing, or the source field is empty.
        """
        views = source.views[:: -(-len(source.views) // _MOST_VIEWS)]
        depths = [ray_from_z_depth(source.depth_z(view), view.camera) for view in views]
        surfaces = [source.is_surface(view).ravel() for view in views]
        stride = max(1, sum(int(each.sum()) for each in surfaces) // _NUM_PROBES)
        chosen = [torch.from_numpy(np.flatnonzero(each)[::stride]) for each in surfaces]
        if not any(len(each) for each in chosen):
            raise ArtifactError(
                f"{source.folder}: no view has an opaque pixel; the source field is "
                "empty. Train it for longer (train_nerf.iterations)."
            )
        known = [
            torch.from_numpy(depth.ravel())[pixels]
            for depth, pixels in zip(depths, chosen, strict=True)
        ]
        return cls(
            [view.camera for view in views],
            [pixels.to(device) for pixels in chosen],
            torch.cat(known).to(device, torch.float32),
        )

    def change(self, model: FieldModel) -> float:
        """Mean of |depth - source depth| / source depth at the pixels."""
        probes = zip(self.cameras, self.pixels, strict=True)
        depth_ray = torch.cat([model.depth_ray(camera, pixels) for camera, pixels in probes])
        return float(((depth_ray - self.known).abs() / self.known).mean())


def check_geometry(trainer: Trainer, probes: DepthProbes, max_change: float) -> None:
    """Stop a finetune that has destroyed the geometry.

    Raises:
        GateError: If the depth of the views has changed by more than `max_change` on average.
    """
    change = probes.change(trainer.model)
    if not change <= max_change:
        raise GateError(
            f"Finetuning destroyed the geometry: after step {trainer.step} the depth of the views "
            f"differs from the source's by {change:.2f} of itself on average, at most "
            f"finetune_nerf.max_depth_change = {max_change} is allowed. Raise "
            "finetune_nerf.depth_weight, lower learning_rate, or set freeze_geometry."
        )


def check_not_exploding(history: Sequence[float]) -> None:
    """Stop a finetune whose style loss grows instead of falling.

    Args:
        history: The style loss of every step so far.

    Raises:
        GateError: If its mean over the last 20 steps is more than 3 times that of the first 20.
    """
    first, last = first_and_last(history)
    if last > _MAX_GROWTH * first:
        raise GateError(
            f"Finetuning diverged after {len(history)} steps: the style loss rose from "
            f"{first:.3g} to {last:.3g}. Lower finetune_nerf.learning_rate."
        )


def first_and_last(values: Sequence[float]) -> tuple[float, float]:
    """Means over the first and the last 20 values; 0 where there are none."""
    first, last = values[:_WINDOW], values[-_WINDOW:]
    return sum(first) / max(1, len(first)), sum(last) / max(1, len(last))


def check_moved(movement: float, min_movement: float) -> None:
    """Refuse a finetune that changed nothing.

    Raises:
        GateError: If `movement` is below `min_movement`.
    """
    if movement < min_movement:
        raise GateError(
            f"Finetuning changed nothing to speak of: held-out renders moved by an RMSE of "
            f"{movement:.4f}, wanted at least finetune_nerf.min_movement = {min_movement}. Raise "
            "finetune_nerf.iterations or learning_rate, or the style's strength."
        )


def change(trainer: Trainer, source: ViewsFolder) -> dict[str, float]:
    """How far held-out renders moved from the source's: RMSE of colour, and relative depth."""
    held_out = source.held_out
    after = [trainer.model.render(view.camera) for view in held_out]
    before_rgb = [source.rgb(view) for view in held_out]
    before_z = [source.depth_z(view) for view in held_out]
    is_surface = [source.is_surface(view) for view in held_out]
    depths = depth_change(before_z, [each.depth_z for each in after], is_surface)
    return {
        "movement": rmse(
            [each.rgb for each in after], before_rgb, [source.is_known(view) for view in held_out]
        ),
        "depth_abs_rel": depths.abs_rel,
    }
