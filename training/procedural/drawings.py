"""Styles of hand and press: a scene drawn, painted, printed or laid in glass and stone."""

import cv2
import numpy as np

from training.procedural.arrays import floats
from training.procedural.filters import (
    BLOCK,
    Picture,
    blur,
    brightness,
    grain,
    hatching,
    mix,
    pixel_indices,
    saturated,
    segment_means,
    solid_tones,
    strokes,
    to_hsv,
    to_rgb,
    tone_edges,
)
from training.procedural.raycast import FIRST_OBJECT, GROUND, SKY, WALL, Buffers

_INDIGO, _PAPER = floats([0.07, 0.17, 0.40]), floats([0.95, 0.89, 0.75])
_WOODBLOCK_INKS = floats(
    [
        (0.10, 0.20, 0.42),
        (0.42, 0.60, 0.68),
        (0.95, 0.88, 0.72),
        (0.80, 0.26, 0.16),
        (0.38, 0.50, 0.30),
        (0.14, 0.33, 0.24),
        (0.88, 0.66, 0.30),
        (0.28, 0.20, 0.18),
        (0.62, 0.37, 0.20),
    ]
)


def watercolor(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Transparent washes on white paper: flat tones, dark pigment rims, granulation, white sky."""
    light = np.clip(0.35 + 0.25 * np.floor(buffers.shading * 3.4), 0.45, 1.05)
    light = blur(light, 0.8)[..., None]
    wash = cv2.bilateralFilter(floats(buffers.albedo * light), 9, 0.25, 5)
    wash = solid_tones(cv2.bilateralFilter(wash, 9, 0.15, 5), buffers, 0.3)
    wash = np.clip(0.30 + 0.78 * saturated(wash, 1.5), 0, 1)
    rims = np.clip(blur(buffers.outline, 0.8) * 1.5 + 0.8 * tone_edges(wash), 0, 1)
    solid = (buffers.ids >= FIRST_OBJECT).astype(np.float32)
    strength = 0.58 + 0.36 * solid - 0.45 * buffers.haze - 0.45 * ~buffers.hit
    density = (1 - wash) * blur(strength, 1.2)[..., None]
    # Where a wash has dried, pigment has gathered at its rim and left the middle paler.
    pooled = 0.94 + 1.0 * rims + 0.07 * grain(rng, buffers, 4.0) + 0.05 * grain(rng, buffers, 1.2)
    return floats([0.985, 0.975, 0.95]) * (1 - np.clip(density * pooled[..., None], 0, 0.95))


def pencil(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Graphite on paper: outlines, and one to three layers of hatching for the tones."""
    tone = np.clip(buffers.shading * (0.3 + 0.7 * brightness(buffers.albedo)), 0, 1)
    tone = np.where(buffers.hit, tone * (1 - buffers.haze) + buffers.haze, 1)
    rising, falling = hatching(buffers, 1), hatching(buffers, -1)
    paper = 0.96 - 0.10 * np.clip((0.75 - tone) * 2, 0, 1)
    paper -= np.clip((0.60 - tone) * 2.4, 0, 1) * rising * 0.42
    paper -= np.clip((0.34 - tone) * 3, 0, 1) * falling * 0.36
    paper -= np.clip((0.25 - tone) * 3, 0, 1) * 0.2
    lines = np.clip(blur(buffers.outline, 0.7) * 1.7 + 0.35 * tone_edges(buffers.albedo), 0, 1)
    drawn = paper * (1 - 0.82 * lines) + 0.012 * grain(rng, buffers, 0.6)
    return drawn[..., None] * floats([1.0, 0.99, 0.965])


def blueprint(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """White lines and shadow hatching on blue paper with a fine grid."""
    rows, columns = pixel_indices(buffers.hit.shape)
    grid = np.maximum(rows % 8 == 0, columns % 8 == 0) * 0.06
    shade = np.clip(0.8 - buffers.shading, 0, 1) * (buffers.ids >= FIRST_OBJECT)
    paper = (
        floats([0.06, 0.20, 0.48]) + floats(grid + 0.5 * shade * hatching(buffers, 1))[..., None]
    )
    lines = np.clip(blur(buffers.outline, 0.6) * 1.7 + 0.25 * tone_edges(buffers.albedo), 0, 1)
    return mix(paper, floats([0.93, 0.97, 1.0]), lines)


def ukiyoe(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Woodblock print: flat inks in black key lines, a sky graded from indigo to paper."""
    lit = buffers.albedo * np.where(buffers.sunlight > 0.18, 1.0, 0.9)[..., None]
    flat = solid_tones(blur(lit, 1.5), buffers, 0.4)
    difference = saturated(flat, 1.3)[..., None, :] - _WOODBLOCK_INKS
    darker = brightness(difference)
    # A thing keeps its hue before its brightness: a fox is russet, not black.
    distance = 1.5 * np.square(darker) + np.square(difference - darker[..., None]).sum(-1)
    # Soft shares: where two inks are as near as each other, a hard choice would be a coin toss.
    shares = np.exp(-(distance - distance.min(-1, keepdims=True)) / 0.012)
    inks = (shares / shares.sum(-1, keepdims=True)) @ _WOODBLOCK_INKS
    ground = mix(_PAPER, inks, np.full(buffers.hit.shape, 0.55))
    inks = np.where((buffers.ids == GROUND)[..., None], ground, inks)
    sky = mix(_PAPER, _INDIGO, np.clip(buffers.direction[..., 1] * 2.2 + 0.1, 0, 1))
    behind = np.where(buffers.ids == SKY, 1.0, buffers.haze)
    behind = np.maximum(behind, 0.75 * (buffers.ids == WALL))
    key = np.clip(blur(buffers.outline, 0.8) * 2.1, 0, 1)
    return mix(mix(inks, sky, behind), floats([0.06, 0.06, 0.09]), 0.95 * key)


def oil(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Van Gogh: thick strokes around the shapes, vivid colour, a blue and yellow sky in waves."""
    right, up = buffers.normal_camera[..., 0], buffers.normal_camera[..., 1]
    solid = buffers.ids >= FIRST_OBJECT
    # Along a shape's contour lines: at right angles to its normal as the picture shows it.
    cos_double = blur(np.where(solid, up * up - right * right, 0.0), 1.5) + 0.12
    sin_double = blur(np.where(solid, 2 * up * right, 0.0), 1.5)
    brushed = strokes(cos_double, sin_double)
    rows, columns = floats(np.indices(buffers.hit.shape)) * np.float32(2 * np.pi / BLOCK)
    waves = np.cos(rows + 3.5 * np.cos(columns / 4) + 1.2 * np.cos(columns / 2))
    brushed = np.where(buffers.hit, brushed, waves)
    height = np.clip(buffers.direction[..., 1] * 1.5, 0, 1)
    sky = mix(floats([0.30, 0.50, 0.78]), floats([0.07, 0.16, 0.52]), height)
    sky = mix(
        sky, floats([0.98, 0.86, 0.36]), np.square(np.clip(waves, 0, 1)) * (0.6 - 0.25 * height)
    )
    vivid = saturated(blur(buffers.rgb, 1.0), 1.75) + 0.03
    sunny = vivid * floats([1.22, 1.12, 0.85]) + floats([0.07, 0.05, 0.0])
    shady = vivid * floats([0.72, 0.80, 1.02]) + floats([0.0, 0.01, 0.05])
    paint = mix(shady, sunny, 0.5 + 0.38 * brushed)
    paint = mix(paint, sky, np.where(buffers.hit, 0.5 * buffers.haze, 1.0))
    paint = paint * (1 + 0.05 * grain(rng, buffers, 1.2))[..., None]
    contour = np.clip(blur(buffers.outline, 1.0) * 1.9, 0, 1)
    return mix(paint, floats([0.03, 0.06, 0.20]), 0.8 * contour)


def comic(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Comic book: flat loud colours in two tones, halftone dots in the shade, thick black ink."""
    smooth = cv2.bilateralFilter(buffers.albedo, 7, 0.25, 3)
    flat = saturated(solid_tones(smooth, buffers, 0.35), 1.8) * 1.05 + 0.06
    light = np.where(buffers.hit, buffers.shading, 1.1)
    shade = np.clip((0.72 - light) * 3.5, 0, 1)
    printed = np.clip(flat, 0, 1) * (1 - 0.25 * shade)[..., None]
    backdrop = np.where(buffers.ids == SKY, 1 - np.clip(buffers.direction[..., 1] * 2, 0, 0.7), 0.0)
    sky = floats([0.20, 0.62, 0.98])
    printed = np.where(
        buffers.hit[..., None], printed, mix(sky, floats([1.0, 0.95, 0.55]), backdrop)
    )
    rows, columns = floats(np.indices(buffers.hit.shape)) + 0.5
    dots = np.cos(rows * (2 * np.pi / BLOCK)) + np.cos(columns * (2 * np.pi / BLOCK))
    dotted = np.clip(1.6 - 1.6 * dots, 0, 1) * np.where(buffers.hit, 0.62 * shade, 0.3 * backdrop)
    printed = printed * (1 - dotted)[..., None]
    ink = blur(buffers.outline, 1.1) * 2.8 + 0.7 * np.clip(tone_edges(smooth) - 0.35, 0, 1)
    return mix(printed, floats([0.03, 0.02, 0.04]), np.clip(ink, 0, 1))


def chalkboard(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Coloured chalk on a dark green board: dusty outlines, rubbed in where it is bright."""
    lit = blur(buffers.albedo, 1.2) * np.clip(buffers.shading, 0, 1.1)[..., None]
    chalk = 0.45 + 0.55 * saturated(lit, 1.5) / (lit.max(-1, keepdims=True) + 0.1)
    rubbed = np.clip(brightness(lit) * 1.2 - 0.08, 0, 1) * (0.30 + 0.45 * hatching(buffers, -1))
    rubbed = rubbed * np.where(buffers.ids >= FIRST_OBJECT, 1.0, 0.3) * buffers.hit
    solid = buffers.ids >= FIRST_OBJECT
    marks = np.where(solid, 0.5, 0.28) * tone_edges(buffers.albedo)
    lines = np.clip(blur(buffers.outline, 0.9) * 2.2 + marks, 0, 1)
    dust = np.clip(1 + 0.14 * grain(rng, buffers, 0.7), 0, 1.2)
    board = floats([0.10, 0.21, 0.16]) * (1 + 0.03 * grain(rng, buffers, 3.0))[..., None]
    drawn = mix(board, np.clip(chalk, 0, 1), np.clip(rubbed * dust, 0, 1))
    return mix(drawn, 0.35 * chalk + 0.63, np.clip(lines * dust, 0, 1) * 0.92)


def stained_glass(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Panes of glowing colour in black lead: along all outlines, and in diamonds of two latents."""
    rows, columns = pixel_indices(buffers.hit.shape)
    period = 2 * BLOCK
    falling, rising = rows + columns, rows - columns
    panes = (falling // period) * 4096 + (rising // period + 2048)
    labels = panes * (int(buffers.ids.max()) + 1) + buffers.ids
    alternate = ((falling // period + rising // period) % 2).astype(np.float32)
    sky = mix(floats([0.16, 0.42, 0.92]), floats([0.42, 0.72, 0.98]), alternate)
    light = np.clip(0.35 + 0.75 * buffers.shading, 0.4, 1.2)[..., None]
    colour = np.where(buffers.hit[..., None], saturated(buffers.albedo, 1.9) * light, sky)
    glass = segment_means(np.clip(colour, 0.02, 1), labels)
    # Every pane fully coloured: grey glass would not glow.
    hue = to_hsv(glass)
    vivid = np.stack([hue[..., 0], hue[..., 1] ** 0.6, hue[..., 2] ** 0.7], -1)
    glass = to_rgb(vivid) * (0.93 + 0.14 * alternate)[..., None]
    to_lattice = [np.abs(diagonal % period - (period - 1) / 2) for diagonal in (falling, rising)]
    lattice = np.clip((np.maximum(*to_lattice) - (period / 2 - 1.8)) / 1.2, 0, 1)
    lattice = blur(lattice, 0.5) * np.where(buffers.ids >= FIRST_OBJECT, 0.45, 0.7)
    lead = np.maximum(lattice, np.clip(blur(buffers.outline, 1.2) * 3.2, 0, 1))
    return mix(glass * 1.08, floats([0.03, 0.03, 0.04]), lead)


def mosaic(buffers: Buffers, rng: np.random.Generator) -> Picture:
    """Stone tiles of one latent each in pale grout, before a wall of gold tiles."""
    rows, columns = pixel_indices(buffers.hit.shape)
    tiles = (rows // BLOCK) * 4096 + columns // BLOCK
    gold = mix(floats([0.93, 0.72, 0.25]), floats([0.80, 0.57, 0.16]), (tiles // 4096 + tiles) % 2)
    lit = saturated(buffers.albedo, 1.7) * (0.34 + 0.74 * buffers.shading)[..., None]
    behind = np.where(buffers.ids == SKY, 1.0, 0.6 * (buffers.ids == WALL))
    stone = mix(lit, gold, np.maximum(behind, 0.6 * buffers.haze))
    laid = segment_means(np.clip(stone, 0, 1), tiles)
    down, right = rows % BLOCK, columns % BLOCK
    bevel = 1.10 - 0.03 * (down + right).astype(np.float32)
    joint = ((down == 0) | (right == 0)).astype(np.float32)
    contour = np.clip(blur(buffers.outline, 0.8) * 1.7, 0, 1)
    return mix(
        laid * bevel[..., None], floats([0.30, 0.27, 0.25]), np.maximum(0.32 * joint, 0.9 * contour)
    )
