"""Splats are finetuned by the same code as nerfacto: what differs is held here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from scenestyle.artifacts import ViewsFolder, read_json, read_views, write_rgb
from scenestyle.errors import GateError
from scenestyle.finetune.finetune import continued_trainer, finetune
from scenestyle.finetune.guard import DepthProbes
from scenestyle.finetune.patch_losses import pixel_distance
from scenestyle.losses import photometric_loss
from scenestyle.nerf.checkpoints import run_checkpoint
from scenestyle.nerf.field import load_field
from scenestyle.nerf.run_folder import finetuned_config, run_config
from scenestyle.nerf.trainer import load_model_state
from scenestyle.nerfstudio_plugin.splat_field import SplatField
from scenestyle.params import FinetuneNerf
from tests.support.tiny_field import SPLATS, write_tiny_source

PARAMS = FinetuneNerf(iterations=30, patch_scales=(1.0,), max_depth_change=1.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splats")
    write_tiny_source(folder, SPLATS)
    return folder


def run(tiny: Path, out: Path, work: Path | None = None, **changes: object) -> dict[str, object]:
    out.mkdir(parents=True)
    folders = (tiny / "nerf", tiny / "views", {tiny / "stylized": 1.0})
    params = replace(PARAMS, **changes)
    return finetune(*folders, out, params, work=work or out.with_name(f"{out.name}_work"))


@pytest.fixture(scope="module")
def finetuned(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finetuned") / "run"
    run(tiny, out)
    return out


def test_renders_come_near_the_stylized_views(tiny: Path, finetuned: Path):
    metrics = read_json(finetuned / "metrics.json")
    assert metrics["movement"] > 0.08
    assert metrics["style_loss"]["last"] < metrics["style_loss"]["first"]
    assert len((finetuned / "losses.csv").read_text().splitlines()) == 1 + PARAMS.iterations
    view = next(view for view in read_views(tiny / "views") if view.split == "held_out")
    wanted = 1 - ViewsFolder.open(tiny / "views").rgb(view)
    before, after = (
        np.abs(load_field(folder).render(view.camera).rgb - wanted).mean()
        for folder in (tiny / "nerf", finetuned)
    )
    assert after < 0.95 * before


def test_the_configuration_is_what_nerfstudios_classes_would_write(tiny: Path, finetuned: Path):
    written = (finetuned / "config.yml").read_text()
    assert written != (tiny / "nerf/config.yml").read_text()
    # Wherever the run was made, its configuration names the machine that it is finetuned on.
    elsewhere = written.replace("device_type: cpu", "device_type: cuda")
    trainer = continued_trainer(tiny / "nerf", PARAMS, torch.device("cpu"))
    wanted = yaml.dump(run_config(trainer, keeps_frame=False))
    assert written == finetuned_config(elsewhere, trainer) == wanted


def test_pixels_are_compared_unless_told_otherwise(tiny: Path, finetuned: Path, tmp_path: Path):
    run(tiny, tmp_path / "run", pixel_weight=0.0)
    wanted = 1 - ViewsFolder.open(tiny / "views").rgb(read_views(tiny / "views")[1])
    camera = read_views(tiny / "views")[1].camera
    distances = {}
    for folder in (finetuned, tmp_path / "run"):
        header = (folder / "losses.csv").read_text().splitlines()[0].split(",")
        distances["pixels" in header] = np.abs(
            load_field(folder).render(camera).rgb - wanted
        ).mean()
    assert distances[True] < 0.9 * distances[False]


def test_the_distance_of_pixels_is_that_of_training_weighed_by_style():
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, 24, 32, generator=generator, requires_grad=True)
    targets = torch.rand(2, 3, 24, 32, generator=generator)
    weights = torch.tensor([0.25, 0.75])
    distance = pixel_distance(picture, targets, weights)
    each = [photometric_loss(picture[0], target) for target in targets]
    assert float(distance) == pytest.approx(0.25 * float(each[0]) + 0.75 * float(each[1]))
    same = pixel_distance(picture, picture.detach().expand(2, -1, -1, -1), weights)
    assert float(same) == pytest.approx(0, abs=1e-6)
    (gradient,) = torch.autograd.grad(distance, picture)
    assert gradient.abs().max() > 0


def test_a_frozen_geometry_stays_to_the_bit_while_colours_move(tiny: Path, tmp_path: Path):
    run(tiny, tmp_path / "run", freeze_geometry=True)
    camera = read_views(tiny / "views")[0].camera
    before, after = (
        load_field(folder).render(camera) for folder in (tiny / "nerf", tmp_path / "run")
    )
    assert np.array_equal(before.depth_z, after.depth_z)
    assert np.array_equal(before.opacity, after.opacity)
    assert np.abs(before.rgb - after.rgb).mean() > 0.02


def test_what_a_mask_leaves_out_stays(tiny: Path, tmp_path: Path):
    views = read_views(tiny / "views")
    mask = np.zeros((36, 48, 3), np.float32)
    mask[:, 24:] = 1
    for view in views:
        write_rgb(tmp_path / "masks" / f"{view.name}.png", mask)
    run(tiny, tmp_path / "run", region_masks=str(tmp_path / "masks"), iterations=40)
    moved = [
        np.abs(
            load_field(tmp_path / "run").render(view.camera).rgb
            - load_field(tiny / "nerf").render(view.camera).rgb
        ).mean(axis=(0, 2))
        for view in views
    ]
    by_column = np.mean(moved, axis=0)
    assert by_column[28:].mean() > 1.5 * by_column[:20].mean()


def test_the_same_seed_gives_the_same_bytes_also_for_patches(tiny: Path, tmp_path: Path):
    results = []
    for attempt in range(2):
        run(tiny, tmp_path / f"{attempt}", patch_size=32, iterations=4, min_movement=0.0)
        results.append(run_checkpoint(tmp_path / f"{attempt}").read_bytes())
    assert results[0] == results[1]


def test_more_steps_give_the_bytes_of_a_run_in_one_go(tiny: Path, tmp_path: Path):
    changes = {"decay_iterations": 6, "min_movement": 0.0}
    run(tiny, tmp_path / "whole", iterations=6, **changes)
    run(tiny, tmp_path / "first", iterations=3, **changes)
    (tmp_path / "more").mkdir()
    finetune(
        tiny / "nerf",
        tiny / "views",
        {tiny / "stylized": 1.0},
        tmp_path / "more",
        replace(PARAMS, iterations=6, **changes),
        work=tmp_path / "more_work",
        extend=tmp_path / "first",
    )
    whole, more = (run_checkpoint(tmp_path / name) for name in ("whole", "more"))
    assert whole.read_bytes() == more.read_bytes()


def test_probes_are_of_the_depth_that_is_rendered(tiny: Path):
    probes = DepthProbes.read(ViewsFolder.open(tiny / "views"), torch.device("cpu"))
    field = load_field(tiny / "nerf")
    assert isinstance(field.model, SplatField)
    assert probes.change(field.model) == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        field.model.means.mul_(1.5)
    assert probes.change(field.model) > 0.05


def test_a_destroyed_geometry_stops_the_finetune(tiny: Path, tmp_path: Path):
    with pytest.raises(GateError, match="destroyed the geometry"):
        run(tiny, tmp_path / "run", max_depth_change=1e-4, depth_weight=0.0)


def test_optimizers_forget_the_training(tiny: Path):
    trainer = continued_trainer(tiny / "nerf", PARAMS, torch.device("cpu"))
    rates = {
        name: each.param_groups[0]["lr"] for name, each in trainer.optimizers.optimizers.items()
    }
    assert rates["features_dc"] == pytest.approx(9 * PARAMS.learning_rate)
    assert rates["opacities"] == pytest.approx(PARAMS.learning_rate)
    assert not any(each.state for each in trainer.optimizers.optimizers.values())
    load_model_state(trainer.model, trainer.state())
