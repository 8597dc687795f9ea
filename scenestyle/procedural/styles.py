"""Ten named styles as filters over a scene's buffers.

A filter is a function of what a photograph and its depth show wherever it can be: hatching and
grids are locked to the 8-pixel blocks of the latent grid, cracks and strokes follow the texture and
the shape. What only chance decides is kept faint, since a model can learn no more than its mean.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float

from scenestyle.procedural.arrays import floats
from scenestyle.procedural.raycast import FIRST_OBJECT, GROUND, Buffers

Map = Float[np.ndarray, "height width"]
Picture = Float[np.ndarray, "height width 3"]

_UKIYOE_INKS = floats(
    [
        (0.13, 0.20, 0.38),
        (0.35, 0.48, 0.58),
        (0.91, 0.86, 0.73),
        (0.76, 0.28, 0.18),
        (0.40, 0.47, 0.32),
        (0.83, 0.64, 0.36),
        (0.32, 0.23, 0.18),
        (0.70, 0.72, 0.66),
        (0.88, 0.66, 0.58),
    ]
)


def stylize(buffers: Buffers, style: str, seed: int) -> Picture:
    """The scene's photograph redrawn in a style of `STYLES`; same inputs, same bytes."""
    picture = STYLES[style](buffers, np.random.default_rng(seed))
    return np.clip(picture, 0, 1).astype(np.float32)


