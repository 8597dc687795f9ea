"""How close renders come to the style they were pulled towards."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

Picture = Float[np.ndarray, "_ _ 3"]


def style_distances(
    renders: Sequence[Picture],
    stylized: Sequence[Picture],
    distance: Callable[[Picture, Picture], float],
) -> Float[np.ndarray, " views"]:
    """Distance of every render to the stylized view of the same camera.

    Over held-out views it tells fitting from memory: no stylized view of theirs was trained on.

    Args:
        renders: RGB in [0, 1].
        stylized: The stylized views of the same cameras, of the same sizes.
        distance: Between two images, 0 if they are equal; for the held-out SWD the sliced
            Wasserstein distance of their features along fixed directions.
    """
    return np.array([distance(x, y) for x, y in zip(renders, stylized, strict=True)])
