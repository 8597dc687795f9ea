"""Styles of material, light and season: the same scene made of something else, or seen another day."""

import cv2
import numpy as np

from training.procedural.arrays import floats
from training.procedural.filters import (
    Picture,
    blur,
    brightness,
    grain,
    mix,
    normalised_detail,
    to_hsv,
    to_rgb,
    tone_edges,
)
from training.procedural.raycast import FIRST_OBJECT, GROUND, Buffers


def photo(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """The photograph itself."""
    return buffers.rgb


def neon(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Night: dark surfaces, outlines glowing in each thing's own hue, reflections on wet ground."""
    hue = to_hsv(blur(buffers.albedo, 2.0))[..., 0]
    vivid = np.where(buffers.ids >= FIRST_OBJECT, 170 + (hue * 0.45 + 20) % 170, 188)
    tube = to_rgb(np.stack([vivid, np.full_like(hue, 0.92), np.ones_like(hue)], -1))
    lines = tube * buffers.outline[..., None]
    pattern = tube * np.clip(tone_edges(buffers.albedo), 0, 1)[..., None]
    glow = lines * 0.9 + blur(lines, 1.4) * 1.5 + blur(lines, 5.0) * 1.7 + pattern * 0.28
    night = floats([0.05, 0.03, 0.12]) + buffers.albedo * buffers.shading[..., None] * floats(
        [0.13, 0.10, 0.26]
    )
    dusk = np.clip(0.28 - buffers.direction[..., 1:2], 0, 1) * floats([0.5, 0.05, 0.55])
    scene = np.where(buffers.hit[..., None], night, floats([0.03, 0.01, 0.08]) + dusk)
    mirrored = cv2.blur(np.roll(lines, 10, axis=0), (3, 21)) * 1.3
    return scene + glow + mirrored * (buffers.ids == GROUND)[..., None]


def winter(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Snow on everything that faces up, frost on the rest, cold light, a pale sky."""
    upwards = buffers.normal[..., 1] + 0.25 * (brightness(buffers.albedo) - 0.5)
    snow_share = np.clip((upwards - 0.38) * 5, 0, 1) * buffers.hit
    light = buffers.shading[..., None]
    snow = floats([0.93, 0.965, 1.02]) * (0.66 + 0.32 * light)
    grey = brightness(buffers.albedo)[..., None]
    frosted = (grey + (buffers.albedo - grey) * 0.75) * 0.72 + 0.2 * floats([0.85, 0.93, 1.0])
    cold = frosted * (0.3 + 0.75 * light) * floats([0.92, 0.97, 1.08])
    covered = mix(cold, snow, blur(snow_share, 0.6))
    covered *= (1 - 0.25 * np.clip(blur(buffers.outline, 0.8), 0, 1))[..., None]
    return mix(floats([0.80, 0.86, 0.93]), covered, buffers.hit * (1 - 0.8 * buffers.haze))


def autumn(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Golden light; hues turned to red, orange and gold; the ground strewn with leaf colours."""
    hsv = to_hsv(buffers.albedo)
    warm = 24 + 22 * np.cos(np.deg2rad(hsv[..., 0] - 60))
    saturation = np.clip(hsv[..., 1] * 0.55 + 0.42, 0, 0.92)
    objects = to_rgb(np.stack([warm, saturation, np.clip(hsv[..., 2] * 0.9 + 0.1, 0, 1)], -1))
    detail = normalised_detail(buffers)
    leaf_hue = 31 + 13 * np.tanh(1.2 * detail)
    leaf_value = np.clip(0.62 + 0.16 * np.tanh(detail), 0, 1)
    leaves = to_rgb(np.stack([leaf_hue, np.full_like(leaf_hue, 0.66), leaf_value], -1))
    leaves = 0.75 * leaves + 0.25 * objects
    surface = np.where((buffers.ids == GROUND)[..., None], leaves, objects)
    lit = surface * buffers.shading[..., None] * floats([1.08, 0.95, 0.75])
    lit = lit * (1 - 0.45 * np.clip(blur(buffers.outline, 0.8), 0, 1))[..., None]
    return mix(floats([0.97, 0.83, 0.58]), lit, buffers.hit * (1 - 0.8 * buffers.haze))


def bronze(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Cast metal: bands of reflected surroundings, highlights, green patina where metal is dark."""
    across, up = buffers.normal_camera[..., 0], buffers.normal_camera[..., 1]
    facing_up = 0.5 + 0.5 * up
    bands = 0.5 + 0.5 * np.sin(9 * facing_up + 2.5 * across)
    mirror = 0.22 + 0.25 * facing_up + 0.6 * bands * facing_up
    relief = 0.7 + 0.5 * brightness(buffers.albedo)
    metal = (mirror * relief * (0.5 + 0.5 * buffers.shading))[..., None] * floats(
        [0.86, 0.55, 0.25]
    )
    patina = np.clip(1.6 * (0.3 - brightness(buffers.albedo)) + 0.5 * (0.35 - up), 0, 0.75)
    green = floats([0.30, 0.56, 0.47]) * (0.4 + 0.6 * buffers.shading[..., None])
    metal = mix(metal, green, patina) + (buffers.specular**16)[..., None] * floats(
        [0.95, 0.8, 0.55]
    )
    plinth = (0.5 + 0.5 * buffers.shading) * (1 + 0.25 * np.tanh(normalised_detail(buffers)))
    stone = plinth[..., None] * floats([0.36, 0.33, 0.31])
    cast = np.where((buffers.ids >= FIRST_OBJECT)[..., None], metal, stone)
    return mix(floats([0.23, 0.21, 0.21]), cast, buffers.hit * (1 - 0.8 * buffers.haze))


def lava(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Black rock lit from below, cracks and rims of fire, standing in a glowing, crusted flow."""
    detail = normalised_detail(buffers)
    solid = buffers.ids >= FIRST_OBJECT
    rock = (0.07 + 0.26 * brightness(buffers.albedo) * buffers.shading)[..., None] * floats(
        [1.0, 0.82, 0.78]
    )
    underlight = np.clip(0.16 - 0.8 * buffers.normal[..., 1], 0, 1)[..., None] * floats(
        [0.62, 0.17, 0.02]
    )
    veins = np.clip(tone_edges(buffers.albedo) * 0.8, 0, 1)
    rims = np.clip(blur(buffers.outline, 0.8) * 1.5, 0, 1) * (solid | (buffers.ids != GROUND))
    heat = np.clip(0.62 - 0.42 * np.tanh(1.6 * detail), 0, 1) * (0.55 + 0.45 * buffers.shading)
    flow = mix(floats([0.20, 0.02, 0.01]), floats([1.0, 0.46, 0.04]), heat)
    body = rock + underlight + veins[..., None] * floats([0.75, 0.28, 0.03])
    wall = rock * 0.8 + 0.5 * underlight + veins[..., None] * floats([0.5, 0.14, 0.02])
    scene = np.where(solid[..., None], body, wall)
    scene = np.where((buffers.ids == GROUND)[..., None], flow, scene)
    scene = mix(scene, floats([1.0, 0.80, 0.28]), 0.9 * rims)
    embers = np.clip(0.45 - buffers.direction[..., 1], 0, 1)[..., None]
    sky = floats([0.13, 0.03, 0.02]) + embers * floats([1.1, 0.30, 0.05])
    return mix(sky, scene, buffers.hit * (1 - 0.7 * buffers.haze))


def marble(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """White marble with grey veins, polished, in a museum's dark red hall."""
    detail = normalised_detail(buffers)
    veins = np.exp(-np.square(detail / 0.45)) * np.clip(np.abs(detail), 0, 1) * 0.5
    veins = veins + 0.35 * np.clip(tone_edges(buffers.albedo), 0, 1)
    soft = 0.42 + 0.56 * np.clip(buffers.shading, 0, 1.1) + 0.08 * buffers.normal[..., 1]
    stone = soft[..., None] * floats([0.98, 0.965, 0.94])
    stone = mix(stone, stone * floats([0.60, 0.62, 0.66]), np.clip(veins, 0, 1))
    stone = stone + 0.5 * (buffers.specular**20)[..., None]
    floor = (0.30 + 0.14 * buffers.shading + 0.03 * np.tanh(detail))[..., None]
    floor = floor * floats([0.78, 0.72, 0.70])
    hall = mix(
        floats([0.34, 0.09, 0.09]),
        floats([0.16, 0.03, 0.05]),
        np.clip(buffers.direction[..., 1] * 1.4 + 0.3, 0, 1),
    )
    carved = np.where((buffers.ids >= FIRST_OBJECT)[..., None], stone, hall)
    carved = np.where((buffers.ids == GROUND)[..., None], mix(floor, hall, buffers.haze), carved)
    return carved * (1 - 0.5 * np.clip(blur(buffers.outline, 0.9), 0, 1))[..., None]


def ice(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Clear blue ice: deep where it faces the viewer, white at rims and cracks, under a polar dusk."""
    rim = np.square(1 - np.clip(buffers.normal_camera[..., 2], 0, 1))
    clear = np.clip(0.15 + 0.85 * rim + 0.4 * brightness(buffers.albedo) * buffers.shading, 0, 1)
    body = mix(floats([0.02, 0.30, 0.52]), floats([0.62, 0.93, 1.0]), clear)
    cracks = np.clip(tone_edges(buffers.albedo) * 0.9, 0, 1)
    body = mix(body, floats([0.92, 0.99, 1.0]), 0.6 * cracks)
    body = body + 0.8 * (buffers.specular**18)[..., None]
    frozen = mix(
        floats([0.04, 0.22, 0.33]), floats([0.36, 0.66, 0.76]), np.clip(buffers.shading - 0.2, 0, 1)
    )
    frozen = mix(frozen, floats([0.80, 0.93, 0.97]), 0.5 * cracks)
    dusk = mix(
        floats([0.86, 0.66, 0.82]),
        floats([0.20, 0.24, 0.56]),
        np.clip(buffers.direction[..., 1] * 1.8 + 0.15, 0, 1),
    )
    scene = np.where((buffers.ids >= FIRST_OBJECT)[..., None], body, mix(frozen, dusk, 0.25 * rim))
    scene = mix(
        scene, floats([0.93, 0.99, 1.0]), 0.8 * np.clip(blur(buffers.outline, 0.8) * 1.5, 0, 1)
    )
    return mix(dusk, scene, buffers.hit * (1 - 0.8 * buffers.haze))


def moss(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Overgrown: bright moss on all that faces up, dark wet stone and creepers below, green mist."""
    detail = np.tanh(normalised_detail(buffers))
    share = np.clip(0.55 + 0.6 * buffers.normal[..., 1] + 0.35 * detail, 0.35, 1)
    green = mix(
        floats([0.07, 0.17, 0.03]),
        floats([0.55, 0.72, 0.14]),
        np.clip(0.1 + 0.55 * buffers.shading + 0.22 * detail, 0, 1),
    )
    wet = (0.25 + 0.75 * buffers.albedo) * buffers.shading[..., None] * floats([0.34, 0.32, 0.24])
    grown = mix(wet, green, blur(share, 0.8))
    grown = grown * (1 - 0.75 * np.clip(blur(buffers.outline, 1.0) * 1.5, 0, 1))[..., None]
    grown = grown * (1 + 0.04 * grain(rng, buffers, 1.5))[..., None]
    return mix(floats([0.76, 0.86, 0.70]), grown, buffers.hit * (1 - 0.9 * buffers.haze))


def sepia(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """An old photograph: soft, faded, brown, a little grainy."""
    tone = np.clip(brightness(blur(buffers.rgb, 0.9)), 0, 1)
    tone = np.clip(tone * tone * (3 - 2 * tone) + 0.02 * grain(rng, buffers, 0.8), 0, 1)
    brown = mix(floats([0.20, 0.12, 0.06]), floats([0.66, 0.47, 0.29]), np.clip(2 * tone, 0, 1))
    return mix(brown, floats([0.97, 0.89, 0.72]), np.clip(2 * tone - 1, 0, 1))
