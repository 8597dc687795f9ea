"""Controls that cost as much as a result of their own, and are therefore made on request only."""

import shutil
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from scenestyle.artifacts import read_json, read_rgb, write_json, write_rgb
from scenestyle.device import select_device
from scenestyle.errors import ArtifactError
from scenestyle.judge.figures import Measurements, view_links
from scenestyle.judge.renders import Inputs, Step
from scenestyle.metrics.warp import warp_errors
from scenestyle.params import Evaluate, StylizeViews

if TYPE_CHECKING:
    from scenestyle.diffusion.models import DiffusionModel


def requested_figures(
    inputs: Inputs, steps: Sequence[Step], params: Evaluate, work: Path
) -> Measurements:
    """The figures of `evaluate.unshared_control` and `evaluate.refit_iterations`, if they are on.

    Pictures and fields are kept in `work`, so that a killed run goes on from them.

    Raises:
        ArtifactError: If the stylized views were made with other weights than are there now.
    """
    measured: Measurements = {}
    refitted = {"": inputs.stylized / "rgb", "_source": inputs.views / "rgb"}
    if params.unshared_control:
        alone = work / "unshared" / "rgb"
        restyle_alone(inputs.views, inputs.stylized, alone)
        pictures = [read_rgb(alone / f"{step.view.name}.png") for step in steps]
        links = view_links(steps, tau=params.warp_tau)
        measured["views_warp_unshared"] = warp_errors(pictures, links)
        refitted["_unshared"] = alone
    if params.refit_iterations:
        for suffix, pictures in refitted.items():
            measured[f"refit_psnr{suffix}"] = refit_psnr(
                inputs.nerf,
                pictures,
                iterations=params.refit_iterations,
                work=work / f"refit{suffix}",
            )
    return measured


def restyle_alone(views: Path, stylized: Path, out: Path) -> None:
    """Restyle the views with the model and settings of `stylized`, but each view knows of itself alone.

    Args:
        views: What render_views wrote.
        stylized: What stylize_views made of it; its manifest says with which model and settings.
        out: Gets NAME.png per view; what is there already is kept.

    Raises:
        ArtifactError: If the manifest names other weights than the model has now.
    """
    from scenestyle.diffusion.inputs import read_rendered_views
    from scenestyle.diffusion.models import load_pipeline
    from scenestyle.diffusion.monocular import with_chosen_depth
    from scenestyle.diffusion.plan import plan_views
    from scenestyle.diffusion.style_image import with_image_adapter
    from scenestyle.diffusion.stylize import Settings, stylize

    before = read_rendered_views(views)
    files = [out / f"{name}.png" for name in before.names]
    if all(file.is_file() for file in files):
        return
    manifest = read_json(stylized / "manifest.json")
    options = StylizeViews(sharing="none", **manifest.get("options", {}))
    before = with_chosen_depth(before, options, select_device())
    model = load_pipeline(manifest["model"], select_device(), options.dtype)
    settings = Settings(**{f.name: manifest["settings"][f.name] for f in fields(Settings)})
    if settings.image:
        model = with_image_adapter(model, options.image_adapter)
    _check_same_weights(model, manifest["sources"], stylized)
    height, width = before.rgb.shape[1:3]
    size = settings.working_size(width, height, model)
    plan = plan_views(model, before.cameras, size, options)
    alone = stylize(model, before.rgb, before.disparity, settings, plan, work=out.parent / "steps")
    for file, picture in zip(files, alone, strict=True):
        write_rgb(file, picture)


def refit_psnr(
    nerf: Path, pictures: Path, *, iterations: int, work: Path
) -> Float[np.ndarray, " held_out_views"]:
    """PSNR of each held-out picture, dB, by a fresh field that was trained on the other pictures alone.

    A field is one scene: what two pictures of a point disagree about, it can only average. Pictures that
    contradict each other are therefore predicted badly, however long the training. How long matters, and so
    does how busy the pictures are: read it beside the same figure of the source renders.

    Args:
        nerf: The source run, whose cameras, split, sizes and seed the fresh field shares.
        pictures: NAME.png per view, of the shape of the run's images.
        iterations: Training steps, of which the learning rate's decay takes as many.
        work: Folder of the field; an interrupted call goes on from it.
    """
    from scenestyle.nerf.checkpoints import load_checkpoint, recorded_params, run_checkpoint
    from scenestyle.nerf.dataset import read_run_views
    from scenestyle.nerf.train import train

    params = recorded_params(load_checkpoint(run_checkpoint(nerf)), nerf)
    run = work / "run"
    if not (run / "metrics.json").is_file():
        posed = _posed(nerf, pictures, work / "posed")
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir()
        train(posed, run, replace(params, iterations=iterations), work=work)
    by_view = read_json(run / "metrics.json")["psnr_by_view"]
    views = read_run_views(nerf, holdout_every=params.holdout_every)
    return np.array([by_view[view.name] for view in views if view.split == "held_out"])


def _posed(nerf: Path, pictures: Path, folder: Path) -> Path:
    """The run's cameras with other pictures, as estimate_poses lays them out."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pictures, folder / "images")
    write_json(folder / "transforms.json", read_json(nerf / "transforms.json"))
    return folder


def _check_same_weights(model: "DiffusionModel", recorded: object, stylized: Path) -> None:
    if dict(model.sources) != recorded:
        raise ArtifactError(
            f"{stylized} was made with {recorded}, and the model is now {dict(model.sources)}: views "
            "restyled without sharing would differ in more than that. Rerun stylize_views."
        )
