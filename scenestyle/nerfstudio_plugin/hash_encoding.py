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

# Points handled at a time: their corners fit into the innermost cache.
_CHUNK = 256


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
def _find_corners(positions, begin, count, scale, first_slot, mask, offsets, slots):
    """Place `count` points in the grid of one level: offsets in their cells, slots of 8 corners.

    Corner k is upper along x, y and z where k has bit 0, 1 and 2. Nothing but arithmetic on
    consecutive numbers happens here, so the compiler turns it into vector instructions; the tables
    are touched afterwards.
    """
    number = positions.dtype.type
    for i in range(count):
        x = positions[begin + i, 0] * scale
        y = positions[begin + i, 1] * scale
        z = positions[begin + i, 2] * scale
        # Positions are not negative: truncation is the floor.
        x_cell, y_cell, z_cell = np.int32(x), np.int32(y), np.int32(z)
        u, v, w = x - number(x_cell), y - number(y_cell), z - number(z_cell)
        offsets[0, i], offsets[1, i], offsets[2, i] = u, v, w
        # The upper corner is the ceiling: on a cell's face it is the lower corner itself, as in
        # nerfstudio, so that no slot is touched with weight zero.
        x0 = np.uint32(x_cell)
        y0 = np.uint32(y_cell)
        z0 = np.uint32(z_cell)
        x1 = np.uint32(x0 + np.uint32(u > 0))
        y1 = np.uint32(np.uint32(y0 + np.uint32(v > 0)) * _PRIME_Y)
        z1 = np.uint32(np.uint32(z0 + np.uint32(w > 0)) * _PRIME_Z)
        y0 = np.uint32(y0 * _PRIME_Y)
        z0 = np.uint32(z0 * _PRIME_Z)
        slots[0, i] = first_slot + ((x0 ^ y0 ^ z0) & mask)
        slots[1, i] = first_slot + ((x1 ^ y0 ^ z0) & mask)
        slots[2, i] = first_slot + ((x0 ^ y1 ^ z0) & mask)
        slots[3, i] = first_slot + ((x1 ^ y1 ^ z0) & mask)
        slots[4, i] = first_slot + ((x0 ^ y0 ^ z1) & mask)
        slots[5, i] = first_slot + ((x1 ^ y0 ^ z1) & mask)
        slots[6, i] = first_slot + ((x0 ^ y1 ^ z1) & mask)
        slots[7, i] = first_slot + ((x1 ^ y1 ^ z1) & mask)


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _interpolate(positions, table, scalings, encoded):
    one = positions.dtype.type(1)  # an integer 1 would turn all arithmetic to double precision
    num_points, num_levels, num_features = len(positions), len(scalings), table.shape[1]
    table_size = len(table) // num_levels
    mask = np.uint32(table_size - 1)
    for chunk in prange((num_points + _CHUNK - 1) // _CHUNK):
        begin = chunk * _CHUNK
        count = min(_CHUNK, num_points - begin)
        offsets = np.empty((3, _CHUNK), positions.dtype)
        slots = np.empty((8, _CHUNK), np.uint32)
        for level in range(num_levels):
            first_slot = np.uint32(level * table_size)
            _find_corners(
                positions, begin, count, scalings[level], first_slot, mask, offsets, slots
            )
            for f in range(num_features):
                for i in range(count):
                    u, v, w = offsets[0, i], offsets[1, i], offsets[2, i]
                    v00 = table[slots[0, i], f] * (one - u) + table[slots[1, i], f] * u
                    v10 = table[slots[2, i], f] * (one - u) + table[slots[3, i], f] * u
                    v01 = table[slots[4, i], f] * (one - u) + table[slots[5, i], f] * u
                    v11 = table[slots[6, i], f] * (one - u) + table[slots[7, i], f] * u
                    v0 = v00 * (one - v) + v10 * v
                    v1 = v01 * (one - v) + v11 * v
                    encoded[begin + i, level * num_features + f] = v0 * (one - w) + v1 * w


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _table_gradient(positions, scalings, gradient, by_table):
    """Adds in the order of the points and one thread per level: no races, the same bits always."""
    one = positions.dtype.type(1)  # an integer 1 would turn all arithmetic to double precision
    num_points, num_levels, num_features = len(positions), len(scalings), by_table.shape[1]
    table_size = len(by_table) // num_levels
    mask = np.uint32(table_size - 1)
    for level in prange(num_levels):
        offsets = np.empty((3, _CHUNK), positions.dtype)
        slots = np.empty((8, _CHUNK), np.uint32)
        first_slot = np.uint32(level * table_size)
        for begin in range(0, num_points, _CHUNK):
            count = min(_CHUNK, num_points - begin)
            _find_corners(
                positions, begin, count, scalings[level], first_slot, mask, offsets, slots
            )
            for i in range(count):
                u, v, w = offsets[0, i], offsets[1, i], offsets[2, i]
                for f in range(num_features):
                    g = gradient[begin + i, level * num_features + f]
                    g0, g1 = g * (one - w), g * w
                    g00, g10, g01, g11 = g0 * (one - v), g0 * v, g1 * (one - v), g1 * v
                    by_table[slots[0, i], f] += g00 * (one - u)
                    by_table[slots[1, i], f] += g00 * u
                    by_table[slots[2, i], f] += g10 * (one - u)
                    by_table[slots[3, i], f] += g10 * u
                    by_table[slots[4, i], f] += g01 * (one - u)
                    by_table[slots[5, i], f] += g01 * u
                    by_table[slots[6, i], f] += g11 * (one - u)
                    by_table[slots[7, i], f] += g11 * u


@njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _position_gradient(positions, table, scalings, gradient, by_position):
    one = positions.dtype.type(1)  # an integer 1 would turn all arithmetic to double precision
    num_points, num_levels, num_features = len(positions), len(scalings), table.shape[1]
    table_size = len(table) // num_levels
    mask = np.uint32(table_size - 1)
    for chunk in prange((num_points + _CHUNK - 1) // _CHUNK):
        begin = chunk * _CHUNK
        count = min(_CHUNK, num_points - begin)
        offsets = np.empty((3, _CHUNK), positions.dtype)
        slots = np.empty((8, _CHUNK), np.uint32)
        by_position[begin : begin + count] = 0
        for level in range(num_levels):
            scale, first_slot = scalings[level], np.uint32(level * table_size)
            _find_corners(positions, begin, count, scale, first_slot, mask, offsets, slots)
            for i in range(count):
                u, v, w = offsets[0, i], offsets[1, i], offsets[2, i]
                for f in range(num_features):
                    g = gradient[begin + i, level * num_features + f] * scale
                    t000, t100 = table[slots[0, i], f], table[slots[1, i], f]
                    t010, t110 = table[slots[2, i], f], table[slots[3, i], f]
                    t001, t101 = table[slots[4, i], f], table[slots[5, i], f]
                    t011, t111 = table[slots[6, i], f], table[slots[7, i], f]
                    dx0 = (t100 - t000) * (one - v) + (t110 - t010) * v
                    dx1 = (t101 - t001) * (one - v) + (t111 - t011) * v
                    by_position[begin + i, 0] += g * (dx0 * (one - w) + dx1 * w)
                    y00, y10 = t000 * (one - u) + t100 * u, t010 * (one - u) + t110 * u
                    y01, y11 = t001 * (one - u) + t101 * u, t011 * (one - u) + t111 * u
                    by_position[begin + i, 1] += g * ((y10 - y00) * (one - w) + (y11 - y01) * w)
                    z0, z1 = y00 * (one - v) + y10 * v, y01 * (one - v) + y11 * v
                    by_position[begin + i, 2] += g * (z1 - z0)
