import shutil
from pathlib import Path

import numpy as np
import pytest

from scenestyle.artifacts import read_json
from scenestyle.errors import ArtifactError
from scenestyle.geometry import pixel_rays
from scenestyle.nerf.dataset import read_photo
from scenestyle.nerf.field import load_field
from scenestyle.nerf.train import train
from scenestyle.nerfstudio_plugin import model as model_module
from scenestyle.nerfstudio_plugin.rays import camera_rays


@pytest.fixture(scope="module")
def run(poses, params, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nerf") / "demo"
    folder.mkdir()
    train(poses, folder, params, work=tmp_path_factory.mktemp("work"))
    return folder


def test_a_run_is_complete_and_knows_no_place_or_time(run, params):
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith("images/")} == {
        "config.yml",
        "dataparser_transforms.json",
        "loss_curve.png",
        "progress.png",
        "losses.csv",
        "metrics.json",
        "nerfstudio_models/step-000000011.ckpt",
        "transforms.json",
    }
    config = (run / "config.yml").read_text()
    assert str(run.parent) not in config
    assert "{timestamp}" not in config
    assert len((run / "losses.csv").read_text().splitlines()) == 1 + params.iterations


def test_the_figures_are_of_the_views_as_rendered(run):
    metrics, field = read_json(run / "metrics.json"), load_field(run)
    held_out = [view for view in field.views if view.split == "held_out"]
    assert len(held_out) == 2
    by_view = metrics["psnr_by_view"]
    assert set(by_view) == {view.name for view in field.views}
    assert metrics["heldout_psnr"] == pytest.approx(np.mean([by_view[v.name] for v in held_out]))
    photo = read_photo(run, held_out[0])
    error = np.mean((field.render(held_out[0].camera).rgb - photo) ** 2)
    assert by_view[held_out[0].name] == pytest.approx(-10 * np.log10(error), abs=1e-3)


def test_the_same_seed_gives_the_same_files(run, poses, params, tmp_path):
    (tmp_path / "again").mkdir()
    train(poses, tmp_path / "again", params, work=tmp_path / "work")
    for path in run.rglob("*"):
        if path.is_file() and path.name != "metrics.json":
            again = tmp_path / "again" / path.relative_to(run)
            assert path.read_bytes() == again.read_bytes(), path.name


def test_chunks_leave_no_trace(run, monkeypatch):
    field = load_field(run)
    camera = field.views[0].camera.resized(13, 11)
    whole = field.render(camera)
    monkeypatch.setattr(model_module, "_RAYS_PER_CHUNK", {"cpu": 10})
    chunked = field.render(camera)
    for name in ("rgb", "depth_z", "opacity"):
        np.testing.assert_allclose(
            getattr(chunked, name), getattr(whole, name), rtol=1e-4, atol=1e-5
        )


def test_depth_is_along_the_optical_axis(run):
    field = load_field(run)
    camera = field.views[0].camera
    rays = camera_rays(camera, field.model.device)
    along_ray = field.model(rays)["expected_depth"].detach().numpy().reshape(18, 24)
    lengths = np.linalg.norm(pixel_rays(camera), axis=-1)
    assert lengths.max() > 1.05
    np.testing.assert_allclose(field.render(camera).depth_z, along_ray / lengths, rtol=1e-4)


def test_rendering_leaves_a_model_in_training_as_it_is(run):
    field = load_field(run)
    field.model.train()
    field.render(field.views[0].camera)
    assert field.model.training


def test_nerfstudios_own_tools_open_a_run(run, monkeypatch):
    from nerfstudio.utils.eval_utils import eval_setup

    monkeypatch.chdir(run)
    _, pipeline, checkpoint, step = eval_setup(Path("config.yml"))
    assert (checkpoint.name, step) == ("step-000000011.ckpt", 11)
    field = load_field(run)
    held_out = next(view for view in field.views if view.split == "held_out")
    theirs = pipeline.model.get_outputs_for_camera(pipeline.datamanager.eval_dataset.cameras[0:1])
    rendering = field.render(held_out.camera)
    np.testing.assert_allclose(theirs["rgb"].numpy(), rendering.rgb, atol=1e-4)


def test_a_folder_without_checkpoint_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"holds no step-\*.ckpt. Rerun"):
        load_field(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state["train_nerf"].update(colour_space="none we know"), "another version"),
        (lambda state: state.update(field_format=0), "holds a field of format 0"),
        (lambda state: state.pop("field_format"), "holds a field of format None"),
    ],
)
def test_a_run_of_another_version_is_refused(run, tmp_path, change, words):
    from scenestyle.nerf.checkpoints import load_checkpoint, run_checkpoint, save_checkpoint

    copy = shutil.copytree(run, tmp_path / "old")
    state = load_checkpoint(run_checkpoint(copy))
    change(state)
    save_checkpoint(run_checkpoint(copy), state)
    with pytest.raises(ArtifactError, match=rf"{words}.*Rerun train_nerf"):
        load_field(copy)
