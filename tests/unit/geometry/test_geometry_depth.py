"""Laws of depth maps, with planes as ground truth (their depth is known in closed form)."""

import numpy as np
import pytest

from scenestyle import geometry
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError, ShapeError
from scenestyle.geometry import (
    correspondences,
    look_at,
    pixel_rays,
    project,
    ray_from_z_depth,
    sample_bilinear,
    unproject,
    z_from_ray_depth,
)
from training.procedural.demo_scene import demo_cameras, demo_scene
from training.procedural.raycast import render

UP = np.array([0.0, 0, 1])


def camera_at(centre, target=(0, 0, 0), *, width=40, height=30):
    return PinholeCamera(
        c2w_opengl=look_at(np.array(centre, float), np.array(target, float), UP),
        fx=44.0,
        fy=46.0,
        cx=width / 2 + 1.5,
        cy=height / 2 - 0.7,
        width=width,
        height=height,
    )


def ground_depth_z(camera):
    """z-depth of the plane z = 0: along a ray of unit z-depth the height falls to zero at..."""
    return -camera.c2w_opengl[2, 3] / pixel_rays(camera)[..., 2]


def ground_colour(points):
    """A smooth colour painted on the ground."""
    x, y = points[..., 0], points[..., 1]
    return 0.5 + 0.5 * np.stack([np.sin(2 * x), np.cos(1.5 * y), np.sin(x + y)], axis=-1)


def test_depth_of_a_facing_plane_is_constant_in_z_and_grows_off_axis_along_the_ray():
    camera = camera_at((2.0, 0, 0.0))
    depth_ray = ray_from_z_depth(np.full((30, 40), 2.0), camera)
    x, y = 40 - 0.5 - camera.cx, 30 - 0.5 - camera.cy
    expected = 2 * np.sqrt(1 + (x / camera.fx) ** 2 + (y / camera.fy) ** 2)
    assert depth_ray[-1, -1] == pytest.approx(expected)


def test_ray_and_z_depth_are_inverse():
    camera = camera_at((3.0, 1, 2))
    depth_z = np.random.default_rng(0).uniform(1, 5, (30, 40)).astype(np.float32)
    back = z_from_ray_depth(ray_from_z_depth(depth_z, camera), camera)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, depth_z, rtol=1e-6)


def test_unprojected_ground_lies_on_the_ground():
    camera = camera_at((3.0, 1, 2))
    points = unproject(ground_depth_z(camera), camera)
    np.testing.assert_allclose(points[..., 2], 0, atol=1e-12)
    distances = np.linalg.norm(points - camera.c2w_opengl[:3, 3], axis=-1)
    np.testing.assert_allclose(distances, ray_from_z_depth(ground_depth_z(camera), camera))


def test_projection_undoes_unprojection():
    camera = camera_at((3.0, 1, 2))
    depth_z = ground_depth_z(camera)
    pixels, projected_z = project(unproject(depth_z, camera), camera)
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    np.testing.assert_allclose(pixels, np.stack([x, y], axis=-1))
    np.testing.assert_allclose(projected_z, depth_z)


def test_projection_agrees_with_the_opencv_pinhole_matrix():
    """An independent form: K [R | t] X with OpenCV axes."""
    camera = camera_at((3.0, 1, 2))
    point = np.array([[0.4, -0.3, 0.2]])
    w2c_opencv = np.diag([1, -1, -1, 1]) @ np.linalg.inv(camera.c2w_opengl)
    intrinsics = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    homogeneous = intrinsics @ (w2c_opencv @ np.append(point[0], 1))[:3]
    pixels, depth_z = project(point, camera)
    np.testing.assert_allclose(pixels[0], homogeneous[:2] / homogeneous[2])
    assert depth_z[0] == pytest.approx(homogeneous[2])


def test_points_behind_the_camera_have_no_pixel():
    pixels, depth_z = project(np.array([[10.0, 0, 0]]), camera_at((3.0, 0, 0)))
    assert np.isnan(pixels).all()
    assert (depth_z < 0).all()


def test_a_depth_map_of_another_size_is_refused():
    with pytest.raises(ShapeError, match=r"40x31 .* 40x30"):
        z_from_ray_depth(np.ones((31, 40)), camera_at((3.0, 1, 2)))


def disparity_from_z(depths_z, opacities, **more):
    """The library's function for views of one size, which come and go as one array."""
    return np.stack(geometry.disparity_from_z(list(depths_z), list(opacities), **more))


def test_disparity_is_near_bright_and_keeps_one_scale_for_all_views():
    depths_z = np.stack([np.full((4, 4), 1.0), np.full((4, 4), 2.0), np.full((4, 4), 4.0)])
    disparity = disparity_from_z(depths_z, np.ones_like(depths_z), percentiles=(0.0, 100.0))
    np.testing.assert_allclose(disparity[:, 0, 0], [1, (1 / 2 - 1 / 4) / (1 - 1 / 4), 0])


def test_disparity_does_not_depend_on_the_unit_of_depth_or_the_order_of_views():
    rng = np.random.default_rng(0)
    depths_z, opacities = rng.uniform(1, 9, (5, 8, 8)), rng.uniform(0, 1, (5, 8, 8))
    disparity = disparity_from_z(depths_z, opacities)
    np.testing.assert_allclose(disparity_from_z(7 * depths_z, opacities), disparity, atol=1e-12)
    order = [3, 1, 4, 0, 2]
    np.testing.assert_array_equal(
        disparity_from_z(depths_z[order], opacities[order]), disparity[order]
    )


