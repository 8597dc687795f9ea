"""Warp consistency: does a surface point keep its colour when another frame looks at it?

The geometry is always the *source* field's, so that an edit cannot help itself by bending its own.
Frame i is the later, frame j the earlier of a pair: j = i - gap; gap 1 is the short range, 7 the
long.
"""

from collections.abc import Callable, Sequence
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
        cameras: Cameras of the frames, in the order of the path.
        gap: Frames between the two of a pair.
        tau: Tolerated fraction of the distance.
    """
    pairs = [(i, i - gap) for i in range(gap, len(cameras))]
    return link_pairs(depths_z, cameras, pairs, tau=tau)


def link_pairs(
    depths_z: Sequence[Float[np.ndarray, "height width"]],
    cameras: Sequence[PinholeCamera],
    pairs: Sequence[tuple[int, int]],
    *,
    tau: float,
) -> list[ViewLink]:
    """Link any pairs (i, j) of views, which may differ in size, as `link_views` does."""
    return [
        ViewLink(i, j, *correspondences(depths_z[j], cameras[j], depths_z[i], cameras[i], tau=tau))
        for i, j in pairs
    ]


def nearest_pairs(cameras: Sequence[PinholeCamera]) -> list[tuple[int, int]]:
    """Every view with the one that was taken nearest to it, each pair once.

    For the views of a capture, which need not be in the order of a path.
    """
    centres = np.stack([camera.c2w_opengl[:3, 3] for camera in cameras])
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1).tolist()
    return sorted({(max(pair), min(pair)) for pair in enumerate(nearest)})


def warp_errors(
    frames: Sequence[Float[np.ndarray, "height width 3"]], links: Sequence[ViewLink]
) -> Float[np.ndarray, " overlapping_pairs"]:
    """Warp error of each pair, sqrt( sum m |I_i(q) - I_j(p)|^2 / (3 sum m) ).

    0 if every visible point keeps its colour; a view-dependent sheen, resampling and an inexact
    depth raise it, hence the same figure of the source renders belongs beside it. Pairs that share
    no visible point have no error and are left out.

    Args:
        frames: RGB in [0, 1], source or edited, of the cameras that were linked.
        links: Pairs of frames, from `link_views` or `link_pairs`.

    Raises:
        ArtifactError: If no pair shares a visible point.

    Source: Lai et al. 2018, "Learning Blind Video Temporal Consistency", arXiv:1808.00449, section
        4.2; theirs warps by optical flow, and its figure is the mean square.
    """
    maps = (warp_residual(frames, link) for link in links if link.is_visible.any())
    return _over_pairs([_root_mean_square(residual) for residual in maps], len(links))


def warp_residual(
    frames: Sequence[Float[np.ndarray, "_ _ 3"]], link: ViewLink
) -> Float[np.ndarray, "height width"]:
    """Disagreement of a pair: |I_i(q) - I_j(p)| / sqrt(3) per pixel p of frame j, else NaN.

    The root of its mean square is the pair's warp error.
    """
    warped = sample_bilinear(frames[link.i], link.pixels).astype(np.float64)
    residual = np.sqrt(np.mean(np.square(warped - frames[link.j]), axis=-1))
    return np.where(link.is_visible, residual, np.nan)


def perceptual_warp_errors(
    frames: Sequence[Float[np.ndarray, "_ _ 3"]],
    links: Sequence[ViewLink],
    distance_map: Callable[
        [Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width 3"]],
        Float[np.ndarray, "height width"],
    ],
) -> Float[np.ndarray, " overlapping_pairs"]:
    """Warp error of each pair in a perceptual distance, sum m d(p) / sum m.

    Frame i is warped onto frame j; what does not show there is filled with frame j itself, so that
    no seam is compared.

    Args:
        frames: RGB in [0, 1], source or edited, of the cameras that were linked.
        links: Pairs of frames, from `link_views` or `link_pairs`.
        distance_map: Distance of two images at every pixel, such as `metrics.perceptual`'s.

    Raises:
        ArtifactError: If no pair shares a visible point.
    """
    errors = []
    for link in links:
        if link.is_visible.any():
            warped, frame = sample_bilinear(frames[link.i], link.pixels), frames[link.j]
            filled = np.where(link.is_visible[..., None], warped, frame)
            errors.append(float(distance_map(filled, frame)[link.is_visible].mean()))
    return _over_pairs(errors, len(links))


def visible_share(links: Sequence[ViewLink]) -> float:
    """Share of pixels, over all pairs, that a warp error rests on."""
    return float(np.mean([link.is_visible.mean() for link in links]))


def _root_mean_square(residual: Float[np.ndarray, "height width"]) -> float:
    return float(np.sqrt(np.nanmean(np.square(residual))))


def _over_pairs(errors: list[float], num_pairs: int) -> Float[np.ndarray, " overlapping_pairs"]:
    if not errors:
        raise ArtifactError(
            f"None of {num_pairs} pairs of frames sees a common surface: the source field is empty "
            "or the path too coarse. Train for longer, or raise evaluate.num_frames."
        )
    return np.array(errors)
