"""The terms of one finetuning step: what a rendered patch is compared with, and how.

Source: Fujiwara et al. 2024, "Style-NeRF2NeRF: 3D Style Transfer from Style-Aligned Multi-View
    Images", arXiv:2406.13393, sections 3.3 and 3.4. Ours adds the depth term and the regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from nerfstudio.cameras.rays import RayBundle
from torch import Generator, Tensor
from torch.utils.checkpoint import checkpoint

from scenestyle.features import FeatureExtractor
from scenestyle.finetune.patches import Patch, Target, random_patch
from scenestyle.losses import (
    content_loss,
    directions_for,
    region_reach,
    style_loss,
    tag_region,
)
from scenestyle.nerf.trainer import Losses, Trainer
from scenestyle.nerfstudio_plugin.model import SourceModel
from scenestyle.params import FinetuneNerf

_AUXILIARY = ("interlevel", "distortion")


@dataclass(frozen=True)
class RenderedPatch:
    """What the field shows along the rays of a patch."""

    rgb: Float[Tensor, "rays 3"]
    """colours before a background shines through"""
    opacity: Float[Tensor, "rays 1"]
    depth_ray: Float[Tensor, "rays 1"]
    """expected distance from the camera centre, scene units"""
    auxiliary: dict[str, Float[Tensor, ""]]
    """nerfacto's own terms, weighted"""


def patch_losses(
    trainer: Trainer,
    features: FeatureExtractor,
    targets: Sequence[Target],
    weights: Float[Tensor, " styles"],
    params: FinetuneNerf,
) -> Losses:
    """The terms of one step on one random patch; `style` and `content` compare with its targets.

    Args:
        trainer: Whose field is moved.
        features: Through which render and targets are compared.
        targets: What patches are drawn from.
        weights: Weight of each style, in the order of the targets' styles.
        params: Weights of the terms, size of a patch, kind of directions.
    """

    def losses(generator: Generator) -> dict[str, Tensor]:
        patch = random_patch(targets, params.patch_size, generator)
        rendered = render_patch(trainer.model, patch.rays, params.rays_per_pass)
        void = torch.zeros(3)
        if trainer.params.background == "random":
            # As in the source's training, so that nothing is painted by letting the void through.
            void = torch.rand(3, generator=generator)
        void = void.to(rendered.rgb)
        rgb = rendered.rgb + (1 - rendered.opacity) * void
        picture, patch = behind_mask(rgb.T.reshape(1, *patch.rgb.shape[1:]), patch, void)
        style, content = weighted_distances(picture, patch, weights, features, params, generator)
        return {
            "style": style,
            "content": params.content_weight * content,
            "depth": params.depth_weight * depth_loss(rendered.depth_ray, patch),
            **rendered.auxiliary,
        }

    return losses


def behind_mask(
    picture: Float[Tensor, "1 3 height width"], patch: Patch, void: Float[Tensor, " 3"]
) -> tuple[Float[Tensor, "1 3 height width"], Patch]:
    """Picture and targets with the void where the photo is hidden, targets where it is empty, too.

    What is hidden is then the same in both and has no gradient; what is empty is to stay so.

    Args:
        picture: The render before the void.
        patch: Its targets, which stand on black where their photo was cut out.
        void: Colour.
    """
    void = void.view(1, 3, 1, 1)
    hidden = picture * patch.used + (1 - patch.used) * void
    return hidden, replace(patch, rgb=patch.rgb * patch.used + (1 - patch.filled) * void)


def weighted_distances(
    picture: Float[Tensor, "1 3 height width"],
    patch: Patch,
    weights: Float[Tensor, " styles"],
    features: FeatureExtractor,
    params: FinetuneNerf,
    generator: Generator,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Style and content loss of a rendered patch, each a weighted sum over the patch's styles.

    Where the edge of the region runs through the patch, features are matched on either side of it.
    """
    maps = features(picture)
    with torch.no_grad():
        stylized = _by_style(features(patch.rgb))
    directions = [
        rows.to(picture.device)
        for rows in directions_for(maps, generator, params.num_directions, kind=params.directions)
    ]
    deep = slice(-features.num_content_taps, None)
    styles, contents = [], []
    for others in stylized:
        pair, rows = (maps, others), directions
        if patch.region.min() < patch.region.max():
            reach = region_reach(maps, others)
            (tagged, rows), (tagged_others, _) = (
                tag_region(each, directions, patch.region, reach=reach) for each in pair
            )
            pair = tagged, tagged_others
        styles.append(style_loss(*pair, rows, layer_reduction=params.layer_reduction))
        contents.append(content_loss(maps[deep], others[deep]))
    return (weights * torch.stack(styles)).sum(), (weights * torch.stack(contents)).sum()


def render_patch(
    model: SourceModel, rays: RayBundle, rays_per_pass: int | None = None
) -> RenderedPatch:
    """Render the rays of a patch for training.

    Args:
        model: In training mode.
        rays: Rays through the pixels of the patch, row by row.
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
    return RenderedPatch(
        rgb=torch.cat(rgb),
        opacity=torch.cat(opacity),
        depth_ray=torch.cat(depth_ray),
        auxiliary={
            name: (shares * torch.stack(terms)).sum()
            for name, terms in zip(_AUXILIARY, auxiliary, strict=True)
        },
    )


def depth_loss(depth_ray: Float[Tensor, "rays 1"], patch: Patch) -> Float[Tensor, ""]:
    """Mean of |ln(depth / source depth)| over a patch, where the source is opaque and not hidden.

    For small changes it is the absolute relative error.
    """
    change = (depth_ray.view_as(patch.depth_ray) / patch.depth_ray).log().abs()
    is_surface = (patch.opacity > 0.5) & (patch.used == 1)
    return torch.where(is_surface, change, 0).mean()


def _by_style(
    maps: Sequence[Float[Tensor, "styles _channels _height _width"]],
) -> list[list[Float[Tensor, "1 _channels _height _width"]]]:
    """One list of maps per style."""
    return [list(each) for each in zip(*(f.split(1) for f in maps), strict=True)]
