"""Things put together from several solids: plants, rocks, houses and furniture, to fill a scene.

Every prop is a function of a generator, a place on the ground (x, z) and a size, all in scene
units.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from training.procedural.solids import Primitive, Shape
from training.procedural.textures import Pattern, Rgb, Texture

Place = Float[np.ndarray, "2"]
Prop = Callable[[np.random.Generator, Place, float], list[Primitive]]

T = TypeVar("T")

_LEAVES: tuple[Rgb, ...] = (
    (0.20, 0.42, 0.12),
    (0.30, 0.50, 0.14),
    (0.14, 0.32, 0.16),
    (0.42, 0.50, 0.16),
    (0.55, 0.32, 0.12),
    (0.62, 0.42, 0.50),
)
_STONES: tuple[Rgb, ...] = ((0.52, 0.50, 0.47), (0.62, 0.55, 0.44), (0.36, 0.36, 0.38))
_WOODS: tuple[Rgb, ...] = ((0.42, 0.28, 0.16), (0.60, 0.42, 0.24), (0.28, 0.19, 0.13))
_WALLS: tuple[Rgb, ...] = ((0.86, 0.80, 0.68), (0.62, 0.34, 0.26), (0.74, 0.76, 0.78))
_ROOFS: tuple[Rgb, ...] = ((0.62, 0.22, 0.15), (0.30, 0.30, 0.33), (0.45, 0.32, 0.22))
_PAINTS: tuple[Rgb, ...] = (
    *_WOODS,
    (0.85, 0.84, 0.80),
    (0.16, 0.16, 0.18),
    (0.30, 0.42, 0.55),
    (0.70, 0.25, 0.20),
    (0.82, 0.66, 0.25),
)


def choice(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, as it is."""
    return options[int(rng.integers(len(options)))]


def tinted(rng: np.random.Generator, colour: Rgb, spread: float) -> Rgb:
    """The colour with each channel off by a random share."""
    red, green, blue = np.clip(np.asarray(colour) * (1 + spread * rng.standard_normal(3)), 0.02, 1)
    return float(red), float(green), float(blue)


def rough_texture(
    rng: np.random.Generator,
    colour: Rgb,
    patterns: Sequence[Pattern],
    frequency: float,
    *,
    contrast: float = 0.5,
    grain: float = 0.25,
    relief: float = 0.0,
) -> Texture:
    """A colour and its darker self, mixed by one of the patterns."""
    first = tinted(rng, colour, 0.1)
    darker = 1 - contrast * rng.uniform(0.5, 1.3)
    return Texture(
        first=first,
        second=(first[0] * darker, first[1] * darker, first[2] * darker),
        pattern=choice(rng, patterns),
        frequency=frequency,
        grain=grain * rng.uniform(0.5, 1.3),
        offset=rng.uniform(0, 30),
        relief=relief * rng.uniform(0.4, 1.3),
    )


def bush(rng: np.random.Generator, place: Place, size: float) -> list[Primitive]:
    """One to three balls of leaves, grown into each other."""
    leaves = choice(rng, _LEAVES)
    return [
        _crown(rng, leaves, place + 0.7 * size * rng.uniform(-1, 1, 2), 0.6 * size, size)
        for _ in range(int(rng.integers(1, 4)))
    ]


def tree(rng: np.random.Generator, place: Place, size: float) -> list[Primitive]:
    """A trunk and a crown of balls of leaves, or of cones."""
    height = size * rng.uniform(1.4, 2.6)
    bark = rough_texture(rng, choice(rng, _WOODS), ("bark",), 6 / size, relief=0.3)
    trunk = _upright("cylinder", place, 0.0, size * rng.uniform(0.1, 0.18), height / 2, bark)
    leaves = choice(rng, _LEAVES)
    if rng.random() < 0.3:
        needles = rough_texture(rng, leaves, ("litter", "fractal"), 7 / size, relief=0.6)
        tiers = [
            _upright("cone", place, 0.35 * height + 0.6 * size * k, radius, 0.6 * size, needles)
            for k in range(3)
            for radius in [(1 - 0.25 * k) * size]
        ]  # fmt: skip
        return [trunk, *tiers]
    crown = [
        _crown(
            rng, leaves, place + 0.5 * size * rng.uniform(-1, 1, 2), height + 0.3 * k * size, size
        )
        for k in range(int(rng.integers(1, 4)))
    ]  # fmt: skip
    return [trunk, *crown]


