import numpy as np
import pytest

from scenestyle.errors import ShapeError
from scenestyle.geometry import (
    align_similarity,
    common_up,
    extent,
    invert_rigid,
    is_rigid,
    look_at,
    opencv_from_opengl,
    opengl_from_opencv,
    pose_errors,
    rotation_angle_degrees,
)


def random_rotations(rng, n):
    q, r = np.linalg.qr(rng.normal(size=(n, 3, 3)))
    q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[:, None]
    return q * np.sign(np.linalg.det(q))[:, None, None]


def random_poses(n=8, seed=0):
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (n, 1, 1))
    poses[:, :3, :3] = random_rotations(rng, n)
    poses[:, :3, 3] = rng.normal(size=(n, 3))
    return poses


def rotation_about_z(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def test_axis_conversions_are_inverse():
    poses = random_poses()
    np.testing.assert_array_equal(opencv_from_opengl(opengl_from_opencv(poses)), poses)
    np.testing.assert_array_equal(opengl_from_opencv(opencv_from_opengl(poses)), poses)


def test_axis_conversion_looks_along_the_same_direction_from_the_same_place():
    pose_opengl = random_poses(1)[0]
    pose_opencv = opencv_from_opengl(pose_opengl)
    np.testing.assert_array_equal(pose_opencv[:, 3], pose_opengl[:, 3])
    np.testing.assert_array_equal(pose_opencv[:3, 2], -pose_opengl[:3, 2])  # forward
    np.testing.assert_array_equal(pose_opencv[:3, 1], -pose_opengl[:3, 1])  # down, up
    assert is_rigid(pose_opencv)


def test_pose_times_its_inverse_is_the_identity():
    poses = random_poses()
    np.testing.assert_allclose(
        poses @ invert_rigid(poses), np.tile(np.eye(4), (8, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(invert_rigid(poses), np.linalg.inv(poses), atol=1e-12)


@pytest.mark.parametrize(
    ("fault", "value"),
    [((0, 3), np.nan), ((0, 0), np.inf), ((3, 0), 0.5), ((3, 3), 2.0)],
)
def test_a_broken_entry_is_not_rigid(fault, value):
    pose = random_poses(1)[0]
    assert is_rigid(pose)
    pose[fault] = value
    assert not is_rigid(pose)


def test_scaled_and_mirrored_poses_are_not_rigid():
    pose = random_poses(1)[0]
    assert not is_rigid(pose * [1.01, 1.01, 1.01, 1])
    assert not is_rigid(pose * [-1, 1, 1, 1])


def test_alignment_recovers_a_known_similarity():
    rng = np.random.default_rng(1)
    source = rng.normal(size=(10, 3))
    rotation, translation = random_rotations(rng, 1)[0], rng.normal(size=3)
    found = align_similarity(source, 2.5 * source @ rotation.T + translation)
    assert found.scale == pytest.approx(2.5)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-12)
    np.testing.assert_allclose(found.translation, translation, atol=1e-12)


def test_alignment_of_a_mirrored_cloud_is_still_a_rotation():
    source = np.random.default_rng(2).normal(size=(10, 3))
    found = align_similarity(source, source * [1, 1, -1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_alignment_is_the_least_squares_optimum_under_noise():
    rng = np.random.default_rng(3)
    source, target = rng.normal(size=(12, 3)), rng.normal(size=(12, 3))
    found = align_similarity(source, target)

    def cost(scale, rotation, translation):
        return ((scale * source @ rotation.T + translation - target) ** 2).sum()

    best = cost(found.scale, found.rotation, found.translation)
    for step in (-1e-3, 1e-3):
        assert cost(found.scale + step, found.rotation, found.translation) > best
        assert cost(found.scale, found.rotation, found.translation + step) > best
        turned = rotation_about_z(np.degrees(step)) @ found.rotation
        assert cost(found.scale, turned, found.translation) > best


@pytest.mark.parametrize("points", [np.zeros((5, 3)), np.outer(np.arange(5.0), [1, 2, 3])])
def test_alignment_refuses_points_on_a_line(points):
    with pytest.raises(ShapeError, match="one line"):
        align_similarity(points, points)


def test_alignment_refuses_two_points():
    with pytest.raises(ShapeError, match="got 2"):
        align_similarity(np.eye(3)[:2], np.eye(3)[:2])


def test_pose_errors_vanish_for_poses_that_differ_by_a_similarity():
    poses = random_poses()
    other = align_similarity(
        poses[:, :3, 3], 3 * poses[:, :3, 3] @ rotation_about_z(40).T + 7
    ).apply_to_poses(poses)
    errors = pose_errors(other, poses)
    np.testing.assert_allclose(errors.translation_share, 0, atol=1e-12)
    np.testing.assert_allclose(errors.rotation_degrees, 0, atol=1e-5)


def test_pose_errors_have_the_stated_units():
    """A turn about the own centre is read in degrees; a shift as a share of the extent."""
    poses = random_poses()
    turned = poses.copy()
    turned[3, :3, :3] = rotation_about_z(5) @ turned[3, :3, :3]
    errors = pose_errors(turned, poses)
    np.testing.assert_allclose(errors.rotation_degrees, np.eye(8)[3] * 5, atol=1e-5)
    np.testing.assert_allclose(errors.translation_share, 0, atol=1e-12)

    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = np.tile(np.eye(4), (400, 1, 1))
    ring[:, :2, 3] = 10 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    shifted = ring.copy()
    shifted[0, 2, 3] = 1  # the extent is the diameter, 20
    assert pose_errors(shifted, ring).translation_share[0] == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize("degrees", [0, 1e-4, 30, 179.9, 180])
def test_rotation_angle(degrees):
    angle = rotation_angle_degrees(np.eye(3)[None], rotation_about_z(degrees)[None])
    assert angle[0] == pytest.approx(degrees, abs=1e-5)


def test_extent_is_the_largest_distance():
    assert extent(np.array([[0.0, 0, 0], [1, 0, 0], [0, 4, 3]])) == pytest.approx(np.sqrt(26))


def test_look_at_puts_the_target_on_the_axis_and_up_upwards():
    centre, target = np.array([3.0, -2, 1.5]), np.array([0.2, 0.1, 0])
    pose = look_at(centre, target, np.array([0.0, 0, 1]))
    assert is_rigid(pose)
    seen = invert_rigid(pose) @ np.append(target, 1)
    np.testing.assert_allclose(seen, [0, 0, -np.linalg.norm(target - centre), 1], atol=1e-12)
    assert pose[2, 0] == pytest.approx(0)
    assert pose[2, 1] > 0


def test_look_at_refuses_to_look_straight_up():
    with pytest.raises(ShapeError, match="up direction"):
        look_at(np.zeros(3), np.array([0.0, 0, 1]), np.array([0.0, 0, 1]))


@pytest.mark.parametrize("arc_degrees", [60, 180, 360])
def test_common_up_is_vertical_even_if_cameras_look_down_along_a_short_arc(arc_degrees):
    angles = np.radians(np.linspace(0, arc_degrees, 12))
    up = np.array([0.0, 0, 1])
    poses = [look_at(np.array([np.cos(a), np.sin(a), 0.6]), np.zeros(3), up) for a in angles]
    np.testing.assert_allclose(common_up(poses), up, atol=0.05)


def test_common_up_of_parallel_cameras_is_their_y_axis():
    pose = look_at(np.array([4.0, 0, 0]), np.zeros(3), np.array([0.0, 0, 1]))
    np.testing.assert_allclose(common_up([pose] * 3), pose[:3, 1], atol=1e-12)


@pytest.mark.parametrize("turned", [(1, 4), (0, 3, 5, 7)])
def test_common_up_holds_where_some_cameras_lie_on_their_side(turned):
    up = np.array([0.0, 0, 1])
    poses = [look_at(np.array([x, -4.0, 0.1 * x]), np.zeros(3), up) for x in np.linspace(-1, 1, 10)]
    quarter = np.eye(4)
    quarter[:2, :2] = [[0, -1], [1, 0]]
    for number in turned:
        poses[number] = poses[number] @ quarter
    np.testing.assert_allclose(common_up(poses), up, atol=0.05)
