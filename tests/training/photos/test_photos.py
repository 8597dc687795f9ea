"""Photographs as training data: estimated buffers, gathered pictures, crops."""

import json
import logging

import cv2
import numpy as np
import pytest

from scenestyle.artifacts import write_map, write_rgb
from training import data
from training.photos.buffers import estimate, resized_depth
from training.photos.collect import Photograph, collect, made_up_depth, read_photographs
from training.photos.crops import crops
from training.procedural.raycast import FIRST_OBJECT, SKY, render
from training.procedural.scenes import random_scene
from training.procedural.styles import STYLES, stylize


def a_picture(height=64, width=96):
    """A bright disc before a dark ground, smooth as photographs are."""
    rows, columns = np.indices((height, width)).astype(np.float32)
    disc = np.hypot(rows - height / 2, columns - width / 2) < height / 4
    picture = np.where(disc[..., None], [0.9, 0.6, 0.2], [0.1, 0.2, 0.4]).astype(np.float32)
    return cv2.GaussianBlur(picture, (0, 0), 0.8), np.where(disc, 2.0, 4.0).astype(np.float32)


def test_an_even_wall_has_one_normal_one_region_and_no_outline():
    wall = np.full((40, 56, 3), 0.5, np.float32)
    buffers = estimate(wall, np.full((40, 56), 3.0, np.float32), focal=60.0)
    np.testing.assert_allclose(buffers.normal, np.broadcast_to([0, 0, 1], wall.shape), atol=1e-3)
    assert len(np.unique(buffers.ids)) == 1
    assert not buffers.outline.any()


def test_a_slope_has_the_normal_that_geometry_says():
    """A floor seen from one unit above: y = -1 everywhere, so z = focal / (rows below the horizon)."""
    height, width, focal = 48, 64, 50.0
    below = np.arange(height, dtype=np.float32)[:, None] + 0.5 + 20
    floor = np.repeat(focal / below, width, axis=1)
    tall = np.pad(
        floor, ((40, 0), (0, 0)), constant_values=np.inf
    )  # brings the centre row to 20 above
    grey = np.full((*tall.shape, 3), 0.5, np.float32)
    normal = estimate(grey, tall, focal).normal[55:-8, 8:-8]
    assert normal[..., 1].mean() > 0.9


def test_albedo_times_light_is_roughly_the_picture_and_edges_are_outlines():
    picture, depth_z = a_picture()
    buffers = estimate(picture, depth_z, focal=100.0)
    again = buffers.albedo * (0.45 + 0.55 * buffers.shading[..., None])
    assert np.abs(again - picture).mean() < 0.02
    ring = np.abs(np.hypot(*(np.indices((64, 96)) - np.array([[[32]], [[48]]]))) - 16) < 2
    assert buffers.outline[ring].mean() > 0.3
    assert buffers.outline[~ring].mean() < 0.05


def test_empty_space_is_sky_and_stays_so_at_another_size():
    picture, depth_z = a_picture()
    depth_z[:20] = np.inf
    buffers = estimate(picture, depth_z, focal=100.0)
    assert (buffers.ids[:20] == SKY).all()
    assert (buffers.ids[20:] >= FIRST_OBJECT).all()
    assert not buffers.normal[:20].any()
    larger = resized_depth(depth_z, (128, 192))
    assert np.isinf(larger[:40]).all()
    assert np.isfinite(larger[40:]).all()


def test_every_style_draws_a_photograph_the_same_twice():
    picture, depth_z = a_picture()
    buffers = estimate(picture, depth_z, focal=100.0)
    for style in STYLES:
        drawn = stylize(buffers, style, seed=1)
        assert np.isfinite(drawn).all()
        np.testing.assert_array_equal(drawn, stylize(buffers, style, seed=1))
        assert style == "photo" or np.abs(drawn - picture).mean() > 0.02, style


def test_guessed_buffers_lead_to_pictures_like_those_of_exact_ones():
    """On a made-up scene, whose buffers are known: the styles that a drawing's lines decide."""
    named = random_scene(np.random.default_rng(4))
    exact = render(named.scene, named.viewpoint.camera(128, 128))
    guessed = estimate(exact.rgb, exact.depth_z, focal=120.0)
    for style in ("pencil", "comic", "sepia"):
        first, second = (stylize(b, style, seed=0).mean(-1) for b in (exact, guessed))
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.6, style


