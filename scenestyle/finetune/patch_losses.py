"""The terms of one finetuning step: what a rendered patch is compared with, and how.

Source: Fujiwara et al. 2024, "Style-NeRF2NeRF: 3D Style Transfer from Style-Aligned Multi-View
    Images", arXiv:2406.13393, sections 3.3 and 3.4. Ours adds the terms of depth and of pixels, and
    the regions.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from scenestyle.features import FeatureExtractor
from scenestyle.finetune.patches import Patch, Target, random_patch
from scenestyle.losses import (
    content_loss,
    directions_for,
    photometric_loss,
    region_reach,
    style_loss,
    tag_region,
)
from scenestyle.nerf.trainer import Losses, Trainer
from scenestyle.params import FinetuneNerf
from scenestyle.shapes import FeatureMap

_MOST_KEPT_BYTES = 500_000_000
"""of targets' feature maps: forty views of 480x360, at both scales"""
_LEAST_DEPTH = 0.01
"""of the depth in the source"""
_PATCH_SIZES: dict[str, int | None] = {"nerfacto": 64, "splats": None}
"""side of a patch where no other is asked for, pixels; None: whole views"""
_PIXEL_WEIGHTS = {"nerfacto": 0.0, "splats": 10.0}
"""weight of the pixels' term where no other is asked for"""


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
    patch_size = params.patch_size or _PATCH_SIZES[trainer.params.field]
    pixel_weight = params.pixel_weight
    if pixel_weight is None:
        pixel_weight = _PIXEL_WEIGHTS[trainer.params.field]

    maps_of = TargetMaps(features)

    def losses(generator: Generator) -> dict[str, Tensor]:
        patch = random_patch(targets, patch_size, generator)
        shown = patch.seen_by(trainer.model, params.rays_per_pass)
        void = torch.zeros(3)
        if trainer.params.background == "random":
            # As in the source's training, so that nothing is painted by letting the void through.
            void = torch.rand(3, generator=generator)
        void = void.to(shown.rgb)[:, None, None]
        picture, patch = behind_mask(shown.rgb + (1 - shown.opacity) * void, patch, void)
        style, content = weighted_distances(
            picture, patch, weights, features, maps_of, params, generator
        )
        terms = {"style": style, "content": params.content_weight * content}
        if pixel_weight:
            terms["pixels"] = pixel_weight * pixel_distance(picture, patch.rgb, weights)
        terms["depth"] = params.depth_weight * depth_loss(shown.depth_ray, patch)
        return terms | dict(shown.auxiliary)

    return losses


def behind_mask(
    rgb: Float[Tensor, "3 height width"], patch: Patch, void: Float[Tensor, "3 1 1"]
) -> tuple[Float[Tensor, "1 3 height width"], Patch]:
    """Render and targets with the void where the photo is hidden, targets where it is empty, too.

    What is hidden is then the same in both and has no gradient; what is empty is to stay so.

    Args:
        rgb: The render before the void.
        patch: Its targets, which stand on black where their photo was cut out.
        void: Colour.
    """
    picture = rgb * patch.used + (1 - patch.used) * void
    return picture, replace(patch, rgb=patch.rgb * patch.used + (1 - patch.filled) * void)


def weighted_distances(
    picture: Float[Tensor, "1 3 height width"],
    patch: Patch,
    weights: Float[Tensor, " styles"],
    features: FeatureExtractor,
    maps_of: "TargetMaps",
    params: FinetuneNerf,
    generator: Generator,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Style and content loss of a rendered patch, each a weighted sum over the patch's styles.

    Where the edge of the region runs through the patch, features are matched on either side of it.
    """
    maps = features(picture)
    stylized = _by_style(maps_of(patch))
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


class TargetMaps:
    """Feature maps of targets; of those that are compared as a whole they are computed once."""

    def __init__(self, features: FeatureExtractor) -> None:
        self._features = features
        self._kept: dict[tuple[int, torch.Size], list[FeatureMap]] = {}
        self._num_bytes = 0

    @torch.no_grad()
    def __call__(self, patch: Patch) -> list[FeatureMap]:
        """The maps of a patch's images, one batch of styles per tap."""
        if not patch.is_whole or (patch.filled < 1).any():  # where a new void shines through
            return self._features(patch.rgb)
        key = patch.view_index, patch.rgb.shape
        if key in self._kept:
            return self._kept[key]
        maps = self._features(patch.rgb)
        num_bytes = sum(f.nbytes for f in maps)
        if self._num_bytes + num_bytes <= _MOST_KEPT_BYTES:
            self._kept[key] = maps
            self._num_bytes += num_bytes
        return maps


def pixel_distance(
    picture: Float[Tensor, "1 3 height width"],
    targets: Float[Tensor, "styles 3 height width"],
    weights: Float[Tensor, " styles"],
) -> Float[Tensor, ""]:
    """Difference at the same pixels, as in the training on photos, summed over the styles.

    A distance between distributions, as the style's is, does not say where a contour runs.
    """
    each = [photometric_loss(picture[0], target) for target in targets]
    return (weights * torch.stack(each)).sum()


def depth_loss(depth_ray: Float[Tensor, "height width"], patch: Patch) -> Float[Tensor, ""]:
    """Mean of |ln(depth / source depth)| over a patch, where the source is opaque and not hidden.

    For small changes it is the absolute relative error. Where nothing is left to be seen, as may
    happen at the edge of a cut-out, the depth counts as a hundredth of what it was.
    """
    is_surface = (patch.opacity > 0.5) & (patch.used == 1)
    # Ones where there is no surface, and not only zeros in the end: the gradient of what is not
    # chosen is zero times infinity where the source is empty.
    before = torch.where(is_surface, patch.depth_ray, 1)
    after = torch.where(is_surface, depth_ray.view_as(before), 1)
    return (after / before).clamp_min(_LEAST_DEPTH).log().abs().mean()


def _by_style(
    maps: Sequence[Float[Tensor, "styles _channels _height _width"]],
) -> list[list[Float[Tensor, "1 _channels _height _width"]]]:
    """One list of maps per style."""
    return [list(each) for each in zip(*(f.split(1) for f in maps), strict=True)]
