"""Simple solids, and where rays first meet them.

A ray that reaches nothing has the distance infinity. Normals are of unit length and point outwards.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from training.procedural.arrays import floats
from training.procedural.noise import value_noise
from training.procedural.textures import Texture

Shape = Literal["sphere", "ellipsoid", "foliage", "box", "cylinder", "cone", "torus"]
Vector = tuple[float, float, float]
Rays = Float[np.ndarray, "rays 3"]
PerRay = Float[np.ndarray, " rays"]

NEAR = np.float32(1e-3)
"""surfaces nearer than this do not count: a ray may start on one; scene units"""
MISS = np.float32(np.inf)
_TUBE_SHARE = 0.28
_FOLIAGE_SHELLS = (1.0, 0.8, 0.58)


@dataclass(frozen=True)
class Primitive:
    """One solid, upright along its own y axis, then tilted about x and turned about y."""

    shape: Shape
    centre: Vector
    """scene units, world frame"""
    radius: float
    """outer radius of the round shapes, half the width and depth of a box; scene units"""
    half_height: float
    """of box, cylinder, cone and ellipsoid; the others have none; scene units"""
    texture: Texture
    yaw: float = 0.0
    """radians"""
    tilt: float = 0.0
    """radians"""
    gloss: float = 0.0
    """strength of the highlight, 0..1"""


def rays_near(
    primitive: Primitive, origins: Rays, directions: Rays
) -> tuple[Int[np.ndarray, " near"], Float[np.ndarray, "near 3"], Float[np.ndarray, "near 3"]]:
    """Indices of the rays that meet the bounding sphere, and these in the primitive's frame."""
    bound = np.float32(bounding_radius(primitive) + 1e-3)
    offset = origins - floats(primitive.centre)
    along = _dot(offset, directions)
    outside = _dot(offset, offset) - bound * bound
    near = np.nonzero((along * along > outside) & ((along < 0) | (outside < 0)))[0]
    rotation = to_world(primitive)
    return near, offset[near] @ rotation, directions[near] @ rotation


def intersect(primitive: Primitive, origins: Rays, directions: Rays) -> tuple[PerRay, Rays]:
    """Distances along the rays, and the normals there; all in the primitive's own frame."""
    return _INTERSECT[primitive.shape](primitive, origins, directions)


def bounding_radius(primitive: Primitive) -> float:
    """Radius of a sphere around the primitive's centre that holds all of it; scene units."""
    if primitive.shape == "ellipsoid":
        return max(primitive.radius, primitive.half_height)
    upright = primitive.half_height if primitive.shape in ("box", "cylinder", "cone") else 0.0
    across = primitive.radius * (np.sqrt(2) if primitive.shape == "box" else 1.0)
    return float(np.hypot(across, upright))


def to_world(primitive: Primitive) -> Float[np.ndarray, "3 3"]:
    """Rotation from the primitive's own frame."""
    cos_yaw, sin_yaw = np.cos(primitive.yaw), np.sin(primitive.yaw)
    cos_tilt, sin_tilt = np.cos(primitive.tilt), np.sin(primitive.tilt)
    turn = np.array([[cos_yaw, 0, sin_yaw], [0, 1, 0], [-sin_yaw, 0, cos_yaw]])
    lean = np.array([[1, 0, 0], [0, cos_tilt, -sin_tilt], [0, sin_tilt, cos_tilt]])
    return (turn @ lean).astype(np.float32)


def _dot(first: Rays, second: Rays) -> PerRay:
    """Row by row; numpy's sums over a short last axis took most of the time."""
    return first[:, 0] * second[:, 0] + first[:, 1] * second[:, 1] + first[:, 2] * second[:, 2]


def nonzero(values: np.ndarray) -> np.ndarray:
    """The values, the smallest ones replaced so that they can be divided by."""
    return np.where(np.abs(values) < 1e-7, np.float32(1e-7), values)


def _intersect_sphere(primitive: Primitive, origins: Rays, directions: Rays) -> tuple[PerRay, Rays]:
    along = _dot(origins, directions)
    discriminant = along * along - _dot(origins, origins) + np.float32(primitive.radius) ** 2
    distance = -along - np.sqrt(np.maximum(discriminant, 0))
    distance = np.where((discriminant > 0) & (distance > NEAR), distance, MISS)
    reached = np.where(np.isfinite(distance), distance, 0)
    return distance, (origins + reached[:, None] * directions) / np.float32(primitive.radius)


def _intersect_box(primitive: Primitive, origins: Rays, directions: Rays) -> tuple[PerRay, Rays]:
    half = floats([primitive.radius, primitive.half_height, primitive.radius])
    inverse = 1 / nonzero(directions)
    first, second = (-half - origins) * inverse, (half - origins) * inverse
    enter, leave = np.minimum(first, second), np.maximum(first, second)
    axis, distance = enter.argmax(-1), enter.max(-1)
    normal = np.zeros_like(directions)
    rays = np.arange(len(directions))
    normal[rays, axis] = -np.sign(directions[rays, axis])
    return np.where((distance < leave.min(-1)) & (distance > NEAR), distance, MISS), normal


def _intersect_cylinder(
    primitive: Primitive, origins: Rays, directions: Rays
) -> tuple[PerRay, Rays]:
    return _intersect_lathe(primitive, origins, directions, slope=0.0, base=primitive.radius)


def _intersect_cone(primitive: Primitive, origins: Rays, directions: Rays) -> tuple[PerRay, Rays]:
    slope = primitive.radius / (2 * primitive.half_height)
    return _intersect_lathe(primitive, origins, directions, slope=slope, base=primitive.radius / 2)


