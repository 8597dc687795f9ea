"""Figures where they arise: errors and changes of every pixel as colours."""

import numpy as np
from jaxtyping import Bool, Float

Map = Float[np.ndarray, "height width"]
Picture = Float[np.ndarray, "height width 3"]

_UNKNOWN = (0.55, 0.55, 0.55)
_ERRORS, _CHANGES = "magma", "RdBu"


def error_map(errors: Map, *, top: float) -> Picture:
    """Errors from black (0) over red to pale yellow (`top` and above); grey where they are NaN."""
    return _coloured(errors / top, _ERRORS)


def depth_change_map(
    before_z: Map, after_z: Map, is_surface: Bool[np.ndarray, "height width"], *, limit: float
) -> Picture:
    """Relative change of depth: white unchanged, red nearer, blue farther, grey off all surfaces.

    Args:
        before_z: z-depth before the edit.
        after_z: z-depth of the same camera after it.
        is_surface: Pixels that show a surface.
        limit: |ln(after / before)| of the deepest red and blue.
    """
    change = np.full(before_z.shape, np.nan)
    change[is_surface] = np.log(after_z[is_surface] / before_z[is_surface])
    return _coloured((change / limit + 1) / 2, _CHANGES)


def scale_bar(kind: str, *, width: int = 256, height: int = 12) -> Picture:
    """The colours of a map from its low to its high end; `kind` is "errors" or "changes"."""
    ramp = np.tile(np.linspace(0, 1, width), (height, 1))
    return _coloured(ramp, {"errors": _ERRORS, "changes": _CHANGES}[kind])


def _coloured(shares: Map, name: str) -> Picture:
    from matplotlib import colormaps

    coloured = colormaps[name](np.nan_to_num(np.clip(shares, 0, 1)))[..., :3]
    return np.where(np.isnan(shares)[..., None], _UNKNOWN, coloured).astype(np.float32)
