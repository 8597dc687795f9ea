"""nerfacto as this project trains it: builds offline, and is fast on a CPU.

The radiance field, its samplers, its losses and the names in its checkpoints are nerfacto's. On a
GPU nerfstudio's own code runs; on a CPU the same formulas run compiled (`hash_encoding`,
`ray_kernels`), and what depends on the viewing direction only is computed per ray, not per sample.
No perceptual metric is built, whose weights nerfstudio would download.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.field_components.spatial_distortions import SceneContraction
from nerfstudio.fields.base_field import get_normalized_directions
from nerfstudio.fields.density_fields import HashMLPDensityField
from nerfstudio.fields.nerfacto_field import NerfactoField
from nerfstudio.model_components import losses as nerfstudio_losses
from nerfstudio.model_components.ray_samplers import ProposalNetworkSampler
from nerfstudio.model_components.renderers import AccumulationRenderer, DepthRenderer, RGBRenderer
from nerfstudio.model_components.scene_colliders import NearFarCollider
from nerfstudio.models.base_model import Model
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig
from torch import Tensor, nn
from torch.nn.functional import linear

from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import z_from_ray_depth
from scenestyle.nerfstudio_plugin import ray_kernels
from scenestyle.nerfstudio_plugin.hash_encoding import use_cpu_hash_encodings
from scenestyle.nerfstudio_plugin.interface import Rendering, Shown
from scenestyle.nerfstudio_plugin.rays import camera_rays, render_rays

_RAYS_PER_CHUNK = {"cpu": 2048, "cuda": 4096}
"""per kind of device; from 4096 on, a CPU's C library asks the system for fresh memory at every
layer, a third of the time"""

Outputs = dict[str, Any]
"""Tensors by name; in training also the lists that nerfstudio's losses take."""


@dataclass
class SourceModelConfig(NerfactoModelConfig):
    """nerfacto's configuration; normals and the camera optimizer are left out."""

    _target: type = field(default_factory=lambda: SourceModel)


