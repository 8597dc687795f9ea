"""Each kind of data set that people bring, and what is read of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from scenestyle.capture import read_capture
from scenestyle.capture.poses import centres_of
from scenestyle.errors import InputError
from tests.support.captures import (
    FOCAL,
    HEIGHT,
    WIDTH,
    colmap_set,
    noise,
    posed_set,
    ring,
    save,
)


def names(capture):
    return [photo.path.name for photo in capture.photos]


def intrinsics(capture):
    camera = next(iter(capture.model.cameras.values()))
    return camera.model_name, camera.width, camera.height, camera.focal_length_x


def assert_on_the_ring(capture, number=5):
    expected = [pose[:3, 3] for pose in ring(number)]
    np.testing.assert_allclose(
        centres_of(capture.model), expected[: len(capture.photos)], atol=1e-6
    )


def shrink(folder, size):
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            small = image.resize(size)
        small.save(path)


# Pictures and where they lie


@pytest.mark.parametrize("make", [posed_set, colmap_set])
def test_smaller_pictures_of_the_same_shape_scale_their_cameras(tmp_path, make):
    make(tmp_path)
    shrink(tmp_path / "images", (32, 24))
    capture = read_capture(tmp_path)
    assert intrinsics(capture) == ("PINHOLE", 32, 24, FOCAL / 2)
    assert capture.changed == ("intrinsics of 5 photos scaled to smaller pictures",)


@pytest.mark.parametrize("make", [posed_set, colmap_set])
def test_pictures_of_another_shape_are_refused_with_both_sizes(tmp_path, make):
    make(tmp_path)
    shrink(tmp_path / "images", (32, 32))
    with pytest.raises(InputError, match="picture has 32x32 pixels, its camera 64x48"):
        read_capture(tmp_path)


@pytest.mark.parametrize("make", [posed_set, colmap_set])
def test_pictures_whose_camera_has_the_turned_shape_are_turned(tmp_path, make):
    make(tmp_path)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for path in (tmp_path / "images").iterdir():
        with Image.open(path) as image:
            lying = image.transpose(Image.Transpose.ROTATE_90)
        lying.save(path, exif=exif)
    capture = read_capture(tmp_path)
    assert all(photo.upright and photo.size == (WIDTH, HEIGHT) for photo in capture.photos)


@pytest.mark.parametrize("make", [posed_set, colmap_set])
def test_reduced_folders_stand_in_for_the_folder_of_images(tmp_path, make):
    make(tmp_path)
    shutil.copytree(tmp_path / "images", tmp_path / "images_8")
    (tmp_path / "images").rename(tmp_path / "images_4")
    shrink(tmp_path / "images_8", (8, 6))
    capture = read_capture(tmp_path)
    assert {photo.path.parent.name for photo in capture.photos} == {"images_4"}


@pytest.mark.parametrize("make", [posed_set, colmap_set])
def test_a_missing_picture_is_left_out_and_named(tmp_path, make):
    make(tmp_path)
    (tmp_path / "images/2.png").unlink()
    (tmp_path / "images_2").mkdir()
    noise(9).save(tmp_path / "images_2/2.png")  # must not take its place
    capture = read_capture(tmp_path)
    assert names(capture) == ["0.png", "1.png", "3.png", "4.png"]
    assert (capture.listed, "1 listed photo without a file" in capture.left_out[0]) == (5, True)


@pytest.mark.parametrize("make", [posed_set, colmap_set])
def test_a_set_with_few_of_its_pictures_is_refused(tmp_path, make):
    make(
        tmp_path,
        **({"number": 12} if make is posed_set else {"names": [f"{i}.png" for i in range(12)]}),
    )
    for number in range(7):
        (tmp_path / f"images/{number}.png").unlink()
    with pytest.raises(InputError, match=r"only 5 of 12 listed photos have a file.*7 listed"):
        read_capture(tmp_path)


WRITTEN = {
    "absolute": lambda path, folder: str(folder.resolve() / path),
    "of another machine": lambda path, folder: f"/content/drive/MyDrive/scene/{path}",
    "of Windows": lambda path, folder: ".\\" + path.replace("/", "\\"),
    "absolute, of Windows": lambda path, folder: "C:\\scene\\" + path.replace("/", "\\"),
    "in capitals": lambda path, folder: path.upper(),
    "without suffix": lambda path, folder: f"./{path.removesuffix('.png')}",
    "converted since": lambda path, folder: path.replace(".png", ".jpg"),
    "by the name alone": lambda path, folder: path.removeprefix("images/"),
    "with a detour": lambda path, folder: f"x/../{path}",
}


@pytest.mark.parametrize("written", WRITTEN)
def test_paths_are_understood_however_they_are_written(tmp_path, written):
    meta = posed_set(tmp_path)
    for frame in meta["frames"]:
        frame["file_path"] = WRITTEN[written](frame["file_path"], tmp_path)
    save(tmp_path, meta)
    capture = read_capture(tmp_path)
    assert names(capture) == [f"{number}.png" for number in range(5)]


def test_absolute_paths_lead_into_a_copy_and_not_out_of_it(tmp_path):
    meta = posed_set(tmp_path / "set")
    for frame in meta["frames"]:
        frame["file_path"] = str(tmp_path / "set" / frame["file_path"])
    save(tmp_path / "set", meta)
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    paths = [photo.path for photo in read_capture(tmp_path / "copy").photos]
    assert all(path.is_relative_to(tmp_path / "copy") for path in paths)


def test_a_missing_folder_is_not_replaced_by_another_camera(tmp_path):
    meta = posed_set(tmp_path)
    (tmp_path / "images/a").mkdir()
    for number in range(3):
        frame = {**meta["frames"][number], "file_path": f"images/b/{number}.png"}
        meta["frames"].append(frame)
        noise(20 + number).save(tmp_path / f"images/a/{number}.png")
    save(tmp_path, meta)
    assert "3 listed photos without a file" in read_capture(tmp_path).left_out[0]


def test_a_picture_of_masks_never_stands_in_for_a_photo(tmp_path):
    posed_set(tmp_path)
    (tmp_path / "images").rename(tmp_path / "masks")
    with pytest.raises(InputError, match="holds 0 posed images"):
        read_capture(tmp_path)


def test_images_may_be_a_link(tmp_path):
    posed_set(tmp_path / "set")
    (tmp_path / "set/images").rename(tmp_path / "elsewhere")
    (tmp_path / "set/images").symlink_to(tmp_path / "elsewhere")
    assert len(read_capture(tmp_path / "set").photos) == 5


def test_a_frame_that_is_listed_twice_is_one_view(tmp_path):
    meta = posed_set(tmp_path)
    save(tmp_path, {**meta, "frames": [*meta["frames"], meta["frames"][0]]})
    capture = read_capture(tmp_path)
    assert len(capture.photos) == 5
    assert capture.left_out == ("1 frame of photos that are listed before",)


def test_faults_without_end_are_cut_short(tmp_path):
    meta = posed_set(tmp_path, number=30)
    for frame in meta["frames"]:
        frame.pop("transform_matrix")
    save(tmp_path, meta)
    with pytest.raises(InputError) as caught:
        read_capture(tmp_path)
    alike = str(caught.value).splitlines()
    assert alike[:2] == [
        "30 of 30 photos cannot be used:",
        "  - images/0.png, images/1.png, images/2.png, images/3.png, images/4.png and 25 more: it has "
        "no transform_matrix",
    ]
    for number, frame in enumerate(meta["frames"]):
        frame["camera_model"] = f"OURS_{number}"
    save(tmp_path, meta)
    with pytest.raises(InputError) as caught:
        read_capture(tmp_path)
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-2]) == (13, "  and 20 more")


# COLMAP


@pytest.mark.parametrize(
    ("model", "images"),
    [
        ("sparse/1", "images"),
        ("output/1", "images"),
        ("dense/sparse", "dense/images"),
        ("distorted/sparse/0", "input"),
        ("colmap/sparse/0", "images"),
        (".", "images"),
    ],
)
@pytest.mark.parametrize("text", [False, True])
def test_a_model_is_found_where_programs_put_it(tmp_path, model, images, text):
    colmap_set(tmp_path / "set", model=model, images=images, text=text)
    capture = read_capture(tmp_path / "set")
    assert (capture.layout, len(capture.photos)) == ("COLMAP model", 5)
    assert_on_the_ring(capture)


def test_of_several_models_the_one_with_most_images_is_used(tmp_path):
    colmap_set(tmp_path, ["0.png", "1.png", "2.png"])
    colmap_set(tmp_path, model="sparse/1")
    capture = read_capture(tmp_path)
    assert len(capture.photos) == 5
    assert "the model sparse/0 with 3 images, since sparse/1 has 5" in capture.left_out


@pytest.mark.parametrize("text", [False, True])
def test_names_of_images_may_hold_blanks(tmp_path, text):
    listed = [f"my photo {number} (1).png" for number in range(5)]
    colmap_set(tmp_path, listed, text=text)
    capture = read_capture(tmp_path)
    assert names(capture) == listed
    assert_on_the_ring(capture)


def test_realityscan_names_images_by_their_folder(tmp_path):
    colmap_set(tmp_path, [f"images/{number}.png" for number in range(5)], images=".")
    assert len(read_capture(tmp_path).photos) == 5


@pytest.mark.parametrize("text", [False, True])
def test_a_model_may_come_without_points(tmp_path, text):
    colmap_set(tmp_path, text=text)
    (tmp_path / f"sparse/0/points3D.{'txt' if text else 'bin'}").unlink()
    assert_on_the_ring(read_capture(tmp_path))


@pytest.mark.parametrize("length", [0, 9, 100, 300])
def test_a_model_that_is_cut_short_is_refused_in_plain_words(tmp_path, length):
    colmap_set(tmp_path)
    path = tmp_path / "sparse/0/images.bin"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"not a readable COLMAP model|holds 0 posed images"):
        read_capture(tmp_path)


@pytest.mark.parametrize(("part", "text"), [("cameras", "1 PINHOLE wide"), ("images", "one")])
def test_a_model_of_other_text_is_refused_in_plain_words(tmp_path, part, text):
    colmap_set(tmp_path, text=True)
    (tmp_path / f"sparse/0/{part}.txt").write_text(text)
    with pytest.raises(InputError, match="not a readable COLMAP model: its files"):
        read_capture(tmp_path)


# Lenses and poses


@pytest.mark.parametrize(
    ("keys", "model"),
    [
        ({"distortion_params": [0.1, 0.02, 0, 0, 0, 0]}, "OPENCV"),
        ({"distortion_params": [0.1, 0.02, 0.003, 0, 0, 0]}, "FULL_OPENCV"),
        ({"k1": 0.1, "k2": 0.02, "k3": 0.003, "k4": 0.01}, "FULL_OPENCV"),
        ({"is_fisheye": True, "k1": 0.1}, "OPENCV_FISHEYE"),
        ({"camera_model": "SIMPLE_PINHOLE"}, "PINHOLE"),
        ({"camera_model": "opencv_fisheye"}, "OPENCV_FISHEYE"),
    ],
)
def test_lenses_are_read_in_every_form(tmp_path, keys, model):
    posed_set(tmp_path, **keys)
    assert intrinsics(read_capture(tmp_path))[0] == model


def test_a_camera_without_a_focal_length_is_refused(tmp_path):
    meta = posed_set(tmp_path)
    save(tmp_path, {key: value for key, value in meta.items() if not key.startswith("fl_")})
    with pytest.raises(InputError, match="its camera has no fl_x or camera_angle_x"):
        read_capture(tmp_path)


@pytest.mark.parametrize(
    ("keys", "doubt"),
    [
        ({"cx": 5000}, "principal point"),
        ({"fl_x": 1e9}, "focal length of 1e"),
        ({"k1": 50}, "the picture shrinks from 64x48"),
        ({"k5": 0.2}, "k5 is not read"),
        ({"camera_model": "EQUIRECTANGULAR"}, "360 degree picture is 2 to 1, this one 64x48"),
    ],
)
def test_doubtful_cameras_are_used_and_said(tmp_path, keys, doubt):
    posed_set(tmp_path, **keys)
    (warning,) = read_capture(tmp_path).warnings
    assert doubt in warning
    assert "0.png" in warning


def test_a_scale_in_the_rotations_is_taken_out(tmp_path):
    meta = posed_set(tmp_path)
    for frame in meta["frames"]:
        pose = np.array(frame["transform_matrix"])
        pose[:3, :3] *= 2
        frame["transform_matrix"] = pose.tolist()
    save(tmp_path, meta)
    capture = read_capture(tmp_path)
    assert_on_the_ring(capture)
    assert capture.changed == ("a scale of 2 taken out of the rotations",)


@pytest.mark.parametrize("make", [posed_set, colmap_set])
def test_a_world_far_from_its_origin_is_moved_there(tmp_path, make):
    """Single precision would put these cameras on a grid of half a metre."""
    make(tmp_path, offset=(501234.5, 4512345.6, 120.0))
    capture = read_capture(tmp_path)
    centres = centres_of(capture.model)
    expected = np.array([pose[:3, 3] for pose in ring()])
    np.testing.assert_allclose(centres.astype(np.float32), expected - expected.mean(0), atol=1e-6)
    shift = np.array(capture.carried["applied_transform"])
    np.testing.assert_allclose(shift[:, 3], [-501234.5, -4512345.6, -121.0], atol=1e-6)
    assert "501234.5" in capture.changed[0]


@pytest.mark.parametrize("make", [posed_set, colmap_set])
def test_cameras_in_one_place_are_refused(tmp_path, make, monkeypatch):
    at_one_place = ring()
    for pose in at_one_place:
        pose[:3, 3] = (1, 2, 3)
    monkeypatch.setattr("tests.support.captures.ring", lambda *_: at_one_place)
    make(tmp_path)
    with pytest.raises(InputError, match="all 5 cameras stand in one place"):
        read_capture(tmp_path)


# Other forms of transforms.json


def test_a_blender_set_is_its_training_views(tmp_path):
    meta = posed_set(tmp_path)
    (tmp_path / "images").rename(tmp_path / "train")
    (tmp_path / "transforms.json").unlink()
    frames = [
        {"file_path": f"./train/{number}", "transform_matrix": frame["transform_matrix"]}
        for number, frame in enumerate(meta["frames"])
    ]
    angle = 2 * np.arctan(WIDTH / 2 / FOCAL)
    text = json.dumps({"camera_angle_x": angle, "frames": frames})
    (tmp_path / "transforms_train.json").write_text(text)
    (tmp_path / "transforms_test.json").write_text(text.replace("train", "test"))
    capture = read_capture(tmp_path)
    assert (capture.layout, len(capture.photos)) == ("Blender set", 5)
    assert intrinsics(capture)[3] == pytest.approx(FOCAL)
    assert capture.left_out == ("transforms_test.json (5 views for evaluation)",)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_does_no_harm(tmp_path, encoding):
    meta = posed_set(tmp_path)
    (tmp_path / "transforms.json").write_text(json.dumps(meta), encoding=encoding)
    assert len(read_capture(tmp_path).photos) == 5


def test_another_encoding_is_named(tmp_path):
    (tmp_path / "transforms.json").write_bytes('{"frames": [], "by": "Käthe"}'.encode("latin-1"))
    with pytest.raises(InputError, match="not a text in UTF-8; wanted is nerfstudio's form"):
        read_capture(tmp_path)


def test_what_the_format_says_beyond_poses_is_carried_on_or_named(tmp_path):
    meta = posed_set(
        tmp_path,
        orientation_override="none",
        train_filenames=["images/0.png", "images/1.png", "images/2.png", "images/3.png"],
        test_filenames=["images/4.png"],
        ply_file_path="points.ply",
    )
    meta["frames"][0]["depth_file_path"] = "depth/0.png"
    save(tmp_path, meta)
    capture = read_capture(tmp_path)
    assert capture.carried["orientation_override"] == "none"
    assert capture.carried["test_filenames"] == ["images/4.png"]
    assert {"`depth_file_path`", "`ply_file_path`"} <= set(capture.left_out)


@pytest.mark.parametrize("top", ["scene", "scene/nerf"])
def test_a_data_set_in_a_folder_is_found(tmp_path, top):
    posed_set(tmp_path / top)
    assert len(read_capture(tmp_path).photos) == 5


# Masks and transparency


@pytest.mark.parametrize("form", ["mask_path", "folder"])
def test_masks_of_a_posed_set_belong_to_its_frames(tmp_path, form):
    meta = posed_set(tmp_path)
    (tmp_path / "masks").mkdir()
    for number, frame in enumerate(meta["frames"]):
        name = f"m{number}.png" if form == "mask_path" else f"{number}.png"
        Image.new("L", (WIDTH, HEIGHT), 255).save(tmp_path / "masks" / name)
        if form == "mask_path":
            frame["mask_path"] = f"masks/{name}"
    save(tmp_path, meta)
    assert all(photo.mask is not None for photo in read_capture(tmp_path).photos)
    (tmp_path / "masks" / name).unlink()
    if form == "mask_path":
        with pytest.raises(InputError, match=r"m4.png: no such file, but 4.png names it"):
            read_capture(tmp_path)


@pytest.mark.parametrize("listed", ["masks/{}.png", "images/{}.jpg", "images/{}.png"])
def test_a_photo_never_stands_in_for_its_mask(tmp_path, listed):
    meta = posed_set(tmp_path)
    for number, frame in enumerate(meta["frames"]):
        frame["mask_path"] = listed.format(number)
    save(tmp_path, meta)
    with pytest.raises(InputError, match=r"no such file, but 0.png names it as its mask"):
        read_capture(tmp_path)


def test_masks_of_a_colmap_set_belong_to_its_images(tmp_path):
    colmap_set(tmp_path)
    (tmp_path / "masks").mkdir()
    for number in range(5):
        Image.new("L", (WIDTH, HEIGHT), 255).save(tmp_path / f"masks/{number}.png.png")
    assert all(photo.mask is not None for photo in read_capture(tmp_path).photos)
    Image.new("L", (8, 8), 255).save(tmp_path / "masks/3.png.png")
    with pytest.raises(InputError, match=r"the mask has 8x8 pixels, its photo 3.png has 64x48"):
        read_capture(tmp_path)


@pytest.mark.parametrize("make", [posed_set, colmap_set])
def test_masks_of_other_names_than_the_photos_are_said_not_to_be_used(tmp_path, make):
    make(tmp_path)
    (tmp_path / "mask").mkdir()
    Image.new("L", (WIDTH, HEIGHT), 255).save(tmp_path / "mask/000.png")
    (warning,) = read_capture(tmp_path).warnings
    assert warning.startswith("None of the 1 masks (000.png) is called like a photo")
    Image.new("L", (WIDTH, HEIGHT), 255).save(tmp_path / "mask/3.png")
    (warning,) = read_capture(tmp_path).warnings
    assert warning == "4 photos of 5 have no mask; all of them is used."


def test_cut_outs_are_known(tmp_path):
    posed_set(tmp_path)
    with Image.open(tmp_path / "images/1.png") as image:
        clear = image.convert("RGBA")
    clear.putalpha(Image.new("L", clear.size, 0))
    clear.save(tmp_path / "images/1.png")
    transparent = [photo.transparent for photo in read_capture(tmp_path).photos]
    assert transparent == [False, True, False, False, False]


# What cannot be read at all


def test_a_folder_that_may_not_be_read_is_a_sentence(tmp_path, monkeypatch):
    posed_set(tmp_path)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"transforms.json may not be read"):
        read_capture(tmp_path)
