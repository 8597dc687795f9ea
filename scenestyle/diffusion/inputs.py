"""Rendered views as the diffusion model wants them: pictures, and disparity for its ControlNet."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from scenestyle.artifacts import MIN_OPACITY, ViewsFolder
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError
from scenestyle.geometry.depth import disparity_from_z


@dataclass(frozen=True)
class RenderedViews:
    """Views of one scene, all of one size."""

    names: Sequence[str]
    rgb: Float[np.ndarray, "views height width 3"]
    """0..1"""
    disparity: Float[np.ndarray, "views height width"]
    """1 / z-depth, 0..1 on one scale for the whole scene; near is bright, empty space 0"""
    depth_z: Float[np.ndarray, "views height width"]
    """scene units; NaN in empty space"""
    cameras: Sequence[PinholeCamera]
    """where they were rendered from, in the field's frame"""

    def pick(self, indices: Sequence[int]) -> "RenderedViews":
        """Some of the views; their disparities stay on the whole scene's scale."""
        chosen = list(indices)
        return RenderedViews(
            [self.names[index] for index in chosen],
            self.rgb[chosen],
            self.disparity[chosen],
            self.depth_z[chosen],
            [self.cameras[index] for index in chosen],
        )


def evenly_spaced(num_views: int, count: int) -> list[int]:
    """Indices of at most `count` of `num_views` views, the first and the last among them."""
    return np.linspace(0, num_views - 1, min(count, num_views)).round().astype(int).tolist()


def read_rendered_views(folder: Path) -> RenderedViews:
    """Read a views folder in the order of its cameras.

    Raises:
        ArtifactError: If files are missing or unreadable, the field was empty, or the views are
            not all of one size: they are restyled as one batch.
    """
    source = ViewsFolder.open(folder)
    rgb, depth_z, opacity = (
        [read(view) for view in source.views]
        for read in (source.rgb, source.depth_z, source.opacity)
    )
    sizes = {image.shape[:2] for image in (*rgb, *depth_z, *opacity)}
    if len(sizes) != 1:
        listed = ", ".join(sorted(f"{width}x{height}" for height, width in sizes))
        raise ArtifactError(
            f"{folder}: the views are restyled as one batch and must have one size, but have "
            f"{len(sizes)} ({listed}). Use photos of one size and orientation per scene."
        )
    depths_z, opacities = np.stack(depth_z), np.stack(opacity)
    return RenderedViews(
        source.names,
        np.stack(rgb),
        disparity_from_z(depths_z, opacities),
        np.where(opacities > MIN_OPACITY, depths_z, np.nan),
        [view.camera for view in source.views],
    )