def photo(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """The photograph itself."""
    return buffers.rgb


def watercolor(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Transparent washes on white paper: flat tones, dark pigment rims, granulation, white sky."""
    light = np.clip(0.35 + 0.25 * np.floor(buffers.shading * 3.4), 0.45, 1.05)[..., None]
    wash = cv2.bilateralFilter(buffers.albedo * light, 7, 0.3, 3)
    wash = np.clip(0.22 + 0.78 * _saturated(wash, 1.3), 0, 1)
    rims = np.clip(_blur(buffers.outline, 0.9) * 1.5 + 0.6 * _tone_edges(wash), 0, 1)
    solid = (buffers.ids >= FIRST_OBJECT).astype(np.float32)
    strength = 0.58 + 0.3 * solid - 0.45 * buffers.haze - 0.45 * ~buffers.hit
    density = (1 - wash) * _blur(strength, 1.2)[..., None]
    pooled = 1 + 0.9 * rims + 0.09 * _grain(rng, buffers, 4.0) + 0.08 * _grain(rng, buffers, 1.2)
    return floats([0.985, 0.975, 0.95]) * (1 - np.clip(density * pooled[..., None], 0, 0.95))


def pencil(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Graphite on paper: outlines, and one to three layers of hatching for the tones."""
    tone = np.clip(buffers.shading * (0.3 + 0.7 * _luma(buffers.albedo)), 0, 1)
    tone = np.where(buffers.hit, tone * (1 - buffers.haze) + buffers.haze, 1)
    rising, falling = _hatching(buffers, 1), _hatching(buffers, -1)
    paper = 0.96 - 0.10 * np.clip((0.75 - tone) * 2, 0, 1)
    paper -= np.clip((0.60 - tone) * 2.4, 0, 1) * rising * 0.42
    paper -= np.clip((0.34 - tone) * 3, 0, 1) * falling * 0.36
    paper -= np.clip((0.25 - tone) * 3, 0, 1) * 0.2
    lines = np.clip(_blur(buffers.outline, 0.7) * 1.7 + 0.35 * _tone_edges(buffers.albedo), 0, 1)
    drawn = paper * (1 - 0.82 * lines) + 0.012 * _grain(rng, buffers, 0.6)
    return drawn[..., None] * floats([1.0, 0.99, 0.965])


def ukiyoe(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Woodblock print: few flat inks, black key lines, a sky graded from blue to paper."""
    lit = buffers.albedo * np.where(buffers.sunlight > 0.18, 1.0, 0.6)[..., None]
    smooth = _blur(lit.astype(np.float32), 0.9)
    nearest = np.square(smooth[..., None, :] - _UKIYOE_INKS).sum(-1).argmin(-1)
    inks = _blur(_UKIYOE_INKS[nearest], 0.6)
    height = np.clip(buffers.direction[..., 1] * 3.0, 0, 1)
    sky = _mix(floats([0.94, 0.88, 0.75]), floats([0.16, 0.31, 0.53]), height)
    printed = _mix(sky, inks, buffers.hit * (1 - 0.8 * buffers.haze))
    return printed * (1 - 0.92 * np.clip(_blur(buffers.outline, 0.7) * 1.7, 0, 1))[..., None]


def neon(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Night: dark surfaces, outlines glowing in each thing's own hue, reflections on wet ground."""
    hue = _hsv(_blur(buffers.albedo, 2.0))[..., 0]
    vivid = np.where(buffers.ids >= FIRST_OBJECT, 170 + (hue * 0.45 + 20) % 170, 188)
    tube = _rgb(np.stack([vivid, np.full_like(hue, 0.92), np.ones_like(hue)], -1))
    lines = tube * buffers.outline[..., None]
    pattern = tube * np.clip(_tone_edges(buffers.albedo), 0, 1)[..., None]
    glow = lines * 0.9 + _blur(lines, 1.4) * 1.5 + _blur(lines, 5.0) * 1.7 + pattern * 0.28
    night = floats([0.05, 0.03, 0.12]) + buffers.albedo * buffers.shading[..., None] * floats(
        [0.13, 0.10, 0.26]
    )
    dusk = np.clip(0.28 - buffers.direction[..., 1:2], 0, 1) * floats([0.5, 0.05, 0.55])
    scene = np.where(buffers.hit[..., None], night, floats([0.03, 0.01, 0.08]) + dusk)
    mirrored = cv2.blur(np.roll(lines, 10, axis=0), (3, 21)) * 1.3
    return scene + glow + mirrored * (buffers.ids == GROUND)[..., None]


def winter(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Snow on everything that faces up, frost on the rest, cold light, a pale sky."""
    upwards = buffers.normal[..., 1] + 0.25 * (_luma(buffers.albedo) - 0.5)
    snow_share = np.clip((upwards - 0.38) * 5, 0, 1) * buffers.hit
    light = buffers.shading[..., None]
    snow = floats([0.93, 0.965, 1.02]) * (0.66 + 0.32 * light)
    grey = _luma(buffers.albedo)[..., None]
    frosted = (grey + (buffers.albedo - grey) * 0.75) * 0.72 + 0.2 * floats([0.85, 0.93, 1.0])
    cold = frosted * (0.3 + 0.75 * light) * floats([0.92, 0.97, 1.08])
    covered = _mix(cold, snow, _blur(snow_share, 0.6))
    covered *= (1 - 0.25 * np.clip(_blur(buffers.outline, 0.8), 0, 1))[..., None]
    return _mix(floats([0.80, 0.86, 0.93]), covered, buffers.hit * (1 - 0.8 * buffers.haze))


def autumn(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Golden light; hues turned to red, orange and gold; the ground strewn with leaf colours."""
    hsv = _hsv(buffers.albedo)
    warm = 24 + 22 * np.cos(np.deg2rad(hsv[..., 0] - 60))
    saturation = np.clip(hsv[..., 1] * 0.55 + 0.42, 0, 0.92)
    objects = _rgb(np.stack([warm, saturation, np.clip(hsv[..., 2] * 0.9 + 0.1, 0, 1)], -1))
    detail = _normalised_detail(buffers)
    leaf_hue = 31 + 13 * np.tanh(1.2 * detail)
    leaf_value = np.clip(0.62 + 0.16 * np.tanh(detail), 0, 1)
    leaves = _rgb(np.stack([leaf_hue, np.full_like(leaf_hue, 0.66), leaf_value], -1))
    leaves = 0.75 * leaves + 0.25 * objects
    surface = np.where((buffers.ids == GROUND)[..., None], leaves, objects)
    lit = surface * buffers.shading[..., None] * floats([1.08, 0.95, 0.75])
    lit = lit * (1 - 0.45 * np.clip(_blur(buffers.outline, 0.8), 0, 1))[..., None]
    return _mix(floats([0.97, 0.83, 0.58]), lit, buffers.hit * (1 - 0.8 * buffers.haze))


def bronze(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Cast metal: bands of reflected surroundings, highlights, green patina where metal is dark."""
    across, up = buffers.normal_camera[..., 0], buffers.normal_camera[..., 1]
    facing_up = 0.5 + 0.5 * up
    bands = 0.5 + 0.5 * np.sin(9 * facing_up + 2.5 * across)
    mirror = 0.22 + 0.25 * facing_up + 0.6 * bands * facing_up
    relief = 0.7 + 0.5 * _luma(buffers.albedo)
    metal = (mirror * relief * (0.5 + 0.5 * buffers.shading))[..., None] * floats(
        [0.86, 0.55, 0.25]
    )
    patina = np.clip(1.6 * (0.3 - _luma(buffers.albedo)) + 0.5 * (0.35 - up), 0, 0.75)
    green = floats([0.30, 0.56, 0.47]) * (0.4 + 0.6 * buffers.shading[..., None])
    metal = _mix(metal, green, patina) + (buffers.specular**16)[..., None] * floats(
        [0.95, 0.8, 0.55]
    )
    plinth = (0.5 + 0.5 * buffers.shading) * (1 + 0.25 * np.tanh(_normalised_detail(buffers)))
    stone = plinth[..., None] * floats([0.36, 0.33, 0.31])
    cast = np.where((buffers.ids >= FIRST_OBJECT)[..., None], metal, stone)
    return _mix(floats([0.23, 0.21, 0.21]), cast, buffers.hit * (1 - 0.8 * buffers.haze))


def oil(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Van Gogh: thick strokes that follow the shapes, vivid colour, a blue sky of yellow swirls."""
    swirl_x, swirl_y, swirl = _sky_swirls(buffers.hit.shape)
    x = -buffers.normal_camera[..., 1]
    y = -buffers.normal_camera[..., 0]
    flat = buffers.ids < FIRST_OBJECT
    x = np.where(flat, np.where(buffers.hit, 1.0, swirl_x), x)
    y = np.where(
        flat, np.where(buffers.hit, 0.22 * np.sin(buffers.position[..., 0] * 3), swirl_y), y
    )
    x, y = _blur(x, 1.0), _blur(y, 1.0)
    length = np.sqrt(x * x + y * y) + 1e-3
    bands = np.clip(1.4 * (0.5 + 0.5 * np.sin(swirl)) - 0.55, 0, 1)
    sky = _mix(floats([0.10, 0.24, 0.62]), floats([0.97, 0.84, 0.36]), bands)
    vivid = _saturated(_blur(buffers.rgb, 0.8), 1.6) + 0.03
    paint = _mix(sky, vivid, buffers.hit * (1 - 0.5 * buffers.haze))
    bristles = _along_flow(_grain(rng, buffers, 1.7), x / length, y / length)
    bristles /= bristles.std() + 1e-6
    paint = _along_flow(paint, x / length, y / length) * (1 + 0.16 * bristles[..., None])
    relief = cv2.Sobel(bristles, -1, 0, 1) - cv2.Sobel(bristles, -1, 1, 0)
    contour = np.clip(_blur(buffers.outline, 0.9) * 1.4, 0, 1)[..., None]
    painted = paint + 0.018 * relief[..., None]
    return painted * (1 - 0.6 * contour) + contour * floats([0.03, 0.06, 0.16]) * 0.6


def blueprint(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """White lines and shadow hatching on blue paper with a fine grid."""
    rows, columns = np.indices(buffers.hit.shape)
    grid = np.maximum(rows % 8 == 0, columns % 8 == 0) * 0.06
    shade = np.clip(0.8 - buffers.shading, 0, 1) * (buffers.ids >= FIRST_OBJECT)
    paper = (
        floats([0.06, 0.20, 0.48]) + floats(grid + 0.5 * shade * _hatching(buffers, 1))[..., None]
    )
    lines = np.clip(_blur(buffers.outline, 0.6) * 1.7 + 0.25 * _tone_edges(buffers.albedo), 0, 1)
    return _mix(paper, floats([0.93, 0.97, 1.0]), lines)


def lava(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Black rock lit from below, cracks and rims of fire, standing in a glowing, crusted flow."""
    detail = _normalised_detail(buffers)
    solid = buffers.ids >= FIRST_OBJECT
    rock = (0.07 + 0.26 * _luma(buffers.albedo) * buffers.shading)[..., None] * floats(
        [1.0, 0.82, 0.78]
    )
    underlight = np.clip(0.16 - 0.8 * buffers.normal[..., 1], 0, 1)[..., None] * floats(
        [0.62, 0.17, 0.02]
    )
    veins = np.clip(_tone_edges(buffers.albedo) * 0.8, 0, 1)
    rims = np.clip(_blur(buffers.outline, 0.8) * 1.5, 0, 1) * (solid | (buffers.ids != GROUND))
    heat = np.clip(0.62 - 0.42 * np.tanh(1.6 * detail), 0, 1) * (0.55 + 0.45 * buffers.shading)
    flow = _mix(floats([0.20, 0.02, 0.01]), floats([1.0, 0.46, 0.04]), heat)
    body = rock + underlight + veins[..., None] * floats([0.75, 0.28, 0.03])
    wall = rock * 0.8 + 0.5 * underlight + veins[..., None] * floats([0.5, 0.14, 0.02])
    scene = np.where(solid[..., None], body, wall)
    scene = np.where((buffers.ids == GROUND)[..., None], flow, scene)
    scene = _mix(scene, floats([1.0, 0.80, 0.28]), 0.9 * rims)
    embers = np.clip(0.45 - buffers.direction[..., 1], 0, 1)[..., None]
    sky = floats([0.13, 0.03, 0.02]) + embers * floats([1.1, 0.30, 0.05])
    return _mix(sky, scene, buffers.hit * (1 - 0.7 * buffers.haze))


STYLES: dict[str, Callable[[Buffers, np.random.Generator], Picture]] = {
    "photo": photo,
    "watercolor": watercolor,
    "pencil": pencil,
    "ukiyo-e": ukiyoe,
    "neon": neon,
    "winter": winter,
    "autumn": autumn,
    "bronze": bronze,
    "oil": oil,
    "blueprint": blueprint,
    "lava": lava,
}
"""every style by name, the photograph first"""


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(floats(values), (0, 0), sigma)


def _luma(colour: Picture) -> Map:
    return colour @ floats([0.299, 0.587, 0.114])


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> Picture:
    weight = np.asarray(share, np.float32)[..., None]
    return first * (1 - weight) + second * weight


def _hsv(colour: Picture) -> Picture:
    """Hue in degrees, saturation and value in 0..1."""
    return cv2.cvtColor(np.clip(colour, 0, 1).astype(np.float32), cv2.COLOR_RGB2HSV)


def _rgb(hsv: Picture) -> Picture:
    return cv2.cvtColor(hsv.astype(np.float32), cv2.COLOR_HSV2RGB)


def _saturated(colour: Picture, factor: float) -> Picture:
    grey = _luma(colour)[..., None]
    return grey + (colour - grey) * np.float32(factor)


def _grain(rng: np.random.Generator, buffers: Buffers, sigma: float) -> Map:
    """Random field of unit standard deviation, correlated over `sigma` pixels."""
    noise = _blur(rng.standard_normal(buffers.hit.shape).astype(np.float32), sigma)
    return noise / (noise.std() + 1e-6)


def _hatching(buffers: Buffers, slope: int) -> Map:
    """Diagonal lines, 0..1, whose period is the 8 pixels of one latent."""
    rows, columns = np.indices(buffers.hit.shape)
    return (0.5 + 0.5 * np.cos((rows + slope * columns) * (2 * np.pi / 8))).astype(np.float32)


def _tone_edges(colour: Picture) -> Map:
    """Strength of the brightness edges, about 1 at strong ones."""
    luma = _blur(_luma(colour).astype(np.float32), 0.8)
    return np.hypot(cv2.Sobel(luma, -1, 1, 0), cv2.Sobel(luma, -1, 0, 1)) * np.float32(1.4)


def _normalised_detail(buffers: Buffers) -> Map:
    """Brightness of the surface's texture against its surroundings, in local standard deviations."""
    luma = np.log(_luma(buffers.albedo) + 0.05).astype(np.float32)
    smooth = _blur(luma, 0.8)
    mean = cv2.blur(smooth, (33, 33))
    spread = np.sqrt(np.maximum(cv2.blur(np.square(smooth - mean), (33, 33)), 0) + 2e-4)
    return (smooth - mean) / spread


def _sky_swirls(shape: tuple[int, int]) -> tuple[Map, Map, Map]:
    """Unit-scale flow around two fixed centres in the picture, and a phase that runs along rings."""
    rows, columns = floats(np.indices(shape))
    u, v = columns / shape[1], rows / shape[0]
    flow_x, flow_y = np.full(shape, 0.5, np.float32), np.zeros(shape, np.float32)
    phase = np.zeros(shape, np.float32)
    for centre_u, centre_v, turn in ((0.3, 0.16, 1), (0.78, 0.24, -1)):
        du, dv = u - centre_u, v - centre_v
        pull = np.exp(-(du * du + dv * dv) / 0.035) * turn
        flow_x, flow_y = flow_x - dv * pull * 14, flow_y + du * pull * 14
        phase += np.sqrt(du * du + dv * dv) * 36 * np.abs(pull)
    return flow_x, flow_y, phase


def _along_flow(
    values: np.ndarray, x: Map, y: Map, steps: int = 8, stride: float = 1.3
) -> np.ndarray:
    """Line integral convolution (Cabral and Leedom 1993): the mean along the flow, both ways."""
    rows, columns = floats(np.indices(x.shape))
    total = values.astype(np.float32).copy()
    for sign in (-1, 1):
        at_x, at_y = columns, rows
        for _ in range(steps):
            dx = cv2.remap(x, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            dy = cv2.remap(y, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            at_x, at_y = at_x + sign * stride * dx, at_y + sign * stride * dy
            total += cv2.remap(
                values.astype(np.float32),
                at_x,
                at_y,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
    return total / (2 * steps + 1)
