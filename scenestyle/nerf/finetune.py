"""Move a trained field towards stylized views of its scene, patch by patch.

Source: Fujiwara et al. 2024, "Style-NeRF2NeRF: 3D Style Transfer from Style-Aligned Multi-View
    Images", arXiv:2406.13393, section 3.3. Ours adds the depth term and patches at several scales.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from nerfstudio.engine.optimizers import Optimizers
from torch import Tensor

from scenestyle.artifacts import View, check_same_views, read_map, read_rgb, read_views
from scenestyle.device import select_device
from scenestyle.errors import ArtifactError, GateError, ParamsError
from scenestyle.features import FeatureExtractor, load_features
from scenestyle.features.extractor import MIN_SIDE
from scenestyle.losses import content_loss, directions_for, style_loss
from scenestyle.metrics.depth import depth_change
from scenestyle.metrics.image import rmse
from scenestyle.nerf.checkpoints import load_checkpoint, recorded_params, run_checkpoint
from scenestyle.nerf.field import render
from scenestyle.nerf.patches import Patch, Target, random_patch
from scenestyle.nerf.run_folder import write_run
from scenestyle.nerf.trainer import Losses, Trainer, build_model, load_model_state, optimise
from scenestyle.nerfstudio_plugin.config import optimizer_configs
from scenestyle.params import FinetuneNerf

_DATASET = ("transforms.json", "images")

_GUARD_WINDOW = 20
_MAX_GROWTH = 3.0


def finetune(
    source: Path, views: Path, stylized: Path, out: Path, params: FinetuneNerf, *, work: Path
) -> dict[str, object]:
    """Continue a source field for `params.iterations` steps and write the run.

    Args:
        source: Run written by `train`.
        views: Folder of views that were rendered from it: cameras, colours, depth and opacity.
        stylized: Folder with `rgb/NAME.png` for each of these views, at their size. Only those of
            the training split are learned from.
        out: Empty folder that becomes the run.
        params: Steps, patches, losses and seed.
        work: Folder for checkpoints; an interrupted call with the same arguments goes on from it.

    Returns:
        The figures that also lie in `metrics.json`.

    Raises:
        ArtifactError: If an input folder is incomplete, or the pictures do not fit the views.
        ParamsError: If patches would be smaller than the features can see.
        WeightsError: If the weights of the features are missing.
        GateError: If a loss diverges, or the renders did not move.
    """
    device = select_device()
    start = time.monotonic()
    posed = read_views(views)
    pictures = read_stylized(posed, stylized)
    targets = training_targets(views, posed, pictures, params, device)
    features = target_features(targets, params)
    for name in _DATASET:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy2
        copy(source / name, out / name)

    trainer = continued_trainer(source, params, device)
    first_step = trainer.step
    losses = style_losses(trainer, features, targets, params)
    steps_per_second = optimise(trainer, losses, until=first_step + params.iterations, work=work)
    changed = change(trainer, views, posed)
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
    write_run(out, trainer, metrics, title="Finetuning towards the stylized views")
    return metrics


def read_stylized(
    posed: Sequence[View], stylized: Path
) -> list[Float[np.ndarray, "_height _width 3"]]:
    """The stylized pictures in the order of the views.

    Raises:
        ArtifactError: If a picture is missing, surplus, unreadable or not of its view's size.
    """
    folder = stylized / "rgb"
    check_same_views(folder, [view.name for view in posed], suffix=".png", stage="stylize_views")
    pictures = [read_rgb(folder / f"{view.name}.png") for view in posed]
    for view, picture in zip(posed, pictures, strict=True):
        height, width = picture.shape[:2]
        if (width, height) != (view.camera.width, view.camera.height):
            raise ArtifactError(
                f"{folder}/{view.name}.png is {width}x{height} pixels, its view "
                f"{view.camera.width}x{view.camera.height}. Rerun stylize_views on these views."
            )
    return pictures


def training_targets(
    views: Path,
    posed: Sequence[View],
    pictures: Sequence[Float[np.ndarray, "_height _width 3"]],
    params: FinetuneNerf,
    device: torch.device,
) -> list[Target]:
    """The stylized views of the training split at every scale of `params.patch_scales`.

    Raises:
        ParamsError: If a scale makes a view smaller than the features can see.
    """
    train = [pair for pair in zip(posed, pictures, strict=True) if pair[0].split == "train"]
    targets = [
        Target.from_view(
            view.camera,
            index,
            picture,
            read_map(views / "depth_z" / f"{view.name}.npy"),
            read_map(views / "opacity" / f"{view.name}.npy"),
            device,
        ).resized(scale)
        for index, (view, picture) in enumerate(train)
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
    return features.balanced([target.rgb[0] for target in targets])


def continued_trainer(source: Path, params: FinetuneNerf, device: torch.device) -> Trainer:
    """A trainer that goes on from a source run, with a learning rate of its own.

    Raises:
        ArtifactError: If the run is not complete.
    """
    checkpoint = load_checkpoint(run_checkpoint(source))
    source_params = recorded_params(checkpoint, source)
    model = build_model(source, source_params, device)
    load_model_state(model, checkpoint)
    model.config = replace(
        model.config,
        interlevel_loss_mult=params.interlevel_weight,
        distortion_loss_mult=params.distortion_weight,
    )
    schedule = replace(
        source_params,
        iterations=params.iterations,
        learning_rate=params.learning_rate,
        final_learning_rate=params.final_learning_rate,
    )
    return Trainer(
        model=model,
        # Adam starts without memory: the squared gradients of the photometric loss are of another
        # magnitude, and their average would outlive a finetune of some hundred steps.
        optimizers=Optimizers(optimizer_configs(schedule), model.get_param_groups()),
        params=source_params,
        seed=params.seed,
        step=checkpoint["step"] + 1,
    )


def style_losses(
    trainer: Trainer, features: FeatureExtractor, targets: Sequence[Target], params: FinetuneNerf
) -> Losses:
    """The terms of one step on one random patch; `style` and `content` compare with its target."""

    def losses(generator: torch.Generator) -> dict[str, Tensor]:
        check_not_exploding(_style_history(trainer))
        patch = random_patch(targets, params.patch_size, generator)
        outputs = trainer.model(patch.rays)
        rgb = outputs["rgb"]
        if trainer.params.background == "random":
            # As in the source's training, so that nothing is painted by letting the void through.
            void = torch.rand(3, generator=generator).to(rgb)
            rgb = rgb + (1 - outputs["accumulation"]) * void
        render_maps = features(rgb.T.reshape(patch.rgb.shape))
        with torch.no_grad():
            stylized_maps = features(patch.rgb)
        directions = [
            rows.to(patch.rgb.device)
            for rows in directions_for(stylized_maps, generator, params.num_directions)
        ]
        deep = slice(-features.num_content_taps, None)
        return {
            "style": style_loss(
                render_maps, stylized_maps, directions, layer_reduction=params.layer_reduction
            ),
            "content": params.content_weight * content_loss(render_maps[deep], stylized_maps[deep]),
            "depth": params.depth_weight * depth_loss(outputs["expected_depth"], patch),
            **trainer.model.auxiliary_losses(outputs),
        }

    return losses


def depth_loss(depth_ray: Float[Tensor, "rays 1"], patch: Patch) -> Float[Tensor, ""]:
    """Mean of |ln(depth / source depth)| over a patch, where the source is opaque.

    For small changes it is the absolute relative error.
    """
    change = (depth_ray.view_as(patch.depth_ray) / patch.depth_ray).log().abs()
    is_surface = patch.opacity > 0.5
    return torch.where(is_surface, change, 0).mean()


def check_not_exploding(history: Sequence[float]) -> None:
    """Stop a finetune whose style loss grows instead of falling.

    Args:
        history: The style loss of every step so far.

    Raises:
        GateError: If its mean over the last 20 steps is more than 3 times that of the first 20.
    """
    first, last = first_and_last(history)
    if last > _MAX_GROWTH * first:
        raise GateError(
            f"Finetuning diverged after {len(history)} steps: the style loss rose from "
            f"{first:.3g} to {last:.3g}. Lower finetune_nerf.learning_rate."
        )


def first_and_last(values: Sequence[float]) -> tuple[float, float]:
    """Means over the first and the last 20 values; 0 where there are none."""
    first, last = values[:_GUARD_WINDOW], values[-_GUARD_WINDOW:]
    return sum(first) / max(1, len(first)), sum(last) / max(1, len(last))


def check_moved(movement: float, min_movement: float) -> None:
    """Refuse a finetune that changed nothing.

    Raises:
        GateError: If `movement` is below `min_movement`.
    """
    if movement < min_movement:
        raise GateError(
            f"Finetuning changed nothing to speak of: held-out renders moved by an RMSE of "
            f"{movement:.4f}, wanted at least finetune_nerf.min_movement = {min_movement}. Raise "
            "finetune_nerf.iterations or learning_rate, or the style's strength."
        )


def change(trainer: Trainer, views: Path, posed: Sequence[View]) -> dict[str, float]:
    """How far held-out renders moved from the source's: RMSE of colour, and relative depth."""
    held_out = [view for view in posed if view.split == "held_out"]
    after = [render(trainer.model, view.camera) for view in held_out]
    before_rgb = [read_rgb(views / "rgb" / f"{view.name}.png") for view in held_out]
    before_z, opacity = (
        [read_map(views / folder / f"{view.name}.npy") for view in held_out]
        for folder in ("depth_z", "opacity")
    )
    depths = depth_change(before_z, [each.depth_z for each in after], [o > 0.5 for o in opacity])
    return {
        "movement": rmse([each.rgb for each in after], before_rgb),
        "depth_abs_rel": depths.abs_rel,
    }


def _style_history(trainer: Trainer) -> list[float]:
    if not trainer.history:
        return []
    column = 1 + trainer.loss_names.index("style")
    return [row[column] for row in trainer.history]
