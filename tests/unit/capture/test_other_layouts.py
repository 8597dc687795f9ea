"""The same cameras, written in every layout that is read, come out the same, in the same order."""

import shutil
from contextlib import suppress

import numpy as np
import pytest

from scenestyle.capture import read_capture
from scenestyle.capture.poses import c2w_opengl_of
from scenestyle.errors import InputError
from tests.support.captures import FOCAL, HEIGHT, WIDTH, noise, ring
from tests.support.layouts import WRITERS, Posed, told

LENS = {
    "w": WIDTH, "h": HEIGHT, "fl_x": FOCAL, "fl_y": FOCAL + 0.5, "cx": 31.0, "cy": 25.0,
    "k1": 0.03, "k2": -0.02, "k3": 0.01, "p1": 0.002, "p2": -0.003,
}  # fmt: skip


@pytest.fixture
def views(tmp_path):
    """Cameras on a ring that look a little beside its middle, each rolled."""
    (tmp_path / "given").mkdir()
    made = []
    for number, pose in enumerate(ring(4)):
        angle = 0.2 * number
        roll = np.eye(4)
        roll[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        photo = tmp_path / f"given/{number + 8:04d}.png"
        noise(number).save(photo)
        made.append(Posed(photo, pose @ roll))
    return made


def written(tmp_path, layout, views):
    write, keys = WRITERS[layout]
    lens = told(LENS, keys)
    write(tmp_path / "set", views, lens)
    return lens


def cameras_of(capture):
    """Poses and lenses in the order of the photos, in shares of the picture's width."""
    images = {image.name: image for image in capture.model.images.values()}
    ordered = [images[f"{photo.name}.png"] for photo in capture.photos]
    poses = np.stack([c2w_opengl_of(image) for image in ordered])
    lenses = []
    for image in ordered:
        camera = capture.model.camera(image.camera_id)
        params = dict(zip(camera.params_info.split(", "), camera.params, strict=True))
        bent = [params.get(key, 0.0) for key in ("k1", "k2", "k3", "p1", "p2")]
        inner = [camera.focal_length_x, camera.focal_length_y]
        inner += [camera.principal_point_x, camera.principal_point_y]
        lenses.append([*np.array(inner) / camera.width, *bent])
    return poses, np.array(lenses)


@pytest.mark.parametrize("layout", WRITERS)
def test_cameras_of_a_layout_are_those_that_were_written(tmp_path, views, layout):
    lens = written(tmp_path, layout, views)
    capture = read_capture(tmp_path / "set")
    assert layout.startswith(capture.layout)
    assert len(capture.photos) == len(views)
    poses, lenses = cameras_of(capture)
    np.testing.assert_allclose(poses, [view.c2w_opengl for view in views], atol=1e-6)
    inner = [lens[key] / WIDTH for key in ("fl_x", "fl_y", "cx", "cy")]
    bent = [lens[key] for key in ("k1", "k2", "k3", "p1", "p2")]
    np.testing.assert_allclose(lenses, [[*inner, *bent]] * len(views), atol=1e-6)


@pytest.mark.parametrize("layout", WRITERS)
def test_the_copy_of_what_is_used_reads_as_the_layout_did(tmp_path, views, layout):
    written(tmp_path, layout, views)
    capture = read_capture(tmp_path / "set")
    for file in capture.files:
        place = tmp_path / "copy" / file.relative_to(tmp_path / "set")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    again = read_capture(tmp_path / "copy")
    assert [photo.name for photo in again.photos] == [photo.name for photo in capture.photos]
    for one, other in zip(cameras_of(again), cameras_of(capture), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("layout", WRITERS)
def test_a_description_that_is_cut_short_is_a_sentence(tmp_path, views, layout, share):
    written(tmp_path, layout, views)
    path = read_capture(tmp_path / "set").description[0]
    raw = path.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    # What is left may be whole lines of a table: fewer photos then, never a traceback.
    with suppress(InputError):
        assert read_capture(tmp_path / "set").photos
