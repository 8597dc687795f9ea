from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenestyle.artifacts import (
    View,
    check_same_views,
    read_json,
    read_map,
    read_mask,
    read_points,
    read_rgb,
    read_views,
    write_cut_out,
    write_json,
    write_map,
    write_rgb,
    write_views,
)
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError


def test_json_comes_back_and_equal_values_give_equal_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, 2.5], "ä": "é"})
    write_json(tmp_path / "b.json", {"ä": "é", "b": [1, 2.5]})
    assert read_json(tmp_path / "a.json") == {"b": [1, 2.5], "ä": "é"}
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert [path.name for path in tmp_path.glob(".partial-*")] == []


@pytest.mark.parametrize("reader", [read_json, read_rgb, read_map, read_mask])
@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"\x93NUMPY garbage",
        b"{",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0",
    ],
)
def test_what_cannot_be_read_is_named(reader, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match="broken"):
        reader(path)


def test_points_that_cannot_be_read_are_named_with_the_way_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "points.npz", xyz=np.zeros((1, 3)))
    with pytest.raises(ArtifactError, match=r"there is no 'rgb.*\. Rerun estimate_poses"):
        read_points(tmp_path)
    (tmp_path / "points.npz").write_bytes(b"PK garbage")
    with pytest.raises(ArtifactError, match=r"points\.npz cannot be read as points"):
        read_points(tmp_path)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "map.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ArtifactError, match=r"map\.npy"):
        read_map(tmp_path / "map.npy")


def test_colours_come_back_within_half_a_step(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).random((5, 7, 3), dtype=np.float32)
    write_rgb(tmp_path / "new" / "a.png", rgb)
    assert np.abs(read_rgb(tmp_path / "new" / "a.png") - rgb).max() <= 0.5 / 255 + 1e-6


def test_colours_outside_are_clipped(tmp_path: Path) -> None:
    write_rgb(tmp_path / "a.png", np.array([[[-1.0, 0.5, 2.0]]], dtype=np.float32))
    assert read_rgb(tmp_path / "a.png").tolist() == [[[0.0, pytest.approx(128 / 255), 1.0]]]


def test_a_picture_is_not_torn_where_writing_it_ends_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed run's strip of a held-out view is read again by the run that goes on."""
    path = tmp_path / "step_2.png"
    write_rgb(path, np.zeros((8, 8, 3)))
    before = path.read_bytes()

    def killed(_: object, file: Path, **__: object) -> None:
        file.write_bytes(b"\x89PNG")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        write_rgb(path, np.ones((8, 8, 3)))
    assert path.read_bytes() == before


def test_maps_come_back_exactly(tmp_path: Path) -> None:
    depth_z = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    write_map(tmp_path / "a.npy", depth_z)
    assert np.array_equal(read_map(tmp_path / "a.npy"), depth_z)


def test_views_come_back_exactly_and_in_order(tmp_path: Path) -> None:
    c2w_opengl = np.eye(4)
    c2w_opengl[:3, 3] = [0.1, -1 / 3, 1e-9]
    camera = PinholeCamera(c2w_opengl, fx=10.1, fy=9.9, cx=4.5, cy=3.0, width=9, height=6)
    views = [View("z", "train", camera), View("a", "held_out", camera)]
    write_views(tmp_path, views)
    back = read_views(tmp_path)
    assert [(view.name, view.split) for view in back] == [("z", "train"), ("a", "held_out")]
    assert np.array_equal(back[0].camera.c2w_opengl, c2w_opengl)
    assert (back[0].camera.fx, back[0].camera.width) == (10.1, 9)


def test_cameras_without_a_field_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "cameras.json", [{"name": "a", "split": "train"}])
    with pytest.raises(ArtifactError, match="rerun render_views"):
        read_views(tmp_path)


def test_missing_and_surplus_views_are_named(tmp_path: Path) -> None:
    for name in ("a.png", "c.png", "d.npy"):
        (tmp_path / name).touch()
    check_same_views(tmp_path, ["a", "c"], suffix=".png", stage="stylize_views")
    with pytest.raises(ArtifactError, match=r"missing: \['b'\], surplus: \['c'\].*stylize_views"):
        check_same_views(tmp_path, ["a", "b"], suffix=".png", stage="stylize_views")


def test_transparency_stands_on_black_and_comes_back_as_it_was(tmp_path):
    opacity = np.linspace(0, 1, 12).reshape(3, 4)
    on_black = np.full((3, 4, 3), 0.5) * opacity[..., None]
    write_cut_out(tmp_path / "cut_out.png", on_black, opacity)
    np.testing.assert_allclose(read_rgb(tmp_path / "cut_out.png"), on_black, atol=0.006)
