"""The latent space: fixed linear features of 8x8 pixel blocks, half-whitened.

Sixteen numbers per block: the low coefficients of its discrete cosine transform, ten of luma
(u + v <= 3) and three each of the two chroma channels, shifted to mean zero and divided by the
square root of their spread. The autoencoder learns to encode to and decode from these numbers, so
the denoiser can be trained without it. `latent_stats.json` defines the space: trained weights are
worthless under any other.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

BLOCK = 8
"""pixels per latent along each axis"""
STATS_FILE = Path(__file__).with_name("latent_stats.json")

_LUMA = np.array([0.299, 0.587, 0.114])
_CHROMA_BLUE = 0.564 * (np.array([0, 0, 1]) - _LUMA)
_CHROMA_RED = 0.713 * (np.array([1, 0, 0]) - _LUMA)
LUMA_CHROMA = np.stack([_LUMA, _CHROMA_BLUE, _CHROMA_RED])
"""RGB -> luma, blue and red chroma (ITU-R BT.601)"""
_FREQUENCIES = [
    (colour, u, total - u)
    for colour, highest in enumerate((3, 1, 1))
    for total in range(highest + 1)
    for u in range(total + 1)
]
"""of each channel: row of LUMA_CHROMA, vertical and horizontal frequency"""
CHANNELS = len(_FREQUENCIES)

Pictures = Float[Tensor, "batch 3 height width"]
Latents = Float[Tensor, "batch channels rows columns"]


def encode(pictures: Pictures) -> Latents:
    """Latents of pictures in -1..1 whose sides are multiples of 8."""
    mean, scale = _stats()
    return (_coefficients(pictures) - mean) * scale


def linear_decode(latents: Latents) -> Pictures:
    """The smoothest pictures with these latents: the pseudo-inverse of `encode`."""
    mean, scale = _stats()
    inverse = torch.linalg.pinv(_kernels().reshape(CHANNELS, -1)).T
    kernels = inverse.reshape(CHANNELS, 3, BLOCK, BLOCK)
    return F.conv_transpose2d(latents / scale + mean, kernels, stride=BLOCK)


def fit(pictures: Pictures) -> dict[str, list[float]]:
    """Mean and scale per channel that give latents mean 0 and overall standard deviation 1."""
    coefficients = _coefficients(pictures)
    mean = coefficients.mean((0, 2, 3))
    half_white = coefficients.std((0, 2, 3)).rsqrt()
    whitened = (coefficients - mean.view(-1, 1, 1)) * half_white.view(-1, 1, 1)
    scale = half_white / whitened.std()
    return {"mean": mean.tolist(), "scale": scale.tolist()}


def colour_map(
    matrix: Float[np.ndarray, "3 3"], offset: Float[np.ndarray, "3"]
) -> tuple[Float[Tensor, "channels channels"], Float[Tensor, " channels"]]:
    """What an affine map of colours in 0..1 is for latents: latents -> matrix @ latents + offset.

    Exact but for colour in detail that has no chroma channel, which counts as grey.
    """
    of_chroma = LUMA_CHROMA @ matrix @ np.linalg.inv(LUMA_CHROMA)
    of_coefficients = np.zeros((CHANNELS, CHANNELS))
    for row, (colour, *frequency) in enumerate(_FREQUENCIES):
        for column, (other, *other_frequency) in enumerate(_FREQUENCIES):
            if frequency == other_frequency:
                of_coefficients[row, column] = of_chroma[colour, other]
    # Signed pictures are 2 colour - 1, and only the mean of a block feels an offset.
    signed_offset = LUMA_CHROMA @ (matrix @ np.ones(3) + 2 * offset - 1)
    added = np.array([signed_offset[c] if u == v == 0 else 0.0 for c, u, v in _FREQUENCIES])
    mean, scale = (part.double().flatten().numpy() for part in _stats())
    of_latents = scale[:, None] * of_coefficients / scale
    of_offset = scale * (of_coefficients @ mean + added - mean)
    return torch.tensor(of_latents).float(), torch.tensor(of_offset).float()


def _coefficients(pictures: Pictures) -> Latents:
    return F.conv2d(pictures, _kernels(), stride=BLOCK)


@cache
def _kernels() -> Float[Tensor, "channels 3 8 8"]:
    n = np.arange(BLOCK)
    cosines = [
        np.cos(np.pi * (2 * n + 1) * k / (2 * BLOCK)) * (1 if k == 0 else np.sqrt(2))
        for k in range(BLOCK)
    ]
    kernels = [
        LUMA_CHROMA[colour][:, None, None] * np.outer(cosines[u], cosines[v])[None] / BLOCK**2
        for colour, u, v in _FREQUENCIES
    ]
    return torch.tensor(np.array(kernels), dtype=torch.float32)


@cache
def _stats() -> tuple[Float[Tensor, "channels 1 1"], Float[Tensor, "channels 1 1"]]:
    stats = json.loads(STATS_FILE.read_text(encoding="utf-8"))
    return torch.tensor(stats["mean"]).view(-1, 1, 1), torch.tensor(stats["scale"]).view(-1, 1, 1)
