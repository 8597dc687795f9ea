"""What a style leaves open: two looks, of other inks, paper, light or season; the noise chooses.

A model that is shown both at random learns their mean, grey mixtures. So what decides must be seen
by it: the sign of the mean of one channel of the initial noise, over all views that attend to each
other. A view alone follows its own noise; views that share attention follow the noise of all of
them, which is what sharing is for; another seed is another look. The mean stays when noise moves
with the surfaces. That of white noise is too faint to be learnt in hours, so it has an offset
(`scenestyle.diffusion.noise_offset`).

A look is an affine map of colours, hence of latents: a shard holds a style once, and training
recolours it.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from scenestyle.diffusion.noise_offset import NoiseOffset
from training import latents
from training.procedural.arrays import floats
from training.procedural.styles import STYLES

LOOKS_FILE = "looks.json"
"""beside exported weights: the names of their looks; weights without it know none"""
OFFSET = NoiseOffset(channel=12, std=1.0)
"""The channel is the change of blueness from top to bottom within a block: pictures have next to
none on average, and weights that knew no looks passed it on. (A linear probe of the tokens of the
first self-attention found the mean of white noise with a correlation of 0.0 to 0.4 by channel, of
this one with 0.36.)"""

Colour = tuple[float, float, float]
"""RGB in 0..1"""

_BLACK, _WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Look:
    """Colours turned and weakened about grey, then laid between two inks."""

    name: str
    hue: float = 0.0
    """degrees by which hues turn, from red towards yellow"""
    saturation: float = 1.0
    """factor"""
    dark: Colour = _BLACK
    """what black becomes"""
    light: Colour = _WHITE
    """what white becomes"""

    def affine(self) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
        """Matrix and offset: colour -> matrix @ colour + offset."""
        angle = np.deg2rad(self.hue)
        turn = self.saturation * np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        in_luma_chroma = np.eye(3)
        in_luma_chroma[1:, 1:] = turn
        to_chroma = latents.LUMA_CHROMA
        turned = np.linalg.inv(to_chroma) @ in_luma_chroma @ to_chroma
        dark, light = np.array(self.dark), np.array(self.light)
        return (light - dark)[:, None] * turned, dark


LOOKS: dict[str, tuple[Look, Look]] = {
    "watercolor": (
        Look("a cool morning", light=(0.86, 0.96, 1.0)),
        Look("a warm evening", light=(1.0, 0.91, 0.70)),
    ),
    "pencil": (
        Look("graphite", dark=(0.0, 0.02, 0.08), light=(0.88, 0.95, 1.0)),
        Look("red chalk", dark=(0.34, 0.10, 0.04), light=(1.0, 0.92, 0.76)),
    ),
    "ukiyo-e": (
        Look("noon", hue=8, light=(0.82, 0.97, 1.0)),
        Look("a red evening", hue=-8, dark=(0.10, 0.02, 0.0), light=(1.0, 0.86, 0.66)),
    ),
    "neon": (
        Look("cyan", hue=-30, light=(0.75, 1.0, 1.0)),
        Look("pink", hue=35, dark=(0.06, 0.0, 0.03), light=(1.0, 0.80, 0.95)),
    ),
    "winter": (
        Look("blue hour", dark=(0.0, 0.02, 0.10), light=(0.82, 0.93, 1.0)),
        Look("rosy dawn", dark=(0.06, 0.0, 0.0), light=(1.0, 0.88, 0.82)),
    ),
    "autumn": (
        Look("gold", hue=12, light=(1.0, 1.0, 0.84)),
        Look("crimson", hue=-14, dark=(0.06, 0.0, 0.0), light=(1.0, 0.82, 0.78)),
    ),
    "bronze": (
        Look("gilt", hue=10, dark=(0.03, 0.03, 0.0), light=(1.0, 1.0, 0.66)),
        Look("copper", hue=-10, dark=(0.06, 0.0, 0.0), light=(0.96, 0.78, 0.82)),
    ),
    "oil": (
        Look("day", hue=5, light=(0.84, 0.98, 1.0)),
        Look("evening", hue=-6, dark=(0.08, 0.0, 0.0), light=(1.0, 0.88, 0.68)),
    ),
    "blueprint": (
        Look("greenish", hue=-14, light=(0.84, 1.0, 0.98)),
        Look("violet", hue=14, dark=(0.12, 0.0, 0.04), light=(1.0, 0.93, 1.0)),
    ),
    "lava": (
        Look("red", hue=-8, light=(1.0, 0.72, 0.72)),
        Look("yellow hot", hue=10, dark=(0.05, 0.03, 0.0), light=(1.0, 1.0, 0.9)),
    ),
    "comic": (
        Look("white paper", hue=8, light=(0.84, 0.97, 1.0)),
        Look("yellowed paper", hue=-8, dark=(0.08, 0.02, 0.0), light=(1.0, 0.90, 0.64)),
    ),
    "stained-glass": (
        Look("a north window", hue=10, light=(0.78, 0.96, 1.0)),
        Look("a south window", hue=-10, light=(1.0, 0.88, 0.72)),
    ),
    "mosaic": (
        Look("blue-grey stone", hue=6, light=(0.80, 0.97, 1.0)),
        Look("red-brown stone", hue=-6, dark=(0.08, 0.01, 0.0), light=(1.0, 0.86, 0.68)),
    ),
    "chalkboard": (
        Look("a green board", dark=(0.0, 0.04, 0.0), light=(1.0, 1.0, 0.84)),
        Look("a slate", saturation=0.8, dark=(0.09, 0.0, 0.12), light=(0.96, 0.88, 1.0)),
    ),
    "marble": (
        Look("a red hall", light=(1.0, 0.95, 0.82)),
        Look("a blue hall", hue=-110, dark=(0.0, 0.0, 0.05), light=(0.86, 0.95, 1.0)),
    ),
    "ice": (
        Look("sea green", hue=-20, light=(0.82, 1.0, 0.90)),
        Look("violet", hue=16, dark=(0.09, 0.0, 0.05), light=(1.0, 0.90, 1.0)),
    ),
    "moss": (
        Look("spring", hue=14, light=(0.84, 1.0, 0.96)),
        Look("late summer", hue=-14, dark=(0.05, 0.02, 0.0), light=(1.0, 0.94, 0.76)),
    ),
    "sepia": (
        Look("umber", hue=8, saturation=0.75, light=(0.94, 0.98, 0.92)),
        Look("red chalk", hue=-8, saturation=1.2, dark=(0.06, 0.0, 0.0), light=(1.0, 0.92, 0.82)),
    ),
}
"""by style; the photograph has none"""

UNCHANGED = Look("unchanged")
"""what the filter draws"""


def recoloured(
    picture: Float[np.ndarray, "height width 3"], look: Look
) -> Float[np.ndarray, "height width 3"]:
    """A style filter's picture in this look, 0..1."""
    matrix, offset = (floats(part) for part in look.affine())
    return np.clip(picture @ matrix.T + offset, 0, 1)


