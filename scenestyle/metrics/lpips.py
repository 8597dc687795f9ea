"""LPIPS with the weights of its authors; `perceptual` has what needs no download."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from scenestyle.errors import WeightsError, reason

Picture = Float[np.ndarray, "height width 3"]

ALEXNET = "alexnet-owt-7be5be79.pth"
"""torchvision's file of AlexNet's weights"""


def load_lpips(*, may_download: bool) -> Callable[[Picture, Picture], float]:
    """LPIPS (AlexNet) of two RGB images in [0, 1], as torchmetrics computes it; 0 if equal.

    Its linear weights come with torchmetrics; AlexNet's come from torch's cache or, if allowed,
    from the network.

    Raises:
        WeightsError: If AlexNet's weights are neither in the cache nor to be had.

    Source: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual
        Metric", arXiv:1801.03924.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET
    if not (file.is_file() or may_download):
        raise WeightsError(
            f"AlexNet's weights are not at {file} and may not be downloaded. Allow it with "
            "evaluate.pretrained: download (0.2 GB)."
        )
    # Its import takes three seconds, so it comes after the answer that most get.
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        network = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).eval()
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"AlexNet's weights could not be read from {file} or downloaded ({reason(error)})."
        ) from error

    @torch.no_grad()
    def distance(picture: Picture, other: Picture) -> float:
        batches = (
            torch.from_numpy(np.clip(rgb, 0, 1).astype(np.float32)).movedim(-1, 0)[None]
            for rgb in (picture, other)
        )
        return float(network(*batches))

    return distance
