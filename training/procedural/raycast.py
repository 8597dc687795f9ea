"""Ray casting of solids on a ground, with every buffer that an exact answer is wanted for.

World frame: y up, the ground is the plane y = 0. `render(scene, camera)` gives the photograph and,
pixel by pixel, the geometry behind it; `look_at` and `field_of_view_camera` make cameras.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from scenestyle.cameras import PinholeCamera
from training.procedural.arrays import floats
from training.procedural.noise import fractal_noise
from training.procedural.solids import (
    MISS,
    NEAR,
    PerRay,
    Primitive,
    Rays,
    Vector,
    intersect,
    nonzero,
    rays_near,
    to_world,
)
from training.procedural.textures import Rgb, Texture, albedo, bumps

Map = Float[np.ndarray, "height width"]
VectorMap = Float[np.ndarray, "height width 3"]

SKY, GROUND, WALL, FIRST_OBJECT = 0, 1, 2, 3
"""Values of `Buffers.ids`; primitive i of the scene has id FIRST_OBJECT + i."""

_SHADOW_BIAS = np.float32(4e-3)
_GAMMA = 1 / 1.15


@dataclass(frozen=True)
class Room:
    """A box around the scene, seen from inside; its floor is the scene's ground."""

    half_width: float
    half_depth: float
    height: float
    wall: Texture


@dataclass(frozen=True)
class Sky:
    """Everything beyond the ground: blue with clouds, or one flat colour like a studio backdrop."""

    zenith: Rgb
    clouds: float
    """0 for a flat backdrop"""


@dataclass(frozen=True)
class Scene:
    """Solids on a textured ground under a sky or in a room, lit by one distant light."""

    primitives: tuple[Primitive, ...]
    ground: Texture
    surroundings: Sky | Room
    light_direction: Vector
    """towards the light, unit length, world frame"""
    ambient: float = 0.42
    ground_extent: float = 14.0
    """the ground ends at this distance from the camera, scene units; it fades out before"""
    light_colour: Rgb = (1.0, 1.0, 1.0)
    """linear RGB; tints the photograph, not the other buffers"""


@dataclass(frozen=True)
class Buffers:
    """The photograph of a scene and what is known at each of its pixels."""

    rgb: VectorMap
    """the photograph, 0..1"""
    albedo: VectorMap
    """colour of the surface without light; the background's own colour where nothing is hit"""
    shading: Map
    """light arriving at the surface, 1 where nothing is hit"""
    sunlight: Map
    """the directional part of `shading`, 0 in shadow"""
    specular: Map
    """cosine between the mirrored view ray and the light, clipped at 0"""
    depth_z: Map
    """along the optical axis, scene units; infinite where nothing is hit"""
    normal: VectorMap
    """unit outward normal, world frame; 0 where nothing is hit"""
    normal_camera: VectorMap
    """the same in the camera's OpenGL frame (x right, y up, z towards the viewer)"""
    ids: Int[np.ndarray, "height width"]
    """SKY, GROUND, WALL, or FIRST_OBJECT + index of the primitive"""
    position: VectorMap
    """of the surface, world frame, scene units; 0 where nothing is hit"""
    direction: VectorMap
    """unit view rays, world frame"""
    haze: Map
    """share of the surface's colour lost to distance, 0..1"""
    outline: Map
    """1 at silhouettes and creases"""

    @property
    def hit(self) -> Bool[np.ndarray, "height width"]:
        """Whether the ray meets any surface."""
        return self.ids != SKY

    @property
    def disparity(self) -> Map:
        """1 / depth_z, 0 where nothing is hit."""
        return (1 / self.depth_z).astype(np.float32)


def look_at(
    eye: Vector | Float[np.ndarray, "3"],
    target: Vector | Float[np.ndarray, "3"],
    up: Vector = (0.0, 1.0, 0.0),
) -> Float[np.ndarray, "4 4"]:
    """Pose (c2w, OpenGL axes: x right, y up, z backwards) of a camera at `eye` facing `target`."""
    backwards = np.asarray(eye, np.float64) - np.asarray(target, np.float64)
    backwards /= np.linalg.norm(backwards)
    right = np.cross(np.asarray(up, np.float64), backwards)
    right /= np.linalg.norm(right)
    c2w_opengl = np.eye(4)
    c2w_opengl[:3] = np.stack([right, np.cross(backwards, right), backwards, eye], axis=1)
    return c2w_opengl


