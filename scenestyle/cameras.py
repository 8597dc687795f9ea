"""The pinhole camera that every room of the library speaks of."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class PinholeCamera:
    """An undistorted camera with a known pose.

    Pixel (0, 0) covers [0, 1) x [0, 1): its centre lies at (0.5, 0.5), as in COLMAP and nerfstudio.
    """

    c2w_opengl: Float[np.ndarray, "4 4"]
    """camera-to-world; camera axes x right, y up, z backwards; translation in scene units"""
    fx: float
    """focal length along x, pixels"""
    fy: float
    """focal length along y, pixels"""
    cx: float
    """principal point along x, pixels"""
    cy: float
    """principal point along y, pixels"""
    width: int
    """image width, pixels"""
    height: int
    """image height, pixels"""

    def resized(self, width: int, height: int) -> "PinholeCamera":
        """The same view sampled on another pixel grid."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=self.cx * sx,
            cy=self.cy * sy,
            width=width,
            height=height,
        )


def fit_within(width: int, height: int, max_side: int, *, multiple_of: int = 1) -> tuple[int, int]:
    """Largest size of (nearly) the same shape whose long side is at most `max_side`.

    Each side is rounded to the nearest multiple of `multiple_of` that enlarges no side and keeps to
    `max_side`, at least one.
    """
    scale = min(1.0, max_side / max(width, height))

    def rounded(side: int) -> int:
        nearest, most = round(side * scale / multiple_of), min(side, max_side) // multiple_of
        return max(1, min(nearest, most)) * multiple_of

    return rounded(width), rounded(height)