def plant(rng: np.random.Generator, place: Place, size: float) -> list[Primitive]:
    """Long leaves around a pot."""
    pot_height = size * rng.uniform(0.3, 0.6)
    glaze = rough_texture(rng, choice(rng, _PAINTS), ("plain", "fractal"), 4 / size, grain=0.1)
    pot = _upright("cylinder", place, 0.0, 0.4 * size, pot_height / 2, glaze)
    green = choice(rng, _LEAVES[:4])
    leaves = []
    for _ in range(int(rng.integers(8, 17))):
        yaw, lean = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.3)
        length = size * rng.uniform(0.35, 0.7)
        # The leaf's own z axis runs along it; tilted about x it points up or down, then it turns.
        along = np.array([np.sin(yaw) * np.cos(lean), np.sin(lean), np.cos(yaw) * np.cos(lean)])
        middle = np.array([place[0], pot_height, place[1]]) + 0.9 * length * along
        leaves.append(
            Primitive(
                shape="ellipsoid",
                centre=(float(middle[0]), float(middle[1]), float(middle[2])),
                radius=length * rng.uniform(0.5, 0.9),
                half_height=length * 0.08,
                texture=rough_texture(rng, green, ("bark", "fractal"), 8 / size),
                yaw=yaw,
                tilt=-lean,
            )
        )
    return [pot, *leaves]


def rock(rng: np.random.Generator, place: Place, size: float) -> list[Primitive]:
    """A boulder, half sunk, perhaps with a smaller one beside it."""
    stone = choice(rng, _STONES)
    rocks = []
    for share in (1.0, 0.55)[: int(rng.integers(1, 3))]:
        radius, half_height = share * size, share * size * rng.uniform(0.5, 1.0)
        at = place + (1 - share) * 2.2 * size * rng.uniform(-1, 1, 2)
        texture = rough_texture(
            rng, stone, ("fractal", "speckle", "marble"), 3.5 / radius, relief=1.6
        )
        rocks.append(
            Primitive(
                shape="ellipsoid",
                centre=(float(at[0]), 0.55 * half_height, float(at[1])),
                radius=radius,
                half_height=half_height,
                texture=texture,
                yaw=rng.uniform(0, 2 * np.pi),
                tilt=rng.uniform(-0.4, 0.4),
            )
        )
    return rocks


def house(rng: np.random.Generator, place: Place, size: float) -> list[Primitive]:
    """A box with a roof, a door and two windows on its front."""
    half = size * rng.uniform(0.6, 1.2)
    yaw = rng.uniform(0, 2 * np.pi)
    patterns: tuple[Pattern, ...] = ("bricks", "plain", "fractal", "planks")
    wall = rough_texture(rng, choice(rng, _WALLS), patterns, 5 / size, grain=0.12)
    tiles = rough_texture(rng, choice(rng, _ROOFS), ("bricks", "stripes", "litter"), 8 / size)
    dark = rough_texture(rng, (0.15, 0.17, 0.22), ("plain", "planks"), 6 / size)
    front = np.array([np.sin(yaw), np.cos(yaw)])
    across = np.array([np.cos(yaw), -np.sin(yaw)])

    def on_front(sideways: float, bottom: float, width: float, half_height: float) -> Primitive:
        middle = place + (1.02 * size - width) * front + sideways * size * across
        return _upright("box", middle, bottom, width, half_height, dark, yaw=yaw)

    return [
        _upright("box", place, 0.0, size, half, wall, yaw=yaw),
        _upright("cone", place, 2 * half, 1.5 * size, 0.45 * size, tiles, yaw=yaw),
        on_front(0.0, 0.0, 0.2 * size, 0.5 * half),
        on_front(-0.6, 0.8 * half, 0.16 * size, 0.16 * size),
        on_front(0.6, 0.8 * half, 0.16 * size, 0.16 * size),
    ]


def table(rng: np.random.Generator, place: Place, size: float) -> list[Primitive]:
    """A table top on four legs, with one to three things on it."""
    height, yaw = size * rng.uniform(0.8, 1.3), rng.uniform(0, 2 * np.pi)
    patterns: tuple[Pattern, ...] = ("planks", "bark", "fractal", "plain")
    wood = rough_texture(rng, choice(rng, _PAINTS), patterns, 3 / size, grain=0.1)
    turn = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    legs = [
        _upright("cylinder", place + turn @ corner, 0.0, 0.07 * size, height / 2, wood)
        for corner in 0.85 * size * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
    ]  # fmt: skip
    things = [
        _thing(rng, place + 0.6 * size * rng.uniform(-1, 1, 2), height + 0.08 * size, 0.25 * size)
        for _ in range(int(rng.integers(1, 4)))
    ]
    return [
        *legs,
        _upright("box", place, height, size, 0.04 * size, wood, yaw=yaw),
        *things,
    ]


