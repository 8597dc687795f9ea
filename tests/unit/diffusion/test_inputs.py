from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from scenestyle.artifacts import (
    read_map,
    read_rgb,
    read_views,
    write_map,
    write_mask,
    write_rgb,
    write_views,
)
from scenestyle.diffusion.inputs import evenly_spaced, read_rendered_views
from scenestyle.errors import ArtifactError
from tests.support.tiny_diffusion import write_tiny_views


def test_reads_views_in_camera_order_with_one_disparity_scale(tmp_path):
    write_tiny_views(tmp_path, num_views=3)
    views = read_rendered_views(tmp_path)
    assert list(views.names) == ["view_0", "view_1", "view_2"]
    np.testing.assert_array_equal(views.rgb[1], read_rgb(tmp_path / "rgb" / "view_1.png"))
    depths = np.stack([read_map(tmp_path / "depth_z" / f"{name}.npy") for name in views.names])
    nearest_first = np.argsort(depths, axis=None, kind="stable")
    assert (np.diff(np.stack(views.disparity).ravel()[nearest_first]) <= 0).all()
    assert np.min(views.disparity) == 0
    assert np.max(views.disparity) == 1


def test_picked_views_keep_the_scenes_scale(tmp_path):
    write_tiny_views(tmp_path, num_views=3)
    views = read_rendered_views(tmp_path)
    last = views.pick([2])
    assert list(last.names) == ["view_2"]
    np.testing.assert_array_equal(last.disparity[0], views.disparity[2])


@pytest.mark.parametrize(
    ("num_views", "count", "expected"),
    [(5, 2, [1, 3]), (5, 3, [0, 2, 4]), (3, 8, [0, 1, 2]), (4, 1, [2]), (0, 2, [])],
)
def test_evenly_spaced(num_views, count, expected):
    assert evenly_spaced(num_views, count) == expected


def test_views_all_round_a_scene_are_shown_at_equal_angles():
    shown = [*evenly_spaced(32, 4), 32 + evenly_spaced(32, 4)[0]]
    assert {after - before for before, after in pairwise(shown)} == {8}


def test_a_missing_depth_names_the_stage_to_rerun(tmp_path):
    write_tiny_views(tmp_path, num_views=3)
    (tmp_path / "depth_z" / "view_1.npy").unlink()
    with pytest.raises(ArtifactError, match=r"depth_z.*view_1.*Rerun render_views"):
        read_rendered_views(tmp_path)


def test_an_image_that_is_not_of_its_views_size_is_named(tmp_path):
    write_tiny_views(tmp_path, num_views=2, width=32, height=24)
    write_rgb(tmp_path / "rgb" / "view_1.png", np.zeros((32, 24, 3)))
    with pytest.raises(ArtifactError, match=r"view_1.png is 24x32 pixels, its view 32x24. Rerun"):
        read_rendered_views(tmp_path)


def test_views_of_two_sizes_have_one_disparity_scale(tmp_path):
    write_tiny_views(tmp_path, num_views=3)
    views = read_views(tmp_path)
    camera = views[1].camera.resized(24, 32)
    write_views(tmp_path, [views[0], replace(views[1], camera=camera), views[2]])
    write_rgb(tmp_path / "rgb" / "view_1.png", np.zeros((32, 24, 3)))
    write_map(tmp_path / "depth_z" / "view_1.npy", np.full((32, 24), 2.0))
    write_map(tmp_path / "opacity" / "view_1.npy", np.ones((32, 24)))
    read = read_rendered_views(tmp_path)
    assert [each.shape for each in read.disparity] == [(24, 32), (32, 24), (24, 32)]
    depth_z = np.concatenate([each.ravel() for each in read.depth_z])
    disparity = np.concatenate([each.ravel() for each in read.disparity])
    nearest_first = np.argsort(depth_z, kind="stable")
    assert (np.diff(disparity[nearest_first]) <= 0).all()


def test_an_empty_field_is_refused(tmp_path):
    write_tiny_views(tmp_path, num_views=1)
    write_map(tmp_path / "opacity" / "view_0.npy", np.zeros((24, 32)))
    with pytest.raises(ArtifactError, match="field is empty"):
        read_rendered_views(tmp_path)


def test_a_cut_out_is_covered_as_far_as_it_is_opaque(tmp_path):
    write_tiny_views(tmp_path, num_views=3)
    assert read_rendered_views(tmp_path).cover is None
    views = read_views(tmp_path)
    write_views(tmp_path, [views[0], replace(views[1], is_cut_out=True), views[2]])
    opacity = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
    write_map(tmp_path / "opacity" / "view_1.npy", opacity)
    read = read_rendered_views(tmp_path)
    np.testing.assert_array_equal(read.cover[1], opacity)
    np.testing.assert_array_equal(read.pick([0]).cover, [np.ones((24, 32))])


def test_hidden_pixels_have_no_surface_that_others_could_see(tmp_path):
    write_tiny_views(tmp_path, num_views=2)
    is_used = np.random.default_rng(0).random((24, 32)) > 0.2
    for name in ("view_0", "view_1"):
        write_mask(tmp_path / "masks" / f"{name}.png", is_used)
    read = read_rendered_views(tmp_path)
    np.testing.assert_array_equal(np.isfinite(read.depth_z), [is_used, is_used])
    (tmp_path / "masks" / "view_1.png").unlink()
    with pytest.raises(ArtifactError, match=r"masks.*view_1.*Rerun render_views"):
        read_rendered_views(tmp_path)