def a_project(folder):
    """A scenestyle project with the views of one capture for training and of one held out."""
    picture, depth_z = a_picture()
    for name in ("fox", "kitchen"):
        views, photos = folder / "data/views" / name, folder / "data/poses" / name / "images"
        views.mkdir(parents=True)
        camera = {"name": "a", "split": "train", "fx": 100.0, "width": 96}
        unseen = {**camera, "name": "b", "split": "held_out"}
        (views / "cameras.json").write_text(json.dumps([camera, unseen]))
        for stem in ("a", "b"):
            write_rgb(views / "rgb" / f"{stem}.png", picture)
            write_map(views / "depth_z" / f"{stem}.npy", depth_z)
            write_map(views / "opacity" / f"{stem}.npy", np.where(depth_z < 3, 1.0, 0.2))
            write_rgb(photos / f"{stem}.png", cv2.resize(picture, (1280, 853)))
    return folder


def test_captures_give_photographs_and_renders_with_the_fields_depth(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        collect(tmp_path / "work", packages=None, project=a_project(tmp_path / "project"))
    assert "capture fern has no rendered views" in caplog.text
    found = [p for p in read_photographs(tmp_path / "work", held_out=False) if "fox" in p.name]
    assert [p.name for p in found] == ["fox-photo-a", "fox-render-a", "fox-photo-b"]
    assert found[0].picture.shape == (426, 640, 3)
    assert found[0].focal == pytest.approx(100 * 640 / 96)
    assert np.isinf(found[0].depth_z[0, 0])
    assert found[0].depth_z[213, 320] == pytest.approx(2.0)


def test_no_picture_of_a_capture_held_out_is_trained_on(tmp_path):
    collect(tmp_path / "work", packages=None, project=a_project(tmp_path / "project"))
    trained = read_photographs(tmp_path / "work", held_out=False)
    held_out = read_photographs(tmp_path / "work", held_out=True)
    assert {p.name for p in held_out} == {
        "kitchen-render-a",
        "kitchen-photo-a",
        "kitchen-photo-b",
    }
    assert not [p for p in trained if p.name.startswith(("kitchen", "fern"))]
    index = json.loads((tmp_path / "work/photographs/index.json").read_text())
    assert all(entry.get("capture") or entry["licence"] for entry in index)


def test_without_photographs_the_way_out_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"training\.photos\.collect"):
        read_photographs(tmp_path, held_out=False)


def test_crops_have_the_size_asked_for_and_do_not_repeat():
    picture, _ = a_picture(200, 150)
    pixels = np.rint(255 * picture).astype(np.uint8)
    photograph = Photograph("a", pixels, made_up_depth(picture, 0), 200.0, "a disc", held_out=False)
    for size in ((64, 64), (96, 160)):
        first, second = crops(photograph, np.random.default_rng(1), size)
        assert first.rgb.shape == second.rgb.shape == (*size, 3)
        again, _ = crops(photograph, np.random.default_rng(1), size)
        np.testing.assert_array_equal(first.rgb, again.rgb)
        assert np.abs(first.rgb - second.rgb).max() > 0.01


def test_shards_of_photographs_hold_what_shards_of_scenes_hold(tmp_path):
    picture, depth_z = a_picture(160, 200)
    pixels = np.rint(255 * picture).astype(np.uint8)
    draw = data.photographed([Photograph("a", pixels, depth_z, 200.0, "a disc", held_out=False)])
    of_photographs = data.make_pictures((0,), 2, (64, 64), draw)
    made_up = data.make_pictures((0,), 2, (64, 64))
    assert of_photographs[0].shape == made_up[0].shape
    for key, values in made_up[1].items():
        assert of_photographs[1][key].shape == values.shape, key
    again = data.make_pictures((0,), 2, (64, 64), draw)
    np.testing.assert_array_equal(again[0], of_photographs[0])