def test_empty_space_is_far_and_does_not_set_the_scale():
    depths_z = np.linspace(1, 2, 16).reshape(1, 4, 4)
    opacities = np.ones_like(depths_z)
    opacities[0, 0, 0] = 0.2
    with_floater, with_hole = depths_z.copy(), depths_z.copy()
    with_floater[0, 0, 0] = 1e-3
    with_hole[0, 0, 0] = np.nan
    expected = disparity_from_z(depths_z, opacities)
    assert expected[0, 0, 0] == 0
    np.testing.assert_array_equal(disparity_from_z(with_floater, opacities), expected)
    np.testing.assert_array_equal(disparity_from_z(with_hole, opacities), expected)


def test_a_few_outliers_barely_move_the_disparity_scale():
    depths_z = np.random.default_rng(0).uniform(2, 4, (10, 40, 40))
    clean = disparity_from_z(depths_z, np.ones_like(depths_z))
    depths_z[0, 0, :20] = 1e-3
    outliers = disparity_from_z(depths_z, np.ones_like(depths_z))
    assert np.abs(outliers - clean)[1:].max() < 0.02


def test_an_empty_field_has_no_disparity():
    with pytest.raises(ArtifactError, match="Train it for longer"):
        disparity_from_z(np.ones((1, 2, 2)), np.zeros((1, 2, 2)))


def test_sampling_at_pixel_centres_returns_the_pixels():
    image = np.random.default_rng(0).uniform(size=(5, 7, 3))
    x, y = np.meshgrid(np.arange(7) + 0.5, np.arange(5) + 0.5)
    np.testing.assert_array_equal(sample_bilinear(image, np.stack([x, y], axis=-1)), image)


def test_sampling_is_exact_on_a_linear_ramp_and_nan_outside():
    x, y = np.meshgrid(np.arange(7) + 0.5, np.arange(5) + 0.5)
    ramp = (2 * x - 3 * y)[..., None]
    pixels = np.array([[2.3, 1.9], [6.2, 4.4], [-0.1, 2], [3, 5.1], [np.nan, 1]])
    expected = [2 * 2.3 - 3 * 1.9, 2 * 6.2 - 3 * 4.4, np.nan, np.nan, np.nan]
    np.testing.assert_allclose(sample_bilinear(ramp, pixels)[:, 0], expected)


def test_a_view_corresponds_to_itself_everywhere():
    camera = camera_at((3.0, 1, 2))
    depth_z = ground_depth_z(camera)
    pixels, shows = correspondences(depth_z, camera, depth_z, camera, tau=1e-6)
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    np.testing.assert_allclose(pixels, np.stack([x, y], axis=-1))
    assert shows.all()


def test_warping_a_painted_plane_between_two_views_reproduces_its_colours():
    near, other = camera_at((3.0, 0.3, 2)), camera_at((2.6, -0.8, 2.3), width=200, height=150)
    other = other.resized(400, 300)
    depth_near, depth_other = ground_depth_z(near), ground_depth_z(other)
    pixels, shows = correspondences(depth_near, near, depth_other, other, tau=0.01)
    painted = ground_colour(unproject(depth_other, other))
    warped = sample_bilinear(painted, pixels)
    truth = ground_colour(unproject(depth_near, near))
    assert shows.mean() > 0.5
    inside = np.isfinite(warped).all(axis=-1) & (pixels > 1).all(axis=-1)
    inside &= (pixels < [399, 299]).all(axis=-1)
    assert shows[inside].all()
    np.testing.assert_allclose(warped[inside], truth[inside], atol=0.02)


def test_a_wall_between_hides_the_ground():
    camera, other = camera_at((3.0, 0.3, 2)), camera_at((2.6, -0.8, 2.3))
    wall = np.full((30, 40), 0.5)
    _, shows = correspondences(ground_depth_z(camera), camera, wall, other, tau=0.05)
    assert not shows.any()


def test_pixels_without_depth_show_nowhere():
    camera = camera_at((3.0, 1, 2))
    depth_z = ground_depth_z(camera)
    holes = depth_z.copy()
    holes[0, 0], holes[1, 1], holes[2, 2] = 0, np.inf, np.nan
    _, shows = correspondences(holes, camera, depth_z, camera, tau=0.01)
    assert (~shows).sum() == 3
    assert not shows[[0, 1, 2], [0, 1, 2]].any()


def test_lifted_and_converted_depth_agrees_with_the_ray_caster():
    """The generator knows each pixel's surface point; nothing of it comes from this room."""
    camera = next(iter(demo_cameras().values())).resized(96, 72)
    truth = render(demo_scene(), camera)
    assert truth.hit.all()
    np.testing.assert_allclose(unproject(truth.depth_z, camera), truth.position, atol=2e-4)
    distance = np.linalg.norm(truth.position - camera.c2w_opengl[:3, 3], axis=-1)
    np.testing.assert_allclose(ray_from_z_depth(truth.depth_z, camera), distance, rtol=1e-4)
    np.testing.assert_allclose(
        z_from_ray_depth(distance, camera), truth.depth_z.astype(float), rtol=1e-4
    )


def test_correspondences_between_photos_of_a_rendered_scene_find_the_same_surface():
    """Hidden points are told from visible ones: what is kept is one point seen twice."""
    first, second = (list(demo_cameras().values())[number].resized(96, 72) for number in (8, 14))
    here, there = render(demo_scene(), first), render(demo_scene(), second)
    pixels, shows = correspondences(here.depth_z, first, there.depth_z, second, tau=0.01)
    seen = sample_bilinear(there.position, pixels)
    apart = np.linalg.norm(seen - here.position, axis=-1)[shows]
    assert 0.3 < shows.mean() < 0.95
    assert np.percentile(apart, 99) < 0.1
    assert np.nanpercentile(np.linalg.norm(seen - here.position, axis=-1)[~shows], 50) > 0.2
