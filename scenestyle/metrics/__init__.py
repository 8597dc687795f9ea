"""How good a result is: pure functions of pictures, depths and cameras, each with its formula."""

from scenestyle.metrics.depth import DepthChange, depth_change
from scenestyle.metrics.image import psnr, rmse
from scenestyle.metrics.style import style_distances
from scenestyle.metrics.warp import ViewLink, link_views, visible_share, warp_errors

__all__ = [
    "DepthChange",
    "ViewLink",
    "depth_change",
    "link_views",
    "psnr",
    "rmse",
    "style_distances",
    "visible_share",
    "warp_errors",
]
