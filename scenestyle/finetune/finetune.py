"""Move a trained field towards stylized views of its scene, patch by patch.

Source: Fujiwara et al. 2024, "Style-NeRF2NeRF: 3D Style Transfer from Style-Aligned Multi-View
    Images", arXiv:2406.13393, sections 3.3 (finetuning) and 3.4 (blending). Ours adds the depth
    term, patches at several scales, and regions.
"""

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import TypeAdapter

from scenestyle.artifacts import View, ViewsFolder, check_same_views, check_size, read_rgb
from scenestyle.device import select_device
from scenestyle.errors import ParamsError
from scenestyle.features import FeatureExtractor, load_features
from scenestyle.features.extractor import MIN_SIDE
from scenestyle.finetune.colours import coarsest, take_on_colours
from scenestyle.finetune.guard import (
    DepthProbes,
    change,
    check_geometry,
    check_moved,
    check_not_exploding,
    first_and_last,
)
from scenestyle.finetune.patch_losses import patch_losses
from scenestyle.finetune.patches import Target
from scenestyle.finetune.regions import read_regions
from scenestyle.nerf.checkpoints import load_checkpoint, recorded_params, run_checkpoint
from scenestyle.nerf.dataset import read_run_views
from scenestyle.nerf.progress import ProgressStrip
from scenestyle.nerf.run_folder import write_run
from scenestyle.nerf.splats import finetuned_optimizers
from scenestyle.nerf.trainer import Trainer, build_model, load_model_state, optimise
from scenestyle.nerfstudio_plugin.interface import FieldModel
from scenestyle.nerfstudio_plugin.quick_config import optimizer_configs
from scenestyle.nerfstudio_plugin.splat_field import SplatField
from scenestyle.params import FinetuneNerf, TrainNerf

if TYPE_CHECKING:
    from nerfstudio.engine.optimizers import Optimizers

Pictures = Sequence[Float[np.ndarray, "styles _height _width 3"]]
"""per view, one image per style"""

_DATASET = ("transforms.json", "images", "masks")
"""what a run has of its scene; masks only if photos hide something"""

_STEPS = {"splats": 150, "nerfacto": 400}
"""where no other number is asked for"""

_log = logging.getLogger(__name__)


def finetune(
    source: Path,
    views: Path,
    stylized: Mapping[Path, float],
    out: Path,
    params: FinetuneNerf,
    *,
    work: Path,
    extend: Path | None = None,
) -> dict[str, object]:
    """Continue a source field for `params.iterations` steps and write the run.

    Args:
        source: Run written by `train`.
        views: Folder of views that were rendered from it: cameras, colours, depth and opacity.
        stylized: Folders with `rgb/NAME.png` for each of these views, at their size, and the weight
            of each; with more than one, the field goes to the barycentre of the styles. Only
            images of the training split are learned from.
        out: Empty folder that becomes the run.
        params: Steps, patches, losses and seed.
        work: Folder for checkpoints and the strip of a held-out view; an interrupted call with the
            same arguments goes on from it.
        extend: A finished run of the same arguments but for fewer iterations: only the steps that
            it lacks are taken, at the learning rate that it ended with unless `decay_iterations`
            says otherwise.

    Returns:
        The figures that also lie in `metrics.json`.

    Raises:
        ArtifactError: If an input folder is incomplete, or the images do not fit the views.
        ParamsError: If patches would be smaller than the features can see, no style has weight, the
            region is empty, or `extend` was made with other parameters.
        WeightsError: If the weights of the features are missing.
        GateError: If a loss diverges, the geometry is destroyed, or the renders did not move.
    """
    device = select_device()
    start = time.monotonic()
    rendered = ViewsFolder.open(views)
    params = replace(params, iterations=num_steps(params, source))
    finished = None
    if extend is not None:
        finished, params = extension(extend, params)
    steps = num_steps(params, source)
    shares = style_shares(stylized)
    pictures = read_pictures(rendered, list(shares), params)
    targets = training_targets(rendered, pictures, params, device)
    features = target_features(targets, params)
    for name in filter(lambda name: (source / name).exists(), _DATASET):
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy2
        copy(source / name, out / name)

    trainer = continued_trainer(source, params, device)
    first_step = trainer.step
    if finished is not None:
        trainer.load_state(finished)
    weights = torch.tensor(list(shares.values()), device=device)
    losses = patch_losses(trainer, features, targets, weights, params)
    probes = DepthProbes.read(rendered, device)
    strip = held_out_strip(rendered, pictures, work, steps=steps)
    _log.info("how a held-out view changes is shown in %s", strip.path)

    def begin() -> None:
        if finished is None and isinstance(trainer.model, SplatField):
            trainer.model.lift_colours()
            take_on_colours(trainer.model, coarsest(targets), weights, params.colour_passes)

    def check() -> None:
        check_not_exploding(_style_history(trainer))
        check_geometry(trainer, probes, params.max_depth_change)

    steps_per_second = optimise(
        trainer,
        losses,
        until=first_step + steps,
        work=work,
        begin=begin,
        check=check,
        look=lambda: strip.look(trainer, trainer.step - first_step),
    )
    shutil.copy2(strip.path, out / strip.path.name)
    changed = change(trainer, rendered)
    check_moved(changed["movement"], params.min_movement)
    metrics = {
        "first_step": first_step,
        "iterations": trainer.step - first_step,
        **changed,
        "style_loss": dict(
            zip(("first", "last"), first_and_last(_style_history(trainer)), strict=True)
        ),
        "steps_per_second": round(steps_per_second, 3),
        "seconds": round(time.monotonic() - start, 1),
        "device": str(device),
        "versions": {name: version(name) for name in ("nerfstudio", "numba", "torch")},
    }
    write_run(
        out,
        trainer,
        metrics,
        title="Finetuning towards the stylized views",
        source=source if isinstance(trainer.model, SplatField) else None,
    )
    return metrics


