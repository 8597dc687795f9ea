import logging
from pathlib import Path

import numpy as np
import pytest

from scenestyle.artifacts import read_json, read_points, write_json, write_rgb
from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import project, sample_bilinear
from scenestyle.params import EstimatePoses
from scenestyle.sfm import estimate_poses
from scenestyle.sfm.triangulate import nearest_pairs
from training.procedural.demo_scene import demo_cameras, demo_scene
from training.procedural.raycast import render

NUM_VIEWS = 6


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Neighbouring photos of the demo scene with their true poses, as nerfstudio writes them."""
    folder = tmp_path_factory.mktemp("posed")
    frames = []
    for name, camera in list(demo_cameras().items())[:NUM_VIEWS]:
        small = camera.resized(320, 240)
        write_rgb(folder / "images" / f"{name}.png", render(demo_scene(), small).rgb)
        frames.append(
            {
                "file_path": f"images/{name}.png",
                "transform_matrix": small.c2w_opengl.tolist(),
                "fl_x": small.fx,
                "fl_y": small.fy,
                "cx": small.cx,
                "cy": small.cy,
                "w": small.width,
                "h": small.height,
            }
        )
    write_json(folder / "transforms.json", {"camera_model": "PINHOLE", "frames": frames})
    return folder


def test_posed_photos_get_points_on_the_surface_and_keep_their_poses(posed: Path, tmp_path: Path):
    out = tmp_path / "poses"
    out.mkdir()
    report = estimate_poses(posed, out, EstimatePoses(), work=tmp_path / "work")
    points = read_points(out)
    assert points is not None
    assert report["points"] == len(points.xyz) > 50
    before = read_json(posed / "transforms.json")["frames"]
    after = {Path(f["file_path"]).stem: f for f in read_json(out / "transforms.json")["frames"]}
    cameras = demo_cameras()
    for frame in before:
        name = Path(frame["file_path"]).stem
        pose = np.array(after[name]["transform_matrix"])
        np.testing.assert_allclose(pose, frame["transform_matrix"], atol=1e-9)
        camera: PinholeCamera = cameras[name].resized(320, 240)
        pixels, z = project(points.xyz[points.seen_by(name)], camera)
        depth_z = render(demo_scene(), camera).depth_z[..., None]
        true_z = sample_bilinear(depth_z, pixels)[..., 0]
        assert np.nanmedian(np.abs(true_z / z - 1)) < 0.02


def test_photos_without_a_feature_stay_without_points(
    posed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    blank = tmp_path / "blank"
    write_json(blank / "transforms.json", read_json(posed / "transforms.json"))
    for photo in (posed / "images").iterdir():
        write_rgb(blank / "images" / photo.name, np.full((240, 320, 3), 0.5, np.float32))
    out = tmp_path / "poses"
    out.mkdir()
    with caplog.at_level(logging.INFO):
        report = estimate_poses(blank, out, EstimatePoses(), work=tmp_path / "work")
    assert report["points"] == 0
    assert "triangulated 0 points" in caplog.text
    points = read_points(out)
    assert points is not None
    assert len(points.xyz) == 0


def test_of_many_cameras_neighbours_are_matched():
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    poses = []
    for angle in angles:
        pose = np.eye(4)
        forward = np.array([-np.cos(angle), 0, -np.sin(angle)])  # to the centre of the ring
        pose[:3, :3] = np.stack([np.cross([0, 1, 0], forward), [0, 1, 0], forward], axis=1)
        pose[:3, 3] = -forward
        poses.append(pose)
    assert len(nearest_pairs(poses, max_exhaustive=60)) == 60 * 59 // 2
    pairs = nearest_pairs(poses, max_exhaustive=40)
    assert {(0, 1), (0, 59)} <= set(pairs)
    assert max(min(j - i, 60 - (j - i)) for i, j in pairs) == 10
    assert len(pairs) == 60 * 10
