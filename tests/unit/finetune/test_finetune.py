"""Finetuning a tiny real field: it moves, repeats, resumes, learns from training views only, and says when it failed."""

import csv
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenestyle.artifacts import (
    ViewsFolder,
    read_map,
    read_rgb,
    read_views,
    write_map,
    write_rgb,
)
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError, GateError, ParamsError, WeightsError
from scenestyle.finetune import patch_losses as module
from scenestyle.finetune.finetune import finetune
from scenestyle.finetune.guard import DepthProbes, check_not_exploding
from scenestyle.finetune.patch_losses import depth_loss
from scenestyle.finetune.patches import Patch, Target
from scenestyle.finetune.regions import box_mask
from scenestyle.geometry import unproject
from scenestyle.metrics.image import rmse
from scenestyle.nerf.checkpoints import load_checkpoint
from scenestyle.nerf.field import load_field
from scenestyle.nerf.trainer import load_model_state, seeded
from scenestyle.nerfstudio_plugin import rays as rays_module
from scenestyle.nerfstudio_plugin.rays import camera_rays, render_rays
from scenestyle.params import FinetuneNerf
from tests.support.tiny_field import SOURCE_STEPS, write_tiny_source

STEPS = 8


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders nerf, views and stylized of a tiny scene."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_source(folder)
    return folder


