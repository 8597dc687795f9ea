"""A scene of splats is copied with cameras, which are laid round it if there are none."""

from pathlib import Path

import numpy as np
import pytest

from scenestyle.axes import Up
from scenestyle.capture import read_capture
from scenestyle.capture.splats import seen_share
from scenestyle.errors import InputError
from scenestyle.project.scenes import Wishes, is_taken_in, take_in
from scenestyle.project.splats import cameras_round
from scenestyle.splat_file import SplatFile, read_splats, write_splats
from tests.support.splat_scene import demo_splats, write_scene
from tests.unit.capture.test_splats import assert_are_the_cameras


def balls(means: np.ndarray, sigma: float | np.ndarray = 0.05) -> SplatFile:
    count = len(means)
    quats = np.tile([1.0, 0, 0, 0], (count, 1))
    scales = np.full((3, count), np.log(sigma)).T
    parts = (means, quats, scales, np.full(count, 4.0), np.zeros((count, 1, 3)))
    return SplatFile(*(part.astype(np.float32) for part in parts))


def shell(radius: float, count: int = 3000) -> np.ndarray:
    directions = np.random.default_rng(0).normal(size=(count, 3))
    return radius * directions / np.linalg.norm(directions, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("up", "axis"), [("y-down", (0, -1, 0)), ("y", (0, 1, 0)), ("z", (0, 0, 1))]
)
def test_laid_cameras_see_the_bulk_upright_from_all_round(up: Up, axis: tuple[int, ...]) -> None:
    middle = np.array([3.0, 1, -2])
    floaters = np.random.default_rng(1).uniform(-90, 90, (150, 3))
    splats = balls(np.concatenate([middle + shell(1.0), floaters]))
    cameras = cameras_round(splats, up)
    azimuths = []
    for camera in cameras:
        offset = camera.c2w_opengl[:3, 3] - middle
        looks = -camera.c2w_opengl[:3, 2]
        assert looks @ offset / np.linalg.norm(offset) < -0.99  # at the middle
        assert camera.c2w_opengl[:3, 1] @ axis > 0.7  # upright
        assert offset @ axis > 0  # from above
        level = offset - np.array(axis) * (offset @ axis)
        azimuths.append(np.arctan2(*np.delete(level, np.argmax(np.abs(axis)))))
    gaps = np.diff(np.sort(azimuths))
    assert gaps.max() < np.radians(25)


def test_laid_cameras_go_inside_of_walls() -> None:
    """A thing in a narrow closed room is looked at from within the room."""
    thing, walls = shell(0.6, 9000), shell(1.2, 2000)
    splats = balls(np.concatenate([thing, walls]), np.repeat([0.05, 0.12], [9000, 2000]))

    def distances(splats: SplatFile) -> list[float]:
        cameras = cameras_round(splats, "z")
        return [float(np.linalg.norm(camera.c2w_opengl[:3, 3])) for camera in cameras]

    assert min(distances(balls(thing))) > 1.3
    assert max(distances(splats)) < 1.2


def test_splats_are_copied_as_they_are_with_cameras_in_their_frame(tmp_path: Path) -> None:
    write_scene(tmp_path / "3dgs")
    found = take_in(tmp_path / "3dgs", tmp_path / "scene")
    assert {path.name for path in (tmp_path / "scene").iterdir()} == {
        "scene.ply",
        "transforms.json",
    }
    source = tmp_path / "3dgs/point_cloud/iteration_30000/point_cloud.ply"
    assert (tmp_path / "scene/scene.ply").read_bytes() == source.read_bytes()
    assert_are_the_cameras(read_capture(tmp_path / "scene"))
    assert_are_the_cameras(found)
    assert found.splats == tmp_path / "scene/scene.ply"
    assert is_taken_in(tmp_path / "3dgs", tmp_path / "scene")


def test_a_bare_file_gets_cameras_that_see_it(tmp_path: Path) -> None:
    ply = tmp_path / "mine.ply"
    write_splats(ply, demo_splats())
    found = take_in(ply, tmp_path / "scene", Wishes(up="z"))
    assert found.changed == ("32 cameras laid round the splats, z up",)
    again = read_capture(tmp_path / "scene")
    assert again.warnings == ()
    assert again.model is not None
    assert seen_share(read_splats(ply), again.model).min() > 0.3
    assert is_taken_in(ply, tmp_path / "scene")
    # In its own folder it can be taken as it is.
    own = tmp_path / "own"
    own.mkdir()
    (own / "a.ply").write_bytes(ply.read_bytes())
    take_in(own, own)
    assert {path.name for path in own.iterdir()} == {"a.ply", "transforms.json"}


def test_up_is_for_cameras_that_are_laid(tmp_path: Path) -> None:
    write_scene(tmp_path / "3dgs")
    with pytest.raises(InputError, match="--up says how cameras are laid"):
        take_in(tmp_path / "3dgs", tmp_path / "scene", Wishes(up="y"))
    assert not (tmp_path / "scene").exists()
