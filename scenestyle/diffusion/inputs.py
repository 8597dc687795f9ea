"""Rendered views as the diffusion model wants them: pictures, and disparity for its ControlNet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from scenestyle.artifacts import ViewsFolder
from scenestyle.cameras import PinholeCamera
from scenestyle.geometry.depth import disparity_from_z


@dataclass(frozen=True)
class RenderedViews:
    """Views of one scene, each with its maps; sizes may differ."""

    names: Sequence[str]
    rgb: Sequence[Float[np.ndarray, "_height _width 3"]]
    """0..1"""
    disparity: Sequence[Float[np.ndarray, "_height _width"]]
    """1 / z-depth, 0..1 on one scale for the whole scene; near is bright, empty space 0"""
    depth_z: Sequence[Float[np.ndarray, "_height _width"]]
    """scene units; NaN in empty space and where the photo is hidden"""
    cameras: Sequence[PinholeCamera]
    """where they were rendered from, in the field's frame"""
    cover: Sequence[Float[np.ndarray, "_height _width"]] | None = None
    """how much of each pixel there is to be painted, 0..1: where a photo was cut out, the opacity,
    and no style is painted on nothing; None: all of all views"""

    def pick(self, indices: Sequence[int]) -> "RenderedViews":
        """Some of the views; their disparities stay on the whole scene's scale."""
        return RenderedViews(
            [self.names[index] for index in indices],
            [self.rgb[index] for index in indices],
            [self.disparity[index] for index in indices],
            [self.depth_z[index] for index in indices],
            [self.cameras[index] for index in indices],
            self.cover and [self.cover[index] for index in indices],
        )


def evenly_spaced(num_views: int, count: int) -> list[int]:
    """Indices of at most `count` of `num_views` views: the middle ones of `count` equal runs.

    So no two are neighbours where the cameras go once round the scene, and the last view is beside
    the first.
    """
    count = min(count, num_views)
    return [(2 * run + 1) * num_views // (2 * count) for run in range(count)]


def read_rendered_views(folder: Path) -> RenderedViews:
    """Read a views folder in the order of its cameras.

    Raises:
        ArtifactError: If files are missing, unreadable or not of their view's size, or the field
            was empty.
    """
    source = ViewsFolder.open(folder)
    rgb, depths_z, opacities, surfaces_z = (
        [read(view) for view in source.views]
        for read in (source.rgb, source.depth_z, source.opacity, source.surface_z)
    )
    cover = [
        opacity if view.is_cut_out else np.ones_like(opacity)
        for view, opacity in zip(source.views, opacities, strict=True)
    ]
    return RenderedViews(
        source.names,
        rgb,
        disparity_from_z(depths_z, opacities),
        surfaces_z,
        [view.camera for view in source.views],
        cover if any(view.is_cut_out for view in source.views) else None,
    )
