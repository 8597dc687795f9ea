"""More Gaussians where the render is pulled hardest, and none where nothing is seen.

Source: after Kerbl et al. 2023, "3D Gaussian Splatting", arXiv:2308.04079, section 5.2; ours has a
budget instead of thresholds: at every occasion the Gaussians whose projected centres the loss pulls
hardest are split, as many as the budget's line allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import invert_rigid, opencv_from_opengl
from scenestyle.nerf.trainer import Trainer
from scenestyle.nerfstudio_plugin.splat_field import NAMES, UNUSED_LOGIT, SplatField

_EVERY = 50, 100
"""steps between two occasions, least and most"""
_OCCASIONS = 15
"""in as many steps as are taken, if these bounds allow it"""
_UNTIL = 0.7
"""of the steps, after which the Gaussians stay who they are"""
_LEAD = 1.15
"""how much earlier than that the budget is reached"""
_MOST_GROWTH = 0.5
"""of the Gaussians, at one occasion"""
_FAINT = 0.02
_LARGEST_PX = 60.0
_APART, _SLIMMER, _FAINTER = 0.5, 0.6, 0.7
"""what becomes of a Gaussian that is split along its longest axis: by how many standard deviations
its halves are moved, how long they are, how opaque"""
_SIZE_EVERY = 50
_LEAST_PX = 0.3
"""least standard deviation in the nearest view, pixels: the widening by which viewers of
3DGS files draw, so that they show what we render"""


@dataclass(frozen=True)
class Growth:
    """What happens to the Gaussians after a step of training."""

    cameras: Sequence[PinholeCamera]
    """of all views at full size, held out or not: nothing is where one stood"""
    first_count: int
    """Gaussians at the start"""
    pixel: float
    """what a pixel shows at the median depth of the scene, scene units"""
    nearest: float = 0.0
    """distance from a camera, scene units, within which nothing is believed to be"""

    def __call__(self, trainer: Trainer) -> None:
        """Split and drop Gaussians, and renew their least sizes, if it is time."""
        model = cast(SplatField, trainer.model)
        taken, steps = trainer.step + 1, trainer.params.iterations
        least, most = _EVERY
        every = min(most, max(least, steps // _OCCASIONS))
        grows = taken % every == 0 and taken <= _UNTIL * steps
        if grows:
            budget = len(model.means)
            share = min(1.0, _LEAD * taken / (_UNTIL * steps))
            line = self.first_count + (budget - self.first_count) * share
            refine(trainer, model, goal=round(line), largest=_LARGEST_PX * self.pixel)
        if grows or taken % _SIZE_EVERY == 0 or taken == 1:
            clear_near(model, self.cameras, self.nearest)
            model.least_scales.copy_(least_scales(model.means, self.cameras))


@torch.no_grad()
def refine(trainer: Trainer, model: SplatField, *, goal: int, largest: float) -> None:
    """Drop what is faint or huge, and split what is pulled hardest until there are `goal`.

    Args:
        trainer: Its optimizers forget what they knew of those that changed.
        model: Of the trainer.
        goal: Gaussians wanted.
        largest: Longest standard deviation that a Gaussian may have, scene units.
    """
    is_kept = (
        model.in_use
        & (model.opacities[:, 0].sigmoid() > _FAINT)
        & (model.scales.amax(dim=1) < np.log(largest))
    )
    dropped = torch.nonzero(model.in_use & ~is_kept)[:, 0]
    model.opacities[dropped] = UNUSED_LOGIT
    num_kept = int(is_kept.sum())
    num_split = max(0, min(goal - num_kept, int(_MOST_GROWTH * num_kept)))
    score = torch.where(is_kept, model.pull / model.seen.clamp_min(1), -1)
    parents = score.argsort(descending=True, stable=True)[:num_split]
    children = torch.nonzero(~is_kept)[:num_split, 0]
    _split(model, parents, children)
    for name in NAMES:
        parameter = model.gauss_params[name]
        state = trainer.optimizers.optimizers[name].state.get(parameter, {})
        for moment in ("exp_avg", "exp_avg_sq"):
            if moment in state:
                state[moment][torch.cat([parents, children, dropped])] = 0
    model.pull.zero_()
    model.seen.zero_()


def _split(model: SplatField, parents: Int[Tensor, " k"], children: Int[Tensor, " k"]) -> None:
    """Make two of each parent; the second half takes the place of a child."""
    for name in NAMES:
        values = model.gauss_params[name]
        values[children] = values[parents]
    longest = model.scales[parents].argmax(dim=1)
    axis = _axes(model.quats[parents]).gather(2, longest[:, None, None].expand(-1, 3, 1))[..., 0]
    length = model.scales[parents, longest].exp()
    offset = _APART * length[:, None] * axis
    opacity = (_FAINTER * model.opacities[parents].sigmoid()).clamp(0.01, 0.99)
    for half, sign in ((parents, -1), (children, 1)):
        model.means[half] += sign * offset
        model.scales[half, longest] += float(np.log(_SLIMMER))
        model.opacities[half] = torch.logit(opacity)


def _axes(quats: Float[Tensor, "k 4"]) -> Float[Tensor, "k 3 3"]:
    """Rotation matrices, whose columns are the Gaussians' own axes."""
    w, x, y, z = torch.nn.functional.normalize(quats).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


@torch.no_grad()
def clear_near(model: SplatField, cameras: Sequence[PinholeCamera], nearest: float) -> None:
    """Drop what lies nearer to a camera than anything that is known of the scene.

    There a faint veil explains a photo's errors, and blinds every camera that comes by later.
    """
    centres = np.stack([camera.c2w_opengl[:3, 3] for camera in cameras])
    centres = torch.as_tensor(centres, dtype=torch.float32).to(model.means.device)
    model.opacities[torch.cdist(model.means, centres).amin(dim=1) < nearest] = UNUSED_LOGIT


@torch.no_grad()
def least_scales(
    means: Float[Tensor, "n 3"], cameras: Sequence[PinholeCamera]
) -> Float[Tensor, " n"]:
    """Logarithm of the least standard deviation: 0.3 pixels in the nearest view of a centre.

    Minus infinity where no view does.
    """
    pixel = means.new_full((len(means),), torch.inf)
    for camera in cameras:
        z, is_inside = _depth_in(means, camera)
        pixel = torch.where(is_inside, torch.minimum(pixel, z / camera.fx), pixel)
    return torch.where(pixel.isfinite(), (_LEAST_PX * pixel).log(), -torch.inf)


@torch.no_grad()
def median_pixel(means: Float[Tensor, "n 3"], cameras: Sequence[PinholeCamera]) -> float:
    """What a pixel shows at the median depth of all centres in all views, scene units."""
    sizes = []
    for camera in cameras:
        z, is_inside = _depth_in(means, camera)
        sizes.append(z[is_inside] / camera.fx)
    return float(torch.cat(sizes).median())


def _depth_in(
    means: Float[Tensor, "n 3"], camera: PinholeCamera
) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
    """Depth along the optical axis, and whether the image, a fifth wider, shows the centre."""
    w2c = invert_rigid(opencv_from_opengl(camera.c2w_opengl)).astype(np.float32)
    rotation = torch.from_numpy(w2c[:3, :3]).to(means.device)
    x, y, z = (means @ rotation.T + torch.from_numpy(w2c[:3, 3]).to(means.device)).unbind(1)
    is_inside = (
        (z > 0)
        & (camera.fx * x.abs() < 0.6 * camera.width * z)
        & (camera.fy * y.abs() < 0.6 * camera.height * z)
    )
    return z, is_inside
