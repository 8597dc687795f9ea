"""How far a whole render is from its photo: absolute difference and structural dissimilarity."""

from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from numba import njit, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from scenestyle.compiled import FAST
from scenestyle.errors import ShapeError

_REACH = 5
_taps = np.exp(-(np.arange(_REACH + 1) ** 2) / (2 * 1.5**2))
_TAPS = tuple(_taps / (_taps[0] + 2 * _taps[1:].sum()))
_C1, _C2 = 0.01**2, 0.03**2


def photometric_loss(
    rgb: Float[Tensor, "channels height width"],
    photo: Float[Tensor, "_channels _height _width"],
    weight: Float[Tensor, "*_size"] | None = None,
    *,
    dissimilarity: float = 0.2,
) -> Float[Tensor, ""]:
    """Weighted mean of `(1 - d) |rgb - photo| + d (1 - SSIM)` with d the `dissimilarity`.

    SSIM is taken per channel under a Gaussian window of 11 pixels and 1.5 pixels' standard
    deviation, with zeros beyond the border. The gradient is by `rgb` alone.

    Args:
        rgb: The render.
        photo: What it should be, colours in [0, 1].
        weight: How much each pixel counts, 0 and up; None: all the same.
        dissimilarity: Weight of the second term, 0 to 1.

    Raises:
        ShapeError: If the shapes differ.

    Source: Kerbl et al. 2023, "3D Gaussian Splatting", arXiv:2308.04079, eq. 7; SSIM of Wang et al.
        2004, "Image Quality Assessment".
    """
    if rgb.shape != photo.shape or (weight is not None and weight.shape != rgb.shape[1:]):
        raise ShapeError(
            f"rgb has shape {tuple(rgb.shape)}, photo {tuple(photo.shape)}, weight "
            f"{weight if weight is None else tuple(weight.shape)}: wanted twice [channels, height, "
            "width], and [height, width]."
        )
    if weight is None:
        weight = rgb.new_ones(rgb.shape[1:])
    if rgb.is_cuda:
        return _by_torch(rgb, photo, weight, dissimilarity)
    return _PhotometricLoss.apply(rgb, photo, weight, dissimilarity)


def _by_torch(rgb: Tensor, photo: Tensor, weight: Tensor, dissimilarity: float) -> Tensor:
    """The formulas as torch operations, for GPUs."""
    taps = rgb.new_tensor([*_TAPS[:0:-1], *_TAPS])
    count = len(rgb)
    across = taps.view(1, 1, 1, -1).expand(count, 1, 1, -1)
    down = taps.view(1, 1, -1, 1).expand(count, 1, -1, 1)

    def blur(image: Tensor) -> Tensor:
        conv2d = torch.nn.functional.conv2d
        return conv2d(
            conv2d(image[None], across, padding=(0, _REACH), groups=count),
            down,
            padding=(_REACH, 0),
            groups=count,
        )[0]

    mean, other = blur(rgb), blur(photo)
    variance, other_variance = blur(rgb * rgb) - mean * mean, blur(photo * photo) - other * other
    covariance = blur(rgb * photo) - mean * other
    ssim = ((2 * mean * other + _C1) * (2 * covariance + _C2)) / (
        (mean * mean + other * other + _C1) * (variance + other_variance + _C2)
    )
    each = (1 - dissimilarity) * (rgb - photo).abs() + dissimilarity * (1 - ssim)
    return (weight * each).sum() / (count * weight.sum())


class _PhotometricLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rgb: Tensor, photo: Tensor, weight: Tensor, dissimilarity: float
    ) -> Tensor:
        own, wanted, weights = (each.detach().contiguous().numpy() for each in (rgb, photo, weight))
        gradient, values = np.empty_like(own), np.empty(len(own), np.float64)
        _loss_and_gradient(own, wanted, weights, dissimilarity, gradient, values)
        scale = 1 / (len(rgb) * float(weight.sum()))
        ctx.save_for_backward(torch.from_numpy(gradient) * scale)
        return rgb.new_tensor(values.sum() * scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_loss: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,) = ctx.saved_tensors
        return by_loss * gradient, None, None, None