class SourceModel(NerfactoModel):
    """nerfacto without downloads, compiled for CPUs."""

    proposal_sampler: "ProposalSampler"

    def populate_modules(self) -> None:
        """Build field, proposal networks, sampler and renderers."""
        Model.populate_modules(self)
        config = self.config
        contraction = SceneContraction(order=float("inf"))
        self.field = NerfactoField(
            self.scene_box.aabb,
            num_images=self.num_train_data,
            hidden_dim=config.hidden_dim,
            num_levels=config.num_levels,
            base_res=config.base_res,
            max_res=config.max_res,
            log2_hashmap_size=config.log2_hashmap_size,
            features_per_level=config.features_per_level,
            hidden_dim_color=config.hidden_dim_color,
            appearance_embedding_dim=(
                config.appearance_embed_dim if config.use_appearance_embedding else 0
            ),
            use_average_appearance_embedding=config.use_average_appearance_embedding,
            spatial_distortion=contraction,
            average_init_density=config.average_init_density,
            implementation=config.implementation,
        )
        self.proposal_networks = nn.ModuleList(
            HashMLPDensityField(
                self.scene_box.aabb,
                spatial_distortion=contraction,
                average_init_density=config.average_init_density,
                implementation=config.implementation,
                **arguments,
            )
            for arguments in config.proposal_net_args_list
        )
        use_cpu_hash_encodings(self)
        self.density_fns = [network.density_fn for network in self.proposal_networks]
        self.proposal_sampler = ProposalSampler(
            num_proposal_samples_per_ray=config.num_proposal_samples_per_ray,
            num_nerf_samples_per_ray=config.num_nerf_samples_per_ray,
            num_proposal_network_iterations=len(self.density_fns),
            single_jitter=True,
            update_sched=self._steps_between_updates,
        )
        self.camera_optimizer = config.camera_optimizer.setup(
            num_cameras=self.num_train_data, device="cpu"
        )
        self.collider = NearFarCollider(config.near_plane, config.far_plane, reset_near_plane=False)
        self.renderer_rgb = RGBRenderer(background_color=config.background_color)
        self.renderer_accumulation = AccumulationRenderer()
        self.renderer_depth = DepthRenderer(method="median")
        self.renderer_expected_depth = DepthRenderer(method="expected")
        self.rgb_loss = nerfstudio_losses.MSELoss()
        self.psnr = psnr
        self.step = 0

    def get_outputs(self, ray_bundle: RayBundle) -> Outputs:
        """Render rays.

        Returns:
            `rgb` (rays 3), `accumulation`, `depth` (median) and `expected_depth` (rays 1, along the
            ray); in training also `weights_list` and `ray_samples_list`, of the proposal networks
            in turn and then the field.
        """
        if ray_bundle.origins.device.type == "cpu":
            return self._get_outputs_on_cpu(ray_bundle)
        return super().get_outputs(ray_bundle)

    @torch.inference_mode()
    def render(self, camera: PinholeCamera) -> Rendering:
        """Render a camera of the field's frame, some thousand rays at a time."""
        rays = camera_rays(camera, self.device)
        rgb, depth_ray, opacity = (
            each.view(camera.height, camera.width, -1).cpu().numpy()
            for each in self._looked_along(rays, "rgb", "expected_depth", "accumulation")
        )
        return Rendering(
            rgb=rgb,
            depth_z=z_from_ray_depth(depth_ray[..., 0], camera),
            opacity=opacity[..., 0],
        )

    @torch.inference_mode()
    def depth_ray(self, camera: PinholeCamera, pixels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Expected distance from the camera centre at pixels, counted row by row, scene units."""
        (depth_ray,) = self._looked_along(
            camera_rays(camera, self.device)[pixels], "expected_depth"
        )
        return depth_ray[:, 0]

    def show(
        self,
        camera: PinholeCamera,
        *,
        rows: slice,
        columns: slice,
        view_index: int,
        rays_per_pass: int | None = None,
    ) -> Shown:
        """Render a rectangle for training; see `FieldModel.show`."""
        rays = camera_rays(camera, self.device, rows=rows, columns=columns, camera_index=view_index)
        rendered = render_rays(self, rays, rays_per_pass)
        height, width = len(range(camera.height)[rows]), len(range(camera.width)[columns])
        return Shown(
            rgb=rendered.rgb.T.reshape(3, height, width),
            opacity=rendered.opacity.view(height, width),
            depth_ray=rendered.depth_ray.view(height, width),
            auxiliary=rendered.auxiliary,
        )

    def freeze_geometry(self) -> None:
        """Let only the colour head learn: what density is computed from gets no gradient."""
        self.requires_grad_(False)
        self.field.mlp_head.requires_grad_(True)

    def before_step(self, step: int) -> None:
        """Set what changes in the course of training; `step` counts from 0."""
        if not self.config.use_proposal_weight_anneal:
            return
        share = min(step / self.config.proposal_weights_anneal_max_num_iters, 1)
        slope = self.config.proposal_weights_anneal_slope
        # Schlick's bias curve of Mip-NeRF 360, equation 18.
        self.proposal_sampler.set_anneal(slope * share / ((slope - 1) * share + 1))

    def after_step(self, step: int) -> None:
        """Count the step."""
        self.proposal_sampler.step_cb(step)

    def auxiliary_losses(self, outputs: Outputs) -> dict[str, Float[Tensor, ""]]:
        """Nerfacto's `interlevel` and `distortion` terms, weighted, of outputs made in training."""
        weights, samples = outputs["weights_list"], outputs["ray_samples_list"]
        if outputs["rgb"].device.type == "cpu":
            *proposal_weights, own_weights = (each[..., 0] for each in weights)
            *proposal_bins, own_bins = (each.bins for each in samples)
            interlevel = torch.stack(
                [
                    ray_kernels.interlevel_loss(own_bins, own_weights, *proposal)
                    for proposal in zip(proposal_bins, proposal_weights, strict=True)
                ]
            ).sum()
            distortion = ray_kernels.distortion_loss(own_bins, own_weights)
        else:
            interlevel = nerfstudio_losses.interlevel_loss(weights, samples)
            distortion = nerfstudio_losses.distortion_loss(weights, samples)
        return {
            "interlevel": self.config.interlevel_loss_mult * interlevel,
            "distortion": self.config.distortion_loss_mult * distortion,
        }

    def get_image_metrics_and_images(
        self, outputs: Outputs, batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR of a whole view, and photo and render side by side."""
        photo = self.renderer_rgb.blend_background(batch["image"].to(self.device))
        side_by_side = torch.cat([photo, outputs["rgb"]], dim=1)
        return {"psnr": psnr(outputs["rgb"], photo).item()}, {"img": side_by_side}

    def _looked_along(self, rays: RayBundle, *names: str) -> list[Tensor]:
        """Outputs of the model that is not in training, some thousand rays at a time."""
        was_training, size = self.training, _RAYS_PER_CHUNK[self.device.type]
        self.eval()
        chunks = [self(rays[begin : begin + size]) for begin in range(0, len(rays), size)]
        self.train(was_training)
        return [torch.cat([chunk[name] for chunk in chunks]) for name in names]

    def _steps_between_updates(self, step: int) -> float:
        every = self.config.proposal_update_every
        return float(np.clip(every * step / self.config.proposal_warmup, 1, every))

    def _get_outputs_on_cpu(self, rays: RayBundle) -> Outputs:
        density_scale = self.config.average_init_density
        learns = torch.is_grad_enabled() and self.proposal_sampler.starts_update()
        bins_list, weights_list = [], []
        networks = cast(Iterable[HashMLPDensityField], self.proposal_networks)
        for network, num_samples in zip(
            networks, self.config.num_proposal_samples_per_ray, strict=True
        ):
            bins = self._next_bins(rays, num_samples, bins_list, weights_list)
            positions, _, lengths = _sample_along(rays, bins)
            with torch.set_grad_enabled(learns):
                log_density = network.mlp_base(positions.view(-1, 3)).view(lengths.shape)
                weights = ray_kernels.composite_weights(log_density, lengths, density_scale)
            bins_list.append(bins)
            weights_list.append(weights)
        num_samples = self.config.num_nerf_samples_per_ray
        bins = self._next_bins(rays, num_samples, bins_list, weights_list)
        positions, distances, lengths = _sample_along(rays, bins)
        features = self.field.mlp_base(positions.view(-1, 3)).view(*lengths.shape, -1)
        weights = ray_kernels.composite_weights(features[..., 0], lengths, density_scale)
        outputs = self._composited(self._colours(rays, features[..., 1:]), weights, distances)
        if self.training:
            outputs["weights_list"] = [each[..., None] for each in (*weights_list, weights)]
            outputs["ray_samples_list"] = [BinnedSamples(each) for each in (*bins_list, bins)]
        return outputs

    def _next_bins(
        self,
        rays: RayBundle,
        num_samples: int,
        bins_list: list[Tensor],
        weights_list: list[Tensor],
    ) -> Float[Tensor, "rays bins"]:
        """Evenly spread bins for the first network, then where the last one found density."""
        num_rays = len(rays.origins)
        jitter = torch.rand(num_rays, 1) if self.training else None
        if not bins_list:
            return ray_kernels.spread_bins(num_rays, num_samples, jitter)
        return ray_kernels.concentrated_bins(
            bins_list[-1],
            weights_list[-1].detach(),
            num_samples,
            anneal=self.proposal_sampler.anneal,
            jitter=jitter,
        )

    def _colours(
        self, rays: RayBundle, features: Float[Tensor, "rays samples features"]
    ) -> Float[Tensor, "rays samples 3"]:
        """The colour head, with its first layer split into a part per ray and a part per sample."""
        first, *middle, last = cast(Iterable[nn.Linear], self.field.mlp_head.layers)
        per_ray = torch.cat(
            [
                self.field.direction_encoding(get_normalized_directions(rays.directions)),
                self._appearance(rays),
            ],
            dim=-1,
        )
        num_directions = self.field.direction_encoding.get_out_dim()
        by_direction, by_feature, by_appearance = first.weight.split(
            [num_directions, features.shape[-1], self.field.appearance_embedding_dim], dim=1
        )
        hidden = linear(per_ray, torch.cat([by_direction, by_appearance], dim=1), first.bias)
        hidden = torch.relu(hidden[:, None] + linear(features, by_feature))
        for layer in middle:
            hidden = torch.relu(layer(hidden))
        return torch.sigmoid(last(hidden))

    def _appearance(self, rays: RayBundle) -> Float[Tensor, "rays appearance"]:
        embedding = self.field.embedding_appearance
        if embedding is None:
            return rays.origins.new_empty(len(rays.origins), 0)
        if self.training and rays.camera_indices is not None:
            return embedding(rays.camera_indices[:, 0])
        mean = embedding.mean(dim=0)
        average = mean if self.config.use_average_appearance_embedding else torch.zeros_like(mean)
        return average.expand(len(rays.origins), -1)

    def _composited(
        self,
        rgb: Float[Tensor, "rays samples 3"],
        weights: Float[Tensor, "rays samples"],
        distances: Float[Tensor, "rays samples"],
    ) -> Outputs:
        opacity = weights.sum(-1, keepdim=True)
        depth = (weights * distances).sum(-1, keepdim=True) / (opacity + 1e-10)
        with torch.no_grad():
            half_way = torch.searchsorted(weights.cumsum(-1), torch.full_like(opacity, 0.5))
            median = distances.gather(-1, half_way.clamp(max=distances.shape[-1] - 1))
        return {
            "rgb": self.renderer_rgb(rgb=rgb, weights=weights[..., None]),
            "accumulation": opacity,
            "depth": median,
            "expected_depth": depth.clip(distances.min(), distances.max()),
        }


class ProposalSampler(ProposalNetworkSampler):
    """nerfstudio's sampler; when its networks learned last is kept in the checkpoint."""

    @property
    def anneal(self) -> float:
        """Exponent of the weights when samples are concentrated, 0 to 1; 1 outside training."""
        return self._training_anneal if self.training else 1.0

    @property
    def _anneal(self) -> float:
        return self.anneal

    @_anneal.setter
    def _anneal(self, anneal: float) -> None:
        self._training_anneal = anneal

    def starts_update(self) -> bool:
        """Whether the proposal networks learn in this step; in training, a call counts as one."""
        updated = self._steps_since_update > self.update_sched(self._step) or self._step < 10
        if updated:
            self._steps_since_update = 0
        return updated

    def get_extra_state(self) -> dict[str, int]:
        """Counters for the state dict."""
        return {"step": self._step, "steps_since_update": self._steps_since_update}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore the counters."""
        self._step, self._steps_since_update = state["step"], state["steps_since_update"]


@dataclass(frozen=True)
class BinnedSamples:
    """The samples of rays, as far as nerfstudio's losses look at them."""

    bins: Float[Tensor, "rays bins"]
    """edges in nerfacto's spacing, 0 to 1"""

    @property
    def spacing_starts(self) -> Float[Tensor, "rays samples 1"]:
        """Lower edges."""
        return self.bins[:, :-1, None]

    @property
    def spacing_ends(self) -> Float[Tensor, "rays samples 1"]:
        """Upper edges."""
        return self.bins[:, 1:, None]


def psnr(rendered: Tensor, photo: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of colours in [0, 1], dB."""
    return -10 * torch.log10(torch.mean((rendered - photo) ** 2))


def _sample_along(rays: RayBundle, bins: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if rays.nears is None or rays.fars is None:
        raise ValueError("The rays have no near and far planes; call the model, which sets them.")
    return ray_kernels.sample_along(rays.origins, rays.directions, rays.nears, rays.fars, bins)