def run(
    tiny: Path,
    out: Path,
    *,
    stylized: Path | dict[Path, float] | None = None,
    work: Path | None = None,
    extend: Path | None = None,
    **params,
):
    out.mkdir()
    folder = stylized or tiny / "stylized"
    values = {"iterations": STEPS, "patch_size": 32, "patch_scales": (1.0,)}
    gates = {"min_movement": 0.0, "max_depth_change": 10.0}
    return finetune(
        tiny / "nerf",
        tiny / "views",
        folder if isinstance(folder, dict) else {folder: 1.0},
        out,
        FinetuneNerf(**{**values, **gates, **params}),
        work=work or out.with_name(f"{out.name}_work"),
        extend=extend,
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
    # The points of the poses are what training began with; finetuning begins with a field.
    assert {path.name for path in out.iterdir()} == {
        path.name for path in (tiny / "nerf").iterdir()
    } - {"points.npz"}


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


def test_a_destroyed_geometry_ends_the_finetune_and_the_last_good_checkpoint_stays(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("scenestyle.nerf.trainer._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    fast: dict[str, Any] = dict.fromkeys(("learning_rate", "final_learning_rate"), 0.05)
    with pytest.raises(
        GateError, match=r"destroyed the geometry.*max_depth_change = 0\.2"
    ) as error:
        run(
            tiny,
            tmp_path / "run",
            work=tmp_path / "work",
            iterations=60,
            depth_weight=0.0,
            max_depth_change=0.2,
            **fast,
        )
    saved = load_checkpoint(tmp_path / "work" / "training.ckpt")["state"]
    last_good = saved["step"] + 1
    assert last_good > SOURCE_STEPS
    assert f"after step {last_good}, is {tmp_path / 'work' / 'training.ckpt'}" in str(error.value)
    probes = DepthProbes.read(ViewsFolder.open(tiny / "views"), torch.device("cpu"))
    field = load_field(tiny / "nerf")
    assert probes.change(field.model) < 0.01
    load_model_state(field.model, saved)
    assert 0 < probes.change(field.model) <= 0.2


def test_a_diverging_finetune_fails(tiny: Path, tmp_path: Path):
    with pytest.raises(GateError, match="diverged"):
        run(tiny, tmp_path / "run", iterations=60, learning_rate=1e30, final_learning_rate=1e30)


def test_an_empty_source_field_is_named_with_the_way_out(tiny: Path, tmp_path: Path):
    shutil.copytree(tiny / "views", tmp_path / "views")
    for path in (tmp_path / "views/opacity").iterdir():
        write_map(path, np.zeros_like(read_map(path)))
    with pytest.raises(ArtifactError, match="no view has an opaque pixel; the source field is emp"):
        DepthProbes.read(ViewsFolder.open(tmp_path / "views"), torch.device("cpu"))


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
        camera, 0, colours[None], depth_z * grid, opacity * grid, grid, torch.device("cpu")
    )
    return target.crop(slice(None), slice(None))


def test_depth_loss_is_the_relative_change_where_the_source_is_opaque():
    depth_ray = patch_seen_at(2.0).depth_ray[0, 0]
    assert depth_loss(depth_ray, patch_seen_at(2.0)) == 0
    assert depth_loss(depth_ray * 1.01, patch_seen_at(2.0)).item() == pytest.approx(0.01, rel=0.01)
    assert depth_loss(depth_ray * 1.01, patch_seen_at(2.0, opacity=0.2)) == 0


def test_the_depth_term_is_finite_where_nothing_is_or_was_to_be_seen():
    for was, opacity, now in ((2.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 3.0)):
        depth_ray = torch.full((2, 3), now, requires_grad=True)
        loss = depth_loss(depth_ray, patch_seen_at(was, opacity=opacity))
        loss.backward()
        assert torch.isfinite(loss)
        assert depth_ray.grad is not None
        assert torch.isfinite(depth_ray.grad).all()
        assert bool(loss > 0) == bool(opacity)


def test_the_depth_term_can_be_switched_off(tiny: Path, finetuned, tmp_path: Path):
    run(tiny, tmp_path / "run", depth_weight=0.0)
    depths = [
        [float(row["depth"]) for row in csv.DictReader((out / "losses.csv").open())]
        for out in (tmp_path / "run", finetuned[0])
    ]
    assert not any(depths[0])
    assert all(depths[1])
    assert checkpoint(tmp_path / "run") != checkpoint(finetuned[0])


def test_a_frozen_geometry_stays_to_the_bit_while_colours_move(tiny: Path, tmp_path: Path):
    run(tiny, tmp_path / "run", freeze_geometry=True, iterations=30)
    camera = read_views(tiny / "views")[0].camera
    before, after = (
        load_field(folder).render(camera) for folder in (tiny / "nerf", tmp_path / "run")
    )
    assert np.array_equal(before.depth_z, after.depth_z)
    assert np.array_equal(before.opacity, after.opacity)
    assert rmse([before.rgb], [after.rgb]) > 0.02


def test_extending_a_finished_run_adds_the_missing_steps_only(
    tiny: Path, finetuned, tmp_path: Path
):
    extended = run(tiny, tmp_path / "extended", iterations=STEPS + 4, extend=finetuned[0])
    run(tiny, tmp_path / "whole", iterations=STEPS + 4, decay_iterations=STEPS)
    assert (extended["first_step"], extended["iterations"]) == (SOURCE_STEPS, STEPS + 4)
    assert checkpoint(tmp_path / "extended") == checkpoint(tmp_path / "whole")
    rows, all_rows = (
        (tmp_path / name / "losses.csv").read_text().splitlines() for name in ("extended", "whole")
    )
    assert rows[1:] == all_rows[1 + STEPS :]


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"iterations": STEPS}, "8 steps already"), ({"seed": 3, "iterations": 20}, r"\(seed\)")],
)
def test_a_run_is_only_extended_by_more_of_the_same(
    tiny: Path, finetuned, tmp_path: Path, changed: dict[str, int], message: str
):
    with pytest.raises(ParamsError, match=message):
        run(tiny, tmp_path / "run", extend=finetuned[0], **changed)


def test_a_source_run_cannot_be_extended(tiny: Path, tmp_path: Path):
    with pytest.raises(ParamsError, match="wanted a finetuned run"):
        run(tiny, tmp_path / "run", extend=tiny / "nerf")


