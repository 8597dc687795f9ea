"""The same cameras, written in every layout that is read, come out the same, in the same order."""

import shutil
from contextlib import suppress

import numpy as np
import pytest

from scenestyle.capture import read_capture
from scenestyle.capture.lenses import camera_of
from scenestyle.capture.poses import c2w_opengl_of
from scenestyle.errors import InputError
from tests.support.captures import FOCAL, HEIGHT, WIDTH, colmap_set, noise, ring
from tests.support.layouts import WRITERS, Posed, put, told

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


def test_masks_that_are_listed_without_their_folder_are_masks_and_not_photos(tmp_path, views):
    written(tmp_path, "transforms.json of ScanNet++", views)
    masks = {photo.mask.parent.name for photo in read_capture(tmp_path / "set").photos}
    assert masks == {"resized_anon_masks"}


def test_masks_of_neus_belong_to_the_photos_by_their_order(tmp_path, views):
    written(tmp_path, "IDR", views)
    masks = [photo.mask.name for photo in read_capture(tmp_path / "set").photos]
    assert masks == ["000.png", "001.png", "002.png", "003.png"]


def test_a_photo_without_a_pose_is_named_once(tmp_path, views):
    written(tmp_path, "pose per photo", views)
    left_out = "; ".join(read_capture(tmp_path / "set").left_out)
    assert left_out.startswith("1 photo without a pose (9999.png); 1 other file (intrinsic/")


@pytest.mark.parametrize("layout", ["LLFF", "IDR"])
def test_poses_by_order_alone_want_as_many_photos(tmp_path, views, layout):
    written(tmp_path, layout, views)
    next((tmp_path / "set").rglob("0009.png")).unlink()
    with pytest.raises(InputError, match=r"has 4 .* of as many photos lies beside it"):
        read_capture(tmp_path / "set")


def test_a_damaged_table_of_llff_is_told(tmp_path, views):
    written(tmp_path, "LLFF", views)
    table = next((tmp_path / "set").rglob("poses_bounds.npy"))
    np.save(table, np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"has the shape \(4, 3\), wanted photos x 17"):
        read_capture(tmp_path / "set")
    table.write_bytes(table.read_bytes()[:40])
    with pytest.raises(InputError, match=r"poses_bounds\.npy is damaged .*Get it again"):
        read_capture(tmp_path / "set")


def test_what_is_no_lens_is_told(tmp_path):
    with pytest.raises(InputError, match="k4 = 1000 cannot be undistorted"):
        camera_of({**LENS, "k4": 1000}, (WIDTH, HEIGHT))
    colmap_set(tmp_path, text=True)
    (tmp_path / "sparse/0/cameras.txt").write_text(f"1 PINHOLE {WIDTH} {HEIGHT} 0 0 0 0\n")
    with pytest.raises(InputError, match=r"camera 1 has 64x48 pixels and a focal length of 0"):
        read_capture(tmp_path)


def test_without_its_list_and_all_photos_bundler_cannot_be_read(tmp_path, views):
    written(tmp_path, "Bundler", views)
    (tmp_path / "set/list.txt").unlink()
    with pytest.raises(InputError, match=r"has 5 cameras, and neither a list\.txt of as many"):
        read_capture(tmp_path / "set")


def test_without_its_list_bundler_goes_by_the_order_of_the_photos(tmp_path, views):
    written(tmp_path, "Bundler", views)
    (tmp_path / "set/list.txt").unlink()
    noise(9).save(tmp_path / "set/photos/0000.png")  # the one without a place
    poses, _ = cameras_of(read_capture(tmp_path / "set"))
    np.testing.assert_allclose(poses, [view.c2w_opengl for view in views], atol=1e-6)


def test_bundler_without_its_list_wants_as_many_photos(tmp_path, views):
    written(tmp_path, "Bundler", views)
    (tmp_path / "set/list.txt").unlink()
    with pytest.raises(InputError, match=r"has 5 cameras, and neither a list\.txt"):
        read_capture(tmp_path / "set")


def test_poses_of_llff_have_seventeen_numbers_each(tmp_path, views):
    written(tmp_path, "LLFF", views)
    np.save(tmp_path / "set/poses_bounds.npy", np.zeros((4, 15)))
    with pytest.raises(InputError, match=r"has the shape \(4, 15\), wanted photos x 17"):
        read_capture(tmp_path / "set")


@pytest.mark.parametrize("name", ["scene.nvm", "Barn_COLMAP_SfM.log", "a.xml", "site.psx"])
def test_poses_that_are_not_read_are_named_with_the_way_out(tmp_path, views, name):
    put(tmp_path / "set", views)
    (tmp_path / "set" / name).write_text("<BlocksExchange>")
    (warning,) = read_capture(tmp_path / "set").warnings
    assert warning.startswith(f"{name} (")
    assert "export a COLMAP model or a transforms.json" in warning


@pytest.mark.parametrize(
    "name", ["list.csv", "notes.json", "info.xml", "x.xmp", "a_cam.txt", "colmap.log"]
)
def test_files_of_other_kinds_beside_photos_do_no_harm(tmp_path, views, name):
    put(tmp_path / "set", views)
    (tmp_path / "set" / name).write_bytes("Gr\xf6\xdfe;\x00".encode("latin-1"))
    assert read_capture(tmp_path / "set").layout == "photos"


def test_a_lens_with_a_fourth_coefficient_bends_rays_as_its_polynomial_does():
    keys = {"k1": -0.2, "k2": 0.05, "k3": -0.01, "k4": 0.002, "p1": 0.001, "p2": -0.002}
    frame = {"w": 640, "h": 480, "fl_x": 500, "fl_y": 510, "cx": 318, "cy": 243, **keys}
    camera = camera_of(frame, (640, 480))
    x, y = np.meshgrid(np.linspace(-0.6, 0.6, 7), np.linspace(-0.45, 0.45, 7))
    r = x**2 + y**2
    radial = 1 + keys["k1"] * r + keys["k2"] * r**2 + keys["k3"] * r**3 + keys["k4"] * r**4
    across = x * radial + 2 * keys["p1"] * x * y + keys["p2"] * (r + 2 * x**2)
    down = y * radial + keys["p1"] * (r + 2 * y**2) + 2 * keys["p2"] * x * y
    wanted = np.stack([500 * across + 318, 510 * down + 243], axis=-1).reshape(-1, 2)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    np.testing.assert_allclose(camera.img_from_cam(rays), wanted, atol=0.1)
