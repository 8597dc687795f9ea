"""Controls that cost as much as a result of their own, and are therefore made on request only."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from scenestyle.artifacts import (
    read_json,
    read_points,
    read_rgb,
    write_json,
    write_points,
    write_rgb,
)
from scenestyle.errors import ArtifactError
from scenestyle.evaluation.measure import Measurements, view_links
from scenestyle.evaluation.renders import Inputs, Orbit, Step, render_cameras
from scenestyle.metrics.warp import warp_errors
from scenestyle.params import StylizeViews

if TYPE_CHECKING:
    from scenestyle.diffusion.models import DiffusionModel


@dataclass(frozen=True)
class Control:
    """The same edit with views that know nothing of each other."""

    orbit: Orbit
    """before, and after this edit"""
    steps: Sequence[Step]
    """with its own stylized pictures and its own field's renders"""
    stylized: Path
    """with `rgb/NAME.png` per view"""


def edit_alone(inputs: Inputs, orbit: Orbit, steps: Sequence[Step], work: Path) -> Control:
    """Make the edit once more without sharing: restyle each view by itself, finetune, render.

    Model, settings, losses and seeds are those of the result. Pictures, field and frames are kept
    in `work`, so that a killed run goes on from them.

    Raises:
        ArtifactError: If the stylized views were made with other weights than are there now.
        GateError: If the finetuning diverges.
    """
    stylized = work / "unshared"
    restyle_alone(inputs.views, inputs.stylized, stylized / "rgb")
    field = finetune_alone(inputs, stylized, work / "unshared_field")
    cameras = [*orbit.cameras, *(step.view.camera for step in steps)]
    renderings = render_cameras(field, cameras, work / "after_unshared")
    after, of_views = renderings[: len(orbit.cameras)], renderings[len(orbit.cameras) :]
    return Control(
        replace(orbit, after=after),
        [
            replace(
                step,
                stylized=read_rgb(stylized / "rgb" / f"{step.view.name}.png"),
                rendering=rendering,
            )
            for step, rendering in zip(steps, of_views, strict=True)
        ],
        stylized,
    )


def finetune_alone(inputs: Inputs, stylized: Path, work: Path) -> Path:
    """Finetune the source field towards other pictures as the result was; folder of the run.

    Raises:
        GateError: If the finetuning diverges.
    """
    from scenestyle.finetune.finetune import finetune, finetuned_with
    from scenestyle.nerf.checkpoints import load_checkpoint, run_checkpoint

    run = work / "run"
    if not (run / "metrics.json").is_file():
        params = finetuned_with(load_checkpoint(run_checkpoint(inputs.finetuned)), inputs.finetuned)
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        # That views without sharing average to nothing, or bend the scene, is a finding here, not a
        # fault.
        params = replace(params, min_movement=0.0, max_depth_change=math.inf)
        finetune(inputs.nerf, inputs.views, {stylized: 1.0}, run, params, work=work)
    return run


def unshared_figures(control: Control, measured: Measurements, tau: float) -> Measurements:
    """Metrics without sharing, `_alone`, and the disagreement of its stylized views, `_unshared`.

    Args:
        control: The edit.
        measured: What was measured of it. Figures that are controls themselves are left out.
        tau: `evaluate.warp_tau`.
    """
    links = view_links(control.steps, tau=tau)
    pictures = [step.stylized for step in control.steps]
    return {
        "views_warp_unshared": warp_errors(pictures, links),
        **{
            f"{name}_alone": value
            for name, value in measured.items()
            if not name.endswith(("_source", "_stylized", "_share"))
        },
    }


def refit_figures(
    inputs: Inputs, control: Control | None, iterations: int, work: Path
) -> Measurements:
    """Metrics of `evaluate.refit_iterations`: stylized views, the source's, those without sharing.

    Fields are kept in `work`, so that a killed run goes on from them.
    """
    refitted = {"": inputs.stylized, "_source": inputs.views}
    if control is not None:
        refitted["_unshared"] = control.stylized
    return {
        f"refit_psnr{suffix}": refit_psnr(
            inputs.nerf,
            folder / "rgb",
            iterations=iterations,
            work=work / f"refit{suffix}",
            masks=inputs.views / "masks",
        )
        for suffix, folder in refitted.items()
    }


