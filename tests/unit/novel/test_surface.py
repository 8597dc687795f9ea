import numpy as np
import pytest

from scenestyle.errors import ArtifactError
from scenestyle.nerf.field import Rendering
from scenestyle.novel.surface import PointCloud, contracted, surface_points, thinned
from tests.support.ball import RADIUS, ball_seen_from

VIEWS = ball_seen_from(list(np.linspace(0, 2 * np.pi, 8, endpoint=False)))


def test_points_lie_on_the_surface_in_its_colours() -> None:
    cloud = surface_points(*VIEWS)

    assert len(cloud.points) > 5000
    assert np.linalg.norm(cloud.points, axis=-1) == pytest.approx(RADIUS, rel=1e-4)
    assert cloud.colours == pytest.approx((cloud.points / RADIUS + 1) / 2, abs=1e-4)


def test_thinned_points_are_evenly_spaced_and_cover_the_same() -> None:
    whole = surface_points(*VIEWS)
    few = thinned(whole, 500)

    assert 350 < len(few.points) <= 500
    assert np.linalg.norm(few.points, axis=-1) == pytest.approx(RADIUS, rel=0.02)
    nearest = np.linalg.norm(whole.points[::50, None] - few.points[None], axis=-1).min(axis=1)
    spacing = np.sqrt(4 * np.pi * RADIUS**2 / 500)
    assert nearest.max() < 2 * spacing


def test_a_cloud_that_is_small_enough_stays_as_it_is() -> None:
    cloud = PointCloud(np.zeros((3, 3), np.float32), np.ones((3, 3), np.float32))

    assert thinned(cloud, 3) is cloud


def test_the_mean_colour_of_a_cell_is_kept() -> None:
    points = np.array([[0, 0, 0], [0.01, 0, 0], [9, 9, 9]], np.float32)
    colours = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)

    cloud = thinned(PointCloud(points, colours), 2)

    order = np.argsort(cloud.points[:, 0])
    assert cloud.colours[order] == pytest.approx(np.array([[0.5, 0, 0], [0, 1, 0]]))


def test_contraction_keeps_the_middle_and_draws_infinity_to_twice_the_radius() -> None:
    focus = np.array([1.0, 0.0, 0.0], np.float32)
    directions = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)

    def distances(at: float) -> np.ndarray:
        points = focus + np.float32(at) * directions
        return 0.5 * np.linalg.norm(contracted(points, focus=focus, radius=0.5), axis=-1)

    assert distances(0.3) == pytest.approx(0.3, rel=1e-4)
    assert distances(0.5) == pytest.approx(0.5, rel=1e-4)
    assert distances(1.0) == pytest.approx(0.75, rel=1e-4)
    assert distances(1e6) == pytest.approx(1.0, rel=1e-4)


def test_a_contracted_grid_keeps_more_of_the_middle() -> None:
    points = np.random.default_rng(0).uniform(-4, 4, (20_000, 3)).astype(np.float32)
    cloud = PointCloud(points, np.zeros_like(points))

    even = thinned(cloud, 2000)
    centred = thinned(
        cloud, 2000, warp=lambda p: contracted(p, focus=np.zeros(3, np.float32), radius=1.0)
    )

    in_middle = [int((np.linalg.norm(c.points, axis=-1) < 1).sum()) for c in (even, centred)]
    assert in_middle[1] > 4 * in_middle[0]


def test_mid_air_between_near_and_far_is_left_out() -> None:
    cameras, (view,) = ball_seen_from([0.0])
    wall = np.float32(6.0)
    blurred = np.where(view.opacity > 0, view.depth_z, wall).astype(np.float32)
    edge = (view.opacity > 0) & (np.roll(view.opacity, 1, axis=1) == 0)
    blurred[edge] = (blurred[edge] + wall) / 2
    rendering = Rendering(view.rgb, blurred, np.ones_like(view.opacity))

    cloud = surface_points(cameras, [rendering])

    forward = -cameras[0].c2w_opengl[:3, 2]
    depth_z = (cloud.points - cameras[0].c2w_opengl[:3, 3]) @ forward
    assert not ((depth_z > 2.8) & (depth_z < 5.8)).any()


def test_an_empty_field_has_no_surface() -> None:
    cameras, renderings = ball_seen_from([0.0])
    nothing = [Rendering(r.rgb, r.depth_z, 0 * r.opacity) for r in renderings]

    with pytest.raises(ArtifactError, match="empty"):
        surface_points(cameras, nothing)