def style_shares(stylized: Mapping[Path, float]) -> dict[Path, float]:
    """The folders that have weight, with weights that sum to 1.

    Raises:
        ParamsError: If a weight is negative or all are zero.
    """
    total = sum(stylized.values())
    if total <= 0 or min(stylized.values()) < 0:
        listed = ", ".join(f"{folder}: {weight}" for folder, weight in stylized.items())
        raise ParamsError(f"Weights of styles must not be negative and not all zero, got {listed}.")
    return {folder: weight / total for folder, weight in stylized.items() if weight}


def read_pictures(
    rendered: ViewsFolder, stylized: Sequence[Path], params: FinetuneNerf
) -> list[Float[np.ndarray, "styles _height _width 3"]]:
    """Targets of each view in each style: stylized in the region, unchanged outside.

    Raises:
        ArtifactError: If an image is missing, surplus, unreadable or not of its view's size.
    """
    by_style = [read_stylized(rendered.views, folder) for folder in stylized]
    regions = read_regions(rendered, params)
    pictures = []
    for view, region, *styles in zip(rendered.views, regions, *by_style, strict=True):
        stays = rendered.rgb(view)
        share = region[..., None]
        pictures.append(np.stack([share * style + (1 - share) * stays for style in styles]))
    return pictures


def read_stylized(
    posed: Sequence[View], stylized: Path
) -> list[Float[np.ndarray, "_height _width 3"]]:
    """The stylized images in the order of the views.

    Raises:
        ArtifactError: If an image is missing, surplus, unreadable or not of its view's size.
    """
    folder = stylized / "rgb"
    check_same_views(folder, [view.name for view in posed], suffix=".png", stage="stylize_views")
    pictures = [read_rgb(folder / f"{view.name}.png") for view in posed]
    for view, picture in zip(posed, pictures, strict=True):
        way_out = "Rerun stylize_views on these views."
        check_size(folder / f"{view.name}.png", picture, view, way_out=way_out)
    return pictures


def training_targets(
    rendered: ViewsFolder,
    pictures: Pictures,
    params: FinetuneNerf,
    device: torch.device,
) -> list[Target]:
    """The stylized views of the training split at every scale of `params.patch_scales`.

    Raises:
        ParamsError: If a scale makes a view smaller than the features can see.
    """
    regions = read_regions(rendered, params)
    train = [
        each
        for each in zip(rendered.views, pictures, regions, strict=True)
        if each[0].split == "train"
    ]
    targets = [
        Target.from_view(
            view.camera,
            index,
            picture,
            rendered.depth_z(view),
            rendered.opacity(view),
            region,
            device,
            used=rendered.is_used(view).astype(np.float32),
            is_cut_out=view.is_cut_out,
        ).resized(scale)
        for index, (view, picture, region) in enumerate(train)
        for scale in params.patch_scales
    ]
    smallest = min(min(target.rgb.shape[2:]) for target in targets)
    if smallest < MIN_SIDE:
        raise ParamsError(
            f"finetune_nerf.patch_scales: at scale {min(params.patch_scales)} a view is only "
            f"{smallest} pixels high or wide, the features need {MIN_SIDE}. Use larger scales, or "
            "larger views (render_views.max_image_side)."
        )
    return targets


def target_features(targets: Sequence[Target], params: FinetuneNerf) -> FeatureExtractor:
    """The feature extractor, its taps balanced over the targets if `params` ask for it.

    Raises:
        WeightsError: If the weights are missing.
    """
    weights = Path(params.features_weights) if params.features_weights else None
    features = load_features(params.features, weights).to(targets[0].rgb.device)
    if not params.balance_taps:
        return features
    return features.balanced([picture for target in targets for picture in target.rgb])


