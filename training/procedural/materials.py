"""Styles of material, light and season: a scene made of something else, or on another day."""

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
    """Snow on what faces up and on every ledge, frost on the rest, cold light, a pale sky."""
    tone = brightness(buffers.albedo) * buffers.shading
    upwards = 0.6 * blur(buffers.normal[..., 1], 5.0) + 1.1 * (brightness(buffers.albedo) - 0.45)
    snow_share = np.clip((upwards - 0.05) * 1.5, 0, 1)
    # Just above a dark underside snow lies as a rim.
    ledge = np.clip(3.5 * (np.roll(tone, 1, 0) - np.roll(tone, -2, 0)), 0, 1)
    snow_share = np.maximum(snow_share, blur(ledge, 0.7)) * buffers.hit
    light = np.clip(blur(buffers.shading, 0.8), 0, 1.1)[..., None]
    snow = floats([0.92, 0.96, 1.02]) * (0.58 + 0.40 * light)
    grey = brightness(buffers.albedo)[..., None]
    frosted = (grey + (buffers.albedo - grey) * 0.6) * 0.72 + 0.2 * floats([0.80, 0.91, 1.0])
    cold = frosted * (0.22 + 0.83 * light) * floats([0.86, 0.96, 1.12])
    covered = mix(cold, snow, blur(snow_share, 0.8))
    covered *= (1 - 0.4 * np.clip(blur(buffers.outline, 0.8), 0, 1))[..., None]
    return mix(floats([0.80, 0.86, 0.93]), covered, buffers.hit * (1 - 0.8 * buffers.haze))