@njit(**FAST)
@no_type_check
def _blur(image, blurred, scratch):
    """Blur the inside of an image with a border of five zeros, separably."""
    height, width = image.shape
    dtype = image.dtype.type
    g0, g1, g2 = dtype(_TAPS[0]), dtype(_TAPS[1]), dtype(_TAPS[2])
    g3, g4, g5 = dtype(_TAPS[3]), dtype(_TAPS[4]), dtype(_TAPS[5])
    for y in range(_REACH, height - _REACH):
        out, r0 = scratch[y], image[y]
        u1, u2, u3, u4, u5 = image[y - 1], image[y - 2], image[y - 3], image[y - 4], image[y - 5]
        d1, d2, d3, d4, d5 = image[y + 1], image[y + 2], image[y + 3], image[y + 4], image[y + 5]
        for x in range(width):
            near = g0 * r0[x] + g1 * (u1[x] + d1[x]) + g2 * (u2[x] + d2[x])
            out[x] = near + g3 * (u3[x] + d3[x]) + g4 * (u4[x] + d4[x]) + g5 * (u5[x] + d5[x])
    n = width - 2 * _REACH
    for y in range(_REACH, height - _REACH):
        row, out = scratch[y], blurred[y, _REACH : _REACH + n]
        l5, l4, l3, l2, l1 = row[:n], row[1 : n + 1], row[2 : n + 2], row[3 : n + 3], row[4 : n + 4]
        r0, r1, r2 = row[5 : n + 5], row[6 : n + 6], row[7 : n + 7]
        r3, r4, r5 = row[8 : n + 8], row[9 : n + 9], row[10 : n + 10]
        for x in range(n):
            near = g0 * r0[x] + g1 * (l1[x] + r1[x]) + g2 * (l2[x] + r2[x])
            out[x] = near + g3 * (l3[x] + r3[x]) + g4 * (l4[x] + r4[x]) + g5 * (l5[x] + r5[x])


@njit(parallel=True, **FAST)
@no_type_check
def _loss_and_gradient(rgb, photo, weight, dissimilarity, gradient, values):
    """Sums over the pixels per channel, and their gradient; both lack the mean's divisor."""
    count, height, width = rgb.shape
    dtype = rgb.dtype.type
    d = dtype(dissimilarity)
    keep, two, c1, c2 = dtype(1) - d, dtype(2), dtype(_C1), dtype(_C2)
    high, wide = height + 2 * _REACH, width + 2 * _REACH
    for channel in prange(count):
        planes = np.zeros((9, high, wide), rgb.dtype)
        x, y, product, scratch = planes[0], planes[1], planes[2], planes[3]
        inside = slice(_REACH, _REACH + height), slice(_REACH, _REACH + width)
        x[inside], y[inside] = rgb[channel], photo[channel]
        mean, other, squares, photo_squares, mixed = (
            planes[4], planes[5], planes[6], planes[7], planes[8]
        )  # fmt: skip
        _blur(x, mean, scratch)
        _blur(y, other, scratch)
        product[:] = x * x
        _blur(product, squares, scratch)
        product[:] = y * y
        _blur(product, photo_squares, scratch)
        product[:] = x * y
        _blur(product, mixed, scratch)
        sums = np.zeros(width, rgb.dtype)
        # What the means, squares and products are to be blurred back with.
        by_mean, by_squares, by_mixed = other, photo_squares, product
        by_mixed[:] = 0
        # Views of rows, since LLVM vectorises loops over plain arrays only.
        columns = slice(_REACH, _REACH + width)
        for row in range(height):
            r = row + _REACH
            means, others, xs, ys = (
                mean[r, columns],
                other[r, columns],
                x[r, columns],
                y[r, columns],
            )
            x_squares, y_squares = squares[r, columns], photo_squares[r, columns]
            products, to_mixed = mixed[r, columns], by_mixed[r, columns]
            weights, slopes = weight[row], gradient[channel, row]
            for i in range(width):
                a, b, w, apart = means[i], others[i], weights[i], xs[i] - ys[i]
                covariance = products[i] - a * b
                variances = x_squares[i] - a * a + y_squares[i] - b * b
                up_1, up_2 = two * a * b + c1, two * covariance + c2
                by_1 = dtype(1) / (a * a + b * b + c1)
                by_2 = dtype(1) / (variances + c2)
                ssim = up_1 * up_2 * by_1 * by_2
                sums[i] += w * (keep * abs(apart) + d * (dtype(1) - ssim))
                sign = dtype(1) if apart > 0 else (dtype(-1) if apart < 0 else dtype(0))
                slopes[i] = w * keep * sign
                y_squares[i] = -w * ssim * by_2
                to_mixed[i] = w * two * up_1 * by_1 * by_2
                others[i] = w * two * (b * (up_2 - up_1) * by_1 * by_2 + a * ssim * (by_2 - by_1))
        total = 0.0
        for i in range(width):
            total += sums[i]
        values[channel] = total
        _blur(by_mean, mean, scratch)
        _blur(by_squares, squares, scratch)
        _blur(by_mixed, mixed, scratch)
        for row in range(height):
            r = row + _REACH
            xs, ys, slopes = x[r, columns], y[r, columns], gradient[channel, row]
            direct, by_square, by_product = mean[r, columns], squares[r, columns], mixed[r, columns]
            for i in range(width):
                by_ssim = direct[i] + two * xs[i] * by_square[i] + ys[i] * by_product[i]
                slopes[i] -= d * by_ssim
