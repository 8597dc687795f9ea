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

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenestyle.cameras import PinholeCamera
from scenestyle.diffusion.seams import replaced
from scenestyle.geometry import correspondences

_NUM_SOURCES = 8
"""views from which a view takes numbers; the nearest cameras of those before it"""
_TAU = 0.02
"""share of the distance by which two depths of one point may differ"""
_FURTHER_DRAWS = 2**40
"""added to the seed for the numbers that no pipeline draws; seeds are below 2**32"""


class CarriedNoise:
    """Which draw every cell of every view takes."""

    def __init__(
        self,
        depths_z: Float[np.ndarray, "views height width"],
        cameras: Sequence[PinholeCamera],
        latent_size: tuple[int, int],
    ) -> None:
        """Follow the surfaces from view to view.

        Args:
            depths_z: z-depth of the source, scene units; NaN where there is no surface.
            cameras: Of the views, of the size of the depths.
            latent_size: Rows and columns of a view's latents.
        """
        self.draws = carried_draws(depths_z, cameras, latent_size)

    def of(
        self, first: Float[Tensor, "channels rows columns"], seed: int
    ) -> Float[Tensor, "views channels rows columns"]:
        """The noise of all views.

        Args:
            first: Standard normal; of the view from which the others take theirs.
            seed: Of the further draws, for what no view has seen before.
        """
        channels, rows, columns = first.shape
        generator = torch.Generator().manual_seed(_FURTHER_DRAWS + seed)
        num_further = int(self.draws.max()) + 1 - rows * columns
        further = torch.randn(num_further, channels, generator=generator)
        numbers = torch.cat([first.flatten(1).T.cpu().float(), further])
        return numbers[torch.from_numpy(self.draws)].movedim(-1, 1).to(first)


def carried_draws(
    depths_z: Float[np.ndarray, "views height width"],
    cameras: Sequence[PinholeCamera],
    latent_size: tuple[int, int],
) -> Int[np.ndarray, "views rows columns"]:
    """Number of the draw that each cell takes; equal where two views see the same surface.

    The view whose camera is nearest to the middle has the draws from 0 on, in reading order. Always
    the nearest to those that have theirs comes next. Its cells take the draw of the cell that sees
    the same surface, first in the nearest camera; where several want the same draw, the one whose
    centre falls nearest to that cell's centre has it. The rest are new.
    """
    rows, columns = latent_size
    num_cells = rows * columns
    centres = np.stack([camera.c2w_opengl[:3, 3] for camera in cameras])
    order = nearest_first(centres)
    draws = np.full((len(cameras), num_cells), -1)
    draws[order[0]] = np.arange(num_cells)
    num_draws = num_cells
    for position, view in enumerate(order[1:], 1):
        gaps = np.linalg.norm(centres[order[:position]] - centres[view], axis=1)
        for source in np.argsort(gaps, kind="stable")[:_NUM_SOURCES]:
            other = order[source]
            found = correspondences(
                depths_z[view], cameras[view], depths_z[other], cameras[other], tau=_TAU
            )
            _take(draws[view], draws[other], *_at_cells(*found, latent_size))
        is_new = draws[view] < 0
        draws[view][is_new] = num_draws + np.arange(is_new.sum())
        num_draws += int(is_new.sum())
    return draws.reshape(-1, rows, columns)


def nearest_first(centres: Float[np.ndarray, "cameras 3"]) -> list[int]:
    """The camera nearest to the mean centre, then always the one nearest to any before it."""
    order = [int(np.argmin(np.linalg.norm(centres - centres.mean(0), axis=1)))]
    gaps = np.full(len(centres), np.inf)
    while len(order) < len(centres):
        gaps = np.minimum(gaps, np.linalg.norm(centres - centres[order[-1]], axis=1))
        gaps[order] = np.inf
        order.append(int(np.argmin(gaps)))
    return order


def _at_cells(
    pixels: Float[np.ndarray, "height width 2"],
    is_visible: Bool[np.ndarray, "height width"],
    latent_size: tuple[int, int],
) -> tuple[Int[np.ndarray, " cells"], Float[np.ndarray, " cells"], Bool[np.ndarray, " cells"]]:
    """For each cell's middle pixel: the other view's cell, distance to its centre, whether seen.

    Depth is read at one pixel, not averaged: between two surfaces there is none. What lies between
    the centres of pixel and cell is the same in both views, to first order.
    """
    size, cells = np.array(is_visible.shape), np.array(latent_size)
    centres = [(np.arange(n) + 0.5) * of / n for of, n in zip(size, cells, strict=True)]
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


@contextmanager
def carried_noise(scheduler: Any, noise: CarriedNoise | None, seed: int) -> Iterator[None]:
    """Within the block, `scheduler` adds this noise to the views; None: what the pipeline draws."""
    if noise is None:
        yield
        return
    add_noise = scheduler.add_noise

    def add_carried(samples: Tensor, drawn: Tensor, timesteps: Tensor) -> Tensor:
        return add_noise(samples, noise.of(drawn[0], seed).to(drawn), timesteps)

    with replaced(scheduler, "add_noise", add_carried):
        yield
