"""Images of latents and latents of images, one by one: an autoencoder works at full resolution.

As diffusers' pipelines do it: scaled, and in single precision where the autoencoder overflows in
half.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Latents = Float[Tensor, "1 channels _rows _columns"]
"""of one view; views may differ in size"""
Picture = Float[Tensor, "1 3 _height _width"]


def decoded(vae: Any, latents: Iterable[Latents]) -> Iterator[Picture]:
    """The image of each view's latents, in turn: about -1..1, float32, in main memory."""
    with torch.no_grad(), _without_overflow(vae):
        for latent in latents:
            scale, mean, deviation = _statistics(vae, latent)
            latent = (latent * deviation / scale + mean).to(vae.dtype)
            yield vae.decode(latent, return_dict=False)[0].float().cpu()


def encoded(vae: Any, pictures: Sequence[Picture], like: Tensor) -> list[Latents]:
    """Most likely latents of images in main memory, with the dtype and the device of `like`."""
    scale, mean, deviation = _statistics(vae, like)
    return [(code - mean) * scale / deviation for code in codes(vae, pictures, like)]


def codes(vae: Any, pictures: Sequence[Picture], like: Tensor) -> list[Latents]:
    """As `encoded`, but as the autoencoder has them: neither shifted nor scaled."""
    with torch.no_grad(), _without_overflow(vae):
        return [
            vae.encode(picture.to(like.device, vae.dtype)).latent_dist.mode().to(like)
            for picture in pictures
        ]


def _statistics(vae: Any, like: Tensor) -> tuple[float, Tensor | float, Tensor | float]:
    """Scale, mean and std that latents are normalised with; many autoencoders have scale alone."""
    config = vae.config
    if config.get("latents_mean") is None or config.get("latents_std") is None:
        return config.scaling_factor, config.get("shift_factor") or 0.0, 1.0
    mean, deviation = (
        torch.tensor(config[name]).view(1, -1, 1, 1).to(like)
        for name in ("latents_mean", "latents_std")
    )
    return config.scaling_factor, mean, deviation


@contextmanager
def _without_overflow(vae: Any) -> Iterator[None]:
    """Within the block the weights are float32 if the autoencoder's configuration asks for it."""
    dtype = vae.dtype
    if dtype != torch.float16 or not vae.config.force_upcast:
        yield
        return
    vae.to(torch.float32)
    try:
        yield
    finally:
        vae.to(dtype)