def continued_trainer(source: Path, params: FinetuneNerf, device: torch.device) -> Trainer:
    """A trainer that goes on from a source run, with a learning rate of its own.

    Raises:
        ArtifactError: If the run is not complete.
    """
    checkpoint = load_checkpoint(run_checkpoint(source))
    source_params = recorded_params(checkpoint, source)
    steps = (
        num_steps(params, source) if params.decay_iterations is None else params.decay_iterations
    )
    model = build_model(source, source_params, device)
    load_model_state(model, checkpoint)
    if params.freeze_geometry:
        model.freeze_geometry()
    schedule = replace(
        source_params,
        iterations=steps,
        learning_rate=params.learning_rate,
        final_learning_rate=params.final_learning_rate,
    )
    if isinstance(model, SplatField):
        views = read_run_views(source, holdout_every=source_params.holdout_every)
        cameras = [view.camera for view in views if view.split == "train"]
        optimizers = finetuned_optimizers(model, cameras, schedule)
    else:
        optimizers = _of_nerfacto(model, params, schedule)
    return Trainer(
        model=model,
        # Adam starts without memory: the squared gradients of the photometric loss are of another
        # magnitude, and their average would outlive a finetune of some hundred steps.
        optimizers=optimizers,
        params=source_params,
        seed=params.seed,
        step=checkpoint["step"] + 1,
        finetune_params=params,
    )


def _of_nerfacto(model: FieldModel, params: FinetuneNerf, schedule: TrainNerf) -> "Optimizers":
    """Optimizers of a nerfacto, whose own loss terms get the weights of `params`."""
    from nerfstudio.engine.optimizers import Optimizers

    from scenestyle.nerfstudio_plugin.model import SourceModel

    assert isinstance(model, SourceModel)
    model.config = replace(
        model.config,
        interlevel_loss_mult=params.interlevel_weight,
        distortion_loss_mult=params.distortion_weight,
    )
    return Optimizers(optimizer_configs(schedule), model.get_param_groups())


def num_steps(params: FinetuneNerf, run: Path) -> int:
    """How many steps a run is to be finetuned for.

    Raises:
        ArtifactError: If the run is not complete.
    """
    if params.iterations is not None:
        return params.iterations
    return _STEPS[recorded_params(load_checkpoint(run_checkpoint(run)), run).field]


def extension(run: Path, params: FinetuneNerf) -> tuple[dict[str, Any], FinetuneNerf]:
    """The checkpoint of a finished finetune, and `params` with the decay of its learning rate.

    Raises:
        ArtifactError: If the run is not complete.
        ParamsError: If it is no finetune, is as long already, or was made with other parameters.
    """
    checkpoint = load_checkpoint(run_checkpoint(run))
    found = finetuned_with(checkpoint, run)
    taken, asked = num_steps(found, run), num_steps(params, run)
    if taken >= asked:
        raise ParamsError(
            f"{run} has {taken} steps already, {asked} are wanted. Raise finetune_nerf.iterations."
        )
    extended = replace(found, iterations=asked, decay_iterations=found.decay_iterations or taken)
    wanted = replace(params, decay_iterations=params.decay_iterations or extended.decay_iterations)
    if wanted != extended:
        before, now = asdict(extended), asdict(wanted)
        names = ", ".join(name for name in now if now[name] != before[name])
        raise ParamsError(
            f"{run} was made with other parameters ({names}), and its steps cannot be changed. "
            "Finetune from the source again."
        )
    return checkpoint, extended


def finetuned_with(checkpoint: Mapping[str, Any], run: Path) -> FinetuneNerf:
    """The parameters of a finished finetune, from its checkpoint.

    Raises:
        ParamsError: If it is no finetune.
    """
    if "finetune_nerf" not in checkpoint:
        raise ParamsError(
            f"{run} is a source field that was not finetuned; wanted a finetuned run."
        )
    return TypeAdapter(FinetuneNerf).validate_python(checkpoint["finetune_nerf"])


def held_out_strip(
    rendered: ViewsFolder, pictures: Pictures, work: Path, *, steps: int
) -> ProgressStrip:
    """The first held-out view: before, in the course of finetuning, and as stylized."""
    view, stylized = next(
        pair for pair in zip(rendered.views, pictures, strict=True) if pair[0].split == "held_out"
    )
    before = ("held-out view", rendered.rgb(view))
    after = [("stylized", picture.astype(np.float32)) for picture in stylized]
    return ProgressStrip(work, view.camera, steps=steps, before=[before], after=after)


def _style_history(trainer: Trainer) -> list[float]:
    if not trainer.history:
        return []
    column = 1 + trainer.loss_names.index("style")
    return [row[column] for row in trainer.history]
