"""Content loss: deep features compared place by place."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from scenestyle.errors import ShapeError
from scenestyle.shapes import FeatureMap


def content_loss(
    render_maps: Sequence[FeatureMap], stylized_maps: Sequence[FeatureMap]
) -> Float[Tensor, ""]:
    """Sum over taps of the mean squared difference of features at the same place.

    Unlike the style loss it knows positions: it keeps what stands where. The caller hands in the
    deep taps only.

    Raises:
        ShapeError: If the lists differ in length or their entries in shape.

    Source: Gatys et al. 2016, "Image Style Transfer Using Convolutional Neural Networks", eq. 1;
        weighted by 0.1 in the published code of Fujiwara et al. 2024, arXiv:2406.13393.
    """
    shapes = [[tuple(f.shape) for f in maps] for maps in (render_maps, stylized_maps)]
    if shapes[0] != shapes[1] or not shapes[0]:
        raise ShapeError(
            f"as many maps of the same shapes are wanted, got {shapes[0]} and {shapes[1]}."
        )
    return torch.stack(
        [functional.mse_loss(x, y) for x, y in zip(render_maps, stylized_maps, strict=True)]
    ).sum()
