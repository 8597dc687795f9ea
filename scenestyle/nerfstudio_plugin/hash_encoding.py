"""Multiresolution hash encoding for CPUs, compiled with numba.

nerfstudio's own torch implementation materialises the eight corners of every cell in memory and is
the reason a nerfacto without CUDA takes seconds per step. The kernels here keep them in registers.
Tables, hash and interpolation are nerfstudio's, so that a checkpoint means the same field in both.

Compiled code is cached on disk by numba (`NUMBA_CACHE_DIR`, by default beside this file).

Source: Müller et al. 2022, "Instant Neural Graphics Primitives with a Multiresolution Hash
Encoding", arXiv:2201.05989, equations 2 to 4. Our `table_size` is their T, `scalings` their N_l.
"""

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.field_components.encodings import HashEncoding
from numba import njit, prange
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

# `no_type_check`: the runtime shape checks of the tests would wrap what numba has to compile.

# The pi_2 and pi_3 of equation 4. Unsigned 32-bit products wrap, and as tables are powers of two
# only the low bits count: the same slots as nerfstudio's 64-bit arithmetic.
_PRIME_Y = np.uint32(2654435761)
_PRIME_Z = np.uint32(805459861)

# Points that one thread encodes level by level: few enough for their features to stay in cache
# while one level's table is walked.
_POINTS_PER_CHUNK = 2048


class CpuHashEncoding(HashEncoding):
    """nerfstudio's `HashEncoding` with compiled kernels for tensors on the CPU.

    Elsewhere it is its parent. Parameters, buffers and their names are the parent's.
    """

    @classmethod
    def sharing(cls, encoding: HashEncoding) -> "CpuHashEncoding":
        """The same encoding over the same table (one parameter, not a copy)."""
        shared = cls.__new__(cls)
        nn.Module.__init__(shared)
        shared.__dict__.update(encoding.__dict__)
        return shared

    def forward(self, in_tensor: Float[Tensor, "*bs 3"]) -> Float[Tensor, "*bs features"]:
        """Encode positions in [0, 1] as the concatenated features of all levels."""
        if in_tensor.device.type != "cpu":
            return super().forward(in_tensor)
        positions = in_tensor.reshape(-1, 3)
        encoded = encode(positions, self.hash_table, self.scalings.to(positions))
        return encoded.view(*in_tensor.shape[:-1], encoded.shape[-1])


