import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenestyle.capture import read_capture
from scenestyle.capture.capture import view_names
from scenestyle.errors import InputError


def picture(width=30, height=20, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_photos_count_in_any_letter_case_and_format_and_the_rest_is_named(tmp_path):
    names = ("a.jpg", "b.JPG", "c.Jpeg", "d.PNG", "e.webp", "f.tif", "g.avif", "h.bmp")
    for seed, name in enumerate(names):
        picture(seed=seed).save(tmp_path / name)
    for name in (".DS_Store", "._a.jpg", "notes.txt", "raw.dng"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    capture = read_capture(tmp_path)
    assert tuple(photo.path.name for photo in capture.photos) == names
    assert capture.left_out == (
        "1 raw photo (convert them to JPEG or TIFF to use them) (raw.dng)",
        "1 other file (notes.txt)",
    )


def test_photos_may_lie_in_a_folder_called_images(tmp_path):
    (tmp_path / "images").mkdir()
    for seed, name in enumerate(("1.jpg", "2.jpg", "3.jpg")):
        picture(seed=seed).save(tmp_path / "images" / name)
    assert [photo.name for photo in read_capture(tmp_path).photos] == ["1", "2", "3"]


def test_photos_come_in_the_order_in_which_a_person_counts(tmp_path):
    for seed, name in enumerate(("img10.jpg", "img9.jpg", "IMG1.jpg", "img02.jpg")):
        picture(seed=seed).save(tmp_path / name)
    assert [photo.name for photo in read_capture(tmp_path).photos] == [
        "IMG1",
        "img02",
        "img9",
        "img10",
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no photos; at least 3"),
        (["a.jpg"], "holds only 1 photo; at least 3"),
        (["a.jpg", "b.png"], "holds only 2 photos; at least 3"),
        (["a.MOV"], r"no photos \(left out: 1 other file \(a.MOV\)\)"),
        (["a.jpg", "x.CR2", "y.CR2"], r"2 raw photos \(x.CR2, y.CR2\) cannot.*Convert"),
    ],
)
def test_too_few_photos_are_counted_and_the_way_out_named(tmp_path, names, message):
    for seed, name in enumerate(names):
        if name.endswith(("jpg", "png")):
            picture(seed=seed).save(tmp_path / name)
        else:
            (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=message):
        read_capture(tmp_path)


@pytest.mark.parametrize(
    ("stems", "names"),
    [
        (["IMG_0001", "frame-2"], ["IMG_0001", "frame-2"]),
        (["a", "a", "A", "a_2"], ["a", "a_2", "A_3", "a_2_2"]),
        (["Garten hinterm Häuschen (1)", "x\n;y"], ["Garten_hinterm_Hauschen_1", "x_y"]),
        (["写真1", "写真2", "写真", "🌵"], ["1", "2", "photo", "photo_2"]),
        (["-rf", "..", "a.b"], ["rf", "photo", "a_b"]),
    ],
)
def test_view_names(stems, names):
    assert view_names(stems) == names


def test_view_names_are_safe_unique_and_keep_safe_names():
    stems = ["".join(map(chr, row)) for row in np.random.default_rng(0).integers(32, 900, (200, 2))]
    names = view_names(stems)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", name) for name in names)
    assert len({name.lower() for name in names}) == len(stems)
    assert view_names(names) == names


def test_every_unusable_photo_is_named_at_once_and_nothing_is_changed(tmp_path):
    for seed, name in enumerate(("good1.jpg", "good2.png", "good3.png")):
        picture(seed=seed).save(tmp_path / name)
    whole = (tmp_path / "good1.jpg").read_bytes(), (tmp_path / "good2.png").read_bytes()
    bad = {
        "empty.jpg": b"",
        "text.jpg": b"not a photo",
        "cut.jpg": whole[0][: len(whole[0]) // 2],
        "cut.png": whole[1][: len(whole[1]) // 2],
        "torn.png": whole[1][:60] + b"????" + whole[1][64:],
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    Image.fromarray(np.zeros((20, 30), np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(InputError) as caught:
        read_capture(tmp_path)
    message = str(caught.value)
    assert message.startswith("6 of 9 photos cannot be used")
    assert all(name in message for name in (*bad, "deep.tif"))
    assert "good" not in message
    assert "nothing was changed" in message
    assert {name: (tmp_path / name).read_bytes() for name in bad} == bad


def test_a_folder_per_camera_is_one_capture(tmp_path):
    for camera in "ab":
        (tmp_path / f"cam_{camera}").mkdir()
        for number in range(2):
            picture(seed=10 * ord(camera) + number).save(tmp_path / f"cam_{camera}/{number}.jpg")
    picture(seed=1).save(tmp_path / "top.jpg")
    capture = read_capture(tmp_path)
    names = ["top", "cam_a_0", "cam_a_1", "cam_b_0", "cam_b_1"]
    assert sorted(photo.name for photo in capture.photos) == sorted(names)
    assert {photo.camera for photo in capture.photos} == {"", "cam_a", "cam_b"}
    assert "3 folders" in capture.changed[0]


def test_one_folder_in_another_is_looked_into(tmp_path):
    (tmp_path / "scene").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    for number in range(3):
        picture(seed=number).save(tmp_path / f"scene/{number}.jpg")
        picture(seed=number).save(tmp_path / f"__MACOSX/{number}.jpg")
    assert [photo.name for photo in read_capture(tmp_path).photos] == ["0", "1", "2"]


def test_photos_beside_a_folder_of_images_are_left_out_by_name(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images_4").mkdir()
    picture(seed=9).save(tmp_path / "cover.jpg")
    for number in range(3):
        picture(seed=number).save(tmp_path / f"images/{number}.jpg")
        picture(8, 5, seed=number).save(tmp_path / f"images_4/{number}.jpg")
    capture = read_capture(tmp_path)
    assert (len(capture.photos), capture.listed) == (3, 7)
    assert "4 photos in other folders (cover.jpg" in capture.left_out[0]


def test_of_copies_and_of_two_formats_one_is_used(tmp_path):
    for number in range(3):
        shown = picture(seed=number).resize((300, 200), Image.Resampling.BICUBIC)
        shown.save(tmp_path / f"{number}.jpg")
        shown.save(tmp_path / f"{number}.png")
    picture(300, 200, seed=7).save(tmp_path / "2.webp")  # of the same name, but another photo
    shutil.copy(tmp_path / "1.jpg", tmp_path / "9.jpg")
    capture = read_capture(tmp_path)
    assert [photo.path.name for photo in capture.photos] == ["0.jpg", "1.jpg", "2.jpg", "2.webp"]
    assert [phrase.split(" (")[0] for phrase in capture.left_out] == [
        "3 photos there in a second format",
        "1 photo the same as others",
    ]


def test_masks_that_lie_with_the_photos_belong_to_them_by_name(tmp_path):
    (tmp_path / "masks").mkdir()
    for number, mask in enumerate(("0.png", "1.jpg.png", "2.mask.png")):
        picture(seed=number).save(tmp_path / f"{number}.jpg")
        Image.new("L", (30, 20), 255).save(tmp_path / "masks" / mask)
    picture(seed=9).save(tmp_path / "3.jpg")
    capture = read_capture(tmp_path)
    masks = [photo.mask.name if photo.mask else None for photo in capture.photos]
    assert masks == ["0.png", "1.jpg.png", "2.mask.png", None]
    assert "1 photo of 4 have no mask" in capture.warnings[0]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (Image.new("L", (15, 10), 255), "the mask has 15x10 pixels, its photo 0.jpg has 30x20"),
        (b"text", "0.png: not a picture"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(tmp_path, mask, message):
    masks = tmp_path / "elsewhere"
    masks.mkdir()
    (tmp_path / "in").mkdir()
    for number in range(3):
        picture(seed=number).save(tmp_path / f"in/{number}.jpg")
    if isinstance(mask, bytes):
        (masks / "0.png").write_bytes(mask)
    else:
        mask.save(masks / "0.png")
    with pytest.raises(InputError, match=message):
        read_capture(tmp_path / "in", masks=masks)


def test_masks_of_other_names_are_refused_and_inverted_ones_noticed(tmp_path):
    (tmp_path / "masks").mkdir()
    for number in range(3):
        picture(seed=number).save(tmp_path / f"{number}.jpg")
        Image.new("L", (30, 20), 0).save(tmp_path / f"masks/x{number}.png")
    with pytest.raises(InputError, match=r"none of the 3 masks .* is called like a photo"):
        read_capture(tmp_path)
    for number in range(3):
        (tmp_path / f"masks/x{number}.png").rename(tmp_path / f"masks/{number}.png")
    with pytest.raises(InputError, match=r"0.png: the mask hides all of 0.jpg"):
        read_capture(tmp_path)
    little = np.zeros((20, 30), np.uint8)
    little[0, :6] = 255
    for number in range(3):
        Image.fromarray(little).save(tmp_path / f"masks/{number}.png")
    assert "hide 99% of the photos" in read_capture(tmp_path).warnings[0]


def test_a_link_to_nothing_is_named(tmp_path):
    for number in range(3):
        picture(seed=number).save(tmp_path / f"{number}.jpg")
    (tmp_path / "4.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert read_capture(tmp_path).left_out == ("1 link to nothing (4.jpg)",)


def test_what_is_no_folder_is_named(tmp_path):
    (tmp_path / "a.txt").touch()
    for name, fault in (("a.txt", "is a file"), ("b", "does not exist")):
        with pytest.raises(InputError, match=f"{name} {fault}; a folder of photos"):
            read_capture(tmp_path / name)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    for number in range(3):
        picture(seed=number).save(tmp_path / f"{number}.jpg")
    (tmp_path / "more").mkdir()
    scandir = os.scandir  # root, who may run the tests, may read every folder

    def refused(path):
        if Path(path).name == "more":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(InputError, match=r"more: may not be read \(Permission denied\)"):
        read_capture(tmp_path)


def test_a_folder_that_may_be_listed_and_not_entered_is_named(tmp_path, monkeypatch):
    picture().save(tmp_path / "0.jpg")
    is_file = Path.is_file

    def refused(path):
        if path.name == "0.jpg":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(
        InputError, match=r"may not be read \(Permission denied\). Change its rights"
    ):
        read_capture(tmp_path)


def test_links_in_a_circle_end(tmp_path):
    for number in range(3):
        picture(seed=number).save(tmp_path / f"{number}.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(read_capture(tmp_path).photos) == 3
