"""Rays of a camera, and many of them rendered for training in bounded memory."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import pixel_rays

if TYPE_CHECKING:
    from scenestyle.nerfstudio_plugin.model import SourceModel

_AUXILIARY = ("interlevel", "distortion")


def camera_rays(
    camera: PinholeCamera,
    device: torch.device,
    *,
    rows: slice = slice(None),
    columns: slice = slice(None),
    camera_index: int = 0,
) -> RayBundle:
    """Rays through the pixel centres of a camera or of a rectangle in it, row by row.

    Args:
        camera: In the field's frame.
        device: Where the rays are wanted.
        rows: Rows of the rectangle.
        columns: Columns of the rectangle.
        camera_index: Position among the training views; chooses the appearance in training.
    """
    rays = pixel_rays(camera)[rows, columns].reshape(-1, 3)
    directions = torch.as_tensor(rays / np.linalg.norm(rays, axis=-1, keepdims=True))
    centre = torch.as_tensor(camera.c2w_opengl[:3, 3]).expand_as(directions)
    return ray_bundle(
        centre.to(device, torch.float32),
        directions.to(device, torch.float32),
        torch.full((len(rays), 1), camera_index, device=device),
    )


def ray_bundle(origins: Tensor, directions: Tensor, camera_indices: Tensor) -> RayBundle:
    """Rays as nerfstudio's models take them."""
    return RayBundle(
        origins=origins,
        directions=directions,
        # nerfacto does not look at it, its data structures want it.
        pixel_area=torch.ones_like(origins[:, :1]),
        camera_indices=camera_indices,
    )


@dataclass(frozen=True)
class RenderedRays:
    """What nerfacto shows along rays."""

    rgb: Float[Tensor, "rays 3"]
    """colours before a background shines through"""
    opacity: Float[Tensor, "rays 1"]
    depth_ray: Float[Tensor, "rays 1"]
    """expected distance from the camera centre, scene units"""
    auxiliary: dict[str, Float[Tensor, ""]]
    """nerfacto's own terms, weighted"""


def render_rays(
    model: "SourceModel", rays: RayBundle, rays_per_pass: int | None = None
) -> RenderedRays:
    """Render rays for training.

    Args:
        model: In training mode.
        rays: In any order.
        rays_per_pass: If given, no more rays than this have their intermediate values in memory at
            a time. Values are computed first for all rays and thrown away, and again, part by part,
            when the gradient arrives ("deferred back-propagation"); random numbers are the same
            both times, so values and gradients are those of rendering in parts of this size.

    Source: Zhang et al. 2022, "ARF: Artistic Radiance Fields", arXiv:2206.06360 (deferred
        back-propagation); ours leaves the bookkeeping to torch's checkpoints.
    """
    size = rays_per_pass or len(rays)
    parts = [rays[begin : begin + size] for begin in range(0, len(rays), size)]
    counters = model.proposal_sampler.get_extra_state()

    def render(part: RayBundle) -> tuple[Tensor, ...]:
        # To the sampler, all parts and their repetitions are one and the same step.
        model.proposal_sampler.set_extra_state(counters)
        outputs = model(part)
        auxiliary = model.auxiliary_losses(outputs)
        return (
            outputs["rgb"],
            outputs["accumulation"],
            outputs["expected_depth"],
            *(auxiliary[name] for name in _AUXILIARY),
        )

    if len(parts) == 1:
        rendered = [render(rays)]
    else:
        rendered = [checkpoint(render, part, use_reentrant=False) for part in parts]
    rgb, opacity, depth_ray, *auxiliary = zip(*rendered, strict=True)
    shares = torch.tensor([len(part) / len(rays) for part in parts], device=model.device)
    return RenderedRays(
        rgb=torch.cat(rgb),
        opacity=torch.cat(opacity),
        depth_ray=torch.cat(depth_ray),
        auxiliary={
            name: (shares * torch.stack(terms)).sum()
            for name, terms in zip(_AUXILIARY, auxiliary, strict=True)
        },
    )
