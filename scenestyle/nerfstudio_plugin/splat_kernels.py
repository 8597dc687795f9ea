"""Gaussian splatting on a CPU: projection, tile lists, compositing and their gradients, compiled.

The formulas are those of the papers below as gsplat 1.4 has them, in its conventions: OpenCV camera
axes, pixel centres at .5, quaternions (w, x, y, z) that are normalised here, 0.3 square pixels
added to the diagonal of a projected covariance, alpha at most 0.999, and none below 1/255. Two
things differ: an ellipse ends exactly where alpha falls below 1/255, not at three standard
deviations of its longest axis; and a tile, not a pixel, ends when nothing shines through any more.

Per Gaussian, one row of 16 numbers (a cache line of float32), `geometry`, is all that compositing
reads: `MEAN_X` to `COMPENSATION` below name its columns. With dx, dy from the mean to a pixel's
centre, log2 of alpha is `LOG2_OPACITY + XX dx^2 + XY dx dy + YY dy^2`.

What makes it fast, and what to keep when changing it:

- A tile is 16 pixels wide, and a row of it is the vector that the processor works on. Its loop has
  no branch, and an exponential without a call. LLVM gives up vectorising silently: indices must be
  unsigned (else numba handles negative ones), the error model numpy's (else a division branches on
  zero), and all of a tile's values lie in one flat array (else it must assume that arrays overlap).
- The gradient goes front to back like the image, so that nothing is kept per pixel and Gaussian:
  with q the gradient's product with a Gaussian's colour, what lies behind it comes to one number.
- Sums over a row's pixels are kept per lane. A lane has its own dx, so three of them make all the
  moments that the gradient of a Gaussian's mean and shape consists of.
- A tile writes the sums of each of its Gaussians to a place of their own, and they are added up per
  Gaussian in a fixed order: no number depends on how many threads there are.

All functions also take float64, for which the exponential is exact: gradients can be checked.

Sources: Kerbl et al. 2023, "3D Gaussian Splatting", arXiv:2308.04079; Zwicker et al. 2001, "EWA
Volume Splatting"; Yu et al. 2023, "Mip-Splatting", arXiv:2311.16493 (compensation of the opacity);
Ye et al. 2024, "gsplat", arXiv:2409.06765 (conventions and gradients).
"""

import math
from typing import no_type_check

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from scenestyle.compiled import FAST

TILE = 16
"""pixels along the side of a tile"""
NUM_PLANES = 5
"""planes of an image: red, green, blue, transmittance, sum of weight times z"""

(MEAN_X, MEAN_Y, XX, XY, YY, LOG2_OPACITY, RED, GREEN, BLUE, DEPTH, REACH_X, REACH_Y,
 CONIC_XX, CONIC_XY, CONIC_YY, COMPENSATION) = range(16)  # fmt: skip

NUM_SUMS = 10
"""per pair of a Gaussian and a tile: six moments of the gradient, three of colour, one of z"""

_F = np.float32
_U = np.uintp
_PIXELS = TILE * TILE
_1, _2, _3, _4, _5 = (row * _PIXELS for row in range(1, 6))
_LOG2_E = _F(1.4426950408889634)
_LN_2 = 0.6931471805599453
_LEAST_ALPHA = _F(1 / 255)
_LEAST_LOG2 = _F(-7.994353436858858)
_MOST_ALPHA = _F(0.999)
_OPAQUE = _F(1e-4)
"""transmittance below which nothing behind is looked at"""
_BLUR = _F(0.3)
"""square pixels"""
_NEAR = _F(0.01)
_LEAST_COMPENSATION = _F(1e-8)


@no_type_check
def _exp2(exponent):
    """2 to a power between -20 and 0."""
    return 2.0**exponent


@overload(_exp2, jit_options={"fastmath": True, "error_model": "numpy"}, inline="always")
@no_type_check
def _exp2_compiled(exponent):
    if exponent != types.float32:
        return lambda exponent: math.exp(exponent * _LN_2)

    def exp2(exponent):
        # A polynomial for the fraction (relative error 1.7e-7), the rest goes into the exponent's
        # bits: a call of the library would not be vectorised.
        whole = np.int32(exponent)
        fraction = exponent - np.float32(whole)
        value = _F(9.37688286e-4)
        value = value * fraction + _F(9.18207102e-3)
        value = value * fraction + _F(5.52693839e-2)
        value = value * fraction + _F(2.40165856e-1)
        value = value * fraction + _F(6.93140772e-1)
        value = value * fraction + _F(9.99999834e-1)
        bits = np.float32(value).view(np.int32) + (whole << np.int32(23))
        return np.int32(bits).view(np.float32)

    return exp2


