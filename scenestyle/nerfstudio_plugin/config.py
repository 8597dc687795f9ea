"""Configurations: from our parameters to nerfstudio's, and the method that `ns-train` lists."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManagerConfig
from nerfstudio.engine.trainer import TrainerConfig
from nerfstudio.pipelines.base_pipeline import VanillaPipelineConfig
from nerfstudio.plugins.types import MethodSpecification

from scenestyle.nerfstudio_plugin.model import SourceModelConfig
from scenestyle.nerfstudio_plugin.quick_config import (  # noqa: F401, as older runs name them here
    FusedAdamConfig,
    SplatAdamConfig,
    dataparser_config,
    machine_config,
    optimizer_configs,
)
from scenestyle.nerfstudio_plugin.sizes import num_gaussians
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
