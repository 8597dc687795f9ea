import numpy as np
import pytest
from PIL import ExifTags, Image

from scenestyle.capture import read_capture
from scenestyle.sfm.photos import write_feature_masks, write_photos


def picture(width=30, height=20, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def upright(folder, out, max_side=1000):
    photos = read_capture(folder).photos
    return photos, write_photos(photos, out, out.with_name("masks"), max_side=max_side)


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
        different = np.ascontiguousarray(stored).copy()
        different[0, 0, 0] ^= ord(name) - ord("a")
        Image.fromarray(different).save(tmp_path / f"{name}.png", exif=exif)
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


def test_a_cut_out_keeps_its_alpha_and_is_white_where_nothing_is(tmp_path):
    clear = np.zeros((20, 30, 4), np.uint8)
    clear[:10] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "a.png")
    Image.fromarray(np.full((20, 30), 77, np.uint8)).save(tmp_path / "b.png")
    picture().save(tmp_path / "c.png")
    upright(tmp_path, tmp_path / "out")
    cut_out = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert (cut_out[:10] == (10, 20, 30, 255)).all()
    assert (cut_out[10:] == (255, 255, 255, 0)).all()
    assert (np.asarray(Image.open(tmp_path / "out" / "b.png")) == (77, 77, 77)).all()


def test_reducing_a_cut_out_lets_no_invisible_colour_bleed_in(tmp_path):
    half = np.zeros((40, 40, 4), np.uint8)
    half[:, :21] = (200, 0, 0, 255)
    half[:, 21:] = (0, 255, 0, 0)  # green, but nowhere to be seen
    for seed, name in enumerate("abc"):
        half[0, 0, 2] = seed
        Image.fromarray(half).save(tmp_path / f"{name}.png")
    upright(tmp_path, tmp_path / "out", max_side=10)
    reduced = np.asarray(Image.open(tmp_path / "out" / "b.png")).astype(int)
    seen = reduced[1:][reduced[1:, :, 3] > 64]
    assert 0 < (reduced[..., 3] > 0).mean() < 1
    assert (seen[:, 1] <= 2).all()
    assert (seen[:, 0] >= 190).all()


def test_no_features_where_a_photo_is_hidden_or_cut_out(tmp_path):
    (tmp_path / "in/masks").mkdir(parents=True)
    for seed, name in enumerate("abc"):
        picture(seed=seed).save(tmp_path / f"in/{name}.png")
    hidden = np.full((20, 30), 255, np.uint8)
    hidden[:5] = 0
    Image.fromarray(hidden).save(tmp_path / "in/masks/a.png")
    cut_out = np.dstack([np.asarray(picture(seed=9)), np.full((20, 30), 255, np.uint8)])
    cut_out[:, :7, 3] = 0
    Image.fromarray(cut_out).save(tmp_path / "in/b.png")
    photos = read_capture(tmp_path / "in").photos
    images, masks, out = (tmp_path / name for name in ("images", "m", "features"))
    write_photos(photos, images, masks, max_side=None)
    assert write_feature_masks(photos, images, masks, out)
    a, b, c = (np.asarray(Image.open(out / f"{name}.png.png")) for name in "abc")
    np.testing.assert_array_equal(a, hidden)
    assert (b[:, :7] == 0).all()
    assert (b[:, 7:] == 255).all()
    assert (c == 255).all()
    assert not write_feature_masks([photos[2]], images, masks, tmp_path / "none")


def test_a_reduced_mask_hides_every_pixel_that_a_hidden_one_went_into(tmp_path):
    (tmp_path / "masks").mkdir()
    for seed, name in enumerate("abc"):
        picture(seed=seed).save(tmp_path / f"{name}.png")
    hidden = np.full((20, 30), 255, np.uint8)
    hidden[7, 11] = 0
    Image.fromarray(hidden).save(tmp_path / "masks/a.png")
    upright(tmp_path, tmp_path / "out", max_side=15)
    small = np.asarray(Image.open(tmp_path / "out/../masks/a.png.png"))
    assert small.shape == (10, 15)
    assert small[3, 5] == 0
    assert (small == 255).sum() == 149


def test_focal_length_from_exif_is_that_of_the_reduced_photo(tmp_path):
    """A full-frame camera, 36 mm wide, with a 28 mm lens: 28 / 36 of the width, to the diagonal's rounding."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Maker", "One"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    picture(360, 240).save(tmp_path / "a.jpg", exif=exif)
    picture(360, 240, seed=1).save(tmp_path / "b.jpg", exif=exif)
    picture(360, 240, seed=2).save(tmp_path / "c.jpg")
    _, lenses = upright(tmp_path, tmp_path / "out", max_side=180)
    assert lenses[0].focal_px == pytest.approx(180 * 28 / 36, rel=1e-3)
    assert lenses[0] == lenses[1]
    assert lenses[0].body == "Maker One"
    assert lenses[2].focal_px is None