@pytest.fixture(scope="module")
def red(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another style: the views in red."""
    folder = tmp_path_factory.mktemp("red")
    for view in read_views(tiny / "views"):
        picture = read_rgb(tiny / "views" / "rgb" / f"{view.name}.png") * np.float32([1, 0, 0])
        write_rgb(folder / "rgb" / f"{view.name}.png", picture)
    return folder


def first_losses(out: Path) -> dict[str, float]:
    row = next(csv.DictReader((out / "losses.csv").open()))
    return {name: float(value) for name, value in row.items()}


def test_a_blend_without_the_other_style_is_the_style(
    tiny: Path, finetuned, red: Path, tmp_path: Path
):
    run(tiny, tmp_path / "run", stylized={tiny / "stylized": 2.0, red: 0.0})
    assert checkpoint(tmp_path / "run") == checkpoint(finetuned[0])


def test_a_blend_weighs_the_distances_to_its_styles(tiny: Path, red: Path, tmp_path: Path):
    plain: dict[str, Any] = {"iterations": 1, "balance_taps": False}
    ends = [
        run(tiny, tmp_path / name, stylized=folder, **plain) and first_losses(tmp_path / name)
        for name, folder in (("one", tiny / "stylized"), ("other", red))
    ]
    run(tiny, tmp_path / "blend", stylized={tiny / "stylized": 3.0, red: 1.0}, **plain)
    blend = first_losses(tmp_path / "blend")
    for name in ("style", "content"):
        wanted = 0.75 * ends[0][name] + 0.25 * ends[1][name]
        assert blend[name] == pytest.approx(wanted, rel=1e-4)
        assert ends[0][name] != pytest.approx(ends[1][name], rel=0.1)
    assert blend["depth"] == ends[0]["depth"]


@pytest.mark.parametrize("weights", [(0.0, 0.0), (1.0, -0.5)])
def test_weights_that_blend_nothing_are_refused(tiny: Path, red: Path, tmp_path: Path, weights):
    with pytest.raises(ParamsError, match="must not be negative"):
        run(
            tiny,
            tmp_path / "run",
            stylized=dict(zip((tiny / "stylized", red), weights, strict=True)),
        )


def write_masks(tiny: Path, folder: Path, left: float, right: float) -> str:
    for view in read_views(tiny / "views"):
        mask = np.full((view.camera.height, view.camera.width, 3), right, np.float32)
        mask[:, : view.camera.width // 2] = left
        write_rgb(folder / f"{view.name}.png", mask)
    return str(folder)


def test_a_mask_that_is_white_everywhere_changes_nothing(tiny: Path, finetuned, tmp_path: Path):
    masks = write_masks(tiny, tmp_path / "masks", 1, 1)
    run(tiny, tmp_path / "run", region_masks=masks)
    rows = [(out / "losses.csv").read_text() for out in (tmp_path / "run", finetuned[0])]
    assert rows[0] == rows[1]


def test_a_region_confines_the_style(tiny: Path, tmp_path: Path):
    depths = {
        view.name: np.load(tiny / "views" / "depth_z" / f"{view.name}.npy")
        for view in read_views(tiny / "views")
    }
    surface = np.concatenate(
        [unproject(depths[view.name], view.camera) for view in read_views(tiny / "views")]
    ).reshape(-1, 3)
    lower, upper = np.quantile(surface, [0.2, 0.8], axis=0).tolist()
    box = (tuple(lower), tuple(upper))
    moved = {"inside": [], "outside": []}
    for name, region in (("confined", box), ("everywhere", None)):
        run(tiny, tmp_path / name, region_box=region, iterations=60)
        inside, outside = movement_in_and_outside(tiny, tmp_path / name, depths, box)
        moved["inside"].append(inside)
        moved["outside"].append(outside)
    assert moved["outside"][0] < 0.5 * moved["outside"][1]
    assert moved["inside"][0] / moved["outside"][0] > moved["inside"][1] / moved["outside"][1]


def movement_in_and_outside(tiny: Path, out: Path, depths, box) -> tuple[float, float]:
    """Mean change of colour of the pixels that show the box, and of the others."""
    field = load_field(out)
    changes, masks = [], []
    for view in read_views(tiny / "views"):
        before = read_rgb(tiny / "views" / "rgb" / f"{view.name}.png")
        changes.append(np.abs(field.render(view.camera).rgb - before).mean(-1).ravel())
        masks.append(box_mask(view.camera, depths[view.name], box).ravel() == 1)
    change, is_inside = np.concatenate(changes), np.concatenate(masks)
    return float(change[is_inside].mean()), float(change[~is_inside].mean())


@pytest.mark.parametrize("region", ["masks", "box"])
def test_a_region_that_no_view_shows_is_refused(tiny: Path, tmp_path: Path, region: str):
    values: dict[str, Any] = (
        {"region_masks": write_masks(tiny, tmp_path / "masks", 0, 0)}
        if region == "masks"
        else {"region_box": ((90.0, 90.0, 90.0), (91.0, 91.0, 91.0))}
    )
    with pytest.raises(ParamsError, match="no view shows anything of the region"):
        run(tiny, tmp_path / "run", **values)


@pytest.mark.parametrize("fault", ["missing", "size", "corrupt"])
def test_masks_that_do_not_fit_the_views_are_refused(tiny: Path, tmp_path: Path, fault: str):
    masks = write_masks(tiny, tmp_path / "masks", 1, 0)
    first = sorted((tmp_path / "masks").iterdir())[0]
    if fault == "missing":
        first.unlink()
    elif fault == "size":
        write_rgb(first, np.zeros((36, 40, 3), np.float32))
    else:
        first.write_bytes(b"no picture")
    with pytest.raises(ArtifactError, match=first.stem):
        run(tiny, tmp_path / "run", region_masks=masks)


def test_deferred_back_propagation_gives_the_gradients_of_the_same_parts(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
):
    model = load_field(tiny / "nerf").model.train()
    model.before_step(SOURCE_STEPS)
    rays = patch_rays(tiny)
    found = []
    for is_deferred in (True, False):
        if not is_deferred:
            monkeypatch.setattr(rays_module, "checkpoint", lambda f, part, **_: f(part))
        model.zero_grad()
        model.proposal_sampler.set_extra_state({"step": 70, "steps_since_update": 9})
        with seeded(5):
            rendered = render_rays(model, rays, 100)
        with seeded(6):  # what is drawn in between must not matter
            (rendered.rgb.square().mean() + sum(rendered.auxiliary.values())).backward()
        counters = model.proposal_sampler.get_extra_state()
        gradients = {
            name: parameter.grad.clone()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        found.append((rendered.rgb.detach(), counters, gradients))
    (rgb, counters, gradients), (other_rgb, other_counters, other_gradients) = found
    assert any("proposal" in name for name in gradients)
    assert gradients.keys() == other_gradients.keys()
    assert torch.equal(rgb, other_rgb)
    assert counters == other_counters
    for name, gradient in gradients.items():
        assert gradient.any(), name
        torch.testing.assert_close(gradient, other_gradients[name], rtol=1e-4, atol=1e-9, msg=name)


def patch_rays(tiny: Path):
    return camera_rays(read_views(tiny / "views")[0].camera, torch.device("cpu"), rows=slice(8))


def test_deferral_keeps_few_values_in_memory(tiny: Path):
    model = load_field(tiny / "nerf").model.train()
    rays, kept = patch_rays(tiny), []
    for rays_per_pass in (None, 48):
        sizes: list[int] = []

        def note(tensor: torch.Tensor, sizes=sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            render_rays(model, rays, rays_per_pass)
        kept.append(sum(sizes))
    assert kept[1] < 0.1 * kept[0]


def test_a_finetune_in_parts_comes_as_close(tiny: Path, tmp_path: Path):
    whole, parts = (
        run(tiny, tmp_path / f"{rays}", iterations=40, patch_size=64, rays_per_pass=rays)
        for rays in (None, 300)
    )
    assert parts["style_loss"]["first"] == pytest.approx(whole["style_loss"]["first"], rel=0.05)
    assert parts["style_loss"]["last"] == pytest.approx(whole["style_loss"]["last"], rel=0.1)


def test_the_strip_of_a_held_out_view_grows_and_stays(tiny: Path, finetuned, tmp_path: Path):
    strip = read_rgb(finetuned[0] / "progress.png")
    work = finetuned[0].with_name("run_work")
    assert [path.name for path in sorted(work.glob("step_*.png"))] == [
        f"step_{step:09d}.png" for step in (1, 2, 4, 8)
    ]
    assert strip.shape[1] > 6 * 48
    assert np.array_equal(read_rgb(work / "progress.png"), strip)
