"""Judge a restyled scene and show it. Reads all earlier results, writes figures, orbit, stills, report."""

import csv
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jaxtyping import Float

from scenestyle.artifacts import (
    View,
    check_same_views,
    read_json,
    read_map,
    read_rgb,
    read_views,
    write_json,
    write_rgb,
)
from scenestyle.cameras import PinholeCamera, fit_within
from scenestyle.errors import ArtifactError
from scenestyle.geometry import focus_from_depths, smooth_orbit
from scenestyle.metrics.depth import depth_change
from scenestyle.metrics.image import rmse
from scenestyle.metrics.style import style_distances
from scenestyle.metrics.warp import link_views, visible_share, warp_errors
from scenestyle.params import Evaluate, Style
from scenestyle.viz.charts import line_chart, smoothed
from scenestyle.viz.contact_sheet import contact_sheet
from scenestyle.viz.figures import read_figures
from scenestyle.viz.report import Chart, Comparison, Report, render_report
from scenestyle.viz.video import side_by_side, write_video
from tasks._stage import stage_main

if TYPE_CHECKING:
    from scenestyle.nerf.field import Rendering

_WARP_GAPS = {"short": 1, "long": 7}
"""frames between the two of a pair, per range of the warp error"""
_MIN_OPACITY = 0.5
"""at and below it a pixel shows no surface"""
_CHART_POINTS = 300

Map = Float[np.ndarray, "height width"]
Picture = Float[np.ndarray, "_ _ 3"]
T = TypeVar("T")

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Step:
    """One camera of the capture on its way from photo to restyled field; RGB in [0, 1]."""

    view: View
    photo: Picture
    before: Picture
    stylized: Picture
    after: Picture


def run(
    poses: Path,
    nerf: Path,
    views: Path,
    stylized: Path,
    finetuned: Path,
    out: Path,
    params: Evaluate,
    *,
    caption: str,
    style: Style,
    work: Path,
) -> dict[str, object]:
    """Render a novel path before and after the edit, measure both, and show what came of it.

    Rendered frames are kept in `work`, so that a killed run goes on where it was.

    Raises:
        ArtifactError: If an input lacks files, no view is held out, or the source field is empty.
    """
    started = time.perf_counter()
    inputs = Inputs(poses, nerf, views, stylized, finetuned)
    orbit, steps = render(inputs, params, work)
    held_out = [step for step in steps if step.view.split == "held_out"]
    figures = {
        **orbit_figures(orbit, tau=params.warp_tau),
        **style_figures(held_out, params.seed),
        "heldout_psnr_source": read_json(nerf / "metrics.json")["heldout_psnr"],
    }
    shown = steps[: params.num_stills]
    write_stills(out / "stills", shown)
    write_orbit(out / "orbit.mp4", orbit, fps=params.fps)
    report = Report(
        scene=finetuned.parent.name,
        style=finetuned.name,
        caption=caption,
        prompt=style.prompt.replace("{caption}", caption),
        video_mp4=(out / "orbit.mp4").read_bytes(),
        comparisons=[Comparison(title(step.view), step.before, step.after) for step in shown],
        contact_sheet=sheet(shown),
        figures=read_figures(figures),
        charts=[loss_chart("Source field", nerf), loss_chart("Restyled field", finetuned)],
        seconds=seconds_per_stage(inputs),
        settings=settings(inputs, params),
        commands=commands(finetuned),
    )
    (out / "report.html").write_text(render_report(report), encoding="utf-8")
    figures["seconds"] = round(time.perf_counter() - started, 1)
    write_json(out / "metrics.json", figures)
    return dict(figures)


def render(inputs: Inputs, params: Evaluate, work: Path) -> tuple[Orbit, list[Step]]:
    """Render the orbit from both fields, and the views to measure and show from the restyled one."""
    posed = read_views(inputs.views)
    names = [view.name for view in posed]
    check_same_views(inputs.views / "rgb", names, suffix=".png", stage="render_views")
    check_same_views(inputs.stylized / "rgb", names, suffix=".png", stage="stylize_views")
    cameras = novel_path(inputs.views, posed, params)
    chosen = choose_views(posed, params.num_stills)
    before = render_cameras(inputs.nerf, cameras, work / "before")
    after = render_cameras(
        inputs.finetuned, [*cameras, *(view.camera for view in chosen)], work / "after"
    )
    steps = [
        Step(
            view,
            photo=read_rgb(inputs.poses / "images" / f"{view.name}.png"),
            before=read_rgb(inputs.views / "rgb" / f"{view.name}.png"),
            stylized=read_rgb(inputs.stylized / "rgb" / f"{view.name}.png"),
            after=rendering.rgb,
        )
        for view, rendering in zip(chosen, after[len(cameras) :], strict=True)
    ]
    return Orbit(cameras, before, after[: len(cameras)]), steps


