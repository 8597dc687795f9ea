import re

import numpy as np
import pycolmap
import pytest

from scenestyle.sfm.diagnosis import (
    largest_angle,
    lost_photos,
    parallax,
    rotation_residual,
    triangulation_angle,
)
from tests.support.synthetic_matches import dataset, views

POINTS = np.random.default_rng(0).uniform(-0.5, 0.5, (60, 2))
PAIRS = {
    ("a", "b"): 300,
    ("a", "far"): 19,
    ("b", "far"): 17,
    ("a", "firm"): 80,
    ("u", "v"): 120,
}
NUM_KEYPOINTS = dict.fromkeys(("a", "b", "far", "firm", "u", "v", "alone"), 1500) | {"dark": 40}


def lost():
    names = list(NUM_KEYPOINTS)
    return {x.photo: x for x in lost_photos(names, frozenset("ab"), PAIRS, NUM_KEYPOINTS)}


def test_lost_photos_are_those_without_a_place_with_their_partners_best_first():
    assert list(lost()) == ["far", "firm", "u", "v", "alone", "dark"]
    assert [(p.photo, p.matches, p.placed) for p in lost()["far"].partners] == [
        ("a", 19, True),
        ("b", 17, True),
    ]
    assert [(p.photo, p.placed) for p in lost()["u"].partners] == [("v", False)]


@pytest.mark.parametrize(
    ("photo", "advice"),
    [
        ("far", r"best match a with 19 points \(30 are needed\).*between the two"),
        ("firm", "matches a with 80 points, too few of which other photos see"),
        ("u", "matches only photos without a place, best v.*leave them out"),
        ("alone", "matches no other photo.*leave it out"),
        ("dark", "blurred, dark or without texture: take it again"),
    ],
)
def test_the_advice_names_what_there_is_to_do(photo, advice):
    assert re.search(advice, lost()[photo].advice)


def turn(axis, degrees):
    import cv2

    return cv2.Rodrigues(np.radians(degrees) * np.array(axis, dtype=float))[0]


@pytest.mark.parametrize("focal", [0.6, 1.5])
def test_turning_leaves_nothing_and_moving_does(focal):
    rays = np.insert(POINTS / focal, 2, 1, axis=1)
    turned = rays @ turn((0.3, 0.9, 0.1), 10).T
    turned = turned[:, :2] / turned[:, 2:] * focal
    assert rotation_residual(POINTS, turned, focal) < 1e-9
    depths = np.random.default_rng(1).uniform(2, 6, (60, 1))
    moved = rays * depths - [0.3, 0, 0]
    moved = moved[:, :2] / moved[:, 2:] * focal
    assert rotation_residual(POINTS, moved, focal) > 0.005


def test_parallax_is_the_movement_of_the_camera(tmp_path):
    """The same matches, from true cameras round the points and from one that turns."""
    dataset(tmp_path / "moved.db")
    assert parallax(tmp_path / "moved.db") > 0.02
    turned_database(tmp_path / "turned.db")
    assert parallax(tmp_path / "turned.db") < 1e-4
    pycolmap.Database.open(tmp_path / "empty.db").close()
    assert parallax(tmp_path / "empty.db") is None


def turned_database(path):
    """Three photos of 1000x800 pixels, focal length 1100, of a camera that turns on the spot."""
    rays = np.insert(POINTS * 0.6, 2, 1, axis=1)
    with pycolmap.Database.open(path) as database:
        camera = pycolmap.Camera(
            model="SIMPLE_PINHOLE", width=1000, height=800, params=[1100.0, 500, 400], camera_id=1
        )
        camera.camera_id = database.write_camera(camera)
        for number in range(3):
            seen = rays @ turn((0, 1, 0.2), 4 * number).T
            pixels = seen[:, :2] / seen[:, 2:] * 1100 + [500, 400]
            image = pycolmap.Image(name=f"{number}.png", camera_id=camera.camera_id)
            image_id = database.write_image(image)
            database.write_keypoints(image_id, pixels.astype(np.float32))
        matches = np.tile(np.arange(len(rays), dtype=np.uint32)[:, None], 2)
        for pair in ((1, 2), (1, 3), (2, 3)):
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.PANORAMIC
            geometry.inlier_matches = matches
            database.write_two_view_geometry(*pair, geometry)


def test_the_largest_angle_between_rays():
    assert largest_angle(np.array([[1.0, 0, 0], [0, 2, 0], [3, 3, 0]])) == pytest.approx(90)
    assert largest_angle(np.array([[1.0, 0, 0], [-2, 0, 0]])) == pytest.approx(180)
    assert largest_angle(np.array([[1.0, 2, 3]])) == pytest.approx(0, abs=1e-5)


def test_the_triangulation_angle_shrinks_with_the_baseline(tmp_path):
    """Cameras drawn together to a tenth see their points under about a tenth of the angle."""
    model = dataset(tmp_path / "matches.db")
    wide = triangulation_angle(model)
    centre = np.mean([view.projection_center() for view in views(model)], axis=0)
    for view in views(model):
        rotation = view.cam_from_world().rotation
        near = centre + (view.projection_center() - centre) / 100
        pose = pycolmap.Rigid3d(rotation, -rotation.matrix() @ near)
        view.frame.rig_from_world = pose
    assert wide > 20
    assert 0 < triangulation_angle(model) < 0.05 * wide
    assert triangulation_angle(pycolmap.Reconstruction()) is None
