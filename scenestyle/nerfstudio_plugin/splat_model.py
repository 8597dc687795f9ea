"""Gaussian splats as nerfstudio opens them: our field in the place of splatfacto's."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.data.scene_box import OrientedBox
from nerfstudio.models.base_model import Model
from nerfstudio.models.splatfacto import SplatfactoModel, SplatfactoModelConfig
from torch import Tensor, nn

from scenestyle.cameras import PinholeCamera
from scenestyle.nerfstudio_plugin.splat_field import UNUSED_LOGIT, SplatField
from scenestyle.nerfstudio_plugin.splat_raster import rasterize


@dataclass
class SplatModelConfig(SplatfactoModelConfig):
    """splatfacto's configuration, of which `sh_degree` and `rasterize_mode` have an effect."""

    _target: type = field(default_factory=lambda: SplatModel)
    num_gaussians: int = 15_000
    """most Gaussians of the scene"""


class SplatModel(SplatField, SplatfactoModel):
    """Gaussians that nerfstudio's tools render on a CPU, too, without downloads."""

    config: SplatModelConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        SplatfactoModel.__init__(self, *args, **kwargs)

    def populate_modules(self) -> None:
        """Make room for the Gaussians, none of which is in use yet."""
        Model.populate_modules(self)
        self.make_room(self.config.num_gaussians, self.config.sh_degree)
        self.camera_optimizer = self.config.camera_optimizer.setup(
            num_cameras=self.num_train_data, device="cpu"
        )
        self.background_color = torch.zeros(3)
        self.crop_box: OrientedBox | None = None
        self.step = 0

    def load_state_dict(self, state: Mapping[str, Any], **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the parameters of a checkpoint of the same number of Gaussians."""
        return nn.Module.load_state_dict(self, state, **kwargs)

    @property
    def shs_0(self) -> Tensor:
        """First harmonic of the colours."""
        return self.features_dc

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
        is_antialiased = self.config.rasterize_mode == "antialiased"
        splatted = rasterize(
            gaussians, pinhole_of(camera), is_antialiased=is_antialiased, with_median=True
        )
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


def pinhole_of(camera: Cameras) -> PinholeCamera:
    """One of nerfstudio's cameras as ours."""
    one = camera.reshape((1,))
    c2w_opengl = np.eye(4)
    c2w_opengl[:3] = one.camera_to_worlds[0].cpu().numpy()
    fx, fy, cx, cy = (float(each.reshape(-1)[0]) for each in (one.fx, one.fy, one.cx, one.cy))
    width, height = (int(each.reshape(-1)[0]) for each in (one.width, one.height))
    return PinholeCamera(c2w_opengl, fx, fy, cx, cy, width, height)
