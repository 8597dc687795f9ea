"""Warp consistency: does a surface point keep its colour when another frame looks at it?

The geometry is always the *source* field's, so that an edit cannot help itself by bending its own.
Frame i is the later, frame j the earlier of a pair: j = i - gap; gap 1 is the short range, 7 the long.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError
from scenestyle.geometry import correspondences, sample_bilinear


@dataclass(frozen=True)
class ViewLink:
    """Where frame i sees what each pixel of frame j shows."""

    i: int
    """index of the later frame, which is looked up"""
    j: int
    """index of the earlier frame, which is lifted to 3D"""
    pixels: Float[np.ndarray, "height width 2"]
    """q: pixel coordinates (x, y) in frame i, per pixel p of frame j"""
    is_visible: Bool[np.ndarray, "height width"]
    """m: whether frame i sees the point of p, not something in front of it"""


def link_views(
    depths_z: Sequence[Float[np.ndarray, "height width"]],
    cameras: Sequence[PinholeCamera],
    *,
    gap: int,
    tau: float,
) -> list[ViewLink]:
    """Link every frame of a path to the frame `gap` before it, by the source field's geometry.

    X = o_j + D_j(p) r_j(p) is projected to frame i at q, and p counts where
    |dist(o_i, X) - D_i(q)| < tau dist(o_i, X).

    Args:
        depths_z: Source z-depth per frame, scene units; NaN where there is no surface.
        cameras: Of the frames, in the order of the path.
        gap: Frames between the two of a pair.
        tau: Tolerated share of the distance.
    """
    return [
        ViewLink(
            i,
            i - gap,
            *correspondences(depths_z[i - gap], cameras[i - gap], depths_z[i], cameras[i], tau=tau),
        )
        for i in range(gap, len(cameras))
    ]


def warp_errors(
    frames: Sequence[Float[np.ndarray, "height width 3"]], links: Sequence[ViewLink]
) -> Float[np.ndarray, " overlapping_pairs"]:
    """Warp error of each pair, sqrt( sum m |I_i(q) - I_j(p)|^2 / (3 sum m) ).

    0 if every visible point keeps its colour; a view-dependent sheen, resampling and an inexact
    depth raise it, hence the same figure of the source renders belongs beside it. Pairs that share
    no visible point have no error and are left out.

    Args:
        frames: RGB in [0, 1], source or edited, of the cameras that were linked.
        links: From `link_views`.

    Raises:
        ArtifactError: If no pair shares a visible point.

    Source: Lai et al. 2018, "Learning Blind Video Temporal Consistency", arXiv:1808.00449, section
        4.2; theirs warps by optical flow, and its figure is the mean square.
    """
    errors = [
        _masked_rmse(sample_bilinear(frames[link.i], link.pixels), frames[link.j], link.is_visible)
        for link in links
        if link.is_visible.any()
    ]
    if not errors:
        raise ArtifactError(
            f"None of {len(links)} pairs of frames sees a common surface: the source field is empty "
            "or the path too coarse. Train for longer, or raise evaluate.num_frames."
        )
    return np.array(errors)


def visible_share(links: Sequence[ViewLink]) -> float:
    """Share of pixels, over all pairs, that a warp error rests on."""
    return float(np.mean([link.is_visible.mean() for link in links]))


def _masked_rmse(
    warped: Float[np.ndarray, "height width 3"],
    frame: Float[np.ndarray, "height width 3"],
    mask: Bool[np.ndarray, "height width"],
) -> float:
    return float(np.sqrt(np.mean(np.square(warped[mask].astype(np.float64) - frame[mask]))))