def _intersect_lathe(
    primitive: Primitive, origins: Rays, directions: Rays, slope: float, base: float
) -> tuple[PerRay, Rays]:
    """Side and caps of the solid whose radius at height y is base - slope y, |y| < half_height."""
    half = np.float32(primitive.half_height)
    k, radius = np.float32(slope), np.float32(base)
    ox, oy, oz = origins.T
    dx, dy, dz = directions.T
    at_origin, rate = radius - k * oy, -k * dy
    a = nonzero(dx * dx + dz * dz - rate * rate)
    b = ox * dx + oz * dz - at_origin * rate
    c = ox * ox + oz * oz - at_origin * at_origin
    discriminant = b * b - a * c
    root = np.sqrt(np.maximum(discriminant, 0))
    distance = np.full(len(directions), MISS)
    for candidate in ((-b - root) / a, (-b + root) / a):
        inside = np.abs(oy + candidate * dy) < half
        better = (discriminant > 0) & (candidate > NEAR) & inside & (candidate < distance)
        distance = np.where(better, candidate, distance)
    reached = np.where(np.isfinite(distance), distance, 0)
    x, y, z = (origins + reached[:, None] * directions).T
    normal = np.stack([x, k * (radius - k * y), z], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + np.float32(1e-9)
    for side in (-1.0, 1.0):
        cap_radius = radius - k * half * side
        if cap_radius < 1e-6:
            continue
        candidate = (side * half - oy) / nonzero(dy)
        x, _, z = (origins + candidate[:, None] * directions).T
        better = (x * x + z * z < cap_radius**2) & (candidate > NEAR) & (candidate < distance)
        distance = np.where(better, candidate, distance)
        normal[better] = (0, side, 0)
    return distance.astype(np.float32), normal


def _intersect_torus(primitive: Primitive, origins: Rays, directions: Rays) -> tuple[PerRay, Rays]:
    """Sphere tracing: the distance to a torus is known exactly, so each step is safe.

    Rays that pass within a hundredth of the radius count as hits.
    """
    tube = np.float32(_TUBE_SHARE * primitive.radius)
    ring = np.float32(primitive.radius) - tube
    along = _dot(origins, directions)
    discriminant = along**2 - _dot(origins, origins) + np.float32(primitive.radius) ** 2 * 1.02
    distance = np.maximum(-along - np.sqrt(np.maximum(discriminant, 0)), NEAR)
    for _ in range(24):
        distance = distance + _torus_distance(origins + distance[:, None] * directions, ring, tube)
    points = origins + distance[:, None] * directions
    on_surface = _torus_distance(points, ring, tube) < 0.01 * primitive.radius
    around = np.hypot(points[:, 0], points[:, 2]) + np.float32(1e-9)
    share = (around - ring) / around
    normal = np.stack([points[:, 0] * share, points[:, 1], points[:, 2] * share], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + np.float32(1e-9)
    reached = (discriminant > 0) & on_surface & (distance > 2 * NEAR)
    return np.where(reached, distance, MISS), normal


def _torus_distance(points: Rays, ring: np.float32, tube: np.float32) -> PerRay:
    return np.hypot(np.hypot(points[:, 0], points[:, 2]) - ring, points[:, 1]) - tube


def _intersect_ellipsoid(
    primitive: Primitive, origins: Rays, directions: Rays
) -> tuple[PerRay, Rays]:
    """A sphere in a frame whose y axis is stretched."""
    stretch = floats([1, primitive.radius / primitive.half_height, 1])
    stretched = directions * stretch
    length = np.linalg.norm(stretched, axis=-1)
    reached, normal = _intersect_sphere(primitive, origins * stretch, stretched / length[:, None])
    normal = normal * stretch
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + np.float32(1e-9)
    return reached / length, normal


def _intersect_foliage(
    primitive: Primitive, origins: Rays, directions: Rays
) -> tuple[PerRay, Rays]:
    """Nested shells of leaves: what noise leaves of each shell, on its near and on its far side.

    Leaves are as large as the cells of the primitive's texture. Their normals are the shell's,
    jittered.
    """
    texture = primitive.texture
    along = _dot(origins, directions)
    distance_squared = _dot(origins, origins)
    distance = np.full(len(directions), MISS)
    shells = primitive.radius * floats(_FOLIAGE_SHELLS)
    for radius, side in [*((r, -1) for r in shells), *((r, 1) for r in shells[::-1])]:
        discriminant = along * along - distance_squared + radius * radius
        candidate = -along + side * np.sqrt(np.maximum(discriminant, 0))
        open_rays = np.nonzero((discriminant > 0) & (candidate > NEAR) & ~np.isfinite(distance))[0]
        points = origins[open_rays] + candidate[open_rays, None] * directions[open_rays]
        leaf = value_noise(points, texture.frequency, texture.offset + float(radius)) > -0.1
        distance[open_rays[leaf]] = candidate[open_rays[leaf]]
    reached = np.where(np.isfinite(distance), distance, 0)
    points = origins + reached[:, None] * directions
    jitter = np.stack(
        [value_noise(points, 0.8 * texture.frequency, texture.offset + k) for k in (5, 11, 17)], -1
    )
    normal = points / np.float32(primitive.radius) + 0.7 * jitter
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + np.float32(1e-9)
    return distance.astype(np.float32), normal.astype(np.float32)


_INTERSECT = {
    "sphere": _intersect_sphere,
    "ellipsoid": _intersect_ellipsoid,
    "foliage": _intersect_foliage,
    "box": _intersect_box,
    "cylinder": _intersect_cylinder,
    "cone": _intersect_cone,
    "torus": _intersect_torus,
}
