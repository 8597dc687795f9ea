"""Initial noise that sticks to the scene: one surface starts from the same numbers in all views.

Noise that is the same for all views is fixed to the screen: between views it slides over the
surfaces, and what the model draws into it slides with it. Here the cells of a view's latents take
their numbers from the views that were given theirs before and see the same surface, through the
source's depth. A number is handed on whole and used at most once in a view, so that each view by
itself keeps what the model was trained on: independent normal numbers, every one of them.
Interpolating them would blur the noise and take its variance; handing one on twice would tie two
cells together (Chang et al. 2024, "How I Warped Your Noise", arXiv:2504.03072, who solve it by
drawing noise of a higher resolution).
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import correspondences

_NUM_SOURCES = 8
"""views from which a view takes numbers; the nearest cameras of those before it"""
_TAU = 0.02
"""share of the distance by which two depths of one point may differ"""
_FURTHER_DRAWS = 2**40
"""added to the seed for the numbers that no pipeline draws; seeds are below 2**32"""


Depths = Sequence[Float[np.ndarray, "_height _width"]]
Sizes = Sequence[tuple[int, int]]
"""rows and columns of each view's latents"""
Draws = list[Int[np.ndarray, "_rows _columns"]]


class CarriedNoise:
    """Which draw every cell of every view takes."""

    def __init__(self, depths_z: Depths, cameras: Sequence[PinholeCamera], sizes: Sizes) -> None:
        """Follow the surfaces from view to view.

        Args:
            depths_z: z-depth of the source, scene units; NaN where there is no surface.
            cameras: Of the views, each of the size of its depth.
            sizes: Rows and columns of each view's latents.
        """
        self.draws = carried_draws(depths_z, cameras, sizes)
        self.first = nearest_first(_centres(cameras))[0]
        """the view whose draws are the first, from 0 on"""

    def of(
        self, first: Float[Tensor, "1 channels rows columns"], seed: int
    ) -> list[Float[Tensor, "1 channels _rows _columns"]]:
        """The noise of all views.

        Args:
            first: Standard normal; of the view `first`.
            seed: Of the further draws, for what no view has seen before.
        """
        channels, rows, columns = first.shape[1:]
        generator = torch.Generator().manual_seed(_FURTHER_DRAWS + seed)
        num_further = max(int(draws.max()) for draws in self.draws) + 1 - rows * columns
        further = torch.randn(num_further, channels, generator=generator)
        numbers = torch.cat([first[0].flatten(1).T.cpu().float(), further])
        return [
            numbers[torch.from_numpy(draws)].movedim(-1, 0)[None].to(first) for draws in self.draws
        ]


def carried_draws(depths_z: Depths, cameras: Sequence[PinholeCamera], sizes: Sizes) -> Draws:
    """Number of the draw that each cell takes; equal where two views see the same surface.

    The view whose camera is nearest to the middle has the draws from 0 on, in reading order. Always
    the nearest to those that have theirs comes next. Its cells take the draw of the cell that sees
    the same surface, first in the nearest camera; where several want the same draw, the one whose
    centre falls nearest to that cell's centre has it. The rest are new.
    """
    centres = _centres(cameras)
    order = nearest_first(centres)
    draws = [np.full(rows * columns, -1) for rows, columns in sizes]
    num_draws = draws[order[0]].size
    draws[order[0]] = np.arange(num_draws)
    for position, view in enumerate(order[1:], 1):
        gaps = np.linalg.norm(centres[order[:position]] - centres[view], axis=1)
        for source in np.argsort(gaps, kind="stable")[:_NUM_SOURCES]:
            other = order[source]
            pixels, is_visible = correspondences(
                depths_z[view], cameras[view], depths_z[other], cameras[other], tau=_TAU
            )
            camera = cameras[other]
            found = _at_cells(
                pixels, is_visible, sizes[view], (camera.height, camera.width), sizes[other]
            )
            _take(draws[view], draws[other], *found)
        is_new = draws[view] < 0
        draws[view][is_new] = num_draws + np.arange(is_new.sum())
        num_draws += int(is_new.sum())
    return [each.reshape(size) for each, size in zip(draws, sizes, strict=True)]


def nearest_first(centres: Float[np.ndarray, "cameras 3"]) -> list[int]:
    """The camera nearest to the mean centre, then always the one nearest to any before it."""
    order = [int(np.argmin(np.linalg.norm(centres - centres.mean(0), axis=1)))]
    gaps = np.full(len(centres), np.inf)
    while len(order) < len(centres):
        gaps = np.minimum(gaps, np.linalg.norm(centres - centres[order[-1]], axis=1))
        gaps[order] = np.inf
        order.append(int(np.argmin(gaps)))
    return order


def _centres(cameras: Sequence[PinholeCamera]) -> Float[np.ndarray, "cameras 3"]:
    return np.stack([camera.c2w_opengl[:3, 3] for camera in cameras])


def _at_cells(
    pixels: Float[np.ndarray, "height width 2"],
    is_visible: Bool[np.ndarray, "height width"],
    own_cells: tuple[int, int],
    other_size: tuple[int, int],
    other_cells: tuple[int, int],
) -> tuple[Int[np.ndarray, " cells"], Float[np.ndarray, " cells"], Bool[np.ndarray, " cells"]]:
    """For each cell's middle pixel: the other view's cell, distance to its centre, whether seen.

    Sizes are rows and columns, of a view's pixels or of its cells. Depth is read at one pixel, not
    averaged: between two surfaces there is none. What lies between the centres of pixel and cell is
    the same in both views, to first order.
    """
    size, cells = np.array(other_size), np.array(other_cells)
    pairs = zip(is_visible.shape, own_cells, strict=True)
    centres = [(np.arange(n) + 0.5) * of / n for of, n in pairs]
    middle = np.ix_(*(centre.astype(int) for centre in centres))
    aside = np.stack(np.meshgrid(*(c - c.astype(int) - 0.5 for c in centres), indexing="ij"), -1)
    shows = is_visible[middle]
    places = np.where(shows[..., None], pixels[middle][..., ::-1], 0) + aside
    places = (places * cells / size).reshape(-1, 2)
    found = np.clip(np.floor(places).astype(int), 0, cells - 1)
    misfit = np.square(places - found - 0.5).sum(1)
    return found[:, 0] * cells[1] + found[:, 1], misfit, shows.ravel()


def _take(
    own: Int[np.ndarray, " cells"],
    others: Int[np.ndarray, " cells"],
    found: Int[np.ndarray, " cells"],
    misfit: Float[np.ndarray, " cells"],
    shows: Bool[np.ndarray, " cells"],
) -> None:
    """Fill a view's empty cells, in place, with another's draws where both see the same."""
    wanted = others[found]
    candidates = np.flatnonzero(shows & (own < 0) & ~np.isin(wanted, own))
    candidates = candidates[np.argsort(misfit[candidates], kind="stable")]
    _, first = np.unique(wanted[candidates], return_index=True)
    own[candidates[first]] = wanted[candidates[first]]
