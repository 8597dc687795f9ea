"""How different two images look, through the features of a pretrained network."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from scenestyle.errors import ShapeError
from scenestyle.shapes import FeatureMap

_EPSILON = 1e-10


def perceptual_map(
    maps_x: Sequence[FeatureMap], maps_y: Sequence[FeatureMap], size: tuple[int, int]
) -> Float[Tensor, "batch _height _width"]:
    """LPIPS-class distance per pixel: unit-length features, squared difference, mean of taps.

    It is not LPIPS: the network is whatever the maps come from, and no weights per channel were
    fitted to human judgements. Figures compare only among themselves.

    Args:
        maps_x: One feature map per tap, shallow to deep.
        maps_y: Feature maps of the other image, of the same shapes.
        size: Height and width of the images, to which the taps are brought bilinearly.

    Returns:
        0 where the features agree; at most 4, where they are opposite.

    Raises:
        ShapeError: If the lists differ in length or their entries in shape.

    Source: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual
        Metric", arXiv:1801.03924, eq. 1 with all w_l = 1; theirs sums over layers, ours is the
        mean.
    """
    _check_same_shapes(maps_x, maps_y)
    per_tap = [
        functional.interpolate(
            (_unit(x) - _unit(y)).square().sum(1, keepdim=True), size, mode="bilinear"
        )
        for x, y in zip(maps_x, maps_y, strict=True)
    ]
    return torch.cat(per_tap, dim=1).mean(1)


def feature_similarity(
    maps_x: Sequence[FeatureMap], maps_y: Sequence[FeatureMap]
) -> Float[Tensor, " batch"]:
    """Mean cosine of the features at the same place, over places and taps; 1 for equal images.

    Of deep taps it tells whether the same things still stand where they stood, whatever their
    style.

    Raises:
        ShapeError: If the lists differ in length or their entries in shape.
    """
    _check_same_shapes(maps_x, maps_y)
    per_tap = [
        functional.cosine_similarity(x, y, dim=1, eps=_EPSILON).mean((1, 2))
        for x, y in zip(maps_x, maps_y, strict=True)
    ]
    return torch.stack(per_tap).mean(0)


def _unit(features: FeatureMap) -> FeatureMap:
    return features / (features.norm(dim=1, keepdim=True) + _EPSILON)


def _check_same_shapes(maps_x: Sequence[FeatureMap], maps_y: Sequence[FeatureMap]) -> None:
    shapes = [[tuple(f.shape) for f in maps] for maps in (maps_x, maps_y)]
    if shapes[0] != shapes[1] or not shapes[0]:
        raise ShapeError(
            f"as many maps of the same shapes are wanted, got {shapes[0]} and {shapes[1]}."
        )