@njit(inline="always")
@no_type_check
def _view_limits(camera, width, height):
    """How far from the axis, in tangents, a projection is linearised: left, right, up, down."""
    fx, fy, cx, cy = camera[12], camera[13], camera[14], camera[15]
    margin_x, margin_y = _F(0.15) * width / fx, _F(0.15) * height / fy
    return (
        -cx / fx - margin_x,
        (width - cx) / fx + margin_x,
        -cy / fy - margin_y,
        (height - cy) / fy + margin_y,
    )


@njit(inline="always")
@no_type_check
def _to_camera(camera, x, y, z):
    return (
        camera[0] * x + camera[1] * y + camera[2] * z + camera[9],
        camera[3] * x + camera[4] * y + camera[5] * z + camera[10],
        camera[6] * x + camera[7] * y + camera[8] * z + camera[11],
    )


@njit(inline="always")
@no_type_check
def _linear_projection(camera, limits, x, y, z):
    """Jacobian of the projection times the world-to-camera rotation, 2 rows of 3; and clamped x, y.

    EWA splatting's local affine approximation, at a point not too far outside of the image.
    """
    by_z = _F(1) / z
    near_x = z * min(limits[1], max(limits[0], x * by_z))
    near_y = z * min(limits[3], max(limits[2], y * by_z))
    j00, j02 = camera[12] * by_z, -camera[12] * near_x * by_z * by_z
    j11, j12 = camera[13] * by_z, -camera[13] * near_y * by_z * by_z
    return (
        j00 * camera[0] + j02 * camera[6],
        j00 * camera[1] + j02 * camera[7],
        j00 * camera[2] + j02 * camera[8],
        j11 * camera[3] + j12 * camera[6],
        j11 * camera[4] + j12 * camera[7],
        j11 * camera[5] + j12 * camera[8],
        near_x,
        near_y,
    )


@njit(inline="always")
@no_type_check
def _unit(quats, i):
    w, x, y, z = quats[i, 0], quats[i, 1], quats[i, 2], quats[i, 3]
    by_norm = _F(1) / math.sqrt(w * w + x * x + y * y + z * z)
    return w * by_norm, x * by_norm, y * by_norm, z * by_norm, by_norm


@njit(inline="always")
@no_type_check
def _rotation(w, x, y, z):
    """Rotation matrix of a unit quaternion, row by row."""
    return (
        _F(1) - _F(2) * (y * y + z * z),
        _F(2) * (x * y - w * z),
        _F(2) * (x * z + w * y),
        _F(2) * (x * y + w * z),
        _F(1) - _F(2) * (x * x + z * z),
        _F(2) * (y * z - w * x),
        _F(2) * (x * z - w * y),
        _F(2) * (y * z + w * x),
        _F(1) - _F(2) * (x * x + y * y),
    )


@njit(inline="always")
@no_type_check
def _times_rotation(t, r):
    """The 2x3 matrix in `t` times the 3x3 matrix in `r`."""
    return (
        t[0] * r[0] + t[1] * r[3] + t[2] * r[6],
        t[0] * r[1] + t[1] * r[4] + t[2] * r[7],
        t[0] * r[2] + t[1] * r[5] + t[2] * r[8],
        t[3] * r[0] + t[4] * r[3] + t[5] * r[6],
        t[3] * r[1] + t[4] * r[4] + t[5] * r[7],
        t[3] * r[2] + t[4] * r[5] + t[5] * r[8],
    )


