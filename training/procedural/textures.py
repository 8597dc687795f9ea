"""Solid textures: colour as a function of 3D position in a surface's own frame."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from training.procedural.arrays import floats
from training.procedural.noise import fractal_noise, value_noise

Pattern = Literal[
    "plain",
    "checker",
    "stripes",
    "marble",
    "dots",
    "bricks",
    "planks",
    "speckle",
    "camouflage",
    "fractal",
    "bark",
    "litter",
]
Rgb = tuple[float, float, float]
Points = Float[np.ndarray, "points 3"]
Weights = Float[np.ndarray, " points"]


@dataclass(frozen=True)
class Texture:
    """Two colours, the pattern that mixes them, and fine grain over both."""

    first: Rgb
    """linear RGB in 0..1"""
    second: Rgb
    """linear RGB in 0..1"""
    pattern: Pattern = "plain"
    frequency: float = 3.0
    """pattern cells per scene unit"""
    grain: float = 0.1
    """relative amplitude of the fine random detail"""
    offset: float = 0.0
    """shift within the noise field, so that no two surfaces look alike"""
    relief: float = 0.0
    """how far random bumps tilt the normals: tangent of the angle, roughly"""


def albedo(texture: Texture, points: Points) -> Float[np.ndarray, "points 3"]:
    """Reflected share of light per colour channel at each point."""
    points = points.astype(np.float32)
    weight = _PATTERNS[texture.pattern](points * np.float32(texture.frequency), texture.offset)[
        :, None
    ]
    mixed = floats(texture.first) * (1 - weight) + floats(texture.second) * weight
    grain = 0.6 * value_noise(points, 9.0, texture.offset) + 0.4 * value_noise(
        points, 23.0, texture.offset
    )
    return np.clip(mixed * (1 + np.float32(texture.grain) * grain[:, None]), 0.01, 1.0)


def bumps(texture: Texture, points: Points) -> Float[np.ndarray, "points 3"]:
    """Gradient of the surface's random height, times `relief`, in the surface's own frame."""
    points = points.astype(np.float32)
    step = np.float32(0.3 / texture.frequency)
    height = fractal_noise(points, texture.frequency, texture.offset)
    slopes = [
        fractal_noise(points + step * axis, texture.frequency, texture.offset) - height
        for axis in np.eye(3, dtype=np.float32)
    ]
    return np.stack(slopes, -1) * np.float32(2 * texture.relief)


def _plain(points: Points, offset: float) -> Weights:
    return np.zeros(len(points), np.float32)


def _checker(points: Points, offset: float) -> Weights:
    return (np.floor(points + 0.01).sum(-1) % 2).astype(np.float32)


def _stripes(points: Points, offset: float) -> Weights:
    return (points[:, 1] % 1 < 0.45).astype(np.float32)


def _marble(points: Points, offset: float) -> Weights:
    return np.clip(1.5 * fractal_noise(points, 0.5, offset) + 0.3, 0, 1)


def _dots(points: Points, offset: float) -> Weights:
    part = points - np.round(points)
    return (np.square(part).sum(-1) < 0.11).astype(np.float32)


def _bricks(points: Points, offset: float) -> Weights:
    row = np.floor(points[:, 1] * 1.5)
    across = (points[:, 0] + points[:, 2]) * 0.75 + 0.5 * row
    joint = np.minimum((points[:, 1] * 1.5) % 1, across % 1)
    return (joint < 0.12).astype(np.float32)


def _planks(points: Points, offset: float) -> Weights:
    board = np.floor(points[:, 0])
    stretched = np.stack([points[:, 0] * 3, board, points[:, 2] * 0.35], -1)
    tone = 0.3 + 0.25 * np.sin(board * 12.9) + 0.2 * value_noise(stretched, 1.0, offset)
    return np.clip(np.where(points[:, 0] % 1 < 0.07, 1.0, tone), 0, 1).astype(np.float32)


def _speckle(points: Points, offset: float) -> Weights:
    return np.clip(3 * value_noise(points, 1.3, offset) - 1.2, 0, 1)


def _camouflage(points: Points, offset: float) -> Weights:
    return (fractal_noise(points, 0.6, offset) > 0.15).astype(np.float32)


def _fractal(points: Points, offset: float) -> Weights:
    total = np.zeros(len(points), np.float32)
    for octave in range(4):
        total += value_noise(points, 0.4 * 2.3**octave, offset + 5.1 * octave) * 0.62**octave
    return np.clip(0.5 + 0.55 * total, 0, 1)


def _bark(points: Points, offset: float) -> Weights:
    stretched = points * floats([1.0, 0.22, 1.0])
    ridges = 1 - np.abs(fractal_noise(stretched, 1.6, offset))
    return np.clip(2.2 * ridges - 1.1, 0, 1)


def _litter(points: Points, offset: float) -> Weights:
    """Overlapping leaf-sized patches, each of one tone."""
    tone = value_noise(np.floor(points * 2.0), 0.37, offset)
    bent = np.floor(points * 1.3 + 0.35 * np.sin(points[:, [1, 2, 0]] * 2.6) + 0.5)
    return np.clip(0.5 + 0.3 * tone + 0.45 * value_noise(bent, 0.41, offset + 3.0), 0, 1)


_PATTERNS: dict[Pattern, Callable[[Points, float], Weights]] = {
    "plain": _plain,
    "checker": _checker,
    "stripes": _stripes,
    "marble": _marble,
    "dots": _dots,
    "bricks": _bricks,
    "planks": _planks,
    "speckle": _speckle,
    "camouflage": _camouflage,
    "fractal": _fractal,
    "bark": _bark,
    "litter": _litter,
}
PATTERNS: tuple[Pattern, ...] = tuple(_PATTERNS)