def autumn(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Golden light; hues turned to red, orange and gold; the ground strewn with leaf colours."""
    hsv = to_hsv(buffers.albedo)
    warm = 24 + 22 * np.cos(np.deg2rad(hsv[..., 0] - 60))
    detail = normalised_detail(buffers)
    warm = np.clip(warm - 7 * np.tanh(detail), 2, 52)
    saturation = np.clip(hsv[..., 1] * 0.5 + 0.42, 0, 0.92)
    value = np.clip(hsv[..., 2] * 1.05 + 0.12, 0, 1)
    objects = to_rgb(np.stack([warm, saturation, value], -1))
    leaf_hue = 31 + 13 * np.tanh(1.2 * detail)
    leaf_value = np.clip(0.62 + 0.16 * np.tanh(detail), 0, 1)
    leaves = to_rgb(np.stack([leaf_hue, np.full_like(leaf_hue, 0.66), leaf_value], -1))
    leaves = 0.75 * leaves + 0.25 * objects
    surface = np.where((buffers.ids == GROUND)[..., None], leaves, objects)
    lit = surface * (0.15 + 0.9 * buffers.shading)[..., None] * floats([1.10, 0.97, 0.76])
    lit = lit * (1 - 0.45 * np.clip(blur(buffers.outline, 0.8), 0, 1))[..., None]
    return mix(floats([0.97, 0.83, 0.58]), lit, buffers.hit * (1 - 0.8 * buffers.haze))


def bronze(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Cast metal: dark hollows with green patina, warm flanks, heights that reflect the sky."""
    up = blur(buffers.normal_camera[..., 1], 3.0)
    relief = brightness(buffers.albedo) * (0.45 + 0.55 * buffers.shading)
    # As a cast shows a face: what is dark lies deep, what stands out against its surroundings is
    # worn bright.
    height = relief + 0.8 * (relief - blur(relief, 6.0)) + 0.06 * up
    polish = np.clip((height - 0.08) * 1.25, 0, 1.15)
    reflected = polish + 0.05 * np.sin(9 * polish + 2 * up)
    metal = mix(
        floats([0.10, 0.05, 0.03]), floats([0.66, 0.38, 0.15]), np.clip(1.7 * reflected, 0, 1)
    )
    metal = mix(metal, floats([1.0, 0.86, 0.58]), np.clip(2.2 * reflected - 1.25, 0, 1))
    metal = metal + 0.5 * (buffers.specular**16)[..., None] * floats([0.95, 0.8, 0.55])
    patina = np.clip(0.55 - 3.2 * np.abs(height - 0.20), 0, 0.5)
    metal = mix(metal, floats([0.26, 0.50, 0.42]), patina)
    metal = metal * (1 - 0.6 * np.clip(blur(buffers.outline, 0.8), 0, 1))[..., None]
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
    """White marble with grey veins, polished, in a museum's pale hall.

    Not in a dark one: where a field shows fog, the model sees what it knows as the hall.
    """
    detail = normalised_detail(buffers)
    veins = np.exp(-np.square(detail / 0.45)) * np.clip(np.abs(detail), 0, 1) * 0.5
    veins = veins + 0.35 * np.clip(tone_edges(buffers.albedo), 0, 1)
    tone = brightness(buffers.albedo)
    carved_deep = np.clip(tone + 1.2 * (tone - blur(tone, 5.0)), 0, 1)
    soft = 0.10 + 0.50 * np.clip(buffers.shading, 0, 1.1) + 0.46 * np.sqrt(carved_deep)
    soft = np.clip(soft, 0, 1.05) + 0.08 * blur(buffers.normal[..., 1], 1.5)
    stone = soft[..., None] * floats([0.98, 0.965, 0.94])
    stone = mix(stone, stone * floats([0.60, 0.62, 0.66]), np.clip(veins, 0, 1))
    stone = stone + 0.5 * (buffers.specular**20)[..., None]
    floor = (0.30 + 0.14 * buffers.shading + 0.03 * np.tanh(detail))[..., None]
    floor = floor * floats([0.78, 0.72, 0.70])
    hall = mix(
        floats([0.66, 0.63, 0.61]),
        floats([0.48, 0.46, 0.46]),
        np.clip(buffers.direction[..., 1] * 1.4 + 0.3, 0, 1),
    )
    carved = np.where((buffers.ids >= FIRST_OBJECT)[..., None], stone, hall)
    carved = np.where((buffers.ids == GROUND)[..., None], mix(floor, hall, buffers.haze), carved)
    return carved * (1 - 0.5 * np.clip(blur(buffers.outline, 0.9), 0, 1))[..., None]


def ice(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Clear blue ice: deep where it is dark, white at rims and cracks, under a polar dusk."""
    rim = np.square(1 - np.clip(blur(buffers.normal_camera[..., 2], 1.0), 0, 1))
    tone = brightness(buffers.albedo) * (0.4 + 0.6 * buffers.shading)
    clear = np.clip(1.25 * (tone + 0.5 * (tone - blur(tone, 6.0))) + 0.35 * rim - 0.12, 0, 1)
    body = mix(floats([0.01, 0.13, 0.34]), floats([0.16, 0.58, 0.84]), np.clip(2 * clear, 0, 1))
    body = mix(body, floats([0.86, 0.98, 1.0]), np.clip(2 * clear - 1, 0, 1))
    cracks = np.clip(tone_edges(buffers.albedo) * 0.7, 0, 1)
    body = mix(body, floats([0.92, 0.99, 1.0]), 0.35 * cracks)
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
        scene, floats([0.93, 0.99, 1.0]), 0.75 * np.clip(blur(buffers.outline, 0.7) * 1.5, 0, 1)
    )
    return mix(dusk, scene, buffers.hit * (1 - 0.8 * buffers.haze))


def moss(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Overgrown: bright moss on what is light or faces up, dark stone and creepers below, mist."""
    detail = np.tanh(normalised_detail(buffers))
    tone = brightness(buffers.albedo) * (0.35 + 0.65 * buffers.shading)
    upwards = blur(buffers.normal[..., 1], 1.5)
    share = np.clip(0.35 + 0.45 * upwards + 0.7 * tone + 0.25 * detail, 0.1, 1)
    bright = np.clip(0.05 + 1.05 * tone + 0.14 * detail + 0.08 * upwards, 0, 1)
    green = mix(floats([0.05, 0.13, 0.03]), floats([0.36, 0.55, 0.10]), np.clip(2 * bright, 0, 1))
    green = mix(green, floats([0.80, 0.88, 0.34]), np.clip(2 * bright - 1, 0, 1))
    wet = (0.12 + 0.8 * tone)[..., None] * floats([0.62, 0.54, 0.42])
    grown = mix(wet, green, blur(share, 0.8))
    grown = grown * (1 - 0.75 * np.clip(blur(buffers.outline, 0.8) * 1.3, 0, 1))[..., None]
    grown = grown * (1 + 0.04 * grain(rng, buffers, 1.5))[..., None]
    return mix(floats([0.76, 0.86, 0.70]), grown, buffers.hit * (1 - 0.9 * buffers.haze))


def sepia(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """An old photograph: soft, faded, brown, a little grainy."""
    tone = np.clip(brightness(blur(buffers.rgb, 0.9)), 0, 1)
    tone = np.clip(tone * tone * (3 - 2 * tone) + 0.02 * grain(rng, buffers, 0.8), 0, 1)
    brown = mix(floats([0.20, 0.12, 0.06]), floats([0.66, 0.47, 0.29]), np.clip(2 * tone, 0, 1))
    return mix(brown, floats([0.97, 0.89, 0.72]), np.clip(2 * tone - 1, 0, 1))
