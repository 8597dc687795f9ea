"""From a back end's name to its feature extractor."""

from pathlib import Path
from typing import Literal

import torch

from scenestyle.errors import WeightsError
from scenestyle.features.efficientnet import BLOCK_TAPS, EfficientNetLite0, packaged_weights
from scenestyle.features.extractor import FeatureExtractor
from scenestyle.features.vgg import TAPS, Vgg19, read_weights, torchvision_weights

Backend = Literal["efficientnet_lite0", "vgg19"]


def load_features(backend: Backend, weights: Path | None = None) -> FeatureExtractor:
    """Load a pretrained feature extractor, frozen, on the CPU.

    Args:
        backend: `efficientnet_lite0` (stem and blocks 0, 2, 4, 7, 10; weights come with the
            installation) or `vgg19` (conv1_1 ... conv4_4 after ReLU).
        weights: A local file for `vgg19`, torchvision's or the texture-synthesis weights; without
            it, torchvision's from torch's cache or the network.

    Raises:
        WeightsError: If the weights are neither on disk nor reachable, or do not fit the back end.
    """
    if backend == "efficientnet_lite0":
        if weights:
            raise WeightsError(
                f"features efficientnet_lite0 bring their own weights, but {weights} was given. "
                "Leave finetune_nerf.features_weights empty, or set finetune_nerf.features: vgg19."
            )
        trunk = EfficientNetLite0(packaged_weights())
        num_taps, num_content_taps = 1 + len(BLOCK_TAPS), 2
    else:
        trunk = Vgg19(read_weights(weights) if weights else torchvision_weights())
        num_taps, num_content_taps = len(TAPS), 4
    return FeatureExtractor(trunk, num_content_taps=num_content_taps, scales=torch.ones(num_taps))