def field_of_view_camera(
    c2w_opengl: Float[np.ndarray, "4 4"], width: int, height: int, horizontal_fov: float
) -> PinholeCamera:
    """A camera with square pixels and centred principal point; the field of view is in radians."""
    focal = width / 2 / np.tan(horizontal_fov / 2)
    return PinholeCamera(c2w_opengl, focal, focal, width / 2, height / 2, width, height)


def pixel_rays(camera: PinholeCamera) -> tuple[VectorMap, VectorMap]:
    """Unit directions through the pixel centres, in the world and in the camera's OpenGL frame."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    in_camera = np.stack(
        [(u - camera.cx) / camera.fx, (camera.cy - v) / camera.fy, -np.ones_like(u)], axis=-1
    )
    in_camera /= np.linalg.norm(in_camera, axis=-1, keepdims=True)
    in_world = in_camera @ camera.c2w_opengl[:3, :3].T
    return in_world.astype(np.float32), in_camera.astype(np.float32)


def render(scene: Scene, camera: PinholeCamera, samples_per_axis: int = 1) -> Buffers:
    """Cast one ray through each pixel centre and shade what it meets.

    With `samples_per_axis` n above 1, the photograph is the mean of n x n rays per pixel; all
    other buffers still belong to the pixel centre. Same scene and camera, same bytes.
    """
    buffers = _render_once(scene, camera)
    if samples_per_axis == 1:
        return buffers
    fine = _render_once(
        scene, camera.resized(camera.width * samples_per_axis, camera.height * samples_per_axis)
    )
    size = (camera.width, camera.height)
    return replace(buffers, rgb=cv2.resize(fine.rgb, size, interpolation=cv2.INTER_AREA))


@dataclass(frozen=True)
class _Hits:
    distance: PerRay
    ids: Int[np.ndarray, " rays"]
    normal: Rays
    local: Rays


def _render_once(scene: Scene, camera: PinholeCamera) -> Buffers:
    in_world, in_camera = pixel_rays(camera)
    directions = in_world.reshape(-1, 3)
    origins = np.broadcast_to(camera.c2w_opengl[:3, 3].astype(np.float32), directions.shape)
    flat_hits = _nearest(scene, origins, directions)
    hits = _with_relief(scene, flat_hits)
    hit = hits.ids != SKY
    position = np.where(
        hit[:, None], origins + np.where(hit, hits.distance, 0)[:, None] * directions, 0
    ).astype(np.float32)
    light = floats(scene.light_direction)

    sunlight = np.zeros(len(directions), np.float32)
    start = position[hit] + flat_hits.normal[hit] * _SHADOW_BIAS
    facing = np.maximum(hits.normal[hit] @ light, 0)
    sunlight[hit] = facing * ~_occluded(scene.primitives, start, light)
    ambient = scene.ambient + 0.16 * hits.normal[:, 1]
    shading = np.where(hit, ambient + (1.14 - scene.ambient) * sunlight, 1).astype(np.float32)

    mirrored = directions - 2 * (directions * hits.normal).sum(-1, keepdims=True) * hits.normal
    specular = np.where(hit, np.maximum(mirrored @ light, 0), 0).astype(np.float32)
    background = _background(scene.surroundings, directions)
    base = np.where(hit[:, None], _surface_albedo(scene, hits), background)
    haze = _haze(scene, hits)
    lit = (
        base * shading[:, None] * floats(scene.light_colour)
        + (_gloss(scene, hits.ids) * specular**24)[:, None]
    )
    horizon = _horizon(scene.surroundings)
    rgb = np.where(hit[:, None], lit * (1 - haze[:, None]) + horizon * haze[:, None], background)

    def picture(values: np.ndarray) -> np.ndarray:
        shape = (camera.height, camera.width, *values.shape[1:])
        return np.ascontiguousarray(values.reshape(shape), dtype=np.float32)

    depth_z = picture(hits.distance * -in_camera.reshape(-1, 3)[:, 2])
    ids = hits.ids.reshape(camera.height, camera.width)
    normal = picture(hits.normal)
    return Buffers(
        rgb=picture(np.clip(rgb, 0, 1) ** _GAMMA),
        albedo=picture(base),
        shading=picture(shading),
        sunlight=picture(sunlight),
        specular=picture(specular),
        depth_z=depth_z,
        normal=normal,
        normal_camera=normal @ camera.c2w_opengl[:3, :3].astype(np.float32),
        ids=ids,
        position=picture(position),
        direction=in_world,
        haze=picture(haze),
        outline=_outline(ids, depth_z, picture(flat_hits.normal), _ragged(scene)[ids]),
    )


def _nearest(scene: Scene, origins: Rays, directions: Rays) -> _Hits:
    distance, ids, normal, local = _hit_surroundings(scene, origins, directions)
    for index, primitive in enumerate(scene.primitives):
        candidates, local_origins, local_directions = rays_near(primitive, origins, directions)
        if not len(candidates):
            continue
        reached, local_normal = intersect(primitive, local_origins, local_directions)
        nearer = reached < distance[candidates]
        rays = candidates[nearer]
        distance[rays] = reached[nearer]
        ids[rays] = FIRST_OBJECT + index
        normal[rays] = local_normal[nearer] @ to_world(primitive).T
        local[rays] = local_origins[nearer] + reached[nearer, None] * local_directions[nearer]
    return _Hits(distance, ids, normal, local)


def _with_relief(scene: Scene, hits: _Hits) -> _Hits:
    """The hits with their normals tilted by the bumps of their textures."""
    normal = hits.normal.copy()
    for surface, texture in _textures(scene).items():
        on_surface = hits.ids == surface
        if texture.relief and on_surface.any():
            slope = bumps(texture, hits.local[on_surface])
            if surface >= FIRST_OBJECT:
                slope = slope @ to_world(scene.primitives[surface - FIRST_OBJECT]).T
            normal[on_surface] -= slope
            normal[on_surface] /= np.linalg.norm(normal[on_surface], axis=-1, keepdims=True)
    return replace(hits, normal=normal)


def _occluded(
    primitives: tuple[Primitive, ...], origins: Rays, light: Float[np.ndarray, "3"]
) -> Bool[np.ndarray, " rays"]:
    directions = np.broadcast_to(light, origins.shape)
    occluded = np.zeros(len(origins), bool)
    for primitive in primitives:
        candidates, local_origins, local_directions = rays_near(primitive, origins, directions)
        if len(candidates):
            reached, _ = intersect(primitive, local_origins, local_directions)
            occluded[candidates] |= np.isfinite(reached)
    return occluded


def _hit_surroundings(
    scene: Scene, origins: Rays, directions: Rays
) -> tuple[PerRay, Int[np.ndarray, " rays"], Rays, Rays]:
    distance = -origins[:, 1] / nonzero(directions[:, 1])
    on_ground = (distance > NEAR) & (distance < scene.ground_extent)
    distance = np.where(on_ground, distance, MISS).astype(np.float32)
    ids = np.where(on_ground, GROUND, SKY)
    normal = np.zeros_like(directions)
    normal[on_ground] = (0, 1, 0)
    if isinstance(scene.surroundings, Room):
        reached, wall_normal = _intersect_room(scene.surroundings, origins, directions)
        on_wall = reached < distance
        distance[on_wall] = reached[on_wall]
        ids[on_wall] = WALL
        normal[on_wall] = wall_normal[on_wall]
    local = np.zeros_like(directions)
    hit = ids != SKY
    local[hit] = origins[hit] + distance[hit, None] * directions[hit]
    return distance, ids, normal, local


def _intersect_room(room: Room, origins: Rays, directions: Rays) -> tuple[PerRay, Rays]:
    low = floats([-room.half_width, -1.0, -room.half_depth])
    high = floats([room.half_width, room.height, room.half_depth])
    rates = nonzero(directions)
    exits = (np.where(rates > 0, high, low) - origins) / rates
    axis = exits.argmin(-1)
    normal = np.zeros_like(directions)
    rays = np.arange(len(directions))
    normal[rays, axis] = -np.sign(directions[rays, axis])
    return exits[rays, axis], normal


def _textures(scene: Scene) -> dict[int, Texture]:
    """By the surface's id."""
    textures = {GROUND: scene.ground}
    if isinstance(scene.surroundings, Room):
        textures[WALL] = scene.surroundings.wall
    solids = (primitive.texture for primitive in scene.primitives)
    return textures | dict(enumerate(solids, start=FIRST_OBJECT))