@njit(parallel=True, **FAST)
@no_type_check
def project(
    means, quats, log_scales, logits, colours, camera, width, height, is_antialiased, geometry
):
    """Fill the rows of `geometry`; a Gaussian that cannot be seen gets `REACH_X` 0.

    Args:
        means: `[n, 3]`, world frame.
        quats: `[n, 4]`.
        log_scales: `[n, 3]`, log of the standard deviations along the Gaussian's axes.
        logits: `[n]`, opacity before the sigmoid.
        colours: `[n, 3]`.
        camera: `[16]`: world-to-camera rotation (row by row) and translation, OpenCV axes; then
            fx, fy, cx, cy in pixels.
        width: Of the image, pixels.
        height: Of the image, pixels.
        is_antialiased: Whether opacity makes up for the blur's widening.
        geometry: `[n, 16]`, written.
    """
    fx, fy, cx, cy = camera[12], camera[13], camera[14], camera[15]
    limits = _view_limits(camera, _F(width), _F(height))
    steepest = _F(0)
    for limit in limits:
        steepest = max(steepest, limit * limit)
    # The longest a unit of length can become at depth 1, and a hair more.
    stretch = _F(1.01) * max(fx, fy) * math.sqrt(_F(1) + steepest)
    for i in prange(means.shape[0]):
        geometry[i, REACH_X] = 0
        x, y, z = _to_camera(camera, means[i, 0], means[i, 1], means[i, 2])
        if z < _NEAR:
            continue
        opacity = _F(1) / (_F(1) + math.exp(-logits[i]))
        if opacity < _LEAST_ALPHA:
            continue
        mean_x, mean_y = fx * x / z + cx, fy * y / z + cy
        longest = max(log_scales[i, 0], max(log_scales[i, 1], log_scales[i, 2]))
        reach = _F(3.34) * (math.exp(longest) * stretch / z + _F(1))
        if (
            mean_x + reach < 0
            or mean_x - reach > width
            or mean_y + reach < 0
            or mean_y - reach > height
        ):
            continue
        t = _linear_projection(camera, limits, x, y, z)
        w, qx, qy, qz, _ = _unit(quats, i)
        u = _times_rotation(t, _rotation(w, qx, qy, qz))
        s0, s1 = math.exp(log_scales[i, 0]), math.exp(log_scales[i, 1])
        s2 = math.exp(log_scales[i, 2])
        m0, m1, m2, m3, m4, m5 = u[0] * s0, u[1] * s1, u[2] * s2, u[3] * s0, u[4] * s1, u[5] * s2
        xx, yy = m0 * m0 + m1 * m1 + m2 * m2, m3 * m3 + m4 * m4 + m5 * m5
        xy = m0 * m3 + m1 * m4 + m2 * m5
        wide_xx, wide_yy = xx + _BLUR, yy + _BLUR
        det = wide_xx * wide_yy - xy * xy
        compensation = _F(1)
        if is_antialiased:
            compensation = math.sqrt(max(_LEAST_COMPENSATION, (xx * yy - xy * xy) / det))
            opacity *= compensation
            if opacity < _LEAST_ALPHA:
                continue
        # Half the square of the distance, in standard deviations, at which alpha is 1/255.
        last = math.log(opacity * _F(255))
        reach_x, reach_y = math.sqrt(_F(2) * last * wide_xx), math.sqrt(_F(2) * last * wide_yy)
        if (
            reach_x <= 0
            or mean_x + reach_x < 0
            or mean_x - reach_x > width
            or mean_y + reach_y < 0
            or mean_y - reach_y > height
        ):
            continue
        conic_xx, conic_xy, conic_yy = wide_yy / det, -xy / det, wide_xx / det
        geometry[i, MEAN_X], geometry[i, MEAN_Y] = mean_x, mean_y
        geometry[i, XX] = _F(-0.5) * _LOG2_E * conic_xx
        geometry[i, XY] = -_LOG2_E * conic_xy
        geometry[i, YY] = _F(-0.5) * _LOG2_E * conic_yy
        geometry[i, LOG2_OPACITY] = math.log(opacity) * _LOG2_E
        geometry[i, RED], geometry[i, GREEN] = colours[i, 0], colours[i, 1]
        geometry[i, BLUE], geometry[i, DEPTH] = colours[i, 2], z
        geometry[i, REACH_X], geometry[i, REACH_Y] = reach_x, reach_y
        geometry[i, CONIC_XX], geometry[i, CONIC_XY] = conic_xx, conic_xy
        geometry[i, CONIC_YY], geometry[i, COMPENSATION] = conic_yy, compensation


@njit(**FAST)
@no_type_check
def depth_order(geometry):
    """The Gaussians that can be seen, near to far; at one depth by their number.

    Positive floats sort as the integers of their bits: a radix sort, 11 bits at a time.
    """
    order = np.empty(geometry.shape[0], np.int32)
    count = 0
    for i in range(geometry.shape[0]):
        if geometry[i, REACH_X] > 0:
            order[count] = i
            count += 1
    order = order[:count]
    keys = np.empty(count, np.int32)
    for k in range(count):
        keys[k] = np.float32(geometry[order[k], DEPTH]).view(np.int32)
    next_order, next_keys = np.empty_like(order), np.empty_like(keys)
    places = np.empty(2049, np.int64)
    for shift in (0, 11, 22):
        places[:] = 0
        for k in range(count):
            places[((keys[k] >> shift) & 2047) + 1] += 1
        for digit in range(2048):
            places[digit + 1] += places[digit]
        for k in range(count):
            digit = (keys[k] >> shift) & 2047
            next_order[places[digit]], next_keys[places[digit]] = order[k], keys[k]
            places[digit] += 1
        order, next_order = next_order, order
        keys, next_keys = next_keys, keys
    return order


@njit(inline="always")
@no_type_check
def _first_tile(end):
    """The first tile whose last pixel centre lies at or behind `end`."""
    return int(max(_F(0), (end - _F(TILE - 0.5)) / _F(TILE) + _F(1)))


@njit(inline="always")
@no_type_check
def _last_tile(end, num_tiles):
    """The last tile whose first pixel centre lies at or before `end`; -1: none."""
    return min(num_tiles - 1, int((end - _F(0.5)) / _F(TILE)) if end >= _F(0.5) else -1)


