"""Random scenes: solids and clutter on a ground, outdoors, in a room or before a backdrop."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenestyle.cameras import PinholeCamera
from training.procedural.props import (
    INDOOR_PROPS,
    OUTDOOR_PROPS,
    bush,
    choice,
    hill,
    rock,
    tinted,
    tuft,
)
from training.procedural.raycast import Room, Scene, Sky, look_at
from training.procedural.solids import Primitive, Shape, Vector, bounding_radius
from training.procedural.textures import PATTERNS, Pattern, Rgb, Texture

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
    "grass": ((0.30, 0.50, 0.18), ("plain", "marble", "camouflage", "fractal", "litter"), 0.35),
    "sand": ((0.80, 0.70, 0.48), ("plain", "marble", "speckle", "fractal"), 0.16),
    "dirt": ((0.42, 0.31, 0.21), ("plain", "marble", "speckle", "fractal", "litter"), 0.3),
    "tiles": ((0.70, 0.70, 0.70), ("checker", "bricks"), 0.12),
    "wood": ((0.58, 0.40, 0.24), ("planks", "bark"), 0.15),
    "stone": ((0.52, 0.51, 0.49), ("marble", "speckle", "camouflage", "fractal", "bricks"), 0.25),
    "asphalt": ((0.25, 0.25, 0.27), ("plain", "speckle", "fractal"), 0.25),
    "carpet": ((0.55, 0.25, 0.22), ("checker", "dots", "camouflage"), 0.2),
}
"""base colour, patterns and grain of each ground a caption can name"""

Item = tuple[str, list[Primitive]]
"""a name for captions, empty if not worth naming, and the pieces"""

_BACKDROPS: tuple[Rgb, ...] = ((0.97, 0.97, 0.97), (0.05, 0.05, 0.05), (0.5, 0.5, 0.5))
_ZENITHS: tuple[Rgb, ...] = (
    (0.45, 0.65, 0.92),
    (0.30, 0.50, 0.85),
    (0.68, 0.71, 0.76),
    (0.55, 0.50, 0.62),
)
_SHAPES: tuple[Shape, ...] = ("sphere", "sphere", "box", "box", "cylinder", "cone", "torus")
_STACKED: tuple[Shape, ...] = ("sphere", "cone", "cylinder", "box")


@dataclass(frozen=True)
class NamedScene:
    """A scene with the words that describe it and a camera's usual place."""

    scene: Scene
    objects: tuple[str, ...]
    """the larger things: colour and shape of solids, e.g. "red sphere", or a prop's name"""
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
    field_of_view: float
    """across the longer side of the picture"""

    def eye(self, turned: float = 0.0) -> np.ndarray:
        """Where the camera stands, or would after `turned` more of azimuth."""
        azimuth = self.azimuth + turned
        eye = np.asarray(self.target) + self.distance * np.array(
            [
                np.cos(azimuth) * np.cos(self.elevation),
                np.sin(self.elevation),
                np.sin(azimuth) * np.cos(self.elevation),
            ]
        )
        eye[1] = max(eye[1], 0.12)
        return eye

    def camera(self, width: int, height: int) -> PinholeCamera:
        """The camera that stands here and faces the target."""
        eye = self.eye()
        focal = max(width, height) / 2 / np.tan(self.field_of_view / 2)
        return PinholeCamera(
            look_at(eye, self.target), focal, focal, width / 2, height / 2, width, height
        )


def random_scene(rng: np.random.Generator) -> NamedScene:
    """Solids and props around the middle, more behind, small things between, indoors or out."""
    indoors = rng.random() < 0.38
    ground = choice(rng, list(GROUNDS))
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.3)
    viewpoint = _viewpoint(rng, farthest=4.6 if indoors else 8.0)
    items = [*_subjects(rng, indoors=indoors), *_behind(rng, viewpoint, indoors=indoors)]
    items += [("", pieces) for pieces in _clutter(rng, int(rng.integers(0, 13)))]
    items = [(name, pieces) for name, pieces in items if _clear_of(viewpoint, pieces)]
    scene = Scene(
        primitives=tuple(piece for _, pieces in items for piece in pieces),
        ground=_ground_texture(rng, ground),
        surroundings=_room(rng) if indoors else _sky(rng),
        light_direction=(
            float(np.cos(azimuth) * np.cos(elevation)),
            float(np.sin(elevation)),
            float(np.sin(azimuth) * np.cos(elevation)),
        ),
        ambient=rng.uniform(0.42, 0.75) if indoors else rng.uniform(0.32, 0.72),
        ground_extent=rng.uniform(11, 24),
        light_colour=_light_colour(rng),
    )
    names = tuple(name for name, _ in items if name)
    return NamedScene(scene, names, ground, viewpoint, int(rng.integers(1 << 31)))


