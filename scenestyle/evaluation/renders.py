"""What there is to judge: the orbit and the views of the capture, before and after the edit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Bool, Float

from scenestyle.artifacts import View, ViewsFolder, came_as_splats, check_same_views, read_rgb
from scenestyle.cameras import PinholeCamera
from scenestyle.device import keep_number_of_threads
from scenestyle.errors import ArtifactError
from scenestyle.files import whole_file
from scenestyle.novel.orbit import novel_path
from scenestyle.params import Evaluate
from scenestyle.progress import Progress
from scenestyle.splat_file import SplatFile, read_splats, write_splats

if TYPE_CHECKING:
    from scenestyle.nerf.field import Rendering

Map = Float[np.ndarray, "height width"]
Picture = Float[np.ndarray, "_ _ 3"]
T = TypeVar("T")

logger = logging.getLogger(__name__)

_SPLATS = "splats.ply"


@dataclass(frozen=True)
class Inputs:
    """The folders of the earlier stages."""

    poses: Path
    nerf: Path
    views: Path
    stylized: Path
    finetuned: Path


@dataclass(frozen=True)
class Orbit:
    """A novel path through the scene, before and after the edit."""

    cameras: Sequence[PinholeCamera]
    before: "Sequence[Rendering]"
    after: "Sequence[Rendering]"
    is_cut_out: bool = False
    """whether photos of the scene were cut out, so that nothing is there where nothing is seen"""


@dataclass(frozen=True)
class Step:
    """One camera of the capture on its way from photo to restyled field; RGB in [0, 1]."""

    view: View
    photo: Picture | None
    """none if the scene came as splats"""
    before: Picture
    stylized: Picture
    rendering: "Rendering"
    """of the restyled field"""
    surface_z: Map
    """z-depth of the source field, NaN where it has no surface or the photo is hidden"""
    is_used: Bool[np.ndarray, "_ _"]
    """where the photo is not hidden"""
    is_known: Bool[np.ndarray, "_ _"]
    """where there is something to judge: not hidden, not known to be empty"""

    @property
    def after(self) -> Picture:
        """Colours of the restyled field."""
        return self.rendering.rgb


def render(inputs: Inputs, params: Evaluate, work: Path) -> tuple[Orbit, list[Step]]:
    """Render the orbit from both fields, and every view from the restyled one."""
    keep_number_of_threads()  # also where a killed run left nothing to be rendered
    source = ViewsFolder.open(inputs.views)
    posed, surfaces_z = source.views, [source.surface_z(view) for view in source.views]
    check_same_views(inputs.stylized / "rgb", source.names, suffix=".png", stage="stylize_views")
    check_held_out(posed)
    cameras = novel_path(posed, surfaces_z, params.num_frames, max_side=params.max_image_side)
    before = render_cameras(inputs.nerf, cameras, work / "before")
    after = render_cameras(
        inputs.finetuned, [*cameras, *(view.camera for view in posed)], work / "after"
    )
    photos = None if came_as_splats(inputs.poses) else inputs.poses / "images"
    steps = [
        Step(
            view,
            photo=read_rgb(photos / f"{view.name}.png") if photos else None,
            before=source.rgb(view),
            stylized=read_rgb(inputs.stylized / "rgb" / f"{view.name}.png"),
            rendering=rendering,
            surface_z=depth_z,
            is_used=source.is_used(view),
            is_known=source.is_known(view),
        )
        for view, depth_z, rendering in zip(posed, surfaces_z, after[len(cameras) :], strict=True)
    ]
    is_cut_out = any(view.is_cut_out for view in posed)
    return Orbit(cameras, before, after[: len(cameras)], is_cut_out), steps


def check_held_out(posed: Sequence[View]) -> None:
    """Refuse a scene none of whose views is held out.

    Raises:
        ArtifactError: If no view is held out.
    """
    if not any(view.split == "held_out" for view in posed):
        raise ArtifactError(
            f"None of the {len(posed)} views is held out, so that the style cannot be measured on "
            "a view the field has not seen. Lower train_nerf.holdout_every or add photos."
        )


def choose_views(steps: Sequence[Step], count: int) -> list[Step]:
    """`count` views to show: held-out ones first, then training views, evenly spread."""
    held_out = [step for step in steps if step.view.split == "held_out"][:count]
    train = [step for step in steps if step.view.split == "train"]
    return [*held_out, *spread(train, count - len(held_out))]


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` items, evenly spaced in their order."""
    count = min(max(count, 0), len(items))
    return [items[round((position + 0.5) * len(items) / count - 0.5)] for position in range(count)]


def render_cameras(
    run_folder: Path, cameras: Sequence[PinholeCamera], frames: Path
) -> "list[Rendering]":
    """Render a trained field from every camera, taking from `frames` what is there already.

    The Gaussians of a field of splats are kept there, too.
    """
    from scenestyle.nerf.field import load_field
    from scenestyle.nerfstudio_plugin.splat_field import SplatField, splats_of

    frames.mkdir(parents=True, exist_ok=True)
    files = [frames / f"{index:05d}.npz" for index in range(len(cameras))]
    missing = [index for index, file in enumerate(files) if not file.exists()]
    rendered = {}
    if missing:
        field = load_field(run_folder)
        if isinstance(field.model, SplatField):
            write_splats(frames / _SPLATS, splats_of(field.model))
        progress = Progress(logger, len(missing), unit=f"{run_folder}: frame")
        for count, index in enumerate(missing, start=1):
            rendered[index] = field.render(cameras[index])
            _save(files[index], rendered[index])
            progress.tell(count)
    return [rendered.get(index) or _load(file) for index, file in enumerate(files)]


def kept_splats(work: Path) -> tuple[SplatFile, SplatFile] | None:
    """The Gaussians before and after the edit that `render` left in `work`; None: no splats."""
    files = [work / when / _SPLATS for when in ("before", "after")]
    if not all(file.exists() for file in files):
        return None
    before, after = map(read_splats, files)
    return before, after


def _save(file: Path, rendering: "Rendering") -> None:
    """Write a frame whole or not at all."""
    with whole_file(file) as partial:
        np.savez(partial, rgb=rendering.rgb, depth_z=rendering.depth_z, opacity=rendering.opacity)


def _load(file: Path) -> "Rendering":
    from scenestyle.nerf.field import Rendering

    with np.load(file, allow_pickle=False) as arrays:
        return Rendering(**{name: arrays[name] for name in arrays.files})