@njit(inline="always")
@no_type_check
def _ends(xx, xy, yy, size, reach_x, top, bottom):
    """Least and greatest x of the ellipse `xx x^2 + 2 xy x y + yy y^2 = size` in a band of y."""
    widest = -xy / yy * reach_x
    y = min(bottom, max(top, widest))
    root = math.sqrt(max(_F(0), xy * xy * y * y - xx * (yy * y * y - size)))
    right = (-xy * y + root) / xx
    y = min(bottom, max(top, -widest))
    root = math.sqrt(max(_F(0), xy * xy * y * y - xx * (yy * y * y - size)))
    return (-xy * y - root) / xx, right


@njit(**FAST)
@no_type_check
def _tiles_of(geometry, i, tiles_x, tiles_y, tiles, begin):
    """Count the tiles that a Gaussian touches; write them from `begin` on if it is not negative."""
    mean_x, mean_y = geometry[i, MEAN_X], geometry[i, MEAN_Y]
    reach_x, reach_y = geometry[i, REACH_X], geometry[i, REACH_Y]
    xx, xy, yy = geometry[i, CONIC_XX], geometry[i, CONIC_XY], geometry[i, CONIC_YY]
    size = _F(2) * (geometry[i, LOG2_OPACITY] - _LEAST_LOG2) / _LOG2_E
    first_y, last_y = _first_tile(mean_y - reach_y), _last_tile(mean_y + reach_y, tiles_y)
    first_x, last_x = _first_tile(mean_x - reach_x), _last_tile(mean_x + reach_x, tiles_x)
    is_large = last_y > first_y and last_x > first_x  # else its box is about as good
    count = 0
    for y in range(first_y, last_y + 1):
        if is_large:
            top = max(-reach_y, _F(y * TILE) + _F(0.5) - mean_y)
            bottom = min(reach_y, _F(y * TILE) + _F(TILE - 0.5) - mean_y)
            left, right = _ends(xx, xy, yy, size, reach_x, top, bottom)
            first_x, last_x = _first_tile(mean_x + left), _last_tile(mean_x + right, tiles_x)
        for x in range(first_x, last_x + 1):
            if begin >= 0:
                tiles[begin + count] = y * tiles_x + x
            count += 1
    return count


@njit(parallel=True, **FAST)
@no_type_check
def tile_lists(geometry, order, tiles_x, tiles_y):
    """Which Gaussians each tile shows, near to far.

    Returns:
        `starts` `[tiles + 1]`: a tile's list is `members[starts[tile] : starts[tile + 1]]`.
        `members` `[pairs]`: numbers of Gaussians.
        `begins` `[ordered + 1]` and `places` `[pairs]`: the Gaussian `order[k]` stands in `members`
        at `places[begins[k] : begins[k + 1]]`.
    """
    begins = np.zeros(len(order) + 1, np.int64)
    nothing = np.empty(0, np.int32)
    for k in prange(len(order)):
        begins[k + 1] = _tiles_of(geometry, order[k], tiles_x, tiles_y, nothing, -1)
    for k in range(len(order)):
        begins[k + 1] += begins[k]
    tiles = np.empty(begins[-1], np.int32)
    for k in prange(len(order)):
        _tiles_of(geometry, order[k], tiles_x, tiles_y, tiles, begins[k])
    starts = np.zeros(tiles_x * tiles_y + 1, np.int64)
    for pair in range(len(tiles)):
        starts[tiles[pair] + 1] += 1
    for tile in range(tiles_x * tiles_y):
        starts[tile + 1] += starts[tile]
    free = starts.copy()
    places = np.empty(len(tiles), np.int64)
    members = np.empty(len(tiles), np.int32)
    for k in range(len(order)):
        for pair in range(begins[k], begins[k + 1]):
            place = free[tiles[pair]]
            free[tiles[pair]] += 1
            places[pair], members[place] = place, order[k]
    return starts, members, begins, places


@njit(inline="always")
@no_type_check
def _rows_of(mean_y, reach_y, top):
    """First and last (exclusive) row of a tile that begins at `top` within the reach."""
    first = max(0, int(max(_F(0), mean_y - reach_y + _F(0.5))) - top)
    return first, min(TILE, int(max(_F(0), mean_y + reach_y + _F(0.5))) - top)


@njit(parallel=True, **FAST)
@no_type_check
def composite(geometry, starts, members, tiles_x, image, ends):
    """Blend every tile's Gaussians front to back.

    Args:
        geometry: As `project` leaves it.
        starts: As `tile_lists` gives it.
        members: As `tile_lists` gives it.
        tiles_x: Tiles in a row.
        image: `[5, rows, columns]` of whole tiles, written: colour on black, transmittance, sum of
            weight times z.
        ends: `[tiles]`, written: where in `members` nothing shone through any more.
    """
    for tile in prange(len(starts) - 1):
        _composite_tile(geometry, starts, members, tile, tiles_x, image, ends)