def restyle_alone(views: Path, stylized: Path, out: Path) -> None:
    """Restyle the views with the model and settings of `stylized`, each view by itself.

    Args:
        views: What render_views wrote.
        stylized: What stylize_views made of it; its manifest says with which model and settings.
        out: Gets NAME.png per view; what is there already is kept.

    Raises:
        ArtifactError: If the manifest lacks the parameters, or names other weights than the model
            has now.
    """
    from scenestyle.diffusion.inputs import read_rendered_views
    from scenestyle.diffusion.restyle import Restyler, alone
    from scenestyle.diffusion.stylize import Settings

    before = read_rendered_views(views)
    files = [out / f"{name}.png" for name in before.names]
    if all(file.is_file() for file in files):
        return
    manifest = read_json(stylized / "manifest.json")
    if "params" not in manifest:
        raise ArtifactError(
            f"{stylized}/manifest.json is of an earlier version and lacks the stage's parameters. "
            "Rerun stylize_views."
        )
    params = StylizeViews(**{**manifest["params"], "sharing": "none"})
    settings = Settings(**{f.name: manifest["settings"][f.name] for f in fields(Settings)})
    restyler = Restyler.load(before, params, [settings])
    _check_same_weights(restyler.model, manifest["sources"], stylized)
    pictures = restyler.restyle(alone(settings), work=out.parent / "steps")
    for file, picture in zip(files, pictures, strict=True):
        write_rgb(file, picture)


def refit_psnr(
    nerf: Path, pictures: Path, *, iterations: int, work: Path, masks: Path | None = None
) -> Float[np.ndarray, " held_out_views"]:
    """PSNR of each held-out image, dB, by a fresh field trained on the other images alone.

    A field is one scene: what two pictures of a point disagree about, it can only average. Pictures
    that contradict each other are therefore predicted badly, however long the training. How long
    matters, and so does how busy the pictures are: read it beside the same figure of the source
    renders.

    Args:
        nerf: The source run, whose cameras, split, sizes and seed the fresh field shares.
        pictures: NAME.png per view, of the shape of the run's images.
        iterations: Training steps, of which the learning rate's decay takes as many.
        work: Folder of the field; an interrupted call goes on from it.
        masks: NAME.png per view, of the images' size, if photos hide something and it exists.
    """
    from scenestyle.nerf.checkpoints import load_checkpoint, recorded_params, run_checkpoint
    from scenestyle.nerf.dataset import read_run_views
    from scenestyle.nerf.train import train

    params = recorded_params(load_checkpoint(run_checkpoint(nerf)), nerf)
    run = work / "run"
    if not (run / "metrics.json").is_file():
        posed = _posed(nerf, pictures, masks, work / "posed")
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        train(posed, run, replace(params, iterations=iterations), work=work)
    by_view = read_json(run / "metrics.json")["psnr_by_view"]
    views = read_run_views(nerf, holdout_every=params.holdout_every)
    return np.array([by_view[view.name] for view in views if view.split == "held_out"])


def _posed(nerf: Path, pictures: Path, masks: Path | None, folder: Path) -> Path:
    """The run's cameras with other pictures, as estimate_poses lays them out."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pictures, folder / "images")
    if masks and masks.is_dir():
        shutil.copytree(masks, folder / "masks")
    write_json(folder / "transforms.json", read_json(nerf / "transforms.json"))
    points = read_points(nerf)
    if points is not None:
        write_points(folder, points)
    return folder


def _check_same_weights(model: "DiffusionModel", recorded: object, stylized: Path) -> None:
    if dict(model.sources) != recorded:
        raise ArtifactError(
            f"{stylized} was made with {recorded}, and the model is now {dict(model.sources)}: "
            "views restyled without sharing would differ in more than that. Rerun stylize_views."
        )
