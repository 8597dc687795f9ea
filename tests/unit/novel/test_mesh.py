from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.spatial import KDTree

from scenestyle.errors import ArtifactError
from scenestyle.novel.mesh import Mesh, fused_mesh
from scenestyle.novel.surface import surface_points
from tests.support.ball import RADIUS, ball_seen_from, render_ball

ROUND = np.linspace(0, 2 * np.pi, 8, endpoint=False)
CAMERAS, RENDERINGS = ball_seen_from(ROUND)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return fused_mesh(CAMERAS, RENDERINGS)


def opened(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False)


def test_the_mesh_is_the_surface_in_its_colours(mesh: Mesh) -> None:
    assert len(mesh.vertices) > 5000
    radius = np.linalg.norm(mesh.vertices, axis=-1)
    assert np.median(radius) == pytest.approx(RADIUS, rel=0.002)
    assert np.percentile(radius, [2, 98]) == pytest.approx(RADIUS, rel=0.02)
    assert np.median(np.abs(mesh.colours - (mesh.vertices / RADIUS + 1) / 2)) < 0.01


def test_triangles_face_outwards(mesh: Mesh) -> None:
    ball = opened(mesh)

    outwards = np.einsum("ij,ij->i", ball.face_normals, ball.triangles_center)
    assert (outwards > 0).mean() > 0.99


def test_it_covers_what_two_views_see_and_no_more(mesh: Mesh) -> None:
    points = surface_points(CAMERAS, RENDERINGS).points
    seen_twice = points[np.abs(points[:, 1] / RADIUS - 0.35) < 0.5]
    away, _ = KDTree(mesh.vertices).query(seen_twice)

    assert away.max() < 0.02 * RADIUS
    assert mesh.vertices[:, 1].min() > points[:, 1].min() - 0.02 * RADIUS


def test_one_view_alone_makes_no_mesh() -> None:
    with pytest.raises(ArtifactError, match="No two renders"):
        fused_mesh(CAMERAS[:1], RENDERINGS[:1])


def test_the_same_whatever_the_order_of_the_views(mesh: Mesh) -> None:
    again = fused_mesh(CAMERAS[::-1], RENDERINGS[::-1])

    assert len(again.vertices) == pytest.approx(len(mesh.vertices), rel=1e-3)
    assert opened(again).area == pytest.approx(opened(mesh).area, rel=1e-3)


def test_views_may_have_any_sizes() -> None:
    cameras = [c.resized(c.width + 8 * i, c.height + 6 * i) for i, c in enumerate(CAMERAS)]

    radius = np.linalg.norm(fused_mesh(cameras, [*map(render_ball, cameras)]).vertices, axis=-1)
    assert np.median(radius) == pytest.approx(RADIUS, rel=0.002)


def test_one_wrong_view_does_not_make_a_surface(mesh: Mesh) -> None:
    """What only one view says is no surface, however opaque it is."""
    nearer = replace(RENDERINGS[0], depth_z=RENDERINGS[0].depth_z - np.float32(0.4))
    bounds = opened(fused_mesh(CAMERAS, [nearer, *RENDERINGS[1:]])).bounds

    assert bounds == pytest.approx(opened(mesh).bounds, abs=0.02)


def test_a_surface_of_one_point_is_refused() -> None:
    one = np.zeros_like(RENDERINGS[0].opacity)
    one[36, 48] = 1
    flat = np.full_like(RENDERINGS[0].depth_z, 2.0)

    with pytest.raises(ArtifactError, match="one point"):
        fused_mesh(CAMERAS[:1], [replace(RENDERINGS[0], depth_z=flat, opacity=one)])
