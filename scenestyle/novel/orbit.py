"""The novel path on which a scene is shown: about what its views look at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from scenestyle.artifacts import View, ViewsFolder
from scenestyle.cameras import PinholeCamera, fit_within
from scenestyle.geometry import focus_from_depths, smooth_orbit

Map = Float[np.ndarray, "height width"]


def read_surfaces(views: Path) -> tuple[Sequence[View], list[Map]]:
    """The posed views of a folder that render_views wrote, and what depth each sees.

    Raises:
        ArtifactError: If a file is missing or damaged.
    """
    source = ViewsFolder.open(views)
    return source.views, [source.surface_z(view) for view in source.views]


def novel_path(
    posed: Sequence[View], surfaces_z: Sequence[Map], num_frames: int, *, max_side: int | None
) -> list[PinholeCamera]:
    """A smooth closed orbit about what the views look at.

    Args:
        posed: The views of the capture.
        surfaces_z: Their z-depths, NaN where there is no surface.
        num_frames: Cameras on the path.
        max_side: Long side of their images, pixels; never larger than the views', as which None
            leaves it.
    """
    cameras = [view.camera for view in posed]
    focus = focus_from_depths(cameras, surfaces_z)
    path = smooth_orbit(cameras, num_frames, focus=focus)
    if max_side is None:
        return path
    return [camera.resized(*fit_within(camera.width, camera.height, max_side)) for camera in path]
