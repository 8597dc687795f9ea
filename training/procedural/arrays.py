"""Single precision throughout: constants enter the arithmetic as float32 arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def floats(values: np.ndarray | Sequence[object]) -> NDArray[np.float32]:
    """The values as a float32 array."""
    return np.asarray(values, dtype=np.float32)