@njit(**FAST)
@no_type_check
def _composite_tile(geometry, starts, members, tile, tiles_x, image, ends):
    left, top = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
    state = np.zeros(NUM_PLANES * _PIXELS, geometry.dtype)
    state[:_PIXELS] = 1
    end = starts[tile + 1]
    for k in range(starts[tile], starts[tile + 1]):
        if (k - starts[tile]) & 7 == 7:
            most = _F(0)
            for i in range(_PIXELS):
                most = max(most, state[i])
            if most < _OPAQUE:
                end = k
                break
        g = members[k]
        mean_x, mean_y = geometry[g, MEAN_X], geometry[g, MEAN_Y]
        xx, xy, yy = geometry[g, XX], geometry[g, XY], geometry[g, YY]
        peak, depth = geometry[g, LOG2_OPACITY], geometry[g, DEPTH]
        red, green, blue = geometry[g, RED], geometry[g, GREEN], geometry[g, BLUE]
        first, last = _rows_of(mean_y, geometry[g, REACH_Y], top)
        begin = _F(left) + _F(0.5) - mean_x
        to_brightest = _F(-0.5) / xx
        for row in range(first, last):
            dy = _F(top + row) + _F(0.5) - mean_y
            constant, slope = peak + yy * dy * dy, xy * dy
            brightest = min(begin + _F(TILE - 1), max(begin, slope * to_brightest))
            if constant + brightest * (slope + xx * brightest) < _LEAST_LOG2:
                continue  # every second row of a tile is empty
            offset = _U(row) * _U(TILE)
            for i in range(TILE):
                at = offset + _U(i)
                dx = begin + _F(i)
                power = constant + dx * (slope + xx * dx)
                alpha = min(_exp2(max(power, _F(-20))), _MOST_ALPHA)
                alpha = alpha if power > _LEAST_LOG2 else _F(0)
                passes = state[at]
                weight = passes * alpha
                state[at] = passes - weight
                state[at + _U(_1)] += weight * red
                state[at + _U(_2)] += weight * green
                state[at + _U(_3)] += weight * blue
                state[at + _U(_4)] += weight * depth
    ends[tile] = end
    for row in range(TILE):
        for i in range(TILE):
            at = row * TILE + i
            image[0, top + row, left + i] = state[_1 + at]
            image[1, top + row, left + i] = state[_2 + at]
            image[2, top + row, left + i] = state[_3 + at]
            image[3, top + row, left + i] = state[at]
            image[4, top + row, left + i] = state[_4 + at]


@njit(parallel=True, **FAST)
@no_type_check
def median_depth(geometry, starts, members, tiles_x, median_z):
    """Write the z of the Gaussian at which transmittance falls below a half; 0: it does not.

    Args:
        geometry: As `project` leaves it.
        starts: As `tile_lists` gives it.
        members: As `tile_lists` gives it.
        tiles_x: Tiles in a row.
        median_z: `[rows, columns]` of whole tiles, written.
    """
    for tile in prange(len(starts) - 1):
        left, top = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
        passes = np.ones((TILE, TILE), geometry.dtype)
        median_z[top : top + TILE, left : left + TILE] = 0
        open_pixels = _PIXELS
        for k in range(starts[tile], starts[tile + 1]):
            if open_pixels == 0:
                break
            g = members[k]
            mean_x, mean_y = geometry[g, MEAN_X], geometry[g, MEAN_Y]
            xx, xy, yy = geometry[g, XX], geometry[g, XY], geometry[g, YY]
            first, last = _rows_of(mean_y, geometry[g, REACH_Y], top)
            for row in range(first, last):
                dy = _F(top + row) + _F(0.5) - mean_y
                for i in range(TILE):
                    dx = _F(left + i) + _F(0.5) - mean_x
                    power = geometry[g, LOG2_OPACITY] + yy * dy * dy + dx * (xy * dy + xx * dx)
                    if power <= _LEAST_LOG2 or passes[row, i] < _F(0.5):
                        continue
                    passes[row, i] *= _F(1) - min(_exp2(power), _MOST_ALPHA)
                    if passes[row, i] < _F(0.5):
                        median_z[top + row, left + i] = geometry[g, DEPTH]
                        open_pixels -= 1


