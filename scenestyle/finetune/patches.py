"""What a finetuning step looks at: a random rectangle of a view, at one of several scales.

A view has one image per style that it is to come near; blending is their weighted distances.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from scenestyle.cameras import PinholeCamera
from scenestyle.geometry import ray_from_z_depth
from scenestyle.nerfstudio_plugin.interface import FieldModel, Shown
from scenestyle.resample import area_averaged


@dataclass(frozen=True)
class Target:
    """A view's stylized images and the source field's depth, on one pixel grid."""

    camera: PinholeCamera
    """in the field's frame"""
    view_index: int
    """position among the training views"""
    rgb: Float[Tensor, "styles 3 height width"]
    """colours of the stylized view in [0, 1], one image per style"""
    depth_ray: Float[Tensor, "1 1 height width"]
    """distance of the source field's surface from the camera centre, scene units"""
    opacity: Float[Tensor, "1 1 height width"]
    """opacity of the source field, 0 to 1"""
    region: Float[Tensor, "1 1 height width"]
    """1 where the view is to change, 0 where it is to stay"""
    used: Float[Tensor, "1 1 height width"]
    """1 where the view counts, 0 where its photo is hidden"""
    filled: Float[Tensor, "1 1 height width"]
    """`used` times how opaque the stylized view is, which is 1 unless its photo was cut out"""

    @classmethod
    def from_view(
        cls,
        camera: PinholeCamera,
        view_index: int,
        rgb: Float[np.ndarray, "styles height width 3"],
        depth_z: Float[np.ndarray, "height width"],
        opacity: Float[np.ndarray, "height width"],
        region: Float[np.ndarray, "height width"],
        device: torch.device,
        *,
        used: Float[np.ndarray, "height width"] | None = None,
        is_cut_out: bool = False,
    ) -> "Target":
        """A view as the folders between the stages hold it; `used` None: all of it."""
        used = np.ones_like(opacity) if used is None else used
        filled = used * opacity if is_cut_out else used
        maps = (
            torch.as_tensor(each, device=device)[None, None]
            for each in (ray_from_z_depth(depth_z, camera), opacity, region, used, filled)
        )
        return cls(
            camera, view_index, torch.as_tensor(rgb, device=device).permute(0, 3, 1, 2), *maps
        )

    def resized(self, scale: float) -> "Target":
        """The same view on a coarser grid, averaged over the area of its pixels; 0 < scale <= 1."""
        height, width = (max(1, round(side * scale)) for side in self.rgb.shape[2:])
        return Target(
            self.camera.resized(width, height),
            self.view_index,
            *(_averaged(each, (width, height)) for each in self._maps),
        )

    def crop(self, rows: slice, columns: slice) -> "Patch":
        """A rectangle of it."""
        maps = (each[..., rows, columns] for each in self._maps)
        return Patch(self.camera, self.view_index, rows, columns, *maps)

    @property
    def _maps(self) -> tuple[Tensor, ...]:
        return (self.rgb, self.depth_ray, self.opacity, self.region, self.used, self.filled)


def _averaged(
    maps: Float[Tensor, "styles channels _height _width"], size: tuple[int, int]
) -> Float[Tensor, "styles channels _ _"]:
    averaged = [
        area_averaged(each.permute(1, 2, 0).cpu().numpy(), size).transpose(2, 0, 1) for each in maps
    ]
    return torch.as_tensor(np.stack(averaged), device=maps.device)


@dataclass(frozen=True)
class Patch:
    """A rectangle of a target: what to render and what it should give."""

    camera: PinholeCamera
    """of the whole view, in the field's frame"""
    view_index: int
    """position among the training views"""
    rows: slice
    """of the rectangle"""
    columns: slice
    """of the rectangle"""
    rgb: Float[Tensor, "styles 3 height width"]
    depth_ray: Float[Tensor, "1 1 height width"]
    opacity: Float[Tensor, "1 1 height width"]
    region: Float[Tensor, "1 1 height width"]
    used: Float[Tensor, "1 1 height width"]
    filled: Float[Tensor, "1 1 height width"]

    @property
    def is_whole(self) -> bool:
        """Whether the rectangle is all of the view."""
        height, width = self.camera.height, self.camera.width
        return (self.rows, self.columns) == (slice(0, height), slice(0, width))

    def seen_by(self, model: FieldModel, rays_per_pass: int | None = None) -> Shown:
        """What a field that learns shows there; `rays_per_pass` as in `FieldModel.show`."""
        return model.show(
            self.camera,
            rows=self.rows,
            columns=self.columns,
            view_index=self.view_index,
            rays_per_pass=rays_per_pass,
        )


def random_patch(targets: Sequence[Target], size: int | None, generator: Generator) -> Patch:
    """A square of `size` pixels anywhere in any of the targets; a shorter side is taken whole.

    Without a size, any of the targets as a whole.
    """

    def draw(end: int) -> int:
        return int(torch.randint(end, (), generator=generator))

    target = targets[draw(len(targets))]
    height, width = target.rgb.shape[2:]
    if size is None:
        return target.crop(slice(0, height), slice(0, width))
    top, left = draw(max(1, height - size + 1)), draw(max(1, width - size + 1))
    return target.crop(slice(top, top + size), slice(left, left + size))
