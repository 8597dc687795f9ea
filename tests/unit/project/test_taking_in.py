"""Captures become folders of the project: archives, masks, 360 degree pictures, what is told."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from scenestyle.capture import Photo, read_capture
from scenestyle.capture.capture import Capture
from scenestyle.errors import InputError
from scenestyle.geometry import opencv_from_opengl
from scenestyle.project.costs import sentence_of_costs
from scenestyle.project.panorama import VIEWS, split_panoramas, view_rotations, view_side
from scenestyle.project.scenes import Wishes, is_taken_in, take_in
from tests.support.captures import noise, posed_set, ring


def photos(folder, number=3):
    folder.mkdir(parents=True)
    for index in range(number):
        noise(index).save(folder / f"{index}.jpg")
    return folder


def packed(folder, *, inside="scene/"):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{inside}{file.relative_to(folder)}")
        archive.writestr("__MACOSX/scene/._0.jpg", b"x")
    return path


def test_a_zip_is_the_folder_that_was_packed(tmp_path):
    source = packed(photos(tmp_path / "in"))
    found = take_in(source, tmp_path / "scene")
    assert [photo.name for photo in found.photos] == ["0", "1", "2"]
    assert (tmp_path / "scene/scene/0.jpg").read_bytes() == (tmp_path / "in/0.jpg").read_bytes()
    assert is_taken_in(source, tmp_path / "scene")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "in.zip", "scene"]


@pytest.mark.parametrize("name", ["../out.jpg", "/out.jpg", "a/../../out.jpg", "C:\\out.jpg"])
def test_a_zip_does_not_write_outside_of_its_place(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(InputError, match="lies outside of it"):
        take_in(tmp_path / "in.zip", tmp_path / "deep/scene")
    assert not list(tmp_path.rglob("out.jpg"))


def test_a_zip_that_explodes_or_is_cut_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.jpg", bytes(10_000_000))
    with pytest.raises(InputError, match="grow more than 100 times"):
        take_in(tmp_path / "bomb.zip", tmp_path / "scene")
    source = packed(photos(tmp_path / "in"))
    raw = bytearray(source.read_bytes())
    raw[2000:2100] = bytes(100)
    source.write_bytes(raw)
    with pytest.raises(InputError, match="cannot be unpacked"):
        take_in(source, tmp_path / "scene")


def test_an_encrypted_zip_is_named(tmp_path):
    source = packed(photos(tmp_path / "in"))
    raw = bytearray(source.read_bytes())
    at = raw.find(b"PK\x01\x02")
    raw[at + 8] |= 1  # the flag of its first file in the list of contents
    source.write_bytes(raw)
    with pytest.raises(InputError, match="is encrypted; unpack it and give the folder"):
        take_in(source, tmp_path / "scene")


def test_faults_of_an_unpacked_capture_name_the_archive(tmp_path):
    source = packed(photos(tmp_path / "in", number=2))
    with pytest.raises(InputError, match=r"in\.zip holds only 2 photos"):
        take_in(source, tmp_path / "scene")


@pytest.mark.parametrize("posed", [False, True])
def test_masks_from_elsewhere_come_with_the_photos(tmp_path, posed):
    source, masks = tmp_path / "in", tmp_path / "people"
    masks.mkdir()
    if posed:
        posed_set(source)
    else:
        photos(source, number=5)
    for index in range(5):
        Image.new("L", (64, 48), 255).save(masks / f"{index}.png")
    found = take_in(source, tmp_path / "scene", Wishes(masks=masks))
    assert all(photo.mask is not None for photo in found.photos)
    again = read_capture(tmp_path / "scene")
    assert [p.mask.name for p in again.photos if p.mask] == [f"{i}.png" for i in range(5)]
    assert not (source / "masks").exists()


def test_what_is_not_used_is_not_copied(tmp_path):
    posed_set(tmp_path / "in")
    shutil.copytree(tmp_path / "in/images", tmp_path / "in/images_2")
    (tmp_path / "in/notes.txt").write_text("x")
    found = take_in(tmp_path / "in", tmp_path / "scene")
    assert sorted(path.name for path in (tmp_path / "scene").iterdir()) == [
        "images", "transforms.json",
    ]  # fmt: skip
    assert any("5 unlisted photos (images_2/0.png" in phrase for phrase in found.left_out)
    assert any("notes.txt" in phrase for phrase in found.left_out)
    assert is_taken_in(tmp_path / "in", tmp_path / "scene")


# 360 degree pictures


def colours_of_directions(width=512):
    """An equirectangular picture whose colours are the directions in its camera's axes."""
    u = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    v = ((np.arange(width // 2) + 0.5) / (width // 2) - 0.5) * np.pi
    u, v = np.meshgrid(u, v)
    rays = np.stack([np.cos(v) * np.sin(u), np.sin(v), np.cos(v) * np.cos(u)], axis=-1)
    return rays, Image.fromarray(np.rint(127.5 + 127.5 * rays).astype(np.uint8))


def test_views_of_a_panorama_see_what_a_pinhole_there_would_see(tmp_path):
    _, picture = colours_of_directions()
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    picture.save(tmp_path / "in/p.png")
    photo = Photo("p", tmp_path / "in/p.png", picture.size)
    split_panoramas(Capture("photos", (photo,), panoramas=True), tmp_path / "out")
    side = view_side(512)
    across = (np.arange(side) + 0.5) / side * 2 - 1
    rays = np.stack([*np.meshgrid(across, across), np.ones((side, side))], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    for number, rotation in enumerate(view_rotations()):
        assert np.linalg.det(rotation) == pytest.approx(1)
        view = np.asarray(Image.open(tmp_path / f"out/images/p_{number}.jpg")).astype(float)
        assert view.shape == (side, side, 3)
        # Steps of the picture are 1.6 grey levels; JPEG adds the rest.
        assert np.abs(view - (127.5 + 127.5 * rays @ rotation.T)).mean() < 2


def test_views_overlap_all_around_and_the_first_four_look_up():
    ahead = view_rotations()[:, :, 2]
    assert len(ahead) == VIEWS
    assert (ahead[:4, 1] < 0).all()
    assert (ahead[4:, 1] > 0).all()
    rays, _ = colours_of_directions(64)
    seen = (rays.reshape(-1, 3) @ ahead.T).max(axis=1) > np.cos(np.radians(45))
    within = np.abs(rays[..., 1].reshape(-1)) < np.sin(np.radians(75))
    assert seen[within].mean() > 0.97


def test_panoramas_that_lie_in_the_project_are_not_split_in_place(tmp_path):
    posed_set(tmp_path / "scene", camera_model="EQUIRECTANGULAR")
    with pytest.raises(InputError, match="move the folder out of the project"):
        take_in(tmp_path / "scene", tmp_path / "scene")


def test_poses_of_panoramas_become_poses_of_their_views(tmp_path):
    meta = posed_set(tmp_path / "in", camera_model="EQUIRECTANGULAR")
    found = take_in(tmp_path / "in", tmp_path / "scene")
    assert len(found.photos) == 5 * VIEWS
    assert found.changed[0] == "each of 5 360 degree pictures split into 8 views"
    written = json.loads((tmp_path / "scene/transforms.json").read_text())["frames"]
    for index, pose in enumerate(ring()):
        for number, rotation in enumerate(view_rotations()):
            view = np.array(written[index * VIEWS + number]["transform_matrix"])
            np.testing.assert_allclose(view[:3, 3], pose[:3, 3], atol=1e-9)
            np.testing.assert_allclose(
                opencv_from_opengl(view)[:3, :3],
                opencv_from_opengl(pose)[:3, :3] @ rotation,
                atol=1e-9,
            )
    assert meta["frames"]
    assert is_taken_in(tmp_path / "in", tmp_path / "scene")


# What it costs


def test_a_large_capture_says_what_it_costs_and_a_small_one_nothing(tmp_path):
    (tmp_path / "0.jpg").write_bytes(bytes(5_000_000))
    photo = Photo("0", tmp_path / "0.jpg", (4000, 3000))
    assert sentence_of_costs(Capture("photos", (photo,) * 60)) == ""
    said = sentence_of_costs(Capture("photos", (photo,) * 2000))
    assert said.startswith("2,000 photos, 10.0 GB: checking and copying")
    assert "finding their poses about" in said


def test_photos_that_take_long_to_be_placed_are_told_though_they_are_not_many(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    (tmp_path / "0.jpg").write_bytes(bytes(4_000_000))
    photo = Photo("0", tmp_path / "0.jpg", (4000, 3000))
    # 150 photos of 1600x1200: 1.2 s per megapixel, 11,175 pairs of 0.13 s per megapixel, 2 cores
    expected = 150 * 1.92 * (1.2 + 74.5 * 0.13) / 2 + 150 * 0.6
    said = sentence_of_costs(Capture("photos", (photo,) * 150))
    assert f"finding their poses about {round(expected / 60)} min" in said
