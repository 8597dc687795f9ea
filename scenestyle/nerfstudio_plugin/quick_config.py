"""Those of nerfstudio's configurations that take no second to import: all that splats need.

`config.py` beside it has the rest, whose classes bring nerfstudio's trainer and viewer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from nerfstudio.configs.base_config import MachineConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig

from scenestyle.params import TrainNerf


@dataclass
class FusedAdamConfig(AdamOptimizerConfig):
    """Adam in one pass over the parameters."""

    fused: bool = True
    """one kernel per step instead of one per operation"""


@dataclass
class SplatAdamConfig(FusedAdamConfig):
    """Adam that forgets squared gradients within a hundred steps, as splats move fast."""

    betas: tuple[float, float] = (0.9, 0.99)
    """how much of the averages of gradients and of their squares a step keeps"""


def optimizer_configs(params: TrainNerf) -> dict[str, dict[str, object]]:
    """Adam with an exponentially decaying learning rate for the field and the proposal networks."""
    return {
        group: {
            "optimizer": FusedAdamConfig(lr=params.learning_rate, eps=1e-15),
            "scheduler": ExponentialDecaySchedulerConfig(
                lr_final=params.final_learning_rate, max_steps=params.iterations
            ),
        }
        for group in ("proposal_networks", "fields")
    }


def splat_optimizer_configs(
    rates: Mapping[str, tuple[float, float]], steps: int
) -> dict[str, dict[str, object]]:
    """Adam with exponentially decaying learning rates, for Gaussians.

    Args:
        rates: By the parameter's name, of the first and of the last step.
        steps: Over which they decay.
    """
    return {
        name: {
            "optimizer": SplatAdamConfig(lr=first, eps=1e-15),
            "scheduler": ExponentialDecaySchedulerConfig(lr_final=last, max_steps=steps),
        }
        for name, (first, last) in rates.items()
    }


def dataparser_config(
    data: Path, *, holdout_every: int, keeps_frame: bool = False
) -> NerfstudioDataParserConfig:
    """Nerfstudio's dataparser over posed images; the first and every n-th view are held out.

    The world is centred where the cameras look, not amid the cameras: so scaled that the cameras
    fit, the scene itself lies in the part of space that contraction leaves alone, also in front of
    cameras that all face one way. With `keeps_frame` the world stays as it is.
    """
    return NerfstudioDataParserConfig(
        data=data,
        orientation_method="none" if keeps_frame else "vertical",
        center_method="none" if keeps_frame else "focus",
        auto_scale_poses=not keeps_frame,
        eval_mode="interval",
        eval_interval=holdout_every,
        downscale_factor=1,
    )


def machine_config(params: TrainNerf, device: torch.device) -> MachineConfig:
    """One device and the seed."""
    return MachineConfig(seed=params.seed, device_type="cuda" if device.type == "cuda" else "cpu")
