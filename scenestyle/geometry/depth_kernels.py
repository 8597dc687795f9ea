"""Where surfaces appear in another view, and what is seen there: one pass over the pixels each.

As array operations they took ten times as long, and are done for some hundred pairs of views.
"""

from typing import no_type_check

import numpy as np
from numba import njit, prange


@njit(inline="always")
@no_type_check
def _read(image, x, y, channel):
    """An image between pixel centres at a place within it; beyond the outermost, the border."""
    height, width = image.shape[0], image.shape[1]
    dtype, place = image.dtype.type, type(x)
    half, zero = place(0.5), place(0)
    x = min(max(x - half, zero), place(width - 1))
    y = min(max(y - half, zero), place(height - 1))
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    dx, dy, one = dtype(x - place(left)), dtype(y - place(top)), dtype(1)
    upper = image[top, left, channel] * (one - dx) + image[top, right, channel] * dx
    lower = image[bottom, left, channel] * (one - dx) + image[bottom, right, channel] * dx
    return upper * (one - dy) + lower * dy


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
@no_type_check
def read_bilinear(image, pixels, sampled):
    """Read an image at `pixels`, n by 2, into `sampled`, n by channels; NaN outside of it."""
    height, width, channels = image.shape
    for point in prange(len(pixels)):
        x, y = pixels[point, 0], pixels[point, 1]
        if x >= 0 and x <= width and y >= 0 and y <= height:
            for channel in range(channels):
                sampled[point, channel] = _read(image, x, y, channel)
        else:
            sampled[point] = np.nan


@njit(parallel=True, cache=True, nogil=True, error_model="numpy")
@no_type_check
def follow_surface(
    depth_z, intrinsics, c2w, nearness, other_intrinsics, other_c2w, tau, pixels, is_visible
):
    """Follow each pixel's surface into another view: where it appears, and whether it shows there.

    Intrinsics are fx, fy, cx, cy; `nearness` is 1 / z of the other view, with one channel.
    """
    height, width = depth_z.shape
    fx, fy, cx, cy = intrinsics
    other_fx, other_fy, other_cx, other_cy = other_intrinsics
    for row in prange(height):
        y = (row + 0.5 - cy) / fy
        for column in range(width):
            x = (column + 0.5 - cx) / fx
            z = depth_z[row, column]
            is_surface = np.isfinite(z) and z > 0
            far = np.float64(z) if is_surface else 1.0
            a, b, c = 0.0, 0.0, 0.0
            for axis in range(3):
                ray = c2w[axis, 0] * x - c2w[axis, 1] * y - c2w[axis, 2]
                apart = c2w[axis, 3] + far * ray - other_c2w[axis, 3]
                a += apart * other_c2w[axis, 0]
                b += apart * other_c2w[axis, 1]
                c += apart * other_c2w[axis, 2]
            expected_z = -c
            u, v = np.nan, np.nan
            if expected_z > 0:
                u = other_cx + other_fx * a / expected_z
                v = other_cy - other_fy * b / expected_z
            pixels[row, column, 0], pixels[row, column, 1] = u, v
            shows = False
            if (
                is_surface
                and u >= 0
                and u <= nearness.shape[1]
                and v >= 0
                and v <= nearness.shape[0]
            ):
                seen_z = 1 / np.float64(_read(nearness, u, v, 0))
                shows = abs(expected_z - seen_z) < tau * expected_z
            is_visible[row, column] = shows
