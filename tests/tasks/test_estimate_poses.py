"""The stage on real photos: the demo scene, whole and in parts, against the cameras it was rendered from."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from scenestyle.errors import GateError
from scenestyle.geometry import align_similarity, opencv_from_opengl, pose_errors
from scenestyle.params import EstimatePoses
from scenestyle.sfm.matching import verified_pairs
from tasks import estimate_poses
from training.procedural.demo_scene import demo_cameras, demo_scene
from training.procedural.raycast import render

PROJECT = Path(__file__).parents[2]
DEMO = PROJECT / "data" / "scenes" / "demo"
PARAMS = EstimatePoses()
FAST = EstimatePoses(max_num_features=2000)

pytestmark = pytest.mark.timeout(300)


def demo_photos(folder, numbers):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        shutil.copy(DEMO / f"photo_{number:02d}.jpg", folder)
    return folder


def noise_photos(folder, num_photos):
    """Photos with plenty of keypoints and nothing in common."""
    folder.mkdir(exist_ok=True)
    for seed in range(num_photos):
        coarse = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((384, 288), Image.Resampling.BICUBIC).save(
            folder / f"unrelated_{seed}.png"
        )
    return folder


def estimate(source, out, params=FAST, work=None):
    out.mkdir()
    return estimate_poses.run(source, out, params, work=work or out.with_name(f"{out.name}_work"))


def poses_by_name(out):
    frames = json.loads((out / "transforms.json").read_text())["frames"]
    return {Path(frame["file_path"]).stem: np.array(frame["transform_matrix"]) for frame in frames}


def errors(out):
    """Pose errors against the generator's cameras."""
    truth = {name: camera.c2w_opengl for name, camera in demo_cameras().items()}
    found = poses_by_name(out)
    return pose_errors(np.stack(list(found.values())), np.stack([truth[name] for name in found]))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Poses of the whole demo scene, with its report."""
    out = tmp_path_factory.mktemp("demo") / "poses"
    return out, estimate(DEMO, out, PARAMS)


def test_every_demo_photo_is_registered(demo):
    out, report = demo
    assert (report["registered"], report["photos"]) == (32, 32)
    assert report["not_registered"] == []
    assert report["mean_reprojection_error_px"] < 1
    written = json.loads((out / "report.json").read_text())
    assert written | report == written, "headlines"
    assert [rung["placed"] for rung in written["rungs"]] == [32]
    assert written["lost_photos"] == []
    assert written["points_per_photo"]["least"] >= 30
    assert written["parallax"] > 0.01
    assert written["triangulation_angle_degrees"] > 10
    assert set(poses_by_name(out)) == set(demo_cameras())


def test_demo_poses_agree_with_the_cameras_it_was_rendered_from(demo):
    found = errors(demo[0])
    assert found.translation_share.max() <= 0.01
    assert np.median(found.rotation_degrees) <= 1
    assert found.rotation_degrees.max() <= 1


def test_demo_intrinsics_agree_with_the_lens_it_was_rendered_with(demo):
    truth = next(iter(demo_cameras().values()))
    for frame in json.loads((demo[0] / "transforms.json").read_text())["frames"]:
        assert frame["fl_x"] == pytest.approx(truth.fx, rel=0.01)
        assert frame["fl_y"] == pytest.approx(truth.fy, rel=0.01)
        assert Image.open(demo[0] / frame["file_path"]).size == (frame["w"], frame["h"])
        assert (frame["w"], frame["h"]) == pytest.approx((truth.width, truth.height), abs=4)


def test_sparse_points_lie_on_the_surfaces_of_the_scene(demo):
    """Their z-depth in a true camera is what the ray caster says about the pixel they fall on."""
    import pycolmap

    model = pycolmap.Reconstruction(demo[0] / "sparse")
    name, camera = list(demo_cameras().items())[12]
    found = poses_by_name(demo[0])
    similarity = align_similarity(
        np.stack([c2w[:3, 3] for c2w in found.values()]),
        np.stack([demo_cameras()[key].c2w_opengl[:3, 3] for key in found]),
    )
    view = model.find_image_with_name(f"{name}.png")
    points = similarity.apply(
        np.stack([model.points3D[p.point3D_id].xyz for p in view.points2D if p.has_point3D()])
    )
    w2c_opencv = np.linalg.inv(opencv_from_opengl(camera.c2w_opengl))
    in_camera = points @ w2c_opencv[:3, :3].T + w2c_opencv[:3, 3]
    true_z = render(demo_scene(), camera).depth_z
    x = in_camera[:, 0] / in_camera[:, 2] * camera.fx + camera.cx
    y = in_camera[:, 1] / in_camera[:, 2] * camera.fy + camera.cy
    at = true_z[y.astype(int), x.astype(int)]
    relative = np.abs(in_camera[:, 2] - at) / at
    assert len(points) > 100
    assert np.median(relative) < 0.01
    assert np.percentile(relative, 80) < 0.03


def test_poses_folder_is_complete(demo):
    """The files that artifacts.py and nerfstudio's parser name."""
    out, _ = demo
    assert {path.name for path in out.iterdir()} == {
        "images", "masks", "transforms.json", "points.npz", "sparse", "sparse_pc.ply",
        "report.json", "cameras.png",
    }  # fmt: skip
    transforms = json.loads((out / "transforms.json").read_text())
    assert transforms["ply_file_path"] == "sparse_pc.ply"
    assert {"cameras.bin", "images.bin", "points3D.bin"} <= {
        p.name for p in (out / "sparse").iterdir()
    }
    assert (out / "sparse_pc.ply").read_bytes().startswith(b"ply")


