"""Scenes that come as splats: which file, which cameras, and in whose frame."""

import json
from pathlib import Path

import numpy as np
import pytest

from scenestyle.artifacts import pose_frame, write_json
from scenestyle.capture import Capture, read_capture
from scenestyle.capture.poses import c2w_opengl_of
from scenestyle.capture.splat_cameras import read_cameras
from scenestyle.errors import InputError
from scenestyle.splat_file import write_splats
from tests.support.splat_scene import (
    demo_splats,
    splat_cameras,
    write_scene,
)


def poses_of(capture: Capture) -> dict[str, np.ndarray]:
    assert capture.model is not None
    return {Path(v.name).stem: c2w_opengl_of(v) for v in capture.model.images.values()}


def assert_are_the_cameras(capture: Capture) -> None:
    found, wanted = poses_of(capture), splat_cameras()
    assert found.keys() == wanted.keys()
    for name, camera in wanted.items():
        np.testing.assert_allclose(found[name], camera.c2w_opengl, atol=1e-9)
    assert capture.model is not None
    for view in capture.model.images.values():
        camera, known = capture.model.camera(view.camera_id), wanted[Path(view.name).stem]
        assert (camera.width, camera.height) == (known.width, known.height)
        np.testing.assert_allclose(camera.params, [known.fx, known.fy, known.cx, known.cy])


def test_the_folder_that_3dgs_wrote_is_a_scene(tmp_path: Path) -> None:
    write_scene(tmp_path)
    earlier = tmp_path / "point_cloud" / "iteration_7000" / "point_cloud.ply"
    write_splats(earlier, demo_splats())
    (tmp_path / "input.ply").write_bytes(
        b"ply\nformat binary_little_endian 1.0\nelement vertex 0\nproperty float x\nend_header\n"
    )
    capture = read_capture(tmp_path)
    assert capture.layout == "splats"
    assert capture.photos == ()
    assert capture.splats is not None
    assert capture.splats.parent.name == "iteration_30000"
    assert capture.left_out == ("splats of point_cloud/iteration_7000/point_cloud.ply",)
    assert set(capture.files) == {capture.splats, tmp_path / "cameras.json"}
    assert_are_the_cameras(capture)


def test_every_form_of_the_cameras_is_the_same_cameras(tmp_path: Path) -> None:
    write_scene(tmp_path / "by_3dgs")
    ply = tmp_path / "scene.ply"
    write_splats(ply, demo_splats())
    frames = [pose_frame(*each) for each in splat_cameras().items()]
    write_json(tmp_path / "n" / "transforms.json", {"camera_model": "PINHOLE", "frames": frames})
    read = [read_capture(ply, cameras=tmp_path / "by_3dgs" / "cameras.json")]
    read += [read_capture(ply, cameras=tmp_path / "n")]
    assert read[0].model is not None
    (tmp_path / "c" / "sparse" / "0").mkdir(parents=True)
    read[0].model.write(tmp_path / "c" / "sparse" / "0")
    read += [read_capture(ply, cameras=tmp_path / "c")]
    for capture in read:
        assert_are_the_cameras(capture)
        assert capture.warnings == ()


def test_cameras_of_a_nerfstudio_run_are_taken_to_its_fields_frame(tmp_path: Path) -> None:
    from scenestyle.nerf.dataset import parse_dataset

    ply = tmp_path / "scene.ply"
    write_splats(ply, demo_splats())
    frames = [pose_frame(*each) for each in splat_cameras().items()]
    applied = [[0.0, 1, 0, 0.2], [1, 0, 0, 0], [0, 0, -1, 0]]
    meta = {"applied_transform": applied, "applied_scale": 2.0}
    write_json(tmp_path / "transforms.json", {"camera_model": "PINHOLE", **meta, "frames": frames})
    outputs = parse_dataset(tmp_path, "train", holdout_every=100)
    outputs.save_dataparser_transform(tmp_path / "dataparser_transforms.json")
    found = poses_of(read_capture(ply, cameras=tmp_path, decode=False))
    for path, wanted in zip(outputs.image_filenames, outputs.cameras.camera_to_worlds, strict=True):
        np.testing.assert_allclose(found[path.stem][:3], wanted.numpy(), atol=2e-6)


def test_a_file_alone_has_no_cameras_yet(tmp_path: Path) -> None:
    write_splats(tmp_path / "a.ply", demo_splats())
    for source in (tmp_path, tmp_path / "a.ply"):
        capture = read_capture(source)
        assert capture.model is None
        assert capture.splats == tmp_path / "a.ply"


