"""Random scenes: solids and clutter on a ground, outdoors, in a room or before a backdrop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from scenestyle.cameras import PinholeCamera
from scenestyle.procedural.raycast import (
    Primitive,
    Room,
    Scene,
    Shape,
    Sky,
    Vector,
    field_of_view_camera,
    look_at,
)
from scenestyle.procedural.textures import PATTERNS, Pattern, Rgb, Texture

COLOURS: dict[str, Rgb] = {
    "red": (0.80, 0.12, 0.10),
    "orange": (0.92, 0.50, 0.10),
    "yellow": (0.93, 0.82, 0.18),
    "green": (0.20, 0.58, 0.20),
    "blue": (0.14, 0.28, 0.78),
    "purple": (0.50, 0.20, 0.62),
    "pink": (0.92, 0.52, 0.66),
    "brown": (0.45, 0.28, 0.15),
    "white": (0.92, 0.92, 0.90),
    "gray": (0.52, 0.52, 0.53),
    "black": (0.12, 0.12, 0.13),
    "cyan": (0.20, 0.72, 0.78),
}
GROUNDS: dict[str, tuple[Rgb, tuple[Pattern, ...], float]] = {
    "grass": ((0.30, 0.50, 0.18), ("plain", "marble", "camouflage"), 0.35),
    "sand": ((0.80, 0.70, 0.48), ("plain", "marble", "speckle"), 0.16),
    "dirt": ((0.42, 0.31, 0.21), ("plain", "marble", "speckle"), 0.3),
    "tiles": ((0.70, 0.70, 0.70), ("checker",), 0.12),
    "wood": ((0.58, 0.40, 0.24), ("planks",), 0.15),
    "stone": ((0.52, 0.51, 0.49), ("marble", "speckle", "camouflage"), 0.25),
    "asphalt": ((0.25, 0.25, 0.27), ("plain", "speckle"), 0.25),
    "carpet": ((0.55, 0.25, 0.22), ("checker", "dots", "camouflage"), 0.2),
}
"""base colour, patterns and grain of each ground a caption can name"""

T = TypeVar("T")

_BACKDROPS: tuple[Rgb, ...] = ((0.97, 0.97, 0.97), (0.05, 0.05, 0.05), (0.5, 0.5, 0.5))
_SHAPES: tuple[Shape, ...] = ("sphere", "sphere", "box", "box", "cylinder", "cone", "torus")
_STACKED: tuple[Shape, ...] = ("sphere", "cone", "cylinder", "box")


@dataclass(frozen=True)
class NamedScene:
    """A scene with the words that describe it and a camera's usual place."""

    scene: Scene
    objects: tuple[str, ...]
    """colour and shape of the larger solids, e.g. "red sphere" """
    ground: str
    viewpoint: "Viewpoint"
    style_seed: int
    """seed of the style filters' own randomness, the same in all views of the scene"""


@dataclass(frozen=True)
class Viewpoint:
    """A camera on a sphere around the scene; angles in radians, lengths in scene units."""

    azimuth: float
    elevation: float
    distance: float
    target: Vector
    horizontal_fov: float

    def camera(self, width: int, height: int) -> PinholeCamera:
        """The camera that stands here and faces the target."""
        eye = np.asarray(self.target) + self.distance * np.array(
            [
                np.cos(self.azimuth) * np.cos(self.elevation),
                np.sin(self.elevation),
                np.sin(self.azimuth) * np.cos(self.elevation),
            ]
        )
        eye[1] = max(eye[1], 0.12)
        return field_of_view_camera(look_at(eye, self.target), width, height, self.horizontal_fov)


def random_scene(rng: np.random.Generator) -> NamedScene:
    """Two to five solids, some stacked, up to eight small ones, on a ground of a nameable kind."""
    solids, names = _solids(rng)
    ground = str(rng.choice(list(GROUNDS)))
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.2)
    indoors = rng.random() < 0.3
    scene = Scene(
        primitives=(*solids, *_clutter(rng, int(rng.integers(0, 9)))),
        ground=_ground_texture(rng, ground),
        surroundings=_room(rng) if indoors else _sky(rng),
        light_direction=(
            float(np.cos(azimuth) * np.cos(elevation)),
            float(np.sin(elevation)),
            float(np.sin(azimuth) * np.cos(elevation)),
        ),
        ambient=rng.uniform(0.5, 0.65) if indoors else rng.uniform(0.34, 0.5),
    )
    return NamedScene(scene, tuple(names), ground, _viewpoint(rng), int(rng.integers(1 << 31)))


def nearby(viewpoint: Viewpoint, rng: np.random.Generator) -> Viewpoint:
    """Another place from which largely the same things are seen."""
    return Viewpoint(
        azimuth=viewpoint.azimuth + rng.uniform(0.2, 0.9) * rng.choice([-1, 1]),
        elevation=float(np.clip(viewpoint.elevation + rng.uniform(-0.2, 0.2), 0.08, 0.9)),
        distance=viewpoint.distance * rng.uniform(0.85, 1.15),
        target=viewpoint.target,
        horizontal_fov=viewpoint.horizontal_fov,
    )


