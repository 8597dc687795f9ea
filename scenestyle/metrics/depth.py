"""Whether an edit left the geometry where it was."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from scenestyle.errors import ArtifactError

_MAX_RATIO = 1.25


@dataclass(frozen=True)
class DepthChange:
    """Two standard figures of how far one depth lies from another."""

    abs_rel: float
    """mean of |after - before| / before; 0 is unchanged"""
    delta_125: float
    """share of pixels with max(after / before, before / after) < 1.25; 1 is unchanged"""


def depth_change(
    before_z: Sequence[Float[np.ndarray, "_ _"]],
    after_z: Sequence[Float[np.ndarray, "_ _"]],
    is_surface: Sequence[Bool[np.ndarray, "_ _"]],
) -> DepthChange:
    """Compare z-depths of the same cameras before and after an edit, pooled over all views.

    Args:
        before_z: z-depth of the source field, scene units.
        after_z: z-depth of the edited field, scene units.
        is_surface: Pixels to compare, where the source field is opaque (opacity > 0.5).

    Raises:
        ArtifactError: If no pixel is on a surface.

    Source: Eigen et al. 2014, "Depth Map Prediction from a Single Image using a Multi-Scale Deep
        Network", arXiv:1406.2283, section 3 (threshold and absolute relative difference).
    """
    masked = list(zip(before_z, after_z, is_surface, strict=True))
    before = np.concatenate([depth_z[mask] for depth_z, _, mask in masked]).astype(np.float64)
    after = np.concatenate([depth_z[mask] for _, depth_z, mask in masked]).astype(np.float64)
    if before.size == 0:
        raise ArtifactError(
            "No pixel of the source renders is opaque, so there is no depth to compare: the source "
            "field is empty. Train it for longer (train_nerf.iterations)."
        )
    return DepthChange(
        abs_rel=float(np.mean(np.abs(after - before) / before)),
        delta_125=float(np.mean(np.maximum(after / before, before / after) < _MAX_RATIO)),
    )
