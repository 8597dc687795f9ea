"""Finetuning a tiny real field: it moves, repeats, resumes, learns from training views only, and says when it failed."""

import csv
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_field import SOURCE_STEPS, write_tiny_source

from scenestyle.artifacts import read_rgb, read_views, write_rgb
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError, GateError, ParamsError, WeightsError
from scenestyle.metrics.image import rmse
from scenestyle.nerf import finetune as module
from scenestyle.nerf.field import load_field
from scenestyle.nerf.finetune import check_not_exploding, depth_loss, finetune
from scenestyle.nerf.patches import Patch, Target
from scenestyle.params import FinetuneNerf

STEPS = 8


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders nerf, views and stylized of a tiny scene."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_source(folder)
    return folder


def run(tiny: Path, out: Path, *, stylized: Path | None = None, work: Path | None = None, **params):
    out.mkdir()
    values = {"iterations": STEPS, "patch_size": 32, "patch_scales": (1.0,), "min_movement": 0.0}
    return finetune(
        tiny / "nerf",
        tiny / "views",
        stylized or tiny / "stylized",
        out,
        FinetuneNerf(**{**values, **params}),
        work=work or out.with_name(f"{out.name}_work"),
    )


def checkpoint(run: Path) -> bytes:
    (path,) = (run / "nerfstudio_models").iterdir()
    return path.read_bytes()


