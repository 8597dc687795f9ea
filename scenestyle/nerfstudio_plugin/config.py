"""Configurations: from our parameters to nerfstudio's, and the method that `ns-train` lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.configs.base_config import MachineConfig
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

from scenestyle.nerfstudio_plugin.model import SourceModelConfig
from scenestyle.nerfstudio_plugin.splat_model import SplatModelConfig
from scenestyle.params import TrainNerf

SOURCE_METHOD = "scenestyle-source"
"""of both kinds of field: nerfstudio looks a run's method up to find the class that reads images"""


@dataclass
class RunConfig(TrainerConfig):
    """The configuration that lies in a run's folder: all its paths are relative to that folder.

    A run is therefore opened from within: `cd data/nerf/demo; ns-viewer --load-config config.yml`.
    An exported one has its own folder as `output_dir` and opens from anywhere.
    """

    def get_base_dir(self) -> Path:
        """The run's folder, as seen from the current one."""
        return self.output_dir


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


def model_config(params: TrainNerf, device: torch.device) -> SourceModelConfig | SplatModelConfig:
    """The model of the kind and the sizes in `params`."""
    if params.field == "splats":
        return SplatModelConfig(
            num_gaussians=num_gaussians(params),
            sh_degree=params.sh_degree,
            rasterize_mode="antialiased",
            background_color="black",
            eval_num_rays_per_chunk=1 << 12,
        )
    return _nerfacto_config(params, device)


_SIDES = {"splats": 480, "nerfacto": 240}
"""long side that two CPU cores train in minutes, pixels"""


def num_gaussians(params: TrainNerf) -> int:
    """Most Gaussians of a field of splats."""
    if params.num_gaussians is not None:
        return params.num_gaussians
    return round(15_000 * (training_side(params) / 240) ** 1.4)


def training_side(params: TrainNerf) -> int:
    """Long side of the training images, pixels."""
    if params.max_image_side is not None:
        return params.max_image_side
    return _SIDES[params.field]


def _nerfacto_config(params: TrainNerf, device: torch.device) -> SourceModelConfig:
    """Nerfacto of the sizes in `params`; tiny-cuda-nn on CUDA where it is installed."""
    return SourceModelConfig(
        implementation=implementation(device),
        num_levels=params.num_levels,
        max_res=params.max_resolution,
        log2_hashmap_size=params.log2_hashmap_size,
        hidden_dim=params.hidden_dim,
        hidden_dim_color=params.hidden_dim,
        use_appearance_embedding=params.appearance_dim > 0,
        appearance_embed_dim=params.appearance_dim,
        num_proposal_samples_per_ray=tuple(params.num_proposal_samples),
        num_proposal_iterations=len(params.num_proposal_samples),
        num_nerf_samples_per_ray=params.num_samples,
        proposal_net_args_list=[
            {
                "hidden_dim": 16,
                "num_levels": 5,
                "max_res": 128 * 2**index,
                "log2_hashmap_size": params.proposal_log2_hashmap_size,
            }
            for index in range(len(params.num_proposal_samples))
        ],
        proposal_warmup=params.proposal_warmup,
        proposal_weights_anneal_max_num_iters=params.anneal_iterations,
        background_color=params.background,
        # From nerfacto's 0.01 all rays begin transparent, the far end of space learns the picture
        # first, and a few thousand steps do not bring it near again.
        average_init_density=1.0,
        camera_optimizer=CameraOptimizerConfig(mode="off"),
        eval_num_rays_per_chunk=1 << 12,
    )


def implementation(device: torch.device) -> Literal["tcnn", "torch"]:
    """`tcnn` if tiny-cuda-nn can run on the device, else `torch` (with our kernels on the CPU)."""
    from nerfstudio.utils.external import TCNN_EXISTS

    return "tcnn" if device.type == "cuda" and TCNN_EXISTS else "torch"


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


def pipeline_config(
    data: Path, params: TrainNerf, device: torch.device, *, keeps_frame: bool = False
) -> VanillaPipelineConfig:
    """The images in `data` and the model that is trained on them."""
    return VanillaPipelineConfig(
        datamanager=VanillaDataManagerConfig(
            dataparser=dataparser_config(
                data, holdout_every=params.holdout_every, keeps_frame=keeps_frame
            ),
            train_num_rays_per_batch=params.rays_per_batch,
            eval_num_rays_per_batch=params.rays_per_batch,
        ),
        model=model_config(params, device),
    )


def machine_config(params: TrainNerf, device: torch.device) -> MachineConfig:
    """One device and the seed."""
    return MachineConfig(seed=params.seed, device_type="cuda" if device.type == "cuda" else "cpu")


def _source_method() -> MethodSpecification:
    params = TrainNerf()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return MethodSpecification(
        config=TrainerConfig(
            method_name=SOURCE_METHOD,
            max_num_iterations=params.iterations,
            machine=machine_config(params, device),
            pipeline=pipeline_config(Path(), params, device),
            optimizers=optimizer_configs(params),
            vis="viewer",
        ),
        description="Source field of scenestyle: nerfacto that builds offline and trains on a CPU.",
    )


source_method = _source_method()
"""What the entry point `nerfstudio.method_configs` names."""
