"""VGG-19 up to conv4_4, all twelve activations tapped, in two editions of the weights.

The edition is read off the weights' names. Activations of the two have different scales, so a loss
weight found with one does not carry over to the other.

| edition | names | input | pooling | padding |
|---|---|---|---|---|
| classification (torchvision, ImageNet) | `features.0.weight` ... | RGB, normalised | max | zeros |
| texture synthesis (Heitz) | `block1_conv1.weight` ... | BGR, 0..255, no mean | average | reflect |

Source: Simonyan and Zisserman 2015, arXiv:1409.1556; Heitz et al. 2021, arXiv:2006.07229.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scenestyle.errors import WeightsError, reason
from scenestyle.shapes import FeatureMap

TAPS = tuple(
    f"conv{block}_{conv}"
    for block, num_convs in ((1, 2), (2, 2), (3, 4), (4, 4))
    for conv in range(1, num_convs + 1)
)
"""conv1_1 ... conv4_4, each tapped after its ReLU."""

CHANNELS = (64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512)
"""Channels of each tap."""

# Where torchvision's `features` sequence holds the twelve convolutions.
_TORCHVISION_INDEX = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25)


class Vgg19(nn.Module):
    """The convolutions of the first four blocks, in the edition of the given weights."""

    mean: Float[Tensor, "3 1 1"]
    std: Float[Tensor, "3 1 1"]

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Build from a state dict; surplus entries (deeper layers) are ignored.

        Raises:
            WeightsError: If the state dict is of neither edition.
        """
        super().__init__()
        self.is_texture_edition = "block1_conv1.weight" in weights
        self.pool = nn.AvgPool2d(2) if self.is_texture_edition else nn.MaxPool2d(2)
        self.convs = nn.ModuleList(
            nn.Conv2d(
                in_channels,
                out_channels,
                3,
                padding=1,
                padding_mode="reflect" if self.is_texture_edition else "zeros",
            )
            for in_channels, out_channels in zip((3, *CHANNELS), CHANNELS, strict=False)
        )
        self.convs.load_state_dict(_conv_weights(weights, is_texture=self.is_texture_edition))
        mean, std = _TEXTURE_INPUT if self.is_texture_edition else _IMAGENET_INPUT
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> list[FeatureMap]:
        """The twelve activations for RGB in [0, 1]."""
        features = (images - self.mean) / self.std
        if self.is_texture_edition:
            features = features.flip(1)
        maps = []
        for tap, conv in zip(TAPS, self.convs, strict=True):
            if tap.endswith("_1") and maps:
                features = self.pool(features)
            features = conv(features).relu()
            maps.append(features)
        return maps


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read a state dict from a local file, without unpickling code.

    Raises:
        WeightsError: If the file is missing or holds anything but tensors.
    """
    if not path.is_file():
        raise WeightsError(f"VGG-19 weights: {path} does not exist. {_WAY_OUT}")
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise WeightsError(f"VGG-19 weights: {path} cannot be read. {_WAY_OUT}") from error


def torchvision_weights() -> Mapping[str, Tensor]:
    """Torchvision's ImageNet weights from torch's cache, else downloaded once and checked by hash.

    Raises:
        WeightsError: If they are not in the cache and the download fails.
    """
    from torchvision.models import VGG19_Weights

    try:
        return VGG19_Weights.IMAGENET1K_V1.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"VGG-19 weights are not in torch's cache and could not be downloaded "
            f"({reason(error)}). {_WAY_OUT}"
        ) from error


# Mean and standard deviation of the network's input in RGB order, for images in [0, 1].
_IMAGENET_INPUT = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_TEXTURE_INPUT = ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255))
_WAY_OUT = (
    "Set finetune_nerf.features_weights to a file with torchvision's vgg19 or the "
    "texture-synthesis "
    "weights, or finetune_nerf.features to efficientnet_lite0, which needs no download."
)


def _conv_weights(weights: Mapping[str, Tensor], *, is_texture: bool) -> dict[str, Tensor]:
    prefixes = (
        [f"block{tap[4]}_conv{tap[6]}" for tap in TAPS]
        if is_texture
        else [f"features.{index}" for index in _TORCHVISION_INDEX]
    )
    try:
        return {
            f"{index}.{part}": weights[f"{prefix}.{part}"]
            for index, prefix in enumerate(prefixes)
            for part in ("weight", "bias")
        }
    except (KeyError, TypeError) as error:
        raise WeightsError(f"VGG-19 weights: {reason(error)} in the file. {_WAY_OUT}") from error
