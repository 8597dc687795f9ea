"""What the project asks of a radiance field, of whatever kind it is.

Two models answer: nerfacto (`model.py`) and Gaussian splats (`splat_field.py`). Training differs;
everything after it, from rendering to exports, knows this interface alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from scenestyle.cameras import PinholeCamera

FIELD_FORMAT = 1
"""Raise it with every change that makes the same parameters render otherwise; old checkpoints are
then refused."""


@dataclass(frozen=True)
class Rendering:
    """What a camera sees."""

    rgb: Float[np.ndarray, "height width 3"]
    """colours in [0, 1]"""
    depth_z: Float[np.ndarray, "height width"]
    """distance along the optical axis, scene units: nerfacto's expected one, the splats' median"""
    opacity: Float[np.ndarray, "height width"]
    """share of the ray that meets something, 0 to 1"""


@dataclass(frozen=True)
class Shown:
    """What a camera sees in a rectangle of its image, with gradients."""

    rgb: Float[Tensor, "3 height width"]
    """colours, before a background shines through"""
    opacity: Float[Tensor, "height width"]
    """share of the ray that meets something, 0 to 1"""
    depth_ray: Float[Tensor, "height width"]
    """expected distance from the camera centre, scene units"""
    auxiliary: dict[str, Float[Tensor, ""]] = field(default_factory=dict)
    """loss terms of the field's own that finetuning adds, weighted"""


@runtime_checkable
class FieldModel(Protocol):
    """A torch module that is a radiance field."""

    @property
    def device(self) -> torch.device:
        """Where its parameters lie."""
        ...

    def render(self, camera: PinholeCamera) -> Rendering:
        """Render a camera of the field's frame, of any size, in bounded memory, for looking at."""
        ...

    def show(
        self,
        camera: PinholeCamera,
        *,
        rows: slice,
        columns: slice,
        view_index: int,
        rays_per_pass: int | None = None,
    ) -> Shown:
        """Render a rectangle for training.

        Args:
            camera: In the field's frame.
            rows: Rows of the rectangle.
            columns: Columns of the rectangle.
            view_index: Position among the training views; chooses the appearance.
            rays_per_pass: Rays whose intermediate values are in memory at a time, if the field is
                rendered by rays; None: all.
        """
        ...

    def depth_ray(self, camera: PinholeCamera, pixels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Distance from the camera centre at pixels, counted row by row, without gradients.

        It is that of `render`, scene units.
        """
        ...

    def freeze_geometry(self) -> None:
        """Let colours alone learn: depth and opacity get no gradient."""
        ...

    def before_step(self, step: int) -> None:
        """Set what changes in the course of training; `step` counts from 0."""
        ...

    def after_step(self, step: int) -> None:
        """Called when the optimizers have taken the step."""
        ...

    def get_param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the name of their optimizer."""
        ...

    # What they have of nn.Module.
    training: bool

    def train(self, mode: bool = True) -> Any: ...  # noqa: D102
    def eval(self) -> Any: ...  # noqa: D102
    def to(self, device: torch.device) -> Any: ...  # noqa: D102
    def parameters(self) -> Iterator[nn.Parameter]: ...  # noqa: D102
    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...  # noqa: D102