def test_same_photos_same_bytes_and_a_killed_run_goes_on_from_its_matches(tmp_path, caplog):
    source = demo_photos(tmp_path / "in", range(8, 14))
    work = tmp_path / "work"
    work.mkdir()
    (work / ".partial-matches.db").write_bytes(b"what a kill left behind")
    caplog.set_level("INFO", logger="scenestyle.sfm")
    estimate(source, tmp_path / "first", work=work)
    assert "matching all pairs of 6 photos" in caplog.text
    caplog.clear()
    estimate(source, tmp_path / "resumed", work=work)
    assert "matching" not in caplog.text
    estimate(source, tmp_path / "afresh")
    first = contents(tmp_path / "first")
    assert len(first) > 8
    assert contents(tmp_path / "resumed") == first
    assert contents(tmp_path / "afresh") == first


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "report.json"
    }


def test_turned_renamed_and_mixed_photos_still_fit_together(tmp_path):
    """EXIF orientation, another size, hostile names, one stem twice: all at once, all registered."""
    source = demo_photos(tmp_path / "in", range(6, 14))
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(source / "photo_06.jpg") as photo:
        photo.rotate(90, expand=True).save(source / "photo_06.jpg", exif=exif, quality=95)
    with Image.open(source / "photo_08.jpg") as photo:
        photo.resize((320, 240), Image.Resampling.LANCZOS).save(source / "photo_08.jpg", quality=95)
    with Image.open(source / "photo_09.jpg") as photo:
        photo.save(source / "photo_10.PNG")
    (source / "photo_09.jpg").rename(source / "häßlich & 'böse'\n$(x) 9.JPG")
    report = estimate(source, tmp_path / "out")
    assert report["registered"] == report["photos"] == 9
    names = set(poses_by_name(tmp_path / "out"))
    assert names == {
        *(f"photo_{number:02d}" for number in (6, 7, 8, 10, 11, 12, 13)), "photo_10_2", "halich_bose_x_9",
    }  # fmt: skip


def test_a_sequence_too_long_for_all_pairs_is_matched_along_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr("scenestyle.sfm.matching._MAX_EXHAUSTIVE", 4)
    monkeypatch.setattr("scenestyle.sfm.matching._SEQUENCE_WINDOW", 2)
    monkeypatch.setattr("scenestyle.sfm.matching._PREVIEW_PARTNERS", 1)
    report = estimate(demo_photos(tmp_path / "in", range(8, 16)), tmp_path / "out")
    assert report["registered"] == 8
    assert len(verified_pairs(tmp_path / "out_work" / "matches.db")) < 8 * 7 / 2


