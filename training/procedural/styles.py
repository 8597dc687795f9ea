"""Eighteen named styles as filters over a scene's buffers.

A filter is a function of what a photograph and its depth show wherever it can be: hatching, dots
and tiles are locked to the 8-pixel blocks of the latent grid, cracks and strokes follow the texture
and the shape. What only chance decides is kept faint, since a model can learn no more than its
mean.
"""

from collections.abc import Callable

import numpy as np

from training.procedural import drawings, materials
from training.procedural.filters import Picture
from training.procedural.raycast import Buffers

STYLES: dict[str, Callable[[Buffers, np.random.Generator], Picture]] = {
    "photo": materials.photo,
    "watercolor": drawings.watercolor,
    "pencil": drawings.pencil,
    "ukiyo-e": drawings.ukiyoe,
    "neon": materials.neon,
    "winter": materials.winter,
    "autumn": materials.autumn,
    "bronze": materials.bronze,
    "oil": drawings.oil,
    "blueprint": drawings.blueprint,
    "lava": materials.lava,
    "comic": drawings.comic,
    "stained-glass": drawings.stained_glass,
    "mosaic": drawings.mosaic,
    "chalkboard": drawings.chalkboard,
    "marble": materials.marble,
    "ice": materials.ice,
    "moss": materials.moss,
    "sepia": materials.sepia,
}
"""every style by name, the photograph first"""


def stylize(buffers: Buffers, style: str, seed: int) -> Picture:
    """The scene's photograph redrawn in a style of `STYLES`; same inputs, same bytes."""
    picture = STYLES[style](buffers, np.random.default_rng(seed))
    return np.clip(picture, 0, 1).astype(np.float32)