def shelf(rng: np.random.Generator, place: Place, size: float) -> list[Primitive]:
    """A tall cupboard, or boards with things between two sides."""
    yaw = rng.uniform(0, 2 * np.pi)
    patterns: tuple[Pattern, ...] = ("planks", "plain", "fractal")
    wood = rough_texture(rng, choice(rng, _PAINTS), patterns, 3 / size, grain=0.1)
    levels = int(rng.integers(1, 4))
    boards = [
        _upright("box", place, 0.8 * size * level, 0.7 * size, 0.05 * size, wood, yaw=yaw)
        for level in range(levels + 1)
    ]
    back = _upright("cylinder", place, 0.0, 0.3 * size, 0.4 * size * levels, wood)
    things = [
        _thing(rng, place + 0.45 * size * rng.uniform(-1, 1, 2), height, 0.2 * size)
        for height in 0.8 * size * np.arange(levels + 1) + 0.1 * size
        for _ in range(int(rng.integers(0, 3)))
    ]  # fmt: skip
    return [back, *boards, *things]


def hill(rng: np.random.Generator, place: Place, size: float) -> list[Primitive]:
    """A broad flat dome; far away, the horizon."""
    colour = choice(rng, (*_LEAVES[:4], *_STONES))
    texture = rough_texture(rng, colour, ("fractal", "camouflage"), 1.5 / size, relief=0.8)
    low = Primitive(
        shape="ellipsoid",
        centre=(float(place[0]), 0.0, float(place[1])),
        radius=size,
        half_height=size * rng.uniform(0.08, 0.3),
        texture=texture,
    )
    return [low]


def tuft(rng: np.random.Generator, place: Place, size: float) -> list[Primitive]:
    """Three to six blades of grass."""
    green = choice(rng, _LEAVES[:5])
    texture = rough_texture(rng, green, ("bark",), 8 / size)
    return [
        Primitive(
            shape="cone",
            centre=(float(at[0]), 0.9 * size, float(at[1])),
            radius=0.18 * size,
            half_height=0.9 * size,
            texture=texture,
            yaw=rng.uniform(0, 2 * np.pi),
            tilt=rng.uniform(0.0, 0.5),
        )
        for at in place + 0.5 * size * rng.standard_normal((int(rng.integers(3, 7)), 2))
    ]


OUTDOOR_PROPS: dict[str, Prop] = {"tree": tree, "bush": bush, "rock": rock, "house": house}
INDOOR_PROPS: dict[str, Prop] = {"plant": plant, "table": table, "shelf": shelf, "rock": rock}
"""by the word that a caption uses"""


def _crown(
    rng: np.random.Generator, leaves: Rgb, place: Place, height: float, size: float
) -> Primitive:
    radius = size * rng.uniform(0.6, 1.1)
    return Primitive(
        shape="foliage",
        centre=(float(place[0]), max(height, 0.7 * radius), float(place[1])),
        radius=radius,
        half_height=0.0,
        texture=rough_texture(
            rng, leaves, ("litter", "fractal"), rng.uniform(8, 16) / radius, contrast=0.6
        ),
    )


def _thing(rng: np.random.Generator, place: Place, bottom: float, size: float) -> Primitive:
    shape = choice(rng, ("box", "cylinder", "cone", "ellipsoid"))
    colour = choice(rng, _PAINTS)
    texture = rough_texture(rng, colour, ("plain", "fractal", "stripes", "marble"), 3 / size)
    return _upright(
        shape, place, bottom, size * rng.uniform(0.5, 1), size * rng.uniform(0.5, 1.3), texture
    )


def _upright(
    shape: Shape,
    place: Place,
    bottom: float,
    radius: float,
    half_height: float,
    texture: Texture,
    yaw: float = 0.0,
) -> Primitive:
    return Primitive(
        shape=shape,
        centre=(float(place[0]), bottom + half_height, float(place[1])),
        radius=radius,
        half_height=half_height,
        texture=texture,
        yaw=yaw,
    )