def _surface_albedo(scene: Scene, hits: _Hits) -> Rays:
    colour = np.zeros_like(hits.local)
    textures = _textures(scene)
    for surface in np.unique(hits.ids):
        if surface != SKY:
            on_surface = hits.ids == surface
            colour[on_surface] = albedo(textures[int(surface)], hits.local[on_surface])
    return colour


def _ragged(scene: Scene) -> Bool[np.ndarray, " surfaces"]:
    """By id: whether the surface is so torn that only its rim makes an outline."""
    torn = (primitive.shape == "foliage" for primitive in scene.primitives)
    return np.array([False] * FIRST_OBJECT + list(torn))


def _gloss(scene: Scene, ids: Int[np.ndarray, " rays"]) -> PerRay:
    return floats([0, 0, 0, *(primitive.gloss for primitive in scene.primitives)])[ids]


def _haze(scene: Scene, hits: _Hits) -> PerRay:
    if isinstance(scene.surroundings, Room):
        return np.zeros(len(hits.distance), np.float32)
    start = 0.4 * scene.ground_extent
    share = np.clip((hits.distance - start) / (scene.ground_extent - start), 0, 1)
    return np.where(hits.ids == SKY, 0, share**1.2).astype(np.float32)


def _horizon(surroundings: Sky | Room) -> Float[np.ndarray, "3"]:
    if isinstance(surroundings, Sky) and surroundings.clouds:
        return floats([0.9, 0.92, 0.95])
    return floats(surroundings.zenith if isinstance(surroundings, Sky) else (0, 0, 0))