def novel_path(views: Path, posed: Sequence[View], params: Evaluate) -> list[PinholeCamera]:
    """A smooth orbit about what the views look at."""
    cameras = [view.camera for view in posed]
    surfaces_z = [
        surface_z(
            read_map(views / "depth_z" / f"{view.name}.npy"),
            read_map(views / "opacity" / f"{view.name}.npy"),
        )
        for view in posed
    ]
    focus = focus_from_depths(cameras, surfaces_z)
    return [
        camera.resized(*fit_within(camera.width, camera.height, params.max_image_side))
        for camera in smooth_orbit(cameras, params.num_frames, focus=focus)
    ]


def surface_z(depth_z: Map, opacity: Map) -> Map:
    """z-depth where there is a surface, NaN elsewhere."""
    return np.where(opacity > _MIN_OPACITY, depth_z, np.float32(np.nan))


def choose_views(posed: Sequence[View], num_stills: int) -> list[View]:
    """All held-out views, to measure, then training views, evenly spread, up to `num_stills`.

    Raises:
        ArtifactError: If no view is held out.
    """
    held_out = [view for view in posed if view.split == "held_out"]
    train = [view for view in posed if view.split == "train"]
    if not held_out:
        raise ArtifactError(
            f"None of the {len(posed)} views is held out, so that the style cannot be measured on a "
            "view the field has not seen. Lower train_nerf.holdout_every or add photos."
        )
    return [*held_out, *spread(train, num_stills - len(held_out))]


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` items, evenly spaced in their order."""
    count = min(max(count, 0), len(items))
    return [items[round((position + 0.5) * len(items) / count - 0.5)] for position in range(count)]


def render_cameras(
    run_folder: Path, cameras: Sequence[PinholeCamera], frames: Path
) -> "list[Rendering]":
    """Render a trained field from every camera, taking from `frames` what is there already."""
    from scenestyle.nerf.field import load_field

    frames.mkdir(parents=True, exist_ok=True)
    files = [frames / f"{index:05d}.npz" for index in range(len(cameras))]
    missing = [index for index, file in enumerate(files) if not file.exists()]
    if missing:
        field = load_field(run_folder)
        for count, index in enumerate(missing, start=1):
            _save(files[index], field.render(cameras[index]))
            logger.info("%s: rendered %d of %d", run_folder, count, len(missing))
    return [_load(file) for file in files]


def orbit_figures(orbit: Orbit, *, tau: float) -> dict[str, float]:
    """Movement, depth change and warp errors along the orbit.

    Raises:
        ArtifactError: If the source field shows no surface.
    """
    rgb_before, rgb_after = [f.rgb for f in orbit.before], [f.rgb for f in orbit.after]
    surfaces_z = [surface_z(frame.depth_z, frame.opacity) for frame in orbit.before]
    is_surface = [np.isfinite(depth_z) for depth_z in surfaces_z]
    depth = depth_change(surfaces_z, [frame.depth_z for frame in orbit.after], is_surface)
    figures = {
        "movement_rmse": rmse(rgb_before, rgb_after),
        "depth_abs_rel": depth.abs_rel,
        "depth_delta_125": depth.delta_125,
    }
    for name, gap in _WARP_GAPS.items():
        links = link_views(surfaces_z, orbit.cameras, gap=gap, tau=tau)
        figures[f"warp_{name}"] = float(warp_errors(rgb_after, links).mean())
        figures[f"warp_{name}_source"] = float(warp_errors(rgb_before, links).mean())
        figures[f"warp_{name}_visible_share"] = visible_share(links)
    return figures


def style_figures(held_out: Sequence[Step], seed: int) -> dict[str, float]:
    """Held-out SWD of the restyled field, and the same of the source field as its yardstick."""
    stylized = [step.stylized for step in held_out]
    distance = feature_swd(stylized, seed)
    after = style_distances([step.after for step in held_out], stylized, distance)
    before = style_distances([step.before for step in held_out], stylized, distance)
    return {"heldout_swd": float(after.mean()), "heldout_swd_source": float(before.mean())}


def feature_swd(targets: Sequence[Picture], seed: int) -> Callable[[Picture, Picture], float]:
    """SWD between the features of two pictures, along the same directions at every call.

    The features are those that come with the installation, each tap divided by its deviation over
    `targets`, whatever the finetuning used: figures of several edits of a scene compare.
    """
    import torch

    from scenestyle.features import load_features
    from scenestyle.losses import directions_for, style_loss

    def batch(pictures: Sequence[Picture]) -> torch.Tensor:
        return torch.from_numpy(np.stack(pictures)).movedim(-1, 1)

    features = load_features("efficientnet_lite0").balanced(batch(targets))

    @torch.no_grad()
    def distance(render: Picture, target: Picture) -> float:
        render_maps, target_maps = features(batch([render])), features(batch([target]))
        directions = directions_for(target_maps, torch.Generator().manual_seed(seed))
        return float(style_loss(render_maps, target_maps, directions))

    return distance


def write_stills(folder: Path, steps: Sequence[Step]) -> None:
    """Write each view before and after the edit."""
    for step in steps:
        write_rgb(folder / f"{step.view.name}_before.png", step.before)
        write_rgb(folder / f"{step.view.name}_after.png", step.after)


def write_orbit(path: Path, orbit: Orbit, *, fps: int) -> None:
    """Write the orbit as a video, before beside after."""
    pairs = zip(orbit.before, orbit.after, strict=True)
    frames = (side_by_side(x.rgb, y.rgb, labels=("before", "after")) for x, y in pairs)
    write_video(path, frames, fps=fps)


def sheet(steps: Sequence[Step]) -> Picture:
    """One row per camera, from photo to restyled field."""
    return contact_sheet(
        [[step.photo, step.before, step.stylized, step.after] for step in steps],
        row_labels=[title(step.view) for step in steps],
        column_labels=["photo", "source field", "stylized view", "restyled field"],
        max_picture_side=min(256, max(steps[0].before.shape)),
    )


def title(view: View) -> str:
    """Name of a view for people."""
    return f"{view.name} (held out)" if view.split == "held_out" else view.name


def loss_chart(name: str, run_folder: Path) -> Chart:
    """The loss terms of a training, smoothed, on a logarithmic axis."""
    with (run_folder / "losses.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    stride = -(-len(rows) // _CHART_POINTS)
    curves = {
        term: smoothed([(int(row["step"]), float(row[term])) for row in rows], half_width=stride)[
            ::stride
        ]
        for term in rows[0]
        if term != "step"
    }
    svg = line_chart(curves, title=name, x_label="step", y_label="loss", log_y=True, format="svg")
    return Chart(name, svg)


def records(inputs: Inputs) -> Mapping[str, Mapping[str, Any]]:
    """What each earlier stage noted about itself."""
    return {
        "estimate_poses": read_json(inputs.poses / "report.json"),
        "train_nerf": read_json(inputs.nerf / "metrics.json"),
        "render_views": read_json(inputs.views / "report.json"),
        "stylize_views": read_json(inputs.stylized / "manifest.json"),
        "finetune_nerf": read_json(inputs.finetuned / "metrics.json"),
    }


def seconds_per_stage(inputs: Inputs) -> dict[str, float]:
    """Wall-clock time of the earlier stages, in their order."""
    return {stage: float(record["seconds"]) for stage, record in records(inputs).items()}


def settings(inputs: Inputs, params: Evaluate) -> dict[str, str]:
    """Model, revisions, seeds and versions: what a second run must have in common with this one."""
    found = records(inputs)
    manifest = found["stylize_views"]
    versions = {
        name: number for record in found.values() for name, number in record["versions"].items()
    }
    described = {
        "model": manifest["model"],
        **{f"{part} weights": source for part, source in manifest["sources"].items()},
        **{name: value for name, value in manifest["settings"].items() if name != "prompt"},
        "seed of evaluate": params.seed,
        "scenestyle": version("scenestyle"),
        **dict(sorted(versions.items())),
    }
    return {
        name.replace("_", " "): "none" if value == "" else str(value)
        for name, value in described.items()
    }


def commands(finetuned: Path) -> dict[str, str]:
    """How to make, redo and walk through the result, for a folder `.../SCENE/STYLE`."""
    scene, style = finetuned.parent.name, finetuned.name
    return {
        "This result and all it needs": f"dvc repro evaluate@{scene}-{style}",
        "The same through Prefect": f"python -m flows.stylize_scene --scene {scene} --style {style}",
        "Walk through the restyled scene": f"cd {finetuned} && ns-viewer --load-config config.yml",
    }


def main() -> None:
    """Run as a stage program."""
    stage_main(run)


def _save(file: Path, rendering: "Rendering") -> None:
    """Write a frame whole or not at all."""
    partial = file.with_suffix(".partial.npz")
    np.savez(partial, rgb=rendering.rgb, depth_z=rendering.depth_z, opacity=rendering.opacity)
    partial.replace(file)


def _load(file: Path) -> "Rendering":
    from scenestyle.nerf.field import Rendering

    with np.load(file, allow_pickle=False) as arrays:
        return Rendering(**{name: arrays[name] for name in arrays.files})


if __name__ == "__main__":
    main()