def nearby(viewpoint: Viewpoint, rng: np.random.Generator) -> Viewpoint:
    """Another place from which largely the same things are seen."""
    return Viewpoint(
        azimuth=viewpoint.azimuth + rng.uniform(0.2, 0.9) * rng.choice([-1, 1]),
        elevation=float(np.clip(viewpoint.elevation + rng.uniform(-0.2, 0.2), 0.08, 0.9)),
        distance=viewpoint.distance * rng.uniform(0.85, 1.15),
        target=viewpoint.target,
        field_of_view=viewpoint.field_of_view,
    )


def _subjects(rng: np.random.Generator, *, indoors: bool) -> list[Item]:
    """Two to five solids, some stacked, or props, not too near to each other."""
    items: list[Item] = []
    props = INDOOR_PROPS if indoors else OUTDOOR_PROPS
    footprints: list[tuple[np.ndarray, float]] = []
    count = int(rng.integers(2, 6))
    for index in range(count):
        place, radius = _free_place(rng, footprints, first=index == 0)
        footprints.append((place, radius))
        if rng.random() < 0.3:
            name = choice(rng, list(props))
            items.append((name, props[name](rng, place, radius * rng.uniform(0.5, 0.9))))
            continue
        shape = choice(rng, _SHAPES)
        half_height = radius * rng.uniform(0.6, 1.5)
        floats = index > 1 and rng.random() < 0.12
        bottom = rng.uniform(0.2, 0.9) if floats else 0.0
        colour, solid = _solid(rng, shape, place, bottom, radius, half_height)
        items.append((f"{colour} {shape}", [solid]))
        if shape in ("box", "cylinder") and rng.random() < 0.35:
            above = choice(rng, _STACKED)
            small = radius * rng.uniform(0.5, 0.9)
            colour, solid = _solid(
                rng, above, place, bottom + 2 * half_height, small, small * rng.uniform(0.6, 1.3)
            )
            items.append((f"{colour} {above}", [solid]))
    return items


def _behind(rng: np.random.Generator, viewpoint: Viewpoint, *, indoors: bool) -> list[Item]:
    """Larger props beyond the middle as the camera sees it, and outdoors sometimes hills."""
    items: list[Item] = []
    props = INDOOR_PROPS if indoors else OUTDOOR_PROPS
    # Often of one kind: a grove, a street, a row of shelves.
    kinds = list(rng.permutation(list(props))[: int(rng.integers(1, 4))])
    for _ in range(int(rng.integers(0, 7))):
        name = str(choice(rng, kinds))
        place = _opposite(rng, viewpoint, rng.uniform(1.7, 4.2 if indoors else 7.0))
        items.append((name, props[name](rng, place, rng.uniform(0.35, 1.1))))
    if not indoors and rng.random() < 0.45:
        for _ in range(int(rng.integers(1, 5))):
            place = _opposite(rng, viewpoint, rng.uniform(8, 14))
            items.append(("", hill(rng, place, rng.uniform(3, 7))))
    return items


def _opposite(rng: np.random.Generator, viewpoint: Viewpoint, distance: float) -> np.ndarray:
    azimuth = viewpoint.azimuth + np.pi + rng.uniform(-1.0, 1.0)
    return distance * np.array([np.cos(azimuth), np.sin(azimuth)])