@njit(parallel=True, **FAST)
@no_type_check
def composite_gradient(geometry, starts, members, ends, tiles_x, image, gradient, sums):
    """The gradient of each pair of a Gaussian and a tile.

    Behind a Gaussian of weight w and transmittance T before it, with q the product of the
    gradient's planes with its colour and depth, the rest of the pixel comes to R = gradient .
    image - sum of w q so far, and the gradient by alpha is T q - R / (1 - alpha). With v = -alpha
    times that, by the exponent, the moments of v make the rest (see `project_gradient`).

    Args:
        geometry: As `project` leaves it.
        starts: As `tile_lists` gives it.
        members: As `tile_lists` gives it.
        ends: As `composite` leaves it.
        tiles_x: Tiles in a row.
        image: As `composite` leaves it.
        gradient: `[5, rows, columns]`, by the planes of `image`.
        sums: `[pairs, 10]`, written: sums over the tile of v, v dx, v dy, v dx^2, v dx dy, v dy^2;
            of w times the gradient by red, green, blue, and by z.
    """
    for tile in prange(len(starts) - 1):
        _composite_tile_gradient(
            geometry, starts, members, ends, tile, tiles_x, image, gradient, sums
        )


@njit(**FAST)
@no_type_check
def _composite_tile_gradient(geometry, starts, members, ends, tile, tiles_x, image, gradient, sums):
    sums[ends[tile] : starts[tile + 1]] = 0
    if ends[tile] == starts[tile]:
        return
    left, top = (tile % tiles_x) * TILE, (tile // tiles_x) * TILE
    state = np.empty(6 * _PIXELS, geometry.dtype)
    for row in range(TILE):
        for i in range(TILE):
            at = row * TILE + i
            by_red, by_green = gradient[0, top + row, left + i], gradient[1, top + row, left + i]
            by_blue, by_depth = gradient[2, top + row, left + i], gradient[4, top + row, left + i]
            state[at] = 1
            state[_1 + at], state[_2 + at] = by_red, by_green
            state[_3 + at], state[_4 + at] = by_blue, by_depth
            state[_5 + at] = (
                by_red * image[0, top + row, left + i]
                + by_green * image[1, top + row, left + i]
                + by_blue * image[2, top + row, left + i]
                + by_depth * image[4, top + row, left + i]
                + gradient[3, top + row, left + i] * image[3, top + row, left + i]
            )
    lanes = np.empty(7 * TILE, geometry.dtype)
    for k in range(starts[tile], ends[tile]):
        g = members[k]
        mean_x, mean_y = geometry[g, MEAN_X], geometry[g, MEAN_Y]
        xx, xy, yy = geometry[g, XX], geometry[g, XY], geometry[g, YY]
        peak, depth = geometry[g, LOG2_OPACITY], geometry[g, DEPTH]
        red, green, blue = geometry[g, RED], geometry[g, GREEN], geometry[g, BLUE]
        first, last = _rows_of(mean_y, geometry[g, REACH_Y], top)
        begin = _F(left) + _F(0.5) - mean_x
        to_brightest = _F(-0.5) / xx
        for i in range(7 * TILE):
            lanes[i] = 0
        for row in range(first, last):
            dy = _F(top + row) + _F(0.5) - mean_y
            constant, slope = peak + yy * dy * dy, xy * dy
            brightest = min(begin + _F(TILE - 1), max(begin, slope * to_brightest))
            if constant + brightest * (slope + xx * brightest) < _LEAST_LOG2:
                continue
            dy_dy = dy * dy
            offset = _U(row) * _U(TILE)
            for i in range(TILE):
                at = offset + _U(i)
                dx = begin + _F(i)
                power = constant + dx * (slope + xx * dx)
                raw = _exp2(max(power, _F(-20)))
                alpha = min(raw, _MOST_ALPHA)
                alpha = alpha if power > _LEAST_LOG2 else _F(0)
                passes = state[at]
                weight = passes * alpha
                state[at] = passes - weight
                by_red, by_green = state[at + _U(_1)], state[at + _U(_2)]
                by_blue, by_depth = state[at + _U(_3)], state[at + _U(_4)]
                q = by_red * red + by_green * green + by_blue * blue + by_depth * depth
                rest = state[at + _U(_5)] - weight * q
                state[at + _U(_5)] = rest
                v = alpha * rest / (_F(1) - alpha) - weight * q
                v = v if raw < _MOST_ALPHA else _F(0)
                lanes[i] += v
                lanes[_U(TILE) + _U(i)] += v * dy
                lanes[_U(2 * TILE) + _U(i)] += v * dy_dy
                lanes[_U(3 * TILE) + _U(i)] += weight * by_red
                lanes[_U(4 * TILE) + _U(i)] += weight * by_green
                lanes[_U(5 * TILE) + _U(i)] += weight * by_blue
                lanes[_U(6 * TILE) + _U(i)] += weight * by_depth
        for column in range(NUM_SUMS):
            sums[k, column] = 0
        for i in range(TILE):
            dx = begin + _F(i)
            v, v_dy = lanes[i], lanes[TILE + i]
            sums[k, 0] += v
            sums[k, 1] += v * dx
            sums[k, 2] += v_dy
            sums[k, 3] += v * dx * dx
            sums[k, 4] += v_dy * dx
            sums[k, 5] += lanes[2 * TILE + i]
            sums[k, 6] += lanes[3 * TILE + i]
            sums[k, 7] += lanes[4 * TILE + i]
            sums[k, 8] += lanes[5 * TILE + i]
            sums[k, 9] += lanes[6 * TILE + i]


@njit(parallel=True, **FAST)
@no_type_check
def project_gradient(
    means,
    quats,
    log_scales,
    logits,
    camera,
    width,
    height,
    is_antialiased,
    geometry,
    order,
    begins,
    places,
    sums,
    by_means,
    by_quats,
    by_log_scales,
    by_logits,
    by_colours,
    by_screen,
):
    """From the pairs' sums to the gradient of every Gaussian's parameters.

    Args:
        means: As for `project`, like all up to `geometry`, which it has filled.
        quats: See above.
        log_scales: See above.
        logits: See above.
        camera: See above.
        width: See above.
        height: See above.
        is_antialiased: See above.
        geometry: See above.
        order: As `depth_order` gives it.
        begins: As `tile_lists` gives it.
        places: As `tile_lists` gives it.
        sums: As `composite_gradient` leaves it.
        by_means: `[n, 3]`, zeros; the rows of what can be seen are written, as in all that follow.
        by_quats: `[n, 4]`.
        by_log_scales: `[n, 3]`.
        by_logits: `[n]`.
        by_colours: `[n, 3]`.
        by_screen: `[n, 2]`, by the projected mean, per pixel.
    """
    fx, fy = camera[12], camera[13]
    limits = _view_limits(camera, _F(width), _F(height))
    for k in prange(len(order)):
        i = order[k]
        m0, mx, my, mxx, mxy, myy = _F(0), _F(0), _F(0), _F(0), _F(0), _F(0)
        by_red, by_green, by_blue, by_depth = _F(0), _F(0), _F(0), _F(0)
        for pair in range(begins[k], begins[k + 1]):
            place = places[pair]
            m0 += sums[place, 0]
            mx += sums[place, 1]
            my += sums[place, 2]
            mxx += sums[place, 3]
            mxy += sums[place, 4]
            myy += sums[place, 5]
            by_red += sums[place, 6]
            by_green += sums[place, 7]
            by_blue += sums[place, 8]
            by_depth += sums[place, 9]
        by_colours[i, 0], by_colours[i, 1], by_colours[i, 2] = by_red, by_green, by_blue
        conic_xx, conic_xy = geometry[i, CONIC_XX], geometry[i, CONIC_XY]
        conic_yy = geometry[i, CONIC_YY]
        by_x, by_y = -(conic_xx * mx + conic_xy * my), -(conic_xy * mx + conic_yy * my)
        by_screen[i, 0], by_screen[i, 1] = by_x, by_y
        opacity = _F(1) / (_F(1) + math.exp(-logits[i]))
        by_logits[i] = -m0 * (_F(1) - opacity)

        # By the projected covariance: -conic G conic, G the (symmetric) gradient by the conic.
        g_xx, g_xy, g_yy = _F(0.5) * mxx, _F(0.5) * mxy, _F(0.5) * myy
        h00, h01 = g_xx * conic_xx + g_xy * conic_xy, g_xx * conic_xy + g_xy * conic_yy
        h10, h11 = g_xy * conic_xx + g_yy * conic_xy, g_xy * conic_xy + g_yy * conic_yy
        by_xx = -(conic_xx * h00 + conic_xy * h10)
        by_xy = -(conic_xx * h01 + conic_xy * h11)
        by_yy = -(conic_xy * h01 + conic_yy * h11)

        x, y, z = _to_camera(camera, means[i, 0], means[i, 1], means[i, 2])
        t = _linear_projection(camera, limits, x, y, z)
        w, qx, qy, qz, by_norm = _unit(quats, i)
        r = _rotation(w, qx, qy, qz)
        u = _times_rotation(t, r)
        s0, s1 = math.exp(log_scales[i, 0]), math.exp(log_scales[i, 1])
        s2 = math.exp(log_scales[i, 2])
        m = (u[0] * s0, u[1] * s1, u[2] * s2, u[3] * s0, u[4] * s1, u[5] * s2)
        if is_antialiased:
            # ln compensation = (ln det before the blur - ln det after it) / 2.
            xx, yy = (
                m[0] * m[0] + m[1] * m[1] + m[2] * m[2],
                m[3] * m[3] + m[4] * m[4] + m[5] * m[5],
            )
            xy = m[0] * m[3] + m[1] * m[4] + m[2] * m[5]
            sharp = xx * yy - xy * xy
            if sharp > _LEAST_COMPENSATION * ((xx + _BLUR) * (yy + _BLUR) - xy * xy):
                half = _F(-0.5) * m0
                by_xx += half * (yy / sharp - conic_xx)
                by_xy += half * (-xy / sharp - conic_xy)
                by_yy += half * (xx / sharp - conic_yy)

        # The covariance is M M^T with M = T R S.
        d0, d1 = _F(2) * (by_xx * m[0] + by_xy * m[3]), _F(2) * (by_xx * m[1] + by_xy * m[4])
        d2, d3 = _F(2) * (by_xx * m[2] + by_xy * m[5]), _F(2) * (by_xy * m[0] + by_yy * m[3])
        d4, d5 = _F(2) * (by_xy * m[1] + by_yy * m[4]), _F(2) * (by_xy * m[2] + by_yy * m[5])
        by_log_scales[i, 0] = (d0 * u[0] + d3 * u[3]) * s0
        by_log_scales[i, 1] = (d1 * u[1] + d4 * u[4]) * s1
        by_log_scales[i, 2] = (d2 * u[2] + d5 * u[5]) * s2
        d = (d0 * s0, d1 * s1, d2 * s2, d3 * s0, d4 * s1, d5 * s2)
        r00, r01, r02 = (
            t[0] * d[0] + t[3] * d[3],
            t[0] * d[1] + t[3] * d[4],
            t[0] * d[2] + t[3] * d[5],
        )
        r10, r11, r12 = (
            t[1] * d[0] + t[4] * d[3],
            t[1] * d[1] + t[4] * d[4],
            t[1] * d[2] + t[4] * d[5],
        )
        r20, r21, r22 = (
            t[2] * d[0] + t[5] * d[3],
            t[2] * d[1] + t[5] * d[4],
            t[2] * d[2] + t[5] * d[5],
        )
        by_w = _F(2) * (qx * (r21 - r12) + qy * (r02 - r20) + qz * (r10 - r01))
        by_qx = _F(2) * (
            _F(-2) * qx * (r11 + r22) + qy * (r01 + r10) + qz * (r02 + r20) + w * (r21 - r12)
        )
        by_qy = _F(2) * (
            qx * (r01 + r10) - _F(2) * qy * (r00 + r22) + qz * (r12 + r21) + w * (r02 - r20)
        )
        by_qz = _F(2) * (
            qx * (r02 + r20) + qy * (r12 + r21) - _F(2) * qz * (r00 + r11) + w * (r10 - r01)
        )
        along = by_w * w + by_qx * qx + by_qy * qy + by_qz * qz
        by_quats[i, 0], by_quats[i, 1] = (
            (by_w - along * w) * by_norm,
            (by_qx - along * qx) * by_norm,
        )
        by_quats[i, 2], by_quats[i, 3] = (
            (by_qy - along * qy) * by_norm,
            (by_qz - along * qz) * by_norm,
        )

        # Through T = J W to the Jacobian, and from there and the projected mean to the position.
        e0 = d[0] * r[0] + d[1] * r[1] + d[2] * r[2]
        e1 = d[0] * r[3] + d[1] * r[4] + d[2] * r[5]
        e2 = d[0] * r[6] + d[1] * r[7] + d[2] * r[8]
        e3 = d[3] * r[0] + d[4] * r[1] + d[5] * r[2]
        e4 = d[3] * r[3] + d[4] * r[4] + d[5] * r[5]
        e5 = d[3] * r[6] + d[4] * r[7] + d[5] * r[8]
        j00 = e0 * camera[0] + e1 * camera[1] + e2 * camera[2]
        j02 = e0 * camera[6] + e1 * camera[7] + e2 * camera[8]
        j11 = e3 * camera[3] + e4 * camera[4] + e5 * camera[5]
        j12 = e3 * camera[6] + e4 * camera[7] + e5 * camera[8]
        by_z = _F(1) / z
        by_zz = by_z * by_z
        near_x, near_y = t[6], t[7]
        to_x, to_y = by_x * fx * by_z, by_y * fy * by_z
        to_z = -(by_x * fx * x + by_y * fy * y + j00 * fx + j11 * fy) * by_zz + by_depth
        if limits[0] <= x * by_z <= limits[1]:
            to_x -= j02 * fx * by_zz
            to_z += _F(2) * j02 * fx * near_x * by_zz * by_z
        else:
            to_z += j02 * fx * near_x * by_zz * by_z
        if limits[2] <= y * by_z <= limits[3]:
            to_y -= j12 * fy * by_zz
            to_z += _F(2) * j12 * fy * near_y * by_zz * by_z
        else:
            to_z += j12 * fy * near_y * by_zz * by_z
        by_means[i, 0] = camera[0] * to_x + camera[3] * to_y + camera[6] * to_z
        by_means[i, 1] = camera[1] * to_x + camera[4] * to_y + camera[7] * to_z
        by_means[i, 2] = camera[2] * to_x + camera[5] * to_y + camera[8] * to_z