@pytest.fixture(scope="module")
def finetuned(tiny: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("finetuned") / "run"
    return out, run(tiny, out)


def test_takes_exactly_the_steps_asked_for_after_the_source(finetuned):
    out, metrics = finetuned
    assert (metrics["first_step"], metrics["iterations"]) == (SOURCE_STEPS, STEPS)
    assert [path.name for path in (out / "nerfstudio_models").iterdir()] == [
        f"step-{SOURCE_STEPS + STEPS - 1:09d}.ckpt"
    ]
    header, *lines = (out / "losses.csv").read_text().splitlines()
    assert header == "step,style,content,depth,interlevel,distortion"
    first_and_last = [int(line.split(",")[0]) for line in (lines[0], lines[-1])]
    assert first_and_last == [SOURCE_STEPS + 1, SOURCE_STEPS + STEPS]


def test_the_run_opens_and_its_renders_moved_as_recorded(tiny: Path, finetuned):
    out, metrics = finetuned
    before, after = load_field(tiny / "nerf"), load_field(out)
    assert [view.name for view in after.views] == [view.name for view in before.views]
    held_out = [view.camera for view in read_views(tiny / "views") if view.split == "held_out"]
    moved = rmse(
        [after.render(camera).rgb for camera in held_out],
        [before.render(camera).rgb for camera in held_out],
    )
    # The views on disk are rounded to 8 bits.
    assert metrics["movement"] == pytest.approx(moved, abs=0.002)
    assert moved > 0.02
    assert {path.name for path in out.iterdir()} == {
        path.name for path in (tiny / "nerf").iterdir()
    }


def test_comes_closer_to_the_stylized_views(tiny: Path, tmp_path: Path):
    metrics = run(tiny, tmp_path / "run", iterations=40)
    assert metrics["style_loss"]["last"] < 0.8 * metrics["style_loss"]["first"]
    field = load_field(tmp_path / "run")
    train = [view for view in read_views(tiny / "views") if view.split == "train"]
    wanted = [read_rgb(tiny / "stylized" / "rgb" / f"{view.name}.png") for view in train]
    before = [read_rgb(tiny / "views" / "rgb" / f"{view.name}.png") for view in train]
    after = [field.render(view.camera).rgb for view in train]
    assert rmse(after, wanted) < 0.8 * rmse(before, wanted)


def test_same_inputs_same_bytes_and_held_out_pictures_are_not_learned_from(
    tiny: Path, finetuned, tmp_path: Path
):
    shutil.copytree(tiny / "stylized", tmp_path / "stylized")
    for view in read_views(tiny / "views"):
        if view.split == "held_out":
            size = (view.camera.height, view.camera.width, 3)
            write_rgb(
                tmp_path / "stylized" / "rgb" / f"{view.name}.png", np.zeros(size, np.float32)
            )
    run(tiny, tmp_path / "run", stylized=tmp_path / "stylized")
    assert checkpoint(tmp_path / "run") == checkpoint(finetuned[0])
    assert (tmp_path / "run" / "losses.csv").read_bytes() == (
        finetuned[0] / "losses.csv"
    ).read_bytes()


def test_another_seed_is_another_trajectory(tiny: Path, finetuned, tmp_path: Path):
    run(tiny, tmp_path / "run", seed=1)
    assert checkpoint(tmp_path / "run") != checkpoint(finetuned[0])


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tiny: Path, finetuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    draw, drawn = module.random_patch, []

    def killed_in_the_fifth_step(*arguments):
        drawn.append(arguments)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return draw(*arguments)

    monkeypatch.setattr("scenestyle.nerf.trainer._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    monkeypatch.setattr(module, "random_patch", killed_in_the_fifth_step)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, tmp_path / "killed", work=tmp_path / "work")
    run(tiny, tmp_path / "resumed", work=tmp_path / "work")
    assert len(drawn) == STEPS + 1
    assert checkpoint(tmp_path / "resumed") == checkpoint(finetuned[0])


def test_a_finetune_that_changed_nothing_fails_and_keeps_its_checkpoint(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("scenestyle.nerf.trainer._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    still: dict[str, Any] = dict.fromkeys(("learning_rate", "final_learning_rate"), 1e-9)
    with pytest.raises(GateError, match=r"changed nothing.*min_movement = 0\.02"):
        run(tiny, tmp_path / "run", work=tmp_path / "work", min_movement=0.02, **still)
    assert (tmp_path / "work" / "training.ckpt").exists()
    assert not (tmp_path / "run" / "nerfstudio_models").exists()


def test_a_diverging_finetune_fails(tiny: Path, tmp_path: Path):
    with pytest.raises(GateError, match="diverged"):
        run(tiny, tmp_path / "run", iterations=60, learning_rate=1e30, final_learning_rate=1e30)


def test_a_growing_loss_is_told_from_a_noisy_one():
    noisy = [1.0 + 0.9 * math.sin(step) for step in range(200)]
    check_not_exploding(noisy)
    check_not_exploding([])
    with pytest.raises(GateError, match=r"after 220 steps.* to 3\.5"):
        check_not_exploding([*noisy, *[3.5] * 20])


@pytest.mark.parametrize("fault", ["missing", "surplus", "size", "corrupt"])
def test_stylized_pictures_that_do_not_fit_the_views_are_refused(
    tiny: Path, tmp_path: Path, fault: str
):
    shutil.copytree(tiny / "stylized", tmp_path / "stylized")
    folder = tmp_path / "stylized" / "rgb"
    first = sorted(folder.iterdir())[0]
    if fault == "missing":
        first.unlink()
    elif fault == "surplus":
        shutil.copy(first, folder / "other.png")
    elif fault == "size":
        write_rgb(first, np.zeros((36, 40, 3), np.float32))
    else:
        first.write_bytes(b"no picture")
    with pytest.raises(ArtifactError, match="other" if fault == "surplus" else first.stem):
        run(tiny, tmp_path / "run", stylized=tmp_path / "stylized")


def test_scales_too_small_for_the_features_are_refused(tiny: Path, tmp_path: Path):
    with pytest.raises(ParamsError, match="18 pixels"):
        run(tiny, tmp_path / "run", patch_scales=(1.0, 0.5))


def test_missing_weights_are_told_before_anything_is_done(tiny: Path, tmp_path: Path):
    with pytest.raises(WeightsError, match="efficientnet_lite0"):
        run(tiny, tmp_path / "run", features="vgg19", features_weights=str(tmp_path / "no.pth"))
    assert list((tmp_path / "run").iterdir()) == []


def patch_seen_at(depth_z: float, opacity: float = 1.0) -> Patch:
    camera = PinholeCamera(np.eye(4), fx=3.0, fy=3.0, cx=1.5, cy=1.0, width=3, height=2)
    grid = np.ones((2, 3), np.float32)
    colours = np.zeros((2, 3, 3), np.float32)
    target = Target.from_view(
        camera, 0, colours, depth_z * grid, opacity * grid, torch.device("cpu")
    )
    return target.crop(slice(None), slice(None))


def test_depth_loss_is_the_relative_change_where_the_source_is_opaque():
    depth_ray = patch_seen_at(2.0).depth_ray.reshape(-1, 1)
    assert depth_loss(depth_ray, patch_seen_at(2.0)) == 0
    assert depth_loss(depth_ray * 1.01, patch_seen_at(2.0)).item() == pytest.approx(0.01, rel=0.01)
    assert depth_loss(depth_ray * 1.01, patch_seen_at(2.0, opacity=0.2)) == 0


def test_the_depth_term_can_be_switched_off(tiny: Path, finetuned, tmp_path: Path):
    run(tiny, tmp_path / "run", depth_weight=0.0)
    depths = [
        [float(row["depth"]) for row in csv.DictReader((out / "losses.csv").open())]
        for out in (tmp_path / "run", finetuned[0])
    ]
    assert not any(depths[0])
    assert all(depths[1])
    assert checkpoint(tmp_path / "run") != checkpoint(finetuned[0])
