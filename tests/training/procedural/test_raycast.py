from dataclasses import replace

import numpy as np
import pytest

from training.procedural.raycast import (
    FIRST_OBJECT,
    GROUND,
    SKY,
    WALL,
    Room,
    Scene,
    Sky,
    field_of_view_camera,
    look_at,
    pixel_rays,
    render,
)
from training.procedural.solids import Primitive, Shape
from training.procedural.textures import Texture

GREY = Texture(first=(0.5, 0.5, 0.5), second=(0.2, 0.2, 0.2), grain=0.0)
OVERCAST = Sky(zenith=(0.6, 0.7, 0.8), clouds=0.0)


def scene_of(*primitives: Primitive, surroundings: Sky | Room = OVERCAST) -> Scene:
    return Scene(primitives, GREY, surroundings, light_direction=(0.0, 1.0, 0.0))


def camera_at(eye, target, width=65, height=49):
    return field_of_view_camera(look_at(eye, target), width, height, horizontal_fov=0.9)


def test_look_at_is_a_rigid_opengl_pose_facing_the_target():
    eye, target = np.array([2.0, 1.5, -3.0]), np.array([0.1, 0.4, 0.2])
    c2w = look_at(eye, target)
    rotation = c2w[:3, :3]
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(c2w[:3, 3], eye)
    np.testing.assert_allclose(
        -rotation[:, 2], (target - eye) / np.linalg.norm(target - eye), atol=1e-12
    )
    assert rotation[1, 1] > 0, "the camera's up points up in the world"
    assert rotation[1, 0] == pytest.approx(0), "the horizon is level"


def test_positions_project_back_onto_their_own_pixels():
    camera = replace(camera_at((1.5, 1.2, 3.0), (0.0, 0.4, 0.0)), cx=20.0, cy=30.0, fy=50.0)
    buffers = render(scene_of(Primitive("sphere", (0.0, 0.5, 0.0), 0.5, 0.0, GREY)), camera)
    w2c = np.linalg.inv(camera.c2w_opengl)
    in_camera = buffers.position[buffers.hit] @ w2c[:3, :3].T + w2c[:3, 3]
    depth_z = -in_camera[:, 2]
    rows, columns = np.nonzero(buffers.hit)
    np.testing.assert_allclose(
        camera.fx * in_camera[:, 0] / depth_z + camera.cx, columns + 0.5, atol=2e-2
    )
    np.testing.assert_allclose(
        camera.cy - camera.fy * in_camera[:, 1] / depth_z, rows + 0.5, atol=2e-2
    )
    np.testing.assert_allclose(depth_z, buffers.depth_z[buffers.hit], rtol=1e-4)


def test_sphere_straight_ahead_is_its_distance_minus_its_radius_away():
    camera = camera_at((0.0, 1.0, 4.0), (0.0, 1.0, 0.0))
    buffers = render(scene_of(Primitive("sphere", (0.0, 1.0, 0.0), 0.5, 0.0, GREY)), camera)
    assert buffers.ids[24, 32] == FIRST_OBJECT
    assert buffers.depth_z[24, 32] == pytest.approx(3.5, abs=1e-4)
    np.testing.assert_allclose(buffers.normal[24, 32], [0, 0, 1], atol=1e-3)
    np.testing.assert_allclose(buffers.normal_camera[24, 32], [0, 0, 1], atol=1e-3)


def test_ground_depth_is_the_eye_height_over_the_downward_slope_of_the_ray():
    camera = camera_at((0.0, 2.0, 4.0), (0.0, 0.0, 0.0))
    buffers = render(scene_of(), camera)
    in_world, in_camera = pixel_rays(camera)
    on_ground = buffers.ids == GROUND
    expected = 2 / -in_world[..., 1] * -in_camera[..., 2]
    assert on_ground.mean() > 0.5
    np.testing.assert_allclose(buffers.depth_z[on_ground], expected[on_ground], rtol=1e-4)


def test_sky_is_infinitely_far():
    buffers = render(scene_of(), camera_at((0.0, 1.0, 0.0), (0.0, 1.5, -1.0)))
    sky = buffers.ids == SKY
    assert sky.any()
    assert np.isinf(buffers.depth_z[sky]).all()
    assert (buffers.disparity[sky] == 0).all()


