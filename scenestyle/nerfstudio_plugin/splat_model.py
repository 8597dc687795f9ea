"""Gaussian splats as this project trains them: splatfacto's parameters, on a CPU as on a GPU.

Names and shapes in checkpoints are splatfacto's, so that ns-viewer, ns-render and ns-export
gaussian-splat open a run. The number of Gaussians is fixed from the start: those that are not in
use yet, or no more, have an opacity of nothing and cost nothing, so that growing changes neither
the optimizers nor the form of a checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.base_model import Model
from nerfstudio.models.splatfacto import SplatfactoModel, SplatfactoModelConfig
from torch import Tensor, nn

from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import pixel_rays, ray_from_z_depth
from scenestyle.nerfstudio_plugin.interface import Rendering, Shown
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, Splatted, rasterize
from scenestyle.splat_file import SplatFile

UNUSED_LOGIT = -20.0
"""opacity, before the sigmoid, of a Gaussian that is not in use"""
_UNUSED_BELOW = -10.0

NAMES = ("means", "scales", "quats", "features_dc", "features_rest", "opacities")
"""the parameters, in splatfacto's words: scales are logarithms, opacities are before the sigmoid"""


@dataclass
class SplatModelConfig(SplatfactoModelConfig):
    """splatfacto's configuration, of which `sh_degree` and `rasterize_mode` have an effect."""

    _target: type = field(default_factory=lambda: SplatModel)
    num_gaussians: int = 15_000
    """most Gaussians of the scene"""


