"""Noise with an offset: a number that all of a view's noise has in common, so that a model sees it.

White noise has next to no mean over a view. Guttenberg 2023,
https://www.crosslabs.org/blog/diffusion-with-offset-noise, trains with a mean drawn anew for every
image, so that a model can decide on what concerns all of it. The embedded model reads from it which
look of a style to take. A folder of weights may hold `noise_offset.json`, with the channel and the
standard deviation of its mean; weights without it take white noise.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float

from scenestyle.errors import WeightsError, reason

if TYPE_CHECKING:
    from torch import Tensor

OFFSET_FILE = "noise_offset.json"


@dataclass(frozen=True)
class NoiseOffset:
    """Which channel's mean is how far from zero."""

    channel: int
    """of the latents"""
    std: float
    """standard deviation of the channel's mean over a view; of white noise: 1 / sqrt(cells)"""

    def added(
        self, noise: "Float[Tensor, 'views channels rows columns']"
    ) -> "Float[Tensor, 'views channels rows columns']":
        """White noise with the mean that the channel has in every view enlarged, else unchanged."""
        result = noise.clone()
        mean = noise[:, self.channel].mean((1, 2), keepdim=True)
        result[:, self.channel] += mean * (self.std * math.sqrt(noise[0, 0].numel()) - 1)
        return result


def read_noise_offset(weights: Path) -> NoiseOffset | None:
    """The offset that lies beside the weights, None if there is no file.

    Raises:
        WeightsError: If the file is not an object of a channel and a standard deviation.
    """
    path = weights / OFFSET_FILE
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return NoiseOffset(int(said["channel"]), float(said["std"]))
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f'{path} should be like {{"channel": 12, "std": 0.5}}, and is not ({reason(error)}). '
            "Restore the file, or delete it to have the model begin at white noise."
        ) from error
