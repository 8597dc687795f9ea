"""A path of nerfstudio's viewer is what nerfstudio itself makes of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scenestyle.errors import InputError
from scenestyle.geometry import Similarity
from scenestyle.novel.camera_path import moved_to_run, read_camera_path
from tests.support.splat_scene import splat_cameras


def drawn(**changed: Any) -> dict[str, Any]:
    """What the viewer writes."""
    frames = [
        {"camera_to_world": camera.c2w_opengl.flatten().tolist(), "fov": fov, "aspect": 16 / 9}
        for camera, fov in zip(splat_cameras(4).values(), (40.0, 50.0, 60.5, 71.0), strict=True)
    ]
    return {
        "camera_type": "perspective",
        "render_height": 54,
        "render_width": 96,
        "fps": 24,
        "seconds": 4 / 24,
        "is_cycle": False,
        "keyframes": [],
        "camera_path": frames,
        **changed,
    }


def written(folder: Path, content: object) -> Path:
    (folder / "camera_path.json").write_text(json.dumps(content))
    return folder / "camera_path.json"


def test_cameras_are_those_that_nerfstudio_renders(tmp_path: Path) -> None:
    from nerfstudio.cameras.camera_paths import get_path_from_json

    from scenestyle.nerfstudio_plugin.rays import camera_rays

    ours = read_camera_path(written(tmp_path, drawn()))
    theirs = get_path_from_json(drawn())
    assert ours.fps == 24
    for index, camera in enumerate(ours.cameras):
        rays = theirs.generate_rays(camera_indices=index)
        whole = {"rows": slice(0, 54), "columns": slice(0, 96)}
        mine = camera_rays(camera, theirs.device, **whole, camera_index=0)
        for name in ("origins", "directions"):
            np.testing.assert_allclose(
                getattr(mine, name).reshape(54, 96, 3), getattr(rays, name), atol=2e-6
            )


def run_of(folder: Path, field: Similarity) -> Path:
    folder.mkdir()
    transform = np.c_[field.rotation, field.translation / field.scale]
    told = {"transform": transform.tolist(), "scale": field.scale}
    (folder / "dataparser_transforms.json").write_text(json.dumps(told))
    return folder


def test_a_path_of_another_run_shows_the_same_place(tmp_path: Path) -> None:
    angle = 0.7
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    theirs = Similarity(0.3, turn, np.array([1.0, 2, 3]))
    ours = Similarity(2.0, turn.T @ turn.T, np.array([0.0, -1, 0.5]))
    runs = run_of(tmp_path / "theirs", theirs), run_of(tmp_path / "ours", ours)
    cameras = list(splat_cameras(4).values())
    for camera, moved in zip(cameras, moved_to_run(cameras, *runs), strict=True):
        in_data = theirs.inverse().apply_to_poses(camera.c2w_opengl)
        np.testing.assert_allclose(theirs.apply_to_poses(in_data), camera.c2w_opengl, atol=1e-12)
        np.testing.assert_allclose(moved.c2w_opengl, ours.apply_to_poses(in_data), atol=1e-12)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "holds no object; wanted is a camera_path.json"),
        (drawn(camera_type="equirectangular"), "a path of equirectangular cameras"),
        (drawn(camera_path=[]), "has 0 frames of 96x54"),
        ({"keyframes": []}, r"is incomplete \(there is no 'render_width'\)"),
        (
            drawn(camera_path=[{"fov": 50}, 3]),
            "2 of 2 frames are broken .*frame 1: it is no object",
        ),
        (
            drawn(camera_path=[{"camera_to_world": [1, 0], "fov": 50}]),
            r"it lacks camera_to_world \(16 numbers\)",
        ),
        (
            drawn(camera_path=[{"camera_to_world": np.eye(4).tolist(), "fov": 200}]),
            "its fov is 200 degrees",
        ),
    ],
)
def test_other_files_are_refused_in_words(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_camera_path(written(tmp_path, content))
