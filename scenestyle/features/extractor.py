"""The common face of all back ends: images in, one feature map per tap out."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenestyle.errors import ShapeError
from scenestyle.shapes import FeatureMap

Images = Float[Tensor, "batch 3 height width"]
Picture = Float[Tensor, "3 _height _width"]

MIN_SIDE = 32
"""Smallest image side, pixels: the deepest taps have stride 16, and one sample is no
distribution."""


class FeatureExtractor(nn.Module):
    """A pretrained CNN, frozen: its weights get no gradient, the image does.

    Attributes:
        trunk: Maps images in [0, 1] to one map per tap, shallow to deep.
        num_content_taps: How many of the last taps describe content rather than style.
        scales: Each tap is divided by its scale; ones unless `balanced` was called.
    """

    scales: Float[Tensor, " taps"]

    def __init__(
        self, trunk: nn.Module, *, num_content_taps: int, scales: Float[Tensor, " taps"]
    ) -> None:
        super().__init__()
        self.trunk = trunk.eval().requires_grad_(False)
        self.num_content_taps = num_content_taps
        self.register_buffer("scales", scales)

    def forward(self, images: Images) -> list[FeatureMap]:
        """Feature maps of RGB images in [0, 1], in the order of the taps.

        Raises:
            ShapeError: If a side is shorter than 32 pixels.
        """
        if min(images.shape[2:]) < MIN_SIDE:
            raise ShapeError(
                f"images are {images.shape[3]}x{images.shape[2]} pixels, at least "
                f"{MIN_SIDE}x{MIN_SIDE} are needed; use larger patches."
            )
        return [f / scale for f, scale in zip(self.trunk(images), self.scales, strict=True)]

    @torch.no_grad()
    def balanced(self, targets: Images | Sequence[Picture]) -> "FeatureExtractor":
        """The same extractor, each tap divided by its standard deviation (mean over `targets`).

        Taps of networks without a common activation scale then weigh alike in a sum over taps;
        otherwise the deep taps drown the shallow ones that carry palette and brush.
        """
        deviations = torch.stack(
            [torch.stack([f.std() for f in self(picture[None])]) for picture in targets]
        ).mean(0)
        return FeatureExtractor(
            self.trunk, num_content_taps=self.num_content_taps, scales=self.scales * deviations
        )
