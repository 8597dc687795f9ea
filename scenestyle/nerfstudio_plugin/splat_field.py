"""Gaussian splats as this project trains them: splatfacto's parameters, on a CPU as on a GPU.

Names and shapes in checkpoints are splatfacto's, so that ns-viewer, ns-render and ns-export
gaussian-splat open a run (`splat_model.py`). The number of Gaussians is fixed from the start: those
that are not in use yet, or no more, have an opacity of nothing and cost nothing, so that growing
changes neither the optimizers nor the form of a checkpoint.

Nothing of nerfstudio is imported here: a stage that only renders or finetunes splats would wait
longer for its imports than for its renders.
"""

from dataclasses import fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import pixel_rays, ray_from_z_depth
from scenestyle.nerfstudio_plugin.interface import Rendering, Shown
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, Splatted, rasterize
from scenestyle.splat_file import SplatFile

UNUSED_LOGIT = -20.0
"""opacity, before the sigmoid, of a Gaussian that is not in use"""
_UNUSED_BELOW = -10.0
_FIRST_HARMONIC = 0.28209479177387814
_LEAST_COLOUR = 1e-4
"""at which a channel has a gradient, however its number is rounded"""

NAMES = ("means", "scales", "quats", "features_dc", "features_rest", "opacities")
"""the parameters, in splatfacto's words: scales are logarithms, opacities are before the sigmoid"""


class SplatField(nn.Module):
    """Gaussians that render and learn, as the rest of the project asks of a field."""

    gauss_params: nn.ParameterDict
    pull: Float[Tensor, " n"]
    """how strongly each projected centre was pulled: what grows next"""
    seen: Float[Tensor, " n"]
    """how often it was seen meanwhile"""
    least_scales: Float[Tensor, " n"]
    """logarithm of the least standard deviation of each Gaussian"""

    def __init__(self, num_gaussians: int, sh_degree: int) -> None:
        """Make room for Gaussians, none of which is in use yet.

        Args:
            num_gaussians: Most that there can be.
            sh_degree: Of the harmonics of their colours.
        """
        super().__init__()
        self.make_room(num_gaussians, sh_degree)
        # Checkpoints of nerfstudio's models have one.
        self.device_indicator_param = nn.Parameter(torch.empty(0))

    def make_room(self, num_gaussians: int, sh_degree: int) -> None:
        """Create the parameters, and what is known of each Gaussian beside them."""
        quats = torch.zeros(num_gaussians, 4)
        quats[:, 0] = 1
        values = {
            "means": torch.zeros(num_gaussians, 3),
            "scales": torch.zeros(num_gaussians, 3),
            "quats": quats,
            "features_dc": torch.zeros(num_gaussians, 3),
            "features_rest": torch.zeros(num_gaussians, (sh_degree + 1) ** 2 - 1, 3),
            "opacities": torch.full((num_gaussians, 1), UNUSED_LOGIT),
        }
        self.gauss_params = nn.ParameterDict({name: nn.Parameter(values[name]) for name in NAMES})
        self.register_buffer("pull", torch.zeros(num_gaussians))
        self.register_buffer("seen", torch.zeros(num_gaussians))
        self.register_buffer("least_scales", torch.full((num_gaussians,), -torch.inf))

    @property
    def device(self) -> torch.device:
        """Where the parameters lie."""
        return self.means.device

    @property
    def means(self) -> Float[Tensor, "n 3"]:
        """Centres, in the field's frame."""
        return self.gauss_params["means"]

    @property
    def scales(self) -> Float[Tensor, "n 3"]:
        """Logarithms of the standard deviations along the axes, scene units."""
        return self.gauss_params["scales"]

    @property
    def quats(self) -> Float[Tensor, "n 4"]:
        """Directions of the axes: quaternions, real part first, of any length."""
        return self.gauss_params["quats"]

    @property
    def features_dc(self) -> Float[Tensor, "n 3"]:
        """First harmonic of the colours."""
        return self.gauss_params["features_dc"]

    @property
    def colors(self) -> Float[Tensor, "n 3"]:
        """Colours without what depends on the direction, as splatfacto's exports read them."""
        return _FIRST_HARMONIC * self.features_dc + 0.5

    @property
    def features_rest(self) -> Float[Tensor, "n _bases 3"]:
        """The other harmonics, which depend on the direction of view."""
        return self.gauss_params["features_rest"]

    @property
    def opacities(self) -> Float[Tensor, "n 1"]:
        """Opacities before the sigmoid."""
        return self.gauss_params["opacities"]

    def get_param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the name of their optimizer, which is their own."""
        return {name: [self.gauss_params[name]] for name in NAMES}

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
        return rasterize(self.gaussians(), camera, with_median=with_median)

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
        """Keep every Gaussian as large as its least size, and its colour where it can learn."""
        self.scales.clamp_(min=self.least_scales[:, None])
        self.lift_colours()

    @torch.no_grad()
    def lift_colours(self) -> None:
        """Bring channels below 0 back to it: they show the same, but without a gradient.

        With further harmonics a channel may be below 0 in some directions only, and stays so.
        """
        if not self.features_rest.shape[1]:
            self.features_dc.clamp_(min=(_LEAST_COLOUR - 0.5) / _FIRST_HARMONIC)

    @torch.no_grad()
    def shift_colours(self, by: Float[Tensor, "n 3"]) -> None:
        """Add to the colours; none gets brighter than white by that."""
        brightest = self.features_dc.clamp_min(0.5 / _FIRST_HARMONIC)
        self.features_dc.copy_((self.features_dc + by / _FIRST_HARMONIC).minimum(brightest))
        self.lift_colours()

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


def splats_of(model: SplatField) -> SplatFile:
    """The Gaussians of a model that are in use, in the field's frame."""
    splats = all_splats_of(model)
    in_use = model.in_use.cpu().numpy()
    chosen = SplatFile(*(getattr(splats, part.name)[in_use] for part in fields(SplatFile)))
    return replace(chosen, quats=chosen.quats / np.linalg.norm(chosen.quats, axis=1, keepdims=True))


def all_splats_of(model: SplatField) -> SplatFile:
    """The Gaussians of a model with the very numbers that it holds."""
    gaussians = model.gaussians()
    parts = (gaussians.means, gaussians.quats, gaussians.log_scales, gaussians.logits)
    return SplatFile(*(p.detach().cpu().numpy() for p in (*parts, gaussians.harmonics)))
