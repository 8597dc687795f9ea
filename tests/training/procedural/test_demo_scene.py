"""The committed demo photos are what the program writes, and they are what the pipeline needs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.procedural import demo_scene

PROJECT = Path(__file__).parents[3]
PHOTOS = PROJECT / "data" / "scenes" / "demo"
TRUTH = PROJECT / "tests" / "assets" / "demo_cameras.json"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


def test_there_is_one_photo_per_camera_and_all_are_small():
    photos = list(PHOTOS.iterdir())
    assert {photo.name for photo in photos} == {f"{n}.jpg" for n in demo_scene.demo_cameras()}
    assert sum(photo.stat().st_size for photo in photos) <= 4e6


@pytest.mark.parametrize("name", ["photo_05", "photo_26"])
def test_committed_photos_are_what_the_program_writes(tmp_path, name):
    """Equal but for the last bit of a float, which another processor may round otherwise."""
    cameras = {name: demo_scene.demo_cameras()[name]}
    demo_scene.write_photos(tmp_path, cameras)
    written, committed = pixels(tmp_path / f"{name}.jpg"), pixels(PHOTOS / f"{name}.jpg")
    assert np.abs(written - committed).mean() < 0.05


def test_committed_truth_is_what_the_program_writes(tmp_path):
    demo_scene.write_truth(tmp_path / "truth.json", demo_scene.demo_cameras())
    written, committed = (
        json.loads((tmp_path / "truth.json").read_text()),
        json.loads(TRUTH.read_text()),
    )
    assert [entry["name"] for entry in written] == [entry["name"] for entry in committed]
    np.testing.assert_allclose(
        [entry["c2w_opengl"] for entry in written],
        [entry["c2w_opengl"] for entry in committed],
        atol=1e-12,
    )


def test_every_camera_stands_in_the_room_and_sees_a_surface_at_every_pixel():
    scene = demo_scene.demo_scene()
    for camera in list(demo_scene.demo_cameras().values())[::5]:
        view = demo_scene.render(scene, camera.resized(48, 36))
        assert view.hit.all()
        assert 1 < view.depth_z.min() < view.depth_z.max() < 12