@pytest.mark.parametrize("shape", ["sphere", "box", "cylinder", "cone", "torus"])
def test_surfaces_lie_on_the_solid_and_face_the_viewer(shape: Shape):
    solid = Primitive(shape, (0.2, 0.9, -0.1), 0.6, 0.5, GREY, yaw=0.7, tilt=0.4)
    camera = camera_at((1.5, 1.6, 3.0), (0.2, 0.9, -0.1))
    buffers = render(scene_of(solid), camera)
    on_solid = buffers.ids == FIRST_OBJECT
    assert on_solid.sum() > 100
    local = _to_local(solid, buffers.position[on_solid])
    assert np.abs(_signed_distance(solid, local)).max() < 5e-3
    normal = buffers.normal[on_solid]
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1, atol=1e-4)
    facing = (normal * buffers.direction[on_solid]).sum(-1) < 1e-3
    assert facing.mean() > (0.95 if shape == "torus" else 1 - 1e-9)


def test_a_solid_casts_its_shadow_away_from_the_light():
    ball = Primitive("sphere", (0.0, 1.0, 0.0), 0.5, 0.0, GREY)
    lit = replace(scene_of(ball), light_direction=(0.6, 0.8, 0.0))
    buffers = render(lit, camera_at((0.0, 4.0, 3.0), (0.0, 0.0, 0.0)))
    dark = (buffers.ids == GROUND) & (buffers.sunlight == 0)
    centre = buffers.position[dark].mean(axis=0)
    assert centre[0] == pytest.approx(-0.75, abs=0.1)
    assert centre[2] == pytest.approx(0.0, abs=0.15)


def test_a_room_closes_the_view():
    room = Room(half_width=3.0, half_depth=4.0, height=3.0, wall=GREY)
    buffers = render(scene_of(surroundings=room), camera_at((0.0, 1.5, 2.0), (0.0, 1.5, 0.0)))
    assert set(np.unique(buffers.ids)) == {GROUND, WALL}
    assert buffers.depth_z[24, 32] == pytest.approx(6.0, abs=1e-3)


def test_same_scene_and_camera_give_the_same_bytes():
    scene = scene_of(Primitive("torus", (0.0, 0.4, 0.0), 0.5, 0.0, GREY, tilt=1.2))
    camera = camera_at((1.0, 1.0, 3.0), (0.0, 0.4, 0.0))
    first, second = render(scene, camera), render(scene, camera)
    for name in vars(first):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_supersampling_smooths_the_photograph_and_leaves_the_geometry():
    scene = scene_of(Primitive("box", (0.0, 0.5, 0.0), 0.5, 0.5, replace(GREY, pattern="checker")))
    camera = camera_at((1.0, 1.0, 3.0), (0.0, 0.4, 0.0))
    plain, smooth = render(scene, camera), render(scene, camera, samples_per_axis=3)
    np.testing.assert_array_equal(plain.depth_z, smooth.depth_z)
    assert smooth.rgb.shape == plain.rgb.shape
    assert 0 < np.abs(smooth.rgb - plain.rgb).mean() < 0.05


def _to_local(solid: Primitive, points: np.ndarray) -> np.ndarray:
    cos_yaw, sin_yaw = np.cos(solid.yaw), np.sin(solid.yaw)
    cos_tilt, sin_tilt = np.cos(solid.tilt), np.sin(solid.tilt)
    x, y, z = (points - solid.centre).T
    x, z = cos_yaw * x - sin_yaw * z, sin_yaw * x + cos_yaw * z
    y, z = cos_tilt * y + sin_tilt * z, -sin_tilt * y + cos_tilt * z
    return np.stack([x, y, z], -1)


def _signed_distance(solid: Primitive, points: np.ndarray) -> np.ndarray:
    """Zero on the surface; written from the shapes' definitions, not from the ray caster."""
    x, y, z = points.T
    around, half = np.hypot(x, z), solid.half_height
    if solid.shape == "sphere":
        return np.linalg.norm(points, axis=-1) - solid.radius
    if solid.shape == "box":
        return np.maximum(np.maximum(abs(x), abs(z)) - solid.radius, abs(y) - half)
    if solid.shape == "cylinder":
        return np.maximum(around - solid.radius, abs(y) - half)
    if solid.shape == "cone":
        return np.maximum(around - solid.radius * (half - y) / (2 * half), abs(y) - half)
    tube = 0.28 * solid.radius
    return np.hypot(around - (solid.radius - tube), y) - tube
