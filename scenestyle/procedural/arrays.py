"""Single precision throughout: constants enter the arithmetic as float32 arrays."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def floats(values: ArrayLike) -> NDArray[np.float32]:
    """The values as a float32 array."""
    return np.asarray(values, dtype=np.float32)
