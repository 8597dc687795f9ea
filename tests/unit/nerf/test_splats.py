"""Gaussian splats: where they begin, how they grow, how they are trained, and who opens them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenestyle.artifacts import SparsePoints, View, read_json, read_points, read_rgb, write_points
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ParamsError
from scenestyle.geometry import project, unproject
from scenestyle.nerf import trainer as trainer_module
from scenestyle.nerf.dataset import parse_dataset, read_run_views, write_dataset
from scenestyle.nerf.field import load_field
from scenestyle.nerf.splat_growth import clear_near, least_scales, median_pixel, refine
from scenestyle.nerf.splat_start import Start, first_gaussians, in_field_frame, plant
from scenestyle.nerf.splats import build_splat_trainer, view_losses
from scenestyle.nerf.train import train, training_views
from scenestyle.nerf.trainer import Trainer, build_model, optimise
from scenestyle.nerfstudio_plugin.sizes import training_side
from scenestyle.nerfstudio_plugin.splat_field import SplatField
from scenestyle.params import TrainNerf
from tests.support.tiny_field import SPLATS, write_tiny_points, write_tiny_poses
from tests.unit.nerf.test_nerfstudio_tools import skip_unless_loadable

CPU = torch.device("cpu")


class Killed(Exception):
    """Stands for the power going out."""


@pytest.fixture(scope="module")
def poses(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("poses")
    write_tiny_poses(folder)
    write_tiny_points(folder)
    return folder


@pytest.fixture(scope="module")
def run(poses, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_dataset(poses, folder, max_image_side=SPLATS.max_image_side)
    return folder


@pytest.fixture(scope="module")
def trained(poses, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("splats") / "demo"
    folder.mkdir()
    train(poses, folder, SPLATS, work=tmp_path_factory.mktemp("work"))
    return folder


def make(run: Path, params: TrainNerf = SPLATS) -> tuple[Trainer, trainer_module.Losses]:
    trainer = build_splat_trainer(run, params, CPU)
    views = read_run_views(run, holdout_every=params.holdout_every)
    return trainer, view_losses(trainer, training_views(run, views, CPU))


def state_bytes(trainer: Trainer) -> dict[str, bytes]:
    values = trainer.model.state_dict()
    moments = {
        f"{name} {key}": value
        for name, optimizer in trainer.optimizers.optimizers.items()
        for state in optimizer.state.values()
        for key, value in state.items()
    }
    return {name: value.numpy().tobytes() for name, value in (values | moments).items()}


def facing(width: int = 40, height: int = 30, distance: float = 2.0) -> PinholeCamera:
    c2w_opengl = np.eye(4)
    c2w_opengl[2, 3] = distance
    return PinholeCamera(c2w_opengl, 40.0, 40.0, width / 2, height / 2, width, height)


def test_points_survive_the_folder(tmp_path):
    points = SparsePoints(
        np.ones((2, 3), np.float32),
        np.zeros((2, 3), np.float32),
        np.array([0.5, 1], np.float32),
        ["a", "ü"],
        np.array([[0, 1], [1, 0], [1, 1]], np.int32),
    )
    assert read_points(tmp_path) is None
    write_points(tmp_path, points)
    found = read_points(tmp_path)
    assert found is not None
    assert found.names == ["a", "ü"]
    assert found.seen_by("ü").tolist() == [0, 1]
    assert found.seen_by("other").tolist() == []
    np.testing.assert_array_equal(found.xyz, points.xyz)


def test_points_turn_with_the_cameras(poses, run):
    """A point is where the field's cameras see it, as the poses' cameras do."""
    points = read_points(poses)
    outputs = parse_dataset(run, "train", holdout_every=SPLATS.holdout_every)
    moved = in_field_frame(points, outputs)
    frames = {Path(f["file_path"]).stem: f for f in read_json(run / "transforms.json")["frames"]}
    for view in read_run_views(run, holdout_every=SPLATS.holdout_every):
        frame = frames[view.name]
        own = replace(view.camera, c2w_opengl=np.array(frame["transform_matrix"]))
        seen = points.seen_by(view.name)
        before, _ = project(points.xyz[seen], own)
        after, _ = project(moved.xyz[seen], view.camera)
        np.testing.assert_allclose(after, before, atol=1e-2)


def test_pixels_of_a_plane_begin_on_it():
    camera = facing()
    rng = np.random.default_rng(0)
    at = rng.uniform(-0.8, 0.8, (200, 2))
    xyz = np.column_stack([at, 0.3 * at[:, 0]]).astype(np.float32)  # a slanted plane
    names, rows = ["view"], np.column_stack([np.zeros(200, np.int32), np.arange(200)])
    points = SparsePoints(xyz, np.zeros_like(xyz), np.zeros(200, np.float32), names, rows)
    photo = rng.random((30, 40, 3), dtype=np.float32)
    start = first_gaussians(
        [View("view", "train", camera)], [photo], points, max_points=500, num_pixels=300, seed=0
    )
    added = start.means[200:]
    assert 250 < len(added) < 350
    inside = np.abs(added[:, :2]).max(axis=1) < 0.6
    assert np.abs(added[inside, 2] - 0.3 * added[inside, 0]).max() < 0.05
    pixels, _ = project(added, camera)
    columns, lines = np.floor(pixels).astype(int).T
    np.testing.assert_array_equal(start.colours[200:], photo[lines, columns])


def test_of_too_many_points_those_that_most_views_saw_are_taken():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-0.5, 0.5, (100, 3)).astype(np.float32)
    sightings = [(0, index) for index in range(100)] + [(1, index) for index in range(1, 100, 2)]
    names, rows = ["view", "other"], np.array(sightings, np.int32)
    points = SparsePoints(xyz, np.zeros_like(xyz), np.zeros(100, np.float32), names, rows)
    view, photo = View("view", "train", facing()), np.zeros((30, 40, 3), np.float32)
    start = first_gaussians([view], [photo], points, max_points=50, num_pixels=0, seed=0)
    np.testing.assert_array_equal(start.means, xyz[1::2])


def test_without_points_pixels_begin_anywhere_and_it_is_said(caplog):
    photo = np.zeros((30, 40, 3), np.float32)
    views = [View("view", "train", facing())]
    start = first_gaussians(views, [photo], None, max_points=9000, num_pixels=10, seed=0)
    assert "0 points, too few" in caplog.text
    assert len(start.means) > 7000
    depth = 2.0 - start.means[:, 2]
    assert 0.59 < depth.min() < 0.7
    assert 4 < depth.max() < 8.1


def test_without_points_the_start_leaves_room_to_grow_too(run, tmp_path):
    without = shutil.copytree(run, tmp_path / "run")
    (without / "points.npz").unlink()
    model = build_splat_trainer(without, replace(SPLATS, num_gaussians=400), CPU).model
    assert isinstance(model, SplatField)
    assert 200 <= int(model.in_use.sum()) <= 360  # as many in each view, rounded


def test_the_start_leaves_a_quarter_of_the_room_to_grow(run):
    model = build_splat_trainer(run, replace(SPLATS, num_gaussians=40), CPU).model
    assert isinstance(model, SplatField)
    assert 20 <= int(model.in_use.sum()) <= 30


def test_more_gaussians_than_there_is_room_for_are_refused(run):
    model = build_splat_trainer(run, replace(SPLATS, num_gaussians=40), CPU).model
    assert isinstance(model, SplatField)
    many = Start(*(np.ones(shape, np.float32) for shape in ((41, 3), 41, (41, 3))))
    with pytest.raises(ParamsError, match=r"may have 40. Raise train_nerf.num_gaussians"):
        plant(model, many)


def test_the_pulled_are_split_and_the_faint_dropped(run):
    trainer, losses = make(run)
    for _ in range(3):
        trainer.update(losses)
    model = trainer.model
    assert isinstance(model, SplatField)
    first = int(model.in_use.sum())
    before = model.gauss_params["means"].detach().clone()
    with torch.no_grad():
        model.opacities[5] = -6.0
    model.pull.zero_()
    model.pull[7] = 3.0
    model.seen.fill_(1)
    refine(trainer, model, goal=first + 1 - 1, largest=1e9)  # one goes, one comes
    assert int(model.in_use.sum()) == first
    # The child took the place that was free first, that of the faint one.
    middle = (model.means[5] + model.means[7]) / 2
    torch.testing.assert_close(middle, before[7])
    assert (model.means[5] - model.means[7]).norm() > 0
    torch.testing.assert_close(model.scales[5], model.scales[7])
    state = trainer.optimizers.optimizers["means"].state[model.means]
    assert not state["exp_avg"][[5, 7]].any()
    assert state["exp_avg"][8].any()
    assert not model.pull.any()


def test_veils_before_a_camera_are_cleared(poses, run):
    trainer, _ = make(run)
    model, growth = trainer.model, trainer.finish_step
    points = read_points(poses)
    outputs = parse_dataset(run, "train", holdout_every=SPLATS.holdout_every)
    views = read_run_views(run, holdout_every=SPLATS.holdout_every)
    moved = in_field_frame(points, outputs)
    distances = [
        np.linalg.norm(moved.xyz[moved.seen_by(v.name)] - v.camera.c2w_opengl[:3, 3], axis=1).min()
        for v in views
        if v.split == "train"
    ]
    assert 0.4 * min(distances) < growth.nearest < min(distances)
    first = int(model.in_use.sum())
    with torch.no_grad():
        model.means[3] = torch.tensor(growth.cameras[0].c2w_opengl[:3, 3]) + 0.5 * growth.nearest
        model.means[4] = torch.tensor(growth.cameras[0].c2w_opengl[:3, 3]) + 1.5 * growth.nearest
    clear_near(model, growth.cameras, growth.nearest)
    assert int(model.in_use.sum()) == first - 1
    assert not model.in_use[3]


def test_a_goal_that_is_reached_splits_nobody(run):
    trainer, _ = make(run)
    model = trainer.model
    assert isinstance(model, SplatField)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    refine(trainer, model, goal=10, largest=1e9)
    after = model.state_dict()
    for name in ("gauss_params.means", "gauss_params.opacities"):
        assert torch.equal(before[name], after[name])


def test_sizes_are_of_pixels():
    camera = facing()
    means = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 5]])
    found = least_scales(means, [camera, facing(distance=4.0)]).exp()
    # 0.3 pixels in the nearer view; the third is behind both cameras.
    torch.testing.assert_close(found, torch.tensor([0.3 * 2 / 40, 0.3 * 1 / 40, 0.0]))
    assert median_pixel(means[:1], [camera]) == pytest.approx(2 / 40)


def test_training_reaches_the_photos(trained):
    metrics = read_json(trained / "metrics.json")
    assert metrics["heldout_psnr"] > 18
    assert metrics["gaussians"] > 400
    field = load_field(trained)
    assert field.params == SPLATS
    view = next(view for view in field.views if view.split == "held_out")
    rendering = field.render(view.camera)
    assert rendering.opacity.mean() > 0.9
    # Depth holds a point of the surface where another view sees it, too.
    other = next(each for each in field.views if each.split == "train")
    points = unproject(rendering.depth_z, view.camera).reshape(-1, 3)
    pixels, z = project(points, other.camera)
    inside = (z > 0) & ((pixels > 0) & (pixels < [48, 36])).all(axis=1)
    columns, lines = pixels[inside].astype(int).T
    seen_z = field.render(other.camera).depth_z[lines, columns]
    assert np.median(np.abs(seen_z / z[inside] - 1)) < 0.1


def test_the_same_seed_gives_the_same_files(poses, trained, tmp_path):
    (tmp_path / "again").mkdir()
    train(poses, tmp_path / "again", SPLATS, work=tmp_path / "work")
    for path in trained.rglob("*"):
        if path.is_file() and path.name != "metrics.json":
            again = tmp_path / "again" / path.relative_to(trained)
            assert path.read_bytes() == again.read_bytes(), path.name


def test_a_killed_run_goes_on_as_if_nothing_had_happened(run, tmp_path, monkeypatch):
    params = replace(SPLATS, iterations=160)  # which grows at step 100
    trainer, losses = make(run, params)
    optimise(trainer, losses, until=130, work=tmp_path / "whole")
    monkeypatch.setattr(trainer_module, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    for killed_at in (90, 120):
        killed, its_losses = make(run, params)

        def until_killed(generator, killed=killed, its_losses=its_losses, killed_at=killed_at):
            if killed.step == killed_at:
                raise Killed
            return its_losses(generator)

        with pytest.raises(Killed):
            optimise(killed, until_killed, until=130, work=tmp_path / "killed")
    resumed, losses = make(run, params)
    optimise(resumed, losses, until=130, work=tmp_path / "killed")
    assert resumed.history == trainer.history
    assert state_bytes(resumed) == state_bytes(trainer)


def test_a_background_of_nerfactos_is_refused(run):
    trainer, _ = make(run)
    trainer.params = replace(SPLATS, background="last_sample")
    with pytest.raises(ParamsError, match="last_sample, which splats do not have"):
        view_losses(trainer, training_views(run, read_run_views(run, holdout_every=4), CPU))


def test_ns_render_renders_what_we_render(trained, tmp_path, monkeypatch):
    from nerfstudio.scripts.render import DatasetRender

    monkeypatch.chdir(trained)
    DatasetRender(
        load_config=Path("config.yml"),
        output_path=tmp_path,
        split="test",
        rendered_output_names=["rgb"],
        image_format="png",
    ).main()
    field = load_field(trained)
    for view in (view for view in field.views if view.split == "held_out"):
        theirs = read_rgb(tmp_path / "test" / "rgb" / f"{view.name}.png")
        np.testing.assert_allclose(theirs, field.render(view.camera).rgb, atol=1.5 / 255)


def test_ns_export_writes_the_gaussians(trained, tmp_path, monkeypatch):
    skip_unless_loadable("open3d", "pymeshlab")
    from nerfstudio.scripts.exporter import ExportGaussianSplat
    from plyfile import PlyData

    monkeypatch.chdir(trained)
    field = load_field(trained)
    ExportGaussianSplat(load_config=Path("config.yml"), output_dir=tmp_path).main()
    vertices = PlyData.read(tmp_path / "splat.ply")["vertex"]
    assert len(vertices) >= int(field.model.in_use.sum())
    assert {"x", "f_dc_0", "opacity", "scale_0", "rot_3"} <= {p.name for p in vertices.properties}


def test_a_model_without_gaussians_shows_nothing(run):
    model = build_model(run, SPLATS, CPU)
    rendering = model.render(read_run_views(run, holdout_every=4)[0].camera)
    assert not rendering.opacity.any()
    assert not rendering.rgb.any()


def test_what_is_frozen_is_the_geometry(trained):
    model = load_field(trained).model
    assert isinstance(model, SplatField)
    model.freeze_geometry()
    learns = {name for name, value in model.gauss_params.items() if value.requires_grad}
    assert learns == {"features_dc", "features_rest"}


def test_planting_fills_the_first_places(run):
    model = build_model(run, SPLATS, CPU)
    views = read_run_views(run, holdout_every=4)
    photos = [read_rgb(run / "images" / f"{view.name}.png") for view in views]
    start = first_gaussians(views, photos, None, max_points=9, num_pixels=80, seed=0)
    few = Start(start.means[:30], start.sizes[:30], start.colours[:30])
    assert isinstance(model, SplatField)
    plant(model, few)
    assert model.in_use[:30].all()
    assert not model.in_use[30:].any()
    np.testing.assert_allclose(model.colors[:30].detach().numpy(), few.colours, atol=1e-6)


@pytest.mark.parametrize(
    ("params", "side"),
    [
        (TrainNerf(), 480),
        (TrainNerf(field="nerfacto"), 240),
        (TrainNerf(field="nerfacto", max_image_side=96), 96),
    ],
)
def test_a_size_that_is_not_given_is_what_suits_the_field(params: TrainNerf, side: int):
    assert training_side(params) == side