class SplatModel(SplatfactoModel):
    """Gaussians that render on a CPU, without downloads."""

    config: SplatModelConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def populate_modules(self) -> None:
        """Make room for the Gaussians, none of which is in use yet."""
        Model.populate_modules(self)
        count, bases = self.config.num_gaussians, (self.config.sh_degree + 1) ** 2
        quats = torch.zeros(count, 4)
        quats[:, 0] = 1
        values = {
            "means": torch.zeros(count, 3),
            "scales": torch.zeros(count, 3),
            "quats": quats,
            "features_dc": torch.zeros(count, 3),
            "features_rest": torch.zeros(count, bases - 1, 3),
            "opacities": torch.full((count, 1), UNUSED_LOGIT),
        }
        self.gauss_params = nn.ParameterDict({name: nn.Parameter(values[name]) for name in NAMES})
        self.camera_optimizer = self.config.camera_optimizer.setup(
            num_cameras=self.num_train_data, device="cpu"
        )
        self.background_color = torch.zeros(3)
        self.crop_box: OrientedBox | None = None
        self.step = 0
        # How strongly each projected centre was pulled, and how often it was seen: what grows next.
        self.pull: Tensor
        self.register_buffer("pull", torch.zeros(count))
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(count))
        # Logarithm of the least standard deviation of each Gaussian.
        self.least_scales: Tensor
        self.register_buffer("least_scales", torch.full((count,), -torch.inf))

    def load_state_dict(self, state: Mapping[str, Any], **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the parameters of a checkpoint of the same number of Gaussians."""
        return nn.Module.load_state_dict(self, state, **kwargs)

    @property
    def colors(self) -> Float[Tensor, "n 3"]:
        """Colours without what depends on the direction, as splatfacto's exports read them."""
        return 0.28209479177387814 * self.features_dc + 0.5

    @property
    def shs_0(self) -> Float[Tensor, "n 3"]:
        """First harmonic of the colours."""
        return self.features_dc

    @property
    def in_use(self) -> Bool[Tensor, " n"]:
        """Which of the Gaussians are in use."""
        return self.opacities[:, 0] > _UNUSED_BELOW

    def gaussians(self) -> Gaussians:
        """The parameters as the rasterizer takes them."""
        harmonics = self.features_dc[:, None]
        if self.features_rest.shape[1]:
            harmonics = torch.cat([harmonics, self.features_rest], dim=1)
        return Gaussians(self.means, self.quats, self.scales, self.opacities[:, 0], harmonics)

    def splatted(self, camera: PinholeCamera, *, with_median: bool = False) -> Splatted:
        """What a camera of the field's frame sees, with gradients."""
        return self._rasterized(self.gaussians(), camera, with_median=with_median)

    @torch.inference_mode()
    def render(self, camera: PinholeCamera) -> Rendering:
        """Render a camera of the field's frame, on black, with median depth."""
        splatted = self.splatted(camera, with_median=True)
        assert splatted.median_z is not None
        return Rendering(
            rgb=splatted.rgb.clamp(0, 1).permute(1, 2, 0).contiguous().cpu().numpy(),
            depth_z=splatted.median_z.cpu().numpy(),
            opacity=splatted.opacity.clamp(0, 1).cpu().numpy(),
        )

    def show(
        self,
        camera: PinholeCamera,
        *,
        rows: slice,
        columns: slice,
        view_index: int,
        rays_per_pass: int | None = None,
    ) -> Shown:
        """Render a rectangle for training; see `FieldModel.show`.

        The whole view is rendered, which takes milliseconds, and the rectangle cut out.
        """
        splatted = self.splatted(camera)
        lengths = torch.as_tensor(
            np.linalg.norm(pixel_rays(camera), axis=-1), dtype=torch.float32, device=self.device
        )
        at = rows, columns
        return Shown(
            rgb=splatted.rgb[:, rows, columns].clamp_max(1),
            opacity=splatted.opacity[at],
            depth_ray=(splatted.depth_z * lengths)[at],
        )

    @torch.inference_mode()
    def depth_ray(self, camera: PinholeCamera, pixels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Median distance from the camera centre at pixels, counted row by row, scene units."""
        depth_ray = ray_from_z_depth(self.render(camera).depth_z, camera)
        return torch.as_tensor(depth_ray, dtype=torch.float32).to(self.device).flatten()[pixels]

    def freeze_geometry(self) -> None:
        """Let colours alone learn."""
        self.requires_grad_(False)
        for name in ("features_dc", "features_rest"):
            self.gauss_params[name].requires_grad_(True)

    def before_step(self, step: int) -> None:
        """Nothing of the model's own changes in the course of training."""

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Keep every Gaussian as large as its least size."""
        self.scales.clamp_(min=self.least_scales[:, None])

    def note_pull(
        self, by_screen: Float[Tensor, "n 2"], is_visible: Bool[Tensor, " n"], camera: PinholeCamera
    ) -> None:
        """Add up how strongly a view pulls at the projected centres.

        Args:
            by_screen: The gradient of the loss by them, per pixel.
            is_visible: Whom the view shows.
            camera: Of the view; its size makes pulls of different sizes of image comparable.
        """
        half_sides = by_screen.new_tensor([camera.width / 2, camera.height / 2])
        self.pull += torch.linalg.vector_norm(by_screen.detach() * half_sides, dim=1)
        self.seen += is_visible

    def get_outputs(self, camera: Cameras) -> dict[str, Any]:
        """What nerfstudio's tools show of one camera: `rgb`, `depth` (median), `accumulation`.

        Args:
            camera: A single one, without distortion.
        """
        gaussians = self.gaussians()
        if self.crop_box is not None and not self.training:
            is_inside = self.crop_box.within(self.means).view(-1)
            gaussians = replace(
                gaussians, logits=torch.where(is_inside, gaussians.logits, UNUSED_LOGIT)
            )
        splatted = self._rasterized(gaussians, pinhole_of(camera), with_median=True)
        background = self._get_background_color().to(self.device)
        rgb = splatted.rgb.permute(1, 2, 0) + (1 - splatted.opacity)[..., None] * background
        assert splatted.median_z is not None
        return {
            "rgb": rgb.clamp(0, 1),
            "depth": splatted.median_z[..., None],
            "accumulation": splatted.opacity[..., None],
            "background": background,
        }

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """PSNR of a whole view, and photo and render side by side."""
        photo = self.composite_with_background(
            self.get_gt_img(batch["image"]), outputs["background"]
        )
        error = torch.mean((outputs["rgb"] - photo) ** 2)
        side_by_side = torch.cat([photo, outputs["rgb"]], dim=1)
        return {"psnr": float(-10 * torch.log10(error))}, {"img": side_by_side}

    def _rasterized(
        self, gaussians: Gaussians, camera: PinholeCamera, *, with_median: bool
    ) -> Splatted:
        is_antialiased = self.config.rasterize_mode == "antialiased"
        return rasterize(gaussians, camera, is_antialiased=is_antialiased, with_median=with_median)


def pinhole_of(camera: Cameras) -> PinholeCamera:
    """One of nerfstudio's cameras as ours."""
    one = camera.reshape((1,))
    c2w_opengl = np.eye(4)
    c2w_opengl[:3] = one.camera_to_worlds[0].cpu().numpy()
    fx, fy, cx, cy = (float(each.reshape(-1)[0]) for each in (one.fx, one.fy, one.cx, one.cy))
    width, height = (int(each.reshape(-1)[0]) for each in (one.width, one.height))
    return PinholeCamera(c2w_opengl, fx, fy, cx, cy, width, height)


def splats_of(model: SplatModel) -> SplatFile:
    """The Gaussians of a model that are in use, in the field's frame."""
    splats = all_splats_of(model)
    in_use = model.in_use.cpu().numpy()
    chosen = SplatFile(*(getattr(splats, part.name)[in_use] for part in fields(SplatFile)))
    return replace(chosen, quats=chosen.quats / np.linalg.norm(chosen.quats, axis=1, keepdims=True))


def all_splats_of(model: SplatModel) -> SplatFile:
    """The Gaussians of a model with the very numbers that it holds."""
    gaussians = model.gaussians()
    parts = (gaussians.means, gaussians.quats, gaussians.log_scales, gaussians.logits)
    return SplatFile(*(p.detach().cpu().numpy() for p in (*parts, gaussians.harmonics)))