def _clear_of(viewpoint: Viewpoint, pieces: Sequence[Primitive]) -> bool:
    """Whether no piece holds the camera or a place that `nearby` may move it to."""
    eyes = [viewpoint.eye(turned) for turned in (-0.9, -0.5, 0.0, 0.5, 0.9)]
    return all(
        np.linalg.norm(np.asarray(piece.centre) - eye) > bounding_radius(piece) + 0.3
        for piece in pieces
        for eye in eyes
    )


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
            first=tinted(rng, COLOURS[colour], 0.06),
            second=COLOURS[str(rng.choice(list(COLOURS)))],
            pattern="plain" if rng.random() < 0.3 else choice(rng, PATTERNS),
            frequency=rng.uniform(1.2, 4.0) / radius,
            grain=rng.uniform(0.04, 0.3),
            offset=rng.uniform(0, 30),
            relief=rng.uniform(0.1, 0.6) if rng.random() < 0.25 else 0.0,
        ),
        yaw=rng.uniform(0, 2 * np.pi),
        tilt=tilt,
        gloss=rng.uniform(0.2, 0.7) if rng.random() < 0.3 else 0.0,
    )


def _clutter(rng: np.random.Generator, count: int) -> list[list[Primitive]]:
    pieces = []
    for _ in range(count):
        radius = rng.uniform(0.05, 0.16)
        place = rng.uniform(-1.8, 1.8, size=2)
        kind = rng.random()
        if kind < 0.5:
            shape = choice(rng, _STACKED)
            half_height = radius * rng.uniform(0.6, 1.5)
            pieces.append([_solid(rng, shape, place, 0.0, radius, half_height)[1]])
        else:
            prop = rock if kind < 0.7 else bush if kind < 0.85 else tuft
            pieces.append(prop(rng, place, radius))
    return pieces


def _ground_texture(rng: np.random.Generator, ground: str) -> Texture:
    colour, patterns, grain = GROUNDS[ground]
    first = tinted(rng, colour, 0.05)
    darker = rng.uniform(0.45, 0.8)
    return Texture(
        first=first,
        second=(first[0] * darker, first[1] * darker, first[2] * darker),
        pattern=choice(rng, patterns),
        frequency=rng.uniform(1.0, 3.0),
        grain=grain * rng.uniform(0.6, 1.4),
        offset=rng.uniform(0, 30),
        relief=rng.uniform(0.1, 0.5) if rng.random() < 0.4 else 0.0,
    )


def _room(rng: np.random.Generator) -> Room:
    paint = tinted(rng, choice(rng, ((0.8, 0.76, 0.68), (0.6, 0.68, 0.72), (0.75, 0.6, 0.5))), 0.1)
    darker = rng.uniform(0.6, 0.9)
    return Room(
        half_width=rng.uniform(5.2, 7.5),
        half_depth=rng.uniform(5.2, 7.5),
        height=rng.uniform(4.2, 6.0),
        wall=Texture(
            first=paint,
            second=(paint[0] * darker, paint[1] * darker, paint[2] * darker),
            pattern=choice(rng, PATTERNS),
            frequency=rng.uniform(0.5, 2.0),
            grain=rng.uniform(0.03, 0.15),
            offset=rng.uniform(0, 30),
        ),
    )


def _sky(rng: np.random.Generator) -> Sky:
    if rng.random() < 0.7:
        zenith = choice(rng, _ZENITHS)
        return Sky(zenith=tinted(rng, zenith, 0.08), clouds=rng.uniform(0.03, 0.35))
    return Sky(zenith=choice(rng, _BACKDROPS), clouds=0.0)


def _light_colour(rng: np.random.Generator) -> Rgb:
    """Neutral, or off towards warm or cold, as white balance leaves it."""
    warmth = rng.normal(0, 0.08)
    return (1 + warmth, 1.0, 1 - warmth)


def _viewpoint(rng: np.random.Generator, farthest: float) -> Viewpoint:
    """Any focal length; the distance goes with it: the subject fills part of the image."""
    field_of_view = rng.uniform(0.45, 1.3)
    half_width = rng.uniform(0.9, 2.3)
    return Viewpoint(
        azimuth=rng.uniform(0, 2 * np.pi),
        elevation=rng.uniform(0.06, 0.8),
        distance=float(np.clip(half_width / np.tan(field_of_view / 2), 1.8, farthest)),
        target=(rng.normal(0, 0.15), rng.uniform(0.3, 0.75), rng.normal(0, 0.15)),
        field_of_view=field_of_view,
    )