def _solids(rng: np.random.Generator) -> tuple[list[Primitive], list[str]]:
    solids: list[Primitive] = []
    names: list[str] = []
    footprints: list[tuple[np.ndarray, float]] = []
    count = int(rng.integers(2, 6))
    for index in range(count):
        shape = _choice(rng, _SHAPES)
        place, radius = _free_place(rng, footprints, first=index == 0)
        footprints.append((place, radius))
        half_height = radius * rng.uniform(0.6, 1.5)
        floats = index > 1 and rng.random() < 0.12
        bottom = rng.uniform(0.2, 0.9) if floats else 0.0
        colour, solid = _solid(rng, shape, place, bottom, radius, half_height)
        solids.append(solid)
        names.append(f"{colour} {shape}")
        if shape in ("box", "cylinder") and rng.random() < 0.35:
            above = _choice(rng, _STACKED)
            small = radius * rng.uniform(0.5, 0.9)
            colour, solid = _solid(
                rng, above, place, bottom + 2 * half_height, small, small * rng.uniform(0.6, 1.3)
            )
            solids.append(solid)
            names.append(f"{colour} {above}")
    return solids, names


def _free_place(
    rng: np.random.Generator, footprints: Sequence[tuple[np.ndarray, float]], *, first: bool
) -> tuple[np.ndarray, float]:
    place, radius = np.zeros(2), 0.0
    for _ in range(12):
        radius = rng.uniform(0.28, 0.65) * (1.2 if first else 0.9)
        place = rng.standard_normal(2) * (0.15 if first else 0.9)
        if all(np.linalg.norm(place - other) > 0.8 * (radius + r) for other, r in footprints):
            break
    return place, radius


def _solid(
    rng: np.random.Generator,
    shape: Shape,
    place: np.ndarray,
    bottom: float,
    radius: float,
    half_height: float,
) -> tuple[str, Primitive]:
    standing_ring = shape == "torus" and rng.random() < 0.5
    tilt = rng.uniform(1.2, 1.57) if standing_ring else 0.0
    rise = {"sphere": radius, "torus": radius if standing_ring else 0.28 * radius}
    colour = str(rng.choice(list(COLOURS)))
    return colour, Primitive(
        shape=shape,
        centre=(float(place[0]), bottom + rise.get(shape, half_height), float(place[1])),
        radius=radius,
        half_height=half_height,
        texture=Texture(
            first=_tinted(rng, COLOURS[colour], 0.06),
            second=COLOURS[str(rng.choice(list(COLOURS)))],
            pattern="plain" if rng.random() < 0.3 else _choice(rng, PATTERNS),
            frequency=rng.uniform(1.2, 4.0) / radius,
            grain=rng.uniform(0.04, 0.3),
            offset=rng.uniform(0, 30),
        ),
        yaw=rng.uniform(0, 2 * np.pi),
        tilt=tilt,
        gloss=rng.uniform(0.2, 0.7) if rng.random() < 0.3 else 0.0,
    )


def _clutter(rng: np.random.Generator, count: int) -> list[Primitive]:
    pieces = []
    for _ in range(count):
        radius = rng.uniform(0.05, 0.15)
        place = rng.uniform(-1.8, 1.8, size=2)
        shape = _choice(rng, _STACKED)
        pieces.append(_solid(rng, shape, place, 0.0, radius, radius * rng.uniform(0.6, 1.5))[1])
    return pieces


def _ground_texture(rng: np.random.Generator, ground: str) -> Texture:
    colour, patterns, grain = GROUNDS[ground]
    first = _tinted(rng, colour, 0.05)
    darker = rng.uniform(0.45, 0.8)
    return Texture(
        first=first,
        second=(first[0] * darker, first[1] * darker, first[2] * darker),
        pattern=_choice(rng, patterns),
        frequency=rng.uniform(1.0, 3.0),
        grain=grain * rng.uniform(0.6, 1.4),
        offset=rng.uniform(0, 30),
    )


def _room(rng: np.random.Generator) -> Room:
    paint = _tinted(
        rng, _choice(rng, ((0.8, 0.76, 0.68), (0.6, 0.68, 0.72), (0.75, 0.6, 0.5))), 0.1
    )
    darker = rng.uniform(0.6, 0.9)
    return Room(
        half_width=rng.uniform(5.2, 7.5),
        half_depth=rng.uniform(5.2, 7.5),
        height=rng.uniform(4.2, 6.0),
        wall=Texture(
            first=paint,
            second=(paint[0] * darker, paint[1] * darker, paint[2] * darker),
            pattern=_choice(rng, PATTERNS),
            frequency=rng.uniform(0.5, 2.0),
            grain=rng.uniform(0.03, 0.15),
            offset=rng.uniform(0, 30),
        ),
    )


def _sky(rng: np.random.Generator) -> Sky:
    if rng.random() < 0.65:
        return Sky(zenith=_tinted(rng, (0.45, 0.65, 0.92), 0.08), clouds=rng.uniform(0.03, 0.2))
    return Sky(zenith=_choice(rng, _BACKDROPS), clouds=0.0)


def _viewpoint(rng: np.random.Generator) -> Viewpoint:
    return Viewpoint(
        azimuth=rng.uniform(0, 2 * np.pi),
        elevation=rng.uniform(0.12, 0.8),
        distance=rng.uniform(2.1, 4.4),
        target=(rng.normal(0, 0.15), rng.uniform(0.3, 0.65), rng.normal(0, 0.15)),
        horizontal_fov=rng.uniform(0.65, 1.1),
    )


def _tinted(rng: np.random.Generator, colour: Rgb, spread: float) -> Rgb:
    red, green, blue = np.clip(np.asarray(colour) * (1 + spread * rng.standard_normal(3)), 0.02, 1)
    return float(red), float(green), float(blue)


def _choice(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]