def chosen(
    noise: Float[Tensor, "views channels rows columns"], together: int
) -> Int[Tensor, " views"]:
    """Which of its style's looks, 0 or 1, every view takes; so many in a row go together."""
    return (_statistic(noise, together) > 0).long()


def _statistic(noise: Tensor, together: int) -> Float[Tensor, " views"]:
    means = noise[:, OFFSET.channel].mean((1, 2)).unflatten(0, (-1, together)).mean(1)
    return means.repeat_interleave(together)


def recoloured_latents(
    clean: Float[Tensor, "views channels rows columns"],
    style: Int[Tensor, " views"],
    look: Int[Tensor, " views"],
) -> Float[Tensor, "views channels rows columns"]:
    """Latents of a style's pictures in a look of it; `style` indexes `STYLES`.

    Left out is what only pixels tell: clipping, and colour in detail that has no chroma channel.
    """
    matrices, offsets = _maps()
    style = style.long()  # torch takes an index of bytes for a mask
    matrix, offset = matrices[style, look], offsets[style, look]
    return torch.einsum("vij,vjrc->virc", matrix, clean) + offset[:, :, None, None]


@cache
def _maps() -> tuple[
    Float[Tensor, "styles 2 channels channels"], Float[Tensor, "styles 2 channels"]
]:
    maps = [
        [latents.colour_map(*look.affine()) for look in LOOKS.get(style, (UNCHANGED, UNCHANGED))]
        for style in STYLES
    ]
    matrices, offsets = (
        torch.stack([torch.stack([pair[part] for pair in row]) for row in maps]) for part in (0, 1)
    )
    return matrices, offsets