def test_unrelated_photos_among_good_ones_are_named(tmp_path):
    source = noise_photos(demo_photos(tmp_path / "in", range(8, 13)), 3)
    with pytest.raises(GateError) as caught:
        estimate(source, tmp_path / "out")
    message = str(caught.value)
    assert message.startswith("5 of 8 photos (62%) could be placed in one scene, but 70% must be")
    for number in range(3):
        assert f"  - unrelated_{number}.png: matches no other photo" in message
    assert "min_registered_share" in message
    assert "neighbours" in message
    assert list((tmp_path / "out").iterdir()) == []
    work = tmp_path / "out_work"
    assert str(work / "report.json") in message
    assert str(work / "cameras.png") in message
    report = json.loads((work / "report.json").read_text())
    assert [lost["photo"] for lost in report["lost_photos"]] == [
        f"unrelated_{number}.png" for number in range(3)
    ]
    assert [camera["photo"] for camera in report["seen_from_above"]["cameras"]] == [
        f"photo_{number:02d}.jpg" for number in range(8, 13)
    ]
    assert Image.open(work / "cameras.png").size > (100, 100)


def test_a_lower_gate_lets_the_registered_photos_pass(tmp_path):
    source = noise_photos(demo_photos(tmp_path / "in", range(8, 13)), 3)
    params = EstimatePoses(max_num_features=2000, min_registered_share=0.6)
    report = estimate(source, tmp_path / "out", params)
    assert report["registered_share"] == 5 / 8
    assert report["not_registered"] == [f"unrelated_{i}.png" for i in range(3)]
    assert set(poses_by_name(tmp_path / "out")) == {f"photo_{i:02d}" for i in range(8, 13)}


def test_two_scenes_in_one_folder_are_told_apart(tmp_path):
    """The mirror image of a scene has no pose in it."""
    source = demo_photos(tmp_path / "in", range(8, 12))
    for number in range(20, 24):
        with Image.open(DEMO / f"photo_{number:02d}.jpg") as photo:
            ImageOps.mirror(photo).save(source / f"mirrored_{number}.png")
    with pytest.raises(GateError, match=r"groups of \[4, 4\] that do not overlap"):
        estimate(source, tmp_path / "out")


def test_a_camera_that_only_turns_is_told_to_move(tmp_path):
    """Views of one photo through a lens that turns in front of it, as from far away."""
    with Image.open(DEMO / "photo_12.jpg") as photo:
        far = photo.resize((1536, 1152), Image.Resampling.BICUBIC)
    (tmp_path / "in").mkdir()
    for number, degrees in enumerate((-12, -6, 0, 6, 12)):
        turned_view(far, np.radians(degrees)).save(tmp_path / "in" / f"turned_{number}.png")
    with pytest.raises(GateError, match=r"turned but did not move.*do not turn on the spot"):
        estimate(tmp_path / "in", tmp_path / "out")
    assert json.loads((tmp_path / "out_work" / "report.json").read_text())["parallax"] < 0.003


def turned_view(far, azimuth):
    """What a camera of 480x360 pixels sees of the image `far` when it is turned by `azimuth`."""
    import cv2

    wall = np.array([[1200.0, 0, far.width / 2], [0, 1200, far.height / 2], [0, 0, 1]])
    lens = np.array([[420.0, 0, 240], [0, 420, 180], [0, 0, 1]])
    turn = cv2.Rodrigues(np.array([0, azimuth, 0]))[0]
    homography = lens @ turn @ np.linalg.inv(wall)
    return Image.fromarray(cv2.warpPerspective(np.asarray(far), homography, (480, 360)))


def test_photos_that_share_nothing_cannot_be_placed(tmp_path):
    with pytest.raises(GateError, match=r"^0 of 4 photos \(0%\)"):
        estimate(noise_photos(tmp_path / "in", 4), tmp_path / "out")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda source: None, "there is no folder"),
        (lambda source: source.mkdir(), "holds no photos; at least 3"),
        (lambda source: demo_photos(source, [3]), "holds only 1 photo; at least 3"),
        (
            lambda source: (demo_photos(source, [3, 4, 5]) / "photo_04.jpg").write_bytes(
                b"\xff\xd8?"
            ),
            "1 of 3 photos cannot be used:\n  - photo_04.jpg",
        ),
    ],
)
def test_on_the_command_line_bad_input_ends_in_one_clear_error_and_nothing_is_lost(
    tmp_path, monkeypatch, capsys, prepare, message
):
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text("an earlier result")
    monkeypatch.setattr(
        sys, "argv", ["estimate_poses", "--scene", "demo", "--source", "in", "--out", "out"]
    )
    with pytest.raises(SystemExit) as caught:
        estimate_poses.main()
    assert caught.value.code == 1
    stderr = capsys.readouterr().err
    assert message in stderr
    assert "Traceback" not in stderr
    assert (tmp_path / "out" / "report.json").read_text() == "an earlier result"
