"""A scene that came as splats: the field is the file, and goes out as it came."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import KDTree

from scenestyle.artifacts import came_as_splats, read_json, read_points, write_json
from scenestyle.capture import read_capture
from scenestyle.errors import InputError, ParamsError
from scenestyle.export import ExportOptions, export
from scenestyle.finetune.finetune import finetune
from scenestyle.geometry import unproject
from scenestyle.nerf.field import load_field
from scenestyle.nerf.train import train
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, rasterize
from scenestyle.params import EstimatePoses, FinetuneNerf
from scenestyle.sfm import estimate_poses
from scenestyle.splat_file import SplatFile, read_splats, write_splats
from tests.support.splat_scene import (
    PARAMS,
    demo_splats,
    splat_cameras,
    write_scene,
    write_tiny_splat_scene,
)
from training.procedural.demo_scene import demo_scene
from training.procedural.raycast import render

PARTS = ("means", "quats", "log_scales", "logits", "harmonics")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scene")
    write_tiny_splat_scene(root)
    return root


def test_cameras_that_are_too_few_to_hold_one_out_are_counted(scene: Path, tmp_path: Path) -> None:
    poses = tmp_path / "poses"
    poses.mkdir()
    meta = read_json(scene / "poses/transforms.json")
    write_json(poses / "transforms.json", {**meta, "frames": meta["frames"][:2]})
    with pytest.raises(InputError, match=r"2 cameras, wanted at least 3 \(one is held out\)"):
        train(poses, tmp_path, PARAMS, work=tmp_path / "work")


def source_of(scene: Path) -> SplatFile:
    found = read_capture(scene / "source").splats
    assert found is not None
    return read_splats(found)


def test_the_poses_folder_keeps_its_contract(scene: Path) -> None:
    poses = scene / "poses"
    assert came_as_splats(poses)
    names = set(splat_cameras())
    frames = read_json(poses / "transforms.json")["frames"]
    assert {Path(frame["file_path"]).stem for frame in frames} == names
    assert {path.stem for path in (poses / "masks").iterdir()} == names
    points = read_points(poses)
    assert points is not None
    assert len(points.xyz) > 1000
    report = read_json(poses / "report.json")
    assert (report["source"], report["cameras"]) == ("splats", 8)
    assert len(report["seen_from_above"]["cameras"]) == 8
    assert (poses / "cameras.png").is_file()


def test_the_field_shows_what_the_file_shows_in_its_own_frame(scene: Path) -> None:
    splats = source_of(scene)
    gaussians = Gaussians(*(torch.from_numpy(getattr(splats, name)) for name in PARTS))
    field = load_field(scene / "nerf")
    assert field.params.field == "splats"
    for view in field.views:
        camera = splat_cameras()[view.name]
        np.testing.assert_allclose(view.camera.c2w_opengl, camera.c2w_opengl, atol=1e-6)
        wanted = rasterize(gaussians, camera).rgb.detach().clamp(0, 1).permute(1, 2, 0).numpy()
        # In single precision a camera is a little off: a Gaussian of 1/255 is drawn or not, and
        # two that are as far away change places.
        off = np.abs(field.render(view.camera).rgb - wanted)
        assert ((off > 0.001).mean() < 0.03, off.mean() < 1e-4) == (True, True)


def test_an_untouched_scene_goes_out_with_the_very_bytes_it_came_with(
    scene: Path, tmp_path: Path
) -> None:
    export(scene / "nerf", scene / "views", "splat", tmp_path / "out.ply", ExportOptions())
    source = read_capture(scene / "source").splats
    assert source is not None
    assert (tmp_path / "out.ply").read_bytes() == source.read_bytes()
    with pytest.raises(ParamsError, match="goes out in the frame of its file"):
        export(scene / "nerf", scene / "views", "splat", tmp_path / "b.ply", ExportOptions(up="y"))


def test_a_restyled_scene_keeps_count_order_and_degree(scene: Path, tmp_path: Path) -> None:
    params = FinetuneNerf(iterations=12, patch_scales=(1.0,), min_movement=0.0)
    (tmp_path / "run").mkdir()
    finetune(
        scene / "nerf",
        scene / "views",
        {scene / "stylized": 1.0},
        tmp_path / "run",
        params,
        work=tmp_path / "work",
    )
    export(tmp_path / "run", scene / "views", "splat", tmp_path / "out.ply", ExportOptions())
    before, after = source_of(scene), read_splats(tmp_path / "out.ply")
    assert after.harmonics.shape == before.harmonics.shape
    moved = np.linalg.norm(after.means - before.means, axis=1)
    spread = np.linalg.norm(before.means - before.means.mean(axis=0), axis=1).mean()
    assert 0 < np.median(moved) < 0.05 * spread  # the same splats at the same places
    assert np.abs(after.harmonics - before.harmonics).mean() > 0.005
    # Nobody saw these, so nothing moved them.
    for name in PARTS:
        np.testing.assert_array_equal(getattr(after, name)[::50], getattr(before, name)[::50])


def test_frozen_geometry_stays_to_the_bit(scene: Path, tmp_path: Path) -> None:
    params = FinetuneNerf(iterations=3, patch_scales=(1.0,), min_movement=0.0, freeze_geometry=True)
    (tmp_path / "run").mkdir()
    finetune(
        scene / "nerf",
        scene / "views",
        {scene / "stylized": 1.0},
        tmp_path / "run",
        params,
        work=tmp_path / "work",
    )
    export(tmp_path / "run", scene / "views", "splat", tmp_path / "out.ply", ExportOptions())
    before, after = source_of(scene), read_splats(tmp_path / "out.ply")
    for name in ("means", "quats", "log_scales", "logits"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert (after.harmonics != before.harmonics).any()


def test_nerfstudio_opens_the_run_in_the_same_frame(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nerfstudio.utils.eval_utils import eval_setup

    monkeypatch.chdir(scene / "nerf")
    _, pipeline, _, _ = eval_setup(Path("config.yml"))
    cameras = pipeline.datamanager.train_dataset.cameras.camera_to_worlds.numpy()
    names = [path.stem for path in pipeline.datamanager.train_dataset.image_filenames]
    for name, c2w in zip(names, cameras, strict=True):
        np.testing.assert_allclose(c2w, splat_cameras()[name].c2w_opengl[:3], atol=1e-6)
    np.testing.assert_array_equal(
        pipeline.model.means.detach().cpu().numpy(), source_of(scene).means
    )


def test_a_mesh_of_splats_lies_on_the_surface_by_their_median_depth(
    scene: Path, tmp_path: Path
) -> None:
    options = ExportOptions(size=96)
    export(scene / "nerf", scene / "views", "mesh", tmp_path / "mesh.ply", options)
    mesh = trimesh.load(tmp_path / "mesh.ply")
    assert isinstance(mesh, trimesh.Trimesh)
    surface = [
        unproject(buffers.depth_z, camera)[buffers.hit]
        for camera in (camera.resized(96, 72) for camera in splat_cameras().values())
        for buffers in [render(demo_scene(), camera)]
    ]
    distances, _ = KDTree(np.concatenate(surface)).query(mesh.vertices)
    sigma = float(np.exp(np.median(source_of(scene).log_scales)))
    assert np.median(distances) < 2 * sigma  # the diameter of what it is made of


def test_too_few_splats_or_a_scene_of_degree_zero_work_the_same(tmp_path: Path) -> None:
    splats = demo_splats(1, per_view=60)
    write_splats(tmp_path / "source/scene.ply", splats)
    write_scene(tmp_path / "with_cameras", splats)
    (tmp_path / "source/cameras.json").write_bytes(
        (tmp_path / "with_cameras/cameras.json").read_bytes()
    )
    for name in ("poses", "nerf"):
        (tmp_path / name).mkdir()
    params = replace(PARAMS, field="splats", num_gaussians=10)
    estimate_poses(tmp_path / "source", tmp_path / "poses", EstimatePoses(), work=tmp_path / "w")
    figures = train(tmp_path / "poses", tmp_path / "nerf", params, work=tmp_path / "w")
    assert (figures["gaussians"], figures["sh_degree"]) == (480, 0)
    first = next(iter(splat_cameras().values()))
    assert load_field(tmp_path / "nerf").render(first).opacity.max() > 0.9