def _background(surroundings: Sky | Room, directions: Rays) -> Rays:
    if isinstance(surroundings, Room):
        return np.zeros_like(directions)
    zenith, up = floats(surroundings.zenith), directions[:, 1:2]
    if not surroundings.clouds:
        return zenith * (1 - 0.1 * np.abs(up))
    clear = zenith + (floats([0.95, 0.95, 0.95]) - zenith) * np.exp(-5 * np.maximum(up, 0))
    plane = directions / np.maximum(up, 0.1) * np.float32(0.6)
    clouds = np.clip(fractal_noise(plane, 1.5), 0, 1)[:, None]
    return np.clip(clear + np.float32(surroundings.clouds) * clouds, 0, 1).astype(np.float32)


def _outline(
    ids: Int[np.ndarray, "height width"],
    depth_z: Map,
    normal: VectorMap,
    ragged: Bool[np.ndarray, "height width"],
) -> Map:
    """1 where a pixel and its right or lower neighbour belong to different things or planes."""
    disparity = 1 / depth_z
    edges = np.zeros(ids.shape, np.float32)
    for axis in (0, 1):
        here = tuple(slice(0, -1) if a == axis else slice(None) for a in (0, 1))
        there = tuple(slice(1, None) if a == axis else slice(None) for a in (0, 1))
        both = ids[here] == ids[there]
        jump = np.abs(disparity[here] - disparity[there]) > 0.06 * (
            disparity[here] + disparity[there]
        )
        crease = (normal[here] * normal[there]).sum(-1) < 0.6
        solid = (ids[here] >= WALL) & ~ragged[here]
        edges[here] = np.maximum(edges[here], ~both | (solid & (jump | crease) & both))
    return edges