def use_cpu_hash_encodings(module: nn.Module) -> None:
    """Replace every torch hash encoding inside `module` by one that is fast on the CPU."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is HashEncoding and child.tcnn_encoding is None:
                setattr(parent, name, CpuHashEncoding.sharing(child))


def encode(
    positions: Float[Tensor, "n 3"],
    table: Float[Tensor, "slots features"],
    scalings: Float[Tensor, " levels"],
) -> Float[Tensor, "n encoded"]:
    """Trilinearly interpolated table entries of all levels at `positions`.

    Args:
        positions: Points in [0, 1], contiguous or not.
        table: The levels' tables one after the other, each a power of two long.
        scalings: Cells per axis of each level; same dtype as the positions.

    Returns:
        `levels * features` values per point, level by level; differentiable by table and positions.
    """
    return _Encode.apply(positions, table, scalings)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, positions: Tensor, table: Tensor, scalings: Tensor) -> Tensor:
        positions, table = positions.contiguous(), table.contiguous()
        ctx.save_for_backward(positions, table, scalings)
        encoded = table.new_empty(len(positions), len(scalings) * table.shape[1])
        _interpolate(*_arrays(positions, table, scalings, encoded))
        return encoded

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        positions, table, scalings = ctx.saved_tensors
        gradient = gradient.contiguous()
        by_position = by_table = None
        if ctx.needs_input_grad[0]:
            by_position = torch.empty_like(positions)
            _position_gradient(*_arrays(positions, table, scalings, gradient, by_position))
        if ctx.needs_input_grad[1]:
            by_table = torch.zeros_like(table)
            _table_gradient(*_arrays(positions, scalings, gradient, by_table))
        return by_position, by_table, None


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)


@njit(inline="always")
@no_type_check
def _cell(x, y, z, scale):
    """Offsets in the cell, then the two x hashes, then the four (y, z) hashes 00 10 01 11."""
    x, y, z = x * scale, y * scale, z * scale
    x_floor, y_floor, z_floor = np.floor(x), np.floor(y), np.floor(z)
    x_offset, y_offset, z_offset = x - x_floor, y - y_floor, z - z_floor
    # The upper corner is the ceiling: on a cell's face it is the lower corner itself, as in
    # nerfstudio, so that no slot is touched with weight zero.
    x0 = np.uint32(x_floor)
    x1 = np.uint32(x0 + np.uint32(x_offset > 0))
    y0 = np.uint32(y_floor)
    y1 = np.uint32(y0 + np.uint32(y_offset > 0)) * _PRIME_Y
    y0 = y0 * _PRIME_Y
    z0 = np.uint32(z_floor)
    z1 = np.uint32(z0 + np.uint32(z_offset > 0)) * _PRIME_Z
    z0 = z0 * _PRIME_Z
    return x_offset, y_offset, z_offset, x0, x1, y0 ^ z0, y1 ^ z0, y0 ^ z1, y1 ^ z1


@njit(inline="always")
@no_type_check
def _slot(first, x_hash, yz_hash, mask):
    return first + np.int64((x_hash ^ yz_hash) & mask)


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _interpolate(positions, table, scalings, encoded):
    num_points, num_levels, num_features = len(positions), len(scalings), table.shape[1]
    table_size = len(table) // num_levels
    mask = np.uint32(table_size - 1)
    for chunk in prange((num_points + _POINTS_PER_CHUNK - 1) // _POINTS_PER_CHUNK):
        begin = chunk * _POINTS_PER_CHUNK
        for level in range(num_levels):
            first = level * table_size
            for i in range(begin, min(begin + _POINTS_PER_CHUNK, num_points)):
                u, v, w, x0, x1, yz00, yz10, yz01, yz11 = _cell(
                    positions[i, 0], positions[i, 1], positions[i, 2], scalings[level]
                )
                s000, s100 = _slot(first, x0, yz00, mask), _slot(first, x1, yz00, mask)
                s010, s110 = _slot(first, x0, yz10, mask), _slot(first, x1, yz10, mask)
                s001, s101 = _slot(first, x0, yz01, mask), _slot(first, x1, yz01, mask)
                s011, s111 = _slot(first, x0, yz11, mask), _slot(first, x1, yz11, mask)
                for f in range(num_features):
                    v00 = table[s000, f] * (1 - u) + table[s100, f] * u
                    v10 = table[s010, f] * (1 - u) + table[s110, f] * u
                    v01 = table[s001, f] * (1 - u) + table[s101, f] * u
                    v11 = table[s011, f] * (1 - u) + table[s111, f] * u
                    v0 = v00 * (1 - v) + v10 * v
                    v1 = v01 * (1 - v) + v11 * v
                    encoded[i, level * num_features + f] = v0 * (1 - w) + v1 * w


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _table_gradient(positions, scalings, gradient, by_table):
    """Adds in the order of the points and one thread per level: no races, the same bits always."""
    num_levels, num_features = len(scalings), by_table.shape[1]
    table_size = len(by_table) // num_levels
    mask = np.uint32(table_size - 1)
    for level in prange(num_levels):
        first = level * table_size
        for i in range(len(positions)):
            u, v, w, x0, x1, yz00, yz10, yz01, yz11 = _cell(
                positions[i, 0], positions[i, 1], positions[i, 2], scalings[level]
            )
            s000, s100 = _slot(first, x0, yz00, mask), _slot(first, x1, yz00, mask)
            s010, s110 = _slot(first, x0, yz10, mask), _slot(first, x1, yz10, mask)
            s001, s101 = _slot(first, x0, yz01, mask), _slot(first, x1, yz01, mask)
            s011, s111 = _slot(first, x0, yz11, mask), _slot(first, x1, yz11, mask)
            for f in range(num_features):
                g = gradient[i, level * num_features + f]
                g0, g1 = g * (1 - w), g * w
                g00, g10, g01, g11 = g0 * (1 - v), g0 * v, g1 * (1 - v), g1 * v
                by_table[s000, f] += g00 * (1 - u)
                by_table[s100, f] += g00 * u
                by_table[s010, f] += g10 * (1 - u)
                by_table[s110, f] += g10 * u
                by_table[s001, f] += g01 * (1 - u)
                by_table[s101, f] += g01 * u
                by_table[s011, f] += g11 * (1 - u)
                by_table[s111, f] += g11 * u


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _position_gradient(positions, table, scalings, gradient, by_position):
    num_levels, num_features = len(scalings), table.shape[1]
    table_size = len(table) // num_levels
    mask = np.uint32(table_size - 1)
    for i in prange(len(positions)):
        by_position[i] = 0
        for level in range(num_levels):
            first, scale = level * table_size, scalings[level]
            u, v, w, x0, x1, yz00, yz10, yz01, yz11 = _cell(
                positions[i, 0], positions[i, 1], positions[i, 2], scale
            )
            s000, s100 = _slot(first, x0, yz00, mask), _slot(first, x1, yz00, mask)
            s010, s110 = _slot(first, x0, yz10, mask), _slot(first, x1, yz10, mask)
            s001, s101 = _slot(first, x0, yz01, mask), _slot(first, x1, yz01, mask)
            s011, s111 = _slot(first, x0, yz11, mask), _slot(first, x1, yz11, mask)
            for f in range(num_features):
                g = gradient[i, level * num_features + f] * scale
                t000, t100, t010, t110 = (
                    table[s000, f],
                    table[s100, f],
                    table[s010, f],
                    table[s110, f],
                )
                t001, t101, t011, t111 = (
                    table[s001, f],
                    table[s101, f],
                    table[s011, f],
                    table[s111, f],
                )
                dx0 = (t100 - t000) * (1 - v) + (t110 - t010) * v
                dx1 = (t101 - t001) * (1 - v) + (t111 - t011) * v
                by_position[i, 0] += g * (dx0 * (1 - w) + dx1 * w)
                y00, y10 = t000 * (1 - u) + t100 * u, t010 * (1 - u) + t110 * u
                y01, y11 = t001 * (1 - u) + t101 * u, t011 * (1 - u) + t111 * u
                by_position[i, 1] += g * ((y10 - y00) * (1 - w) + (y11 - y01) * w)
                z0, z1 = y00 * (1 - v) + y10 * v, y01 * (1 - v) + y11 * v
                by_position[i, 2] += g * (z1 - z0)
