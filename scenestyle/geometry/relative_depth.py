"""Disparities known up to a scale and shift per view, brought to the scale of the scene.

A monocular estimator sees one image at a time and says which surface is nearer, not how near:
with d the true disparity 1/z, it gives m = (d - shift) / scale with a scale and a shift of its own
for every image (Ranftl et al. 2020, "Towards Robust Monocular Depth Estimation",
arXiv:1907.01341).
"""

import numpy as np
from jaxtyping import Bool, Float

from scenestyle.geometry.depth import Maps

_MIN_SURFACE = 0.05
"""fraction of a view that must show known surface for its scale and shift to be fitted"""
_MAX_POINTS = 10_000
"""most points used in a fit; larger sets are subsampled evenly"""
_NUM_PAIRS = 300
"""lines that are tried; with half of the points wrong, the chance that no pair is good is below
1e-30"""
_ROUNDS = 20
"""rounds of reweighting"""
_TUKEY = 4.685
"""deviations beyond which a residual counts for nothing; keeps 95 % efficiency under Gaussian
noise"""
_ENDS = (1.0, 99.0)
"""percentiles that stand for the nearest and the farthest of a view"""


def fit_line(
    x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"]
) -> tuple[float, float]:
    """Scale and shift of the line y = scale x + shift through most points, whatever the others do.

    Of the lines through many pairs of points the one with the least median residual (Rousseeuw
    1984, "Least Median of Squares Regression"), and from there Tukey's biweight at the scale of
    that residual, which forgets gross outliers altogether. Exact if more than half of the points
    lie on a line. The pairs are always the same for as many points. If all `x` are equal the scale
    is 0.
    """
    stride = -(-len(x) // _MAX_POINTS)
    x, y = x[::stride].astype(np.float64), y[::stride].astype(np.float64)
    first, second = np.random.default_rng(0).integers(len(x), size=(2, _NUM_PAIRS))
    differ = x[first] != x[second]
    if not differ.any():
        return 0.0, float(np.median(y))
    first, second = first[differ], second[differ]
    scales = (y[second] - y[first]) / (x[second] - x[first])
    shifts = y[first] - scales * x[first]
    medians = np.array(
        [np.median(np.abs(a * x + b - y)) for a, b in zip(scales, shifts, strict=True)]
    )
    best = int(np.argmin(medians))
    scale, shift = float(scales[best]), float(shifts[best])
    cut = _TUKEY * max(1.4826 * medians[best], 1e-9 * np.ptp(y), np.finfo(np.float64).tiny)
    for _ in range(_ROUNDS):
        residuals = (scale * x + shift - y) / cut
        scale, shift = _weighted_line(x, y, np.maximum(1 - residuals**2, 0) ** 2)
    return scale, shift


def on_one_scale(
    relative: Maps, depths_z: Maps
) -> tuple[list[Float[np.ndarray, "_height _width"]], Bool[np.ndarray, " views"]]:
    """Relative disparities of all views as disparities of the scene.

    Args:
        relative: Larger is nearer, each view with a scale and a shift of its own.
        depths_z: z-depth of the same pixels, scene units, as far as it is known; NaN elsewhere.
            Some of it may be wrong. Some view must have a surface.

    Returns:
        Disparities in 1 / scene units, and which views were fitted to their own depth. The others
        (too little surface, or an estimate that falls where the scene comes nearer) are stretched
        to the range of the scene.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        known = [np.where(depth_z > 0, 1 / depth_z, np.nan) for depth_z in depths_z]
    lines = [_fit_view(m, d) for m, d in zip(relative, known, strict=True)]
    is_fitted = np.array([line is not None for line in lines])
    scene_ends = np.nanpercentile(np.concatenate([each.ravel() for each in known]), _ENDS)
    lines = [line or _stretch(m, scene_ends) for line, m in zip(lines, relative, strict=True)]
    on_scale = [
        (np.float64(scale) * each + np.float64(shift)).astype(each.dtype)
        for (scale, shift), each in zip(lines, relative, strict=True)
    ]
    return on_scale, is_fitted


def _fit_view(
    relative: Float[np.ndarray, "height width"], known: Float[np.ndarray, "height width"]
) -> tuple[float, float] | None:
    is_known = np.isfinite(known)
    if is_known.mean() < _MIN_SURFACE:
        return None
    scale, shift = fit_line(relative[is_known], known[is_known])
    return (scale, shift) if scale > 0 else None


def _stretch(
    relative: Float[np.ndarray, "height width"], ends: Float[np.ndarray, " 2"]
) -> tuple[float, float]:
    far, near = np.percentile(relative, _ENDS)
    scale = (ends[1] - ends[0]) / max(near - far, np.finfo(np.float32).tiny)
    return float(scale), float(ends[0] - scale * far)


def _weighted_line(
    x: Float[np.ndarray, " points"],
    y: Float[np.ndarray, " points"],
    weights: Float[np.ndarray, " points"],
) -> tuple[float, float]:
    mean_x, mean_y = np.average(x, weights=weights), np.average(y, weights=weights)
    variance = np.average((x - mean_x) ** 2, weights=weights)
    if variance <= 0:
        return 0.0, float(mean_y)
    scale = np.average((x - mean_x) * (y - mean_y), weights=weights) / variance
    return float(scale), float(mean_y - scale * mean_x)
