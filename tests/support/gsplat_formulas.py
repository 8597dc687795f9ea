"""What gsplat's own torch code makes of Gaussians before they are composited, for laws and benchmarks."""

from typing import NamedTuple

import torch
from torch import Tensor

from scenestyle.cameras import PinholeCamera
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, world_to_camera


class Projected(NamedTuple):
    """Gaussians as a camera sees them, in the precision that they have."""

    screen: Tensor
    """centres, (n, 2), pixels"""
    depths: Tensor
    """(n,)"""
    conics: Tensor
    """upper triangle of the inverse covariance, (n, 3)"""
    opacities: Tensor
    """(n,), fainter by what antialiasing takes"""
    colours: Tensor
    """(n, 3)"""


def projected(gaussians: Gaussians, camera: PinholeCamera, *, is_antialiased: bool) -> Projected:
    """Projection and colours by gsplat's torch code; its compositing needs CUDA."""
    from gsplat.cuda._torch_impl import (
        _fully_fused_projection,
        _quat_scale_to_covar_preci,
        _spherical_harmonics,
    )

    dtype = gaussians.means.dtype
    intrinsics = torch.tensor(
        [[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], dtype=dtype
    )
    covars, _ = _quat_scale_to_covar_preci(gaussians.quats, gaussians.log_scales.exp(), True, False)
    assert covars is not None
    _, means, depths, conics, compensations = _fully_fused_projection(
        gaussians.means,
        covars,
        torch.as_tensor(world_to_camera(camera), dtype=dtype)[None],
        intrinsics[None],
        camera.width,
        camera.height,
        eps2d=0.3,
        near_plane=0.01,
        calc_compensations=is_antialiased,
    )
    opacities = gaussians.logits.sigmoid()
    if compensations is not None:
        opacities = opacities * compensations[0]
    degree = {1: 0, 4: 1, 9: 2, 16: 3}[gaussians.harmonics.shape[1]]
    directions = gaussians.means - torch.as_tensor(camera.c2w_opengl[:3, 3], dtype=dtype)
    colours = (_spherical_harmonics(degree, directions, gaussians.harmonics) + 0.5).clamp_min(0)
    return Projected(means[0], depths[0], conics[0], opacities, colours)
