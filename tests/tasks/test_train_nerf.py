import json
from dataclasses import replace

import pytest

from scenestyle.artifacts import read_json
from scenestyle.errors import ArtifactError, InputError
from tasks.train_nerf import run
from tests.support.tiny_field import PARAMS, write_tiny_poses

FEW_STEPS = replace(PARAMS, iterations=5)


@pytest.fixture
def poses(tmp_path):
    write_tiny_poses(tmp_path / "poses")
    return tmp_path / "poses"


def train_nerf(poses, tmp_path):
    (tmp_path / "nerf").mkdir()
    return run(poses=poses, out=tmp_path / "nerf", params=FEW_STEPS, work=tmp_path / "work")


def test_leaves_a_run_and_tells_its_quality(poses, tmp_path):
    figures = train_nerf(poses, tmp_path)
    metrics = read_json(tmp_path / "nerf" / "metrics.json")
    assert set(figures) == {"heldout_psnr", "train_psnr", "seconds"}
    assert figures["heldout_psnr"] == metrics["heldout_psnr"] > 5
    assert metrics["iterations"] == 5
    assert (tmp_path / "nerf" / "nerfstudio_models" / "step-000000004.ckpt").is_file()


def test_a_missing_photo_is_named(poses, tmp_path):
    (poses / "images" / "photo_08.png").unlink()
    with pytest.raises(ArtifactError, match=r"photo_08.png cannot be read as a picture"):
        train_nerf(poses, tmp_path)


def test_two_photos_are_too_few(poses, tmp_path):
    path = poses / "transforms.json"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps({**meta, "frames": meta["frames"][:2]}))
    with pytest.raises(InputError, match=r"2 posed photos, wanted at least 3"):
        train_nerf(poses, tmp_path)


def test_poses_without_transforms_are_refused(poses, tmp_path):
    (poses / "transforms.json").unlink()
    with pytest.raises(ArtifactError, match=r"transforms.json is missing"):
        train_nerf(poses, tmp_path)
