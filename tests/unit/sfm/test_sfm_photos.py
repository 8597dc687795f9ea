import re

import numpy as np
import pytest
from PIL import ExifTags, Image

from scenestyle.errors import InputError
from scenestyle.sfm.photos import find_photos, view_names, write_upright_photos


def picture(width=30, height=20, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def upright(folder, out, max_side=1000):
    photos, _ = find_photos(folder)
    return photos, write_upright_photos(photos, out, max_side=max_side)


def test_photos_count_in_any_letter_case_and_the_rest_is_ignored_by_name(tmp_path):
    for name in ("a.jpg", "b.JPG", "c.Jpeg", "d.PNG"):
        picture().save(tmp_path / name)
    for name in (".DS_Store", "._a.jpg", "notes.txt", "raw.heic"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    photos, ignored = find_photos(tmp_path)
    assert [photo.path.name for photo in photos] == ["a.jpg", "b.JPG", "c.Jpeg", "d.PNG"]
    assert ignored == [".DS_Store", "._a.jpg", "notes.txt", "raw.heic"]


def test_photos_may_lie_in_a_folder_called_images(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("1.jpg", "2.jpg", "3.jpg"):
        picture().save(tmp_path / "images" / name)
    assert [photo.name for photo in find_photos(tmp_path)[0]] == ["1", "2", "3"]


def test_photos_come_in_the_order_in_which_a_person_counts(tmp_path):
    for name in ("img10.jpg", "img9.jpg", "IMG1.jpg", "img02.jpg"):
        picture().save(tmp_path / name)
    assert [photo.name for photo in find_photos(tmp_path)[0]] == ["IMG1", "img02", "img9", "img10"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no photos; at least 3"),
        (["a.jpg"], "holds only 1 photo; at least 3"),
        (["a.jpg", "b.png"], "holds only 2 photos; at least 3"),
        (
            ["IMG.HEIC", "x.HEIC"],
            r"no photos, but 2 other files \(IMG.HEIC, x.HEIC\).*to JPEG first",
        ),
    ],
)
def test_too_few_photos_are_counted_and_the_way_out_named(tmp_path, names, message):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=message):
        find_photos(tmp_path)


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


def test_same_stem_with_another_suffix_gives_two_views(tmp_path):
    first, second, third = (picture(seed=seed) for seed in range(3))
    first.save(tmp_path / "x.png")
    second.save(tmp_path / "x.PNG")
    third.save(tmp_path / "y.png")
    photos, _ = upright(tmp_path, tmp_path / "out")
    for photo in photos:
        written = np.asarray(Image.open(tmp_path / "out" / f"{photo.name}.png"))
        np.testing.assert_array_equal(written, np.asarray(Image.open(photo.path)))
    assert len({photo.name for photo in photos}) == 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path, orientation):
    """What a viewer would show, per the EXIF standard's table of row 0 and column 0."""
    shown = np.asarray(picture())
    stored = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.swapaxes(0, 1),
        6: np.rot90(shown, 1),
        7: np.rot90(shown.swapaxes(0, 1), 2),
        8: np.rot90(shown, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for name in "abc":
        Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"{name}.png", exif=exif)
    _, lenses = upright(tmp_path, tmp_path / "out")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), shown)
    assert (lenses[0].width, lenses[0].height) == (30, 20)


def test_large_photos_are_reduced_and_small_ones_kept(tmp_path):
    picture(400, 300).save(tmp_path / "a.png")
    picture(300, 400).save(tmp_path / "b.png")
    picture(50, 40).save(tmp_path / "c.png")
    _, lenses = upright(tmp_path, tmp_path / "out", max_side=100)
    assert [(lens.width, lens.height) for lens in lenses] == [(100, 75), (75, 100), (50, 40)]
    assert Image.open(tmp_path / "out" / "b.png").size == (75, 100)


def test_every_unusable_photo_is_named_at_once_and_nothing_is_changed(tmp_path):
    for name in ("good1.jpg", "good2.png"):
        picture().save(tmp_path / name)
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
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InputError) as caught:
        upright(tmp_path, tmp_path / "out")
    message = str(caught.value)
    assert message.startswith("6 of 8 photos cannot be used")
    assert all(name in message for name in (*bad, "deep.png"))
    assert "good" not in message
    assert "Remove these files" in message
    assert {name: (tmp_path / name).read_bytes() for name in bad} == bad


def test_transparent_pixels_become_white_and_grey_becomes_rgb(tmp_path):
    clear = np.zeros((20, 30, 4), np.uint8)
    clear[:10] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "a.png")
    Image.fromarray(np.full((20, 30), 77, np.uint8)).save(tmp_path / "b.png")
    picture().save(tmp_path / "c.png")
    upright(tmp_path, tmp_path / "out")
    flattened = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert (flattened[:10] == (10, 20, 30)).all()
    assert (flattened[10:] == 255).all()
    assert (np.asarray(Image.open(tmp_path / "out" / "b.png")) == (77, 77, 77)).all()


def test_focal_length_from_exif_is_that_of_the_reduced_photo(tmp_path):
    """A full-frame camera, 36 mm wide, with a 28 mm lens: 28 / 36 of the width, to the diagonal's rounding."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Maker", "One"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    picture(360, 240).save(tmp_path / "a.jpg", exif=exif)
    picture(360, 240).save(tmp_path / "b.jpg", exif=exif)
    picture(360, 240).save(tmp_path / "c.jpg")
    _, lenses = upright(tmp_path, tmp_path / "out", max_side=180)
    assert lenses[0].focal_px == pytest.approx(180 * 28 / 36, rel=1e-3)
    assert lenses[0] == lenses[1]
    assert lenses[0].body == "Maker One"
    assert lenses[2].focal_px is None