def test_cameras_of_another_frame_are_refused(tmp_path: Path) -> None:
    write_scene(tmp_path)
    entries = json.loads((tmp_path / "cameras.json").read_text())
    for entry in entries:
        entry["rotation"] = (np.array(entry["rotation"]) * [-1, 1, -1]).tolist()
    write_json(tmp_path / "cameras.json", entries)
    with pytest.raises(InputError, match=r"8 cameras see 0\.0% of the splats"):
        read_capture(tmp_path)


def test_all_faults_of_cameras_are_named_at_once(tmp_path: Path) -> None:
    write_scene(tmp_path)
    entries = json.loads((tmp_path / "cameras.json").read_text())
    entries[0]["rotation"] = [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    entries[1]["fx"] = -3
    write_json(tmp_path / "cameras.json", entries)
    with pytest.raises(InputError, match="2 of 8 cameras") as said:
        read_capture(tmp_path)
    assert "no rotation" in str(said.value)
    assert "not positive" in str(said.value)
    del entries[2]["position"]
    write_json(tmp_path / "cameras.json", entries)
    with pytest.raises(InputError, match="number 2 lacks position"):
        read_capture(tmp_path)


ONE_FRAME = {"frames": [{"file_path": "a", "transform_matrix": np.eye(4).tolist(), "fl_x": 9}]}
FIELD = {"transform": np.eye(4)[:3].tolist(), "scale": 1}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, r"cameras\.json does not exist; wanted is a cameras\.json of 3DGS"),
        ({"cameras.json": [1, 2]}, "is no list of cameras; wanted is a list of objects"),
        ({"cameras.json": ONE_FRAME}, "a: its camera has no width and height"),
        (
            {
                "transforms.json": {**ONE_FRAME, "applied_transform": "none"},
                "dataparser_transforms.json": FIELD,
            },
            r"transforms\.json: wanted are an applied_transform of 3x4 numbers",
        ),
        (
            {"transforms.json": ONE_FRAME, "dataparser_transforms.json": {"scale": 1}},
            "is not what nerfstudio writes",
        ),
        (
            {"transforms.json": ONE_FRAME, "dataparser_transforms.json": {**FIELD, "scale": 0}},
            "is not what nerfstudio writes",
        ),
    ],
)
def test_other_files_of_cameras_are_refused_in_words(
    tmp_path: Path, files: dict[str, object], words: str
) -> None:
    for name, content in files.items():
        write_json(tmp_path / name, content)
    with pytest.raises(InputError, match=words):
        read_cameras(tmp_path / next(iter(files), "cameras.json"))


@pytest.mark.parametrize(("end", "words"), [(-9, "is cut short"), (4, "not a binary")])
def test_a_damaged_file_is_refused_in_words(tmp_path: Path, end: int, words: str) -> None:
    write_splats(tmp_path / "a.ply", demo_splats())
    (tmp_path / "a.ply").write_bytes((tmp_path / "a.ply").read_bytes()[:end])
    with pytest.raises(InputError, match=words):
        read_capture(tmp_path / "a.ply")


def test_of_several_scenes_one_has_to_be_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_splats(tmp_path / f"{name}.ply", demo_splats())
    with pytest.raises(InputError, match=r"several files of splats \(a\.ply, b\.ply\)"):
        read_capture(tmp_path)


def test_too_few_cameras_are_counted(tmp_path: Path) -> None:
    write_scene(tmp_path)
    entries = json.loads((tmp_path / "cameras.json").read_text())
    write_json(tmp_path / "cameras.json", entries[:2])
    with pytest.raises(InputError, match="holds 2 cameras; at least 3 are needed"):
        read_capture(tmp_path)


def test_cameras_and_masks_are_for_what_they_are_for(tmp_path: Path) -> None:
    write_splats(tmp_path / "s" / "a.ply", demo_splats())
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="masks are for photos"):
        read_capture(tmp_path / "s", masks=tmp_path)
    with pytest.raises(InputError, match="holds no splats"):
        read_capture(tmp_path / "photos", cameras=tmp_path)
    with pytest.raises(InputError, match=r"no cameras that are known; wanted is a cameras\.json"):
        read_capture(tmp_path / "s" / "a.ply", cameras=tmp_path / "photos")
