"""Train Gaussian splats: what they start from, how fast they move, what pulls them.

Source: Kerbl et al. 2023, "3D Gaussian Splatting", arXiv:2308.04079, with learning rates that are
far higher and fall exponentially, and a pull towards faint and small Gaussians after Kheradmand et
al. 2024, "3D Gaussian Splatting as Markov Chain Monte Carlo", arXiv:2404.09591.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from nerfstudio.engine.optimizers import Optimizers
from torch import Generator, Tensor

from scenestyle.artifacts import read_points
from scenestyle.cameras import PinholeCamera, fit_within
from scenestyle.errors import ParamsError
from scenestyle.losses import photometric_loss
from scenestyle.nerf.dataset import TrainingViews, parse_dataset, read_photo, read_run_views
from scenestyle.nerf.splat_growth import Growth, median_pixel
from scenestyle.nerf.splat_start import first_gaussians, in_field_frame, nearest_known, plant
from scenestyle.nerf.trainer import Losses, Trainer, build_model, seeded
from scenestyle.nerfstudio_plugin.quick_config import splat_optimizer_configs
from scenestyle.nerfstudio_plugin.sizes import num_gaussians
from scenestyle.nerfstudio_plugin.splat_field import SplatField
from scenestyle.params import TrainNerf
from scenestyle.resample import area_averaged

_MEANS_PX = (0.6, 0.03)
"""learning rates of the centres at the first and the last step, pixels"""
_RATES = {
    "scales": 0.05,
    "quats": 0.01,
    "opacities": 0.1,
    "features_dc": 0.03,
    "features_rest": 0.003,
}
"""learning rates at the first step; they fall to a tenth"""
_OPACITY_WEIGHT = 0.003
_SIZE_WEIGHT = 0.003
"""of the mean standard deviation in pixels"""


def build_splat_trainer(run: Path, params: TrainNerf, device: torch.device) -> Trainer:
    """A trainer at step 0, its Gaussians at the points that lie in the run, for the run's views."""
    posed = read_run_views(run, holdout_every=params.holdout_every)
    views = [view for view in posed if view.split == "train"]
    points = read_points(run)
    if points is not None:
        outputs = parse_dataset(run, "train", holdout_every=params.holdout_every)
        points = in_field_frame(points, outputs)
    start = first_gaussians(
        views,
        [read_photo(run, view) for view in views],
        points,
        max_points=num_gaussians(params) // 2,
        num_pixels=min(params.start_pixels, num_gaussians(params) // 4),
        seed=params.seed,
    )
    with seeded(params.seed):
        model = cast(SplatField, build_model(run, params, device))
    plant(model, start)
    pixel = median_pixel(model.means[model.in_use], [view.camera for view in views])
    means = (_MEANS_PX[0] * pixel, _MEANS_PX[1] * pixel)
    rates = {name: (rate, 0.1 * rate) for name, rate in _RATES.items()}
    configs = splat_optimizer_configs({"means": means, **rates}, params.iterations)
    return Trainer(
        model=model,
        optimizers=Optimizers(configs, model.get_param_groups()),
        params=params,
        seed=params.seed,
        # A camera stood also where a photo is held out: its pose is known, its photo is not.
        finish_step=Growth(
            [view.camera for view in posed], len(start.means), pixel, nearest_known(points, views)
        ),
    )


def view_losses(trainer: Trainer, data: TrainingViews) -> Losses:
    """One whole view per step: absolute colour error and dissimilarity, and two gentle pulls.

    Raises:
        ParamsError: If the background is one that only nerfacto has.
    """
    model, growth = cast(SplatField, trainer.model), cast(Growth, trainer.finish_step)
    params = trainer.params
    if params.background == "last_sample":
        raise ParamsError(
            "train_nerf.background is last_sample, which splats do not have: a ray has no samples. "
            "Use random, black or white."
        )
    fine = [
        (view.camera, _on_void(image, None if data.are_used is None else data.are_used[index]))
        for index, (view, image) in enumerate(zip(data.views, data.images, strict=True))
    ]
    coarse = [_reduced(*each, params.coarse_image_side) for each in fine]

    def losses(generator: Generator) -> dict[str, Tensor]:
        is_coarse = trainer.step < params.coarse_share * params.iterations
        epoch, position = divmod(trainer.step, len(fine))
        order = np.random.default_rng((trainer.seed, epoch)).permutation(len(fine))
        camera, maps = (coarse if is_coarse else fine)[order[position]]
        splatted = model.splatted(camera)
        # Bound to what it needs alone: with `splatted` in it, the hook would keep itself alive.
        note = partial(model.note_pull, is_visible=splatted.is_visible, camera=camera)
        splatted.screen.register_hook(note)
        behind = background_colour(params, generator).to(maps)[:, None, None]
        used, filled = maps[3:4], maps[4:5]
        rgb = (splatted.rgb + (1 - splatted.opacity) * behind) * used + (1 - used) * behind
        photo = maps[:3] + (1 - filled) * behind
        in_use = model.in_use
        count = in_use.sum()
        sizes_px = model.scales.exp().sum(dim=1) / (3 * growth.pixel)
        return {
            "photometric": photometric_loss(rgb, photo),
            "opacity": _OPACITY_WEIGHT * (model.opacities[:, 0].sigmoid() * in_use).sum() / count,
            "size": _SIZE_WEIGHT * (sizes_px * in_use).sum() / count,
        }

    return losses


def _on_void(
    image: Float[Tensor, "height width _channels"], is_used: Bool[Tensor, "height width"] | None
) -> Float[Tensor, "5 height width"]:
    """Colours, black where hidden or empty; where it is used; how far it shows something there."""
    used = torch.ones_like(image[..., :1]) if is_used is None else is_used[..., None].to(image)
    filled = used * image[..., 3:] if image.shape[-1] > 3 else used
    return torch.cat([image[..., :3] * filled, used, filled], dim=-1).permute(2, 0, 1).contiguous()


def background_colour(params: TrainNerf, generator: Generator) -> Tensor:
    """What shines through where nothing is, in a step: one colour per view."""
    if params.background == "random":
        return torch.rand(3, generator=generator)
    return torch.ones(3) if params.background == "white" else torch.zeros(3)


def finetuned_optimizers(
    model: SplatField, cameras: Sequence[PinholeCamera], schedule: TrainNerf
) -> Optimizers:
    """Optimizers of Gaussians that are moved to another look.

    The schedule's learning rates are those of the opacities. Colours move three times as fast as in
    training, shapes at about a tenth of its speed, which contours take, and centres hardly: paint
    that leaves the surface it belongs to flickers beside it.
    """
    first, last = schedule.learning_rate, schedule.final_learning_rate
    pixel = median_pixel(model.means[model.in_use], cameras)
    shares = {
        "means": 0.2 * pixel,
        "scales": 0.3,
        "quats": 0.1,
        "opacities": 1.0,
        "features_dc": 9.0,
        "features_rest": 0.9,
    }
    rates = {name: (share * first, share * last) for name, share in shares.items()}
    configs = splat_optimizer_configs(rates, schedule.iterations)
    return Optimizers(configs, model.get_param_groups())


def _reduced(camera: PinholeCamera, maps: Tensor, max_side: int) -> tuple[PinholeCamera, Tensor]:
    """A view of at most this size, averaged over the area of its pixels."""
    width, height = fit_within(camera.width, camera.height, max_side)
    if (width, height) == (camera.width, camera.height):
        return camera, maps
    reduced = area_averaged(maps.permute(1, 2, 0).cpu().numpy(), (width, height))
    moved = torch.from_numpy(reduced).to(maps.device).permute(2, 0, 1).contiguous()
    return camera.resized(width, height), moved
