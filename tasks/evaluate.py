"""Judge a restyled scene and show it. Reads all earlier results, writes figures, orbit, stills, report."""

import csv
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    read_rgb,
    write_json,
    write_rgb,
)
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError, WeightsError
from scenestyle.geometry import common_up, focus_from_depths
from scenestyle.metrics.depth import depth_change
from scenestyle.metrics.image import rmse
from scenestyle.metrics.intervals import bootstrap_mean
from scenestyle.metrics.style import style_distances
from scenestyle.metrics.warp import (
    ViewLink,
    link_pairs,
    link_views,
    nearest_pairs,
    perceptual_warp_errors,
    visible_share,
    warp_errors,
    warp_residual,
)
from scenestyle.nerf.orbit import MIN_OPACITY, novel_path, read_surfaces, surface_z
from scenestyle.params import Evaluate, Style
from scenestyle.viz.charts import line_chart, smoothed
from scenestyle.viz.contact_sheet import contact_sheet
from scenestyle.viz.figures import read_figures
from scenestyle.viz.look import Cloud, Look, pack_cloud, start_at
from scenestyle.viz.maps import depth_change_map, error_map
from scenestyle.viz.report import Chart, Comparison, Maps, Report, render_report
from scenestyle.viz.video import side_by_side, write_video
from tasks._stage import stage_main

if TYPE_CHECKING:
    from torch import Tensor

    from scenestyle.features import FeatureExtractor
    from scenestyle.nerf.field import Rendering

_WARP_GAPS = {"short": 1, "long": 7}
"""frames between the two of a pair, per range of the warp error"""
_CHART_POINTS = 300
_NUM_MAPPED_FRAMES = 4
_LOOK_POINTS = 80_000
_LOOK_RADIUS = 0.6
"""share of the cameras' distance from the focus within which points are evenly spaced"""
_DEPTH_LIMIT = 0.25
"""relative change of depth of the deepest colours on a map"""

Map = Float[np.ndarray, "height width"]
Picture = Float[np.ndarray, "_ _ 3"]
Distance = Callable[[Picture, Picture], float]
DistanceMap = Callable[[Picture, Picture], Map]
Measurements = dict[str, float | Float[np.ndarray, " _"]]
"""figures by name; an array holds one value per view or pair of views, its mean is the figure"""
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
    rendering: "Rendering"
    """of the restyled field"""
    surface_z: Map
    """z-depth of the source field, NaN where it has no surface"""

    @property
    def after(self) -> Picture:
        """Colours of the restyled field."""
        return self.rendering.rgb


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
    links = orbit_links(orbit, tau=params.warp_tau)
    measured = {
        **orbit_figures(orbit, links),
        **view_figures(steps, params),
        "heldout_psnr_source": float(read_json(nerf / "metrics.json")["heldout_psnr"]),
    }
    prompt = style.prompt.replace("{caption}", caption)
    more, not_computed = pretrained_figures(orbit, steps, (caption, prompt), params.pretrained)
    figures, intervals = summary({**measured, **more}, params.seed)
    shown = choose_views(steps, params.num_stills)
    write_stills(out / "stills", shown)
    write_orbit(out / "orbit.mp4", orbit, fps=params.fps)
    report = Report(
        scene=finetuned.parent.name,
        style=finetuned.name,
        caption=caption,
        prompt=prompt,
        look=look_round(orbit, steps),
        video_mp4=(out / "orbit.mp4").read_bytes(),
        comparisons=[Comparison(title(step.view), step.before, step.after) for step in shown],
        contact_sheet=sheet(shown),
        fits=[Comparison(title(step.view), step.stylized, step.after) for step in steps],
        figures=read_figures(figures, intervals),
        not_computed=not_computed,
        maps=error_maps(orbit, links["short"]),
        charts=[
            loss_chart("Source field", nerf),
            loss_chart("Restyled field", finetuned),
        ],
        seconds=seconds_per_stage(inputs),
        settings=settings(inputs, params),
        commands=commands(finetuned),
    )
    write_curves(out, orbit, links["short"], finetuned)
    (out / "report.html").write_text(render_report(report), encoding="utf-8")
    figures["seconds"] = round(time.perf_counter() - started, 1)
    write_json(out / "metrics.json", figures)
    return dict(figures)


def render(inputs: Inputs, params: Evaluate, work: Path) -> tuple[Orbit, list[Step]]:
    """Render the orbit from both fields, and every view from the restyled one."""
    posed, surfaces_z = read_surfaces(inputs.views)
    names = [view.name for view in posed]
    check_same_views(inputs.views / "rgb", names, suffix=".png", stage="render_views")
    check_same_views(inputs.stylized / "rgb", names, suffix=".png", stage="stylize_views")
    check_held_out(posed)
    cameras = novel_path(posed, surfaces_z, params.num_frames, max_side=params.max_image_side)
    before = render_cameras(inputs.nerf, cameras, work / "before")
    after = render_cameras(
        inputs.finetuned, [*cameras, *(view.camera for view in posed)], work / "after"
    )
    steps = [
        Step(
            view,
            photo=read_rgb(inputs.poses / "images" / f"{view.name}.png"),
            before=read_rgb(inputs.views / "rgb" / f"{view.name}.png"),
            stylized=read_rgb(inputs.stylized / "rgb" / f"{view.name}.png"),
            rendering=rendering,
            surface_z=depth_z,
        )
        for view, depth_z, rendering in zip(posed, surfaces_z, after[len(cameras) :], strict=True)
    ]
    return Orbit(cameras, before, after[: len(cameras)]), steps


def check_held_out(posed: Sequence[View]) -> None:
    """Refuse a scene none of whose views is held out.

    Raises:
        ArtifactError: If no view is held out.
    """
    if not any(view.split == "held_out" for view in posed):
        raise ArtifactError(
            f"None of the {len(posed)} views is held out, so that the style cannot be measured on a "
            "view the field has not seen. Lower train_nerf.holdout_every or add photos."
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


def orbit_links(orbit: Orbit, *, tau: float) -> dict[str, list[ViewLink]]:
    """Which frames of the orbit see the same, by the source's geometry, at the short and the long range."""
    surfaces_z = [surface_z(frame.depth_z, frame.opacity) for frame in orbit.before]
    return {
        name: link_views(surfaces_z, orbit.cameras, gap=gap, tau=tau)
        for name, gap in _WARP_GAPS.items()
    }


def orbit_figures(orbit: Orbit, links: Mapping[str, Sequence[ViewLink]]) -> Measurements:
    """Movement, depth change and warp errors along the orbit.

    Raises:
        ArtifactError: If the source field shows no surface.
    """
    rgb_before, rgb_after = [f.rgb for f in orbit.before], [f.rgb for f in orbit.after]
    depth = depth_change(
        [frame.depth_z for frame in orbit.before],
        [frame.depth_z for frame in orbit.after],
        [frame.opacity > MIN_OPACITY for frame in orbit.before],
    )
    measured: Measurements = {
        "movement_rmse": rmse(rgb_before, rgb_after),
        "depth_abs_rel": depth.abs_rel,
        "depth_delta_125": depth.delta_125,
    }
    distance = feature_distance()
    for name, pairs in links.items():
        for suffix, frames in (("", rgb_after), ("_source", rgb_before)):
            measured[f"warp_{name}{suffix}"] = warp_errors(frames, pairs)
            measured[f"warp_{name}_features{suffix}"] = perceptual_warp_errors(
                frames, pairs, distance
            )
        measured[f"warp_{name}_visible_share"] = visible_share(pairs)
    return measured


def view_figures(steps: Sequence[Step], params: Evaluate) -> Measurements:
    """Style, agreement and content of the views, each beside the same of the stylized pictures or the source."""
    from scenestyle.metrics.structure import luminance_ssim

    pairs = nearest_pairs([step.view.camera for step in steps])
    links = link_pairs(
        [step.surface_z for step in steps],
        [step.view.camera for step in steps],
        pairs,
        tau=params.warp_tau,
    )
    before, stylized, after = (
        [getattr(step, name) for step in steps] for name in ("before", "stylized", "after")
    )
    held_out = [step for step in steps if step.view.split == "held_out"]
    likeness = feature_likeness()
    return {
        **style_figures(held_out, params.seed),
        "views_warp": warp_errors(after, links),
        "views_warp_source": warp_errors(before, links),
        "views_warp_stylized": warp_errors(stylized, links),
        "content_ssim": each(luminance_ssim, before, after),
        "content_ssim_stylized": each(luminance_ssim, before, stylized),
        "content_features": each(likeness, before, after),
        "content_features_stylized": each(likeness, before, stylized),
        "heldout_ssim_source": each(
            luminance_ssim,
            [step.before for step in held_out],
            [resized(step.photo, step.before.shape) for step in held_out],
        ),
    }


def pretrained_figures(
    orbit: Orbit, steps: Sequence[Step], texts: tuple[str, str], access: str
) -> tuple[Measurements, dict[str, str]]:
    """The figures that need weights which do not come with the installation.

    Args:
        orbit: Whose frames CLIP looks at.
        steps: Whose held-out photos LPIPS compares.
        texts: Captions of the scene and of the edit.
        access: `evaluate.pretrained`.

    Returns:
        The figures, and why others could not be computed.
    """
    parts: dict[str, Callable[[bool], Measurements]] = {
        "LPIPS of the source field": lambda may: lpips_figures(steps, may_download=may),
        "CLIP text-image directional similarity, CLIP direction consistency (edit, motion)": (
            lambda may: clip_figures(orbit, steps, texts, may_download=may)
        ),
    }
    if access == "off":
        return {}, dict.fromkeys(parts, "Turned off (evaluate.pretrained: off).")
    measured, missing = {}, {}
    for name, compute in parts.items():
        try:
            measured |= compute(access == "download")
        except WeightsError as error:
            logger.warning("not computed: %s. %s", name, error)
            missing[name] = str(error)
    return measured, missing


def lpips_figures(steps: Sequence[Step], *, may_download: bool) -> Measurements:
    """LPIPS of the source field against held-out photos.

    Raises:
        WeightsError: If the weights are not there.
    """
    from scenestyle.metrics.lpips import load_lpips

    lpips = load_lpips(may_download=may_download)
    held_out = [step for step in steps if step.view.split == "held_out"]
    photos = [resized(step.photo, step.before.shape) for step in held_out]
    return {"heldout_lpips_source": each(lpips, [step.before for step in held_out], photos)}


def clip_figures(
    orbit: Orbit, steps: Sequence[Step], texts: tuple[str, str], *, may_download: bool
) -> Measurements:
    """CLIP's figures along the orbit, and the directional similarity of the stylized views.

    Raises:
        WeightsError: If the weights are not there.
    """
    from scenestyle.clip import clip_weights, open_clip
    from scenestyle.metrics.clip import (
        direction_consistency_edit,
        direction_consistency_motion,
        text_image_directional_similarity,
    )

    clip = open_clip(clip_weights(may_download=may_download))
    before, after, source, stylized = (
        clip.embed_pictures(pictures)
        for pictures in (
            [frame.rgb for frame in orbit.before],
            [frame.rgb for frame in orbit.after],
            [step.before for step in steps],
            [step.stylized for step in steps],
        )
    )
    captions = clip.embed_texts(texts)
    return {
        "clip_directional_similarity": text_image_directional_similarity(before, after, *captions),
        "clip_directional_similarity_stylized": text_image_directional_similarity(
            source, stylized, *captions
        ),
        "clip_direction_consistency_edit": direction_consistency_edit(before, after),
        "clip_direction_consistency_motion": direction_consistency_motion(before, after),
    }


def style_figures(held_out: Sequence[Step], seed: int) -> Measurements:
    """Held-out SWD of the restyled field, and the same of the source field as its yardstick."""
    stylized = [step.stylized for step in held_out]
    distance = feature_swd(stylized, seed)
    return {
        "heldout_swd": style_distances([step.after for step in held_out], stylized, distance),
        "heldout_swd_source": style_distances(
            [step.before for step in held_out], stylized, distance
        ),
    }


def summary(
    measured: Measurements, seed: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The figures, and of those that are means the interval in which they lie over other views."""
    figures, intervals = {}, {}
    for name, value in measured.items():
        if isinstance(value, np.ndarray):
            estimate = bootstrap_mean(value, seed=seed)
            figures[name], intervals[name] = estimate.mean, (estimate.low, estimate.high)
        else:
            figures[name] = value
    return figures, intervals


def each(
    figure: Distance, pictures: Iterable[Picture], others: Iterable[Picture]
) -> Float[np.ndarray, " views"]:
    """A figure of every two pictures that belong together."""
    return np.array([figure(x, y) for x, y in zip(pictures, others, strict=True)])


def resized(picture: Picture, shape: tuple[int, ...]) -> Picture:
    """A picture at another size, averaged over areas where it shrinks."""
    import cv2

    height, width = shape[:2]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def as_batch(pictures: Sequence[Picture]) -> "Tensor":
    """Pictures of one size as the features want them: channels first."""
    import torch

    return torch.from_numpy(np.stack(pictures).astype(np.float32)).movedim(-1, 1)


def packaged_features() -> "FeatureExtractor":
    """The features that come with the installation, whatever the finetuning used: figures compare."""
    from scenestyle.features import load_features

    return load_features("efficientnet_lite0")


def feature_distance() -> DistanceMap:
    """LPIPS-class distance of two pictures at every pixel."""
    import torch

    from scenestyle.metrics.perceptual import perceptual_map

    features = packaged_features()

    @torch.no_grad()
    def distance(picture: Picture, other: Picture) -> Map:
        maps = [features(as_batch([rgb])) for rgb in (picture, other)]
        return perceptual_map(*maps, size=picture.shape[:2])[0].numpy()

    return distance


def feature_likeness() -> Distance:
    """Mean cosine of the deep features of two pictures."""
    import torch

    from scenestyle.metrics.perceptual import feature_similarity

    features = packaged_features()

    @torch.no_grad()
    def likeness(picture: Picture, other: Picture) -> float:
        deep = slice(-features.num_content_taps, None)
        maps = [features(as_batch([rgb]))[deep] for rgb in (picture, other)]
        return float(feature_similarity(*maps))

    return likeness


def feature_swd(targets: Sequence[Picture], seed: int) -> Distance:
    """SWD between the features of two pictures, along the same directions at every call.

    Each tap is divided by its deviation over `targets`.
    """
    import torch

    from scenestyle.losses import directions_for, style_loss

    features = packaged_features().balanced(as_batch(targets))

    @torch.no_grad()
    def distance(render: Picture, target: Picture) -> float:
        render_maps, target_maps = features(as_batch([render])), features(as_batch([target]))
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


def error_maps(orbit: Orbit, links: Sequence[ViewLink]) -> Maps:
    """Warp errors and changes of depth of some frames, the one that flickers most first."""
    before, after = ([f.rgb for f in frames] for frames in (orbit.before, orbit.after))
    residuals = [warp_residual(after, link) for link in links]
    worst = int(np.argmax([np.mean(np.nan_to_num(r) ** 2) for r in residuals]))
    chosen = [worst, *(i for i in spread(range(len(links)), _NUM_MAPPED_FRAMES) if i != worst)]
    chosen = chosen[:_NUM_MAPPED_FRAMES]
    top = max(0.05, *(float(np.nanpercentile(residuals[i], 99)) for i in chosen))
    rows = []
    for index in chosen:
        link = links[index]
        source, restyled = orbit.before[link.j], orbit.after[link.j]
        is_surface = source.opacity > MIN_OPACITY
        rows.append(
            [
                restyled.rgb,
                error_map(warp_residual(before, link), top=top),
                error_map(residuals[index], top=top),
                depth_change_map(source.depth_z, restyled.depth_z, is_surface, limit=_DEPTH_LIMIT),
            ]
        )
    sheet = contact_sheet(
        rows,
        row_labels=[f"frame {links[index].j}" for index in chosen],
        column_labels=["restyled", "warp error before", "warp error after", "depth change"],
        max_picture_side=256,
    )
    return Maps(sheet, flicker=flicker_chart(orbit, links), top_error=top, depth_limit=_DEPTH_LIMIT)


def flicker_curves(orbit: Orbit, links: Sequence[ViewLink]) -> dict[str, list[tuple[int, float]]]:
    """Warp error of every frame to the one before it, before and after the edit."""
    seen = [link for link in links if link.is_visible.any()]
    return {
        when: [
            (link.i, float(error))
            for link, error in zip(seen, warp_errors([f.rgb for f in frames], seen), strict=True)
        ]
        for when, frames in (("before", orbit.before), ("after", orbit.after))
    }


def flicker_chart(orbit: Orbit, links: Sequence[ViewLink]) -> Chart:
    """Flicker along the orbit, for the report."""
    name, curves = "Flicker along the orbit", flicker_curves(orbit, links)
    svg = line_chart(curves, title=name, x_label="frame", y_label="warp error", format="svg")
    return Chart(name, svg)


def write_curves(out: Path, orbit: Orbit, links: Sequence[ViewLink], finetuned: Path) -> None:
    """Write `flicker.csv` and `losses.csv` for `dvc plots`."""
    curves = flicker_curves(orbit, links)
    with (out / "flicker.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["frame", *curves])
        for points in zip(*curves.values(), strict=True):
            writer.writerow([points[0][0], *(f"{error:.6g}" for _, error in points)])
    shutil.copyfile(finetuned / "losses.csv", out / "losses.csv")


def look_round(orbit: Orbit, steps: Sequence[Step]) -> Look:
    """Both fields as points, sampled where the views of the capture see them."""
    from scenestyle.nerf.field import Rendering
    from scenestyle.nerf.surface import contracted, surface_points, thinned

    cameras = [step.view.camera for step in steps]
    focus = focus_from_depths(cameras, [step.surface_z for step in steps])
    away = [np.linalg.norm(camera.c2w_opengl[:3, 3] - focus) for camera in cameras]
    radius = _LOOK_RADIUS * float(np.median(away))

    def cloud(renderings: "Sequence[Rendering]") -> Cloud:
        points = thinned(
            surface_points(cameras, renderings),
            _LOOK_POINTS,
            warp=lambda points: contracted(points, focus=focus, radius=radius),
        )
        return pack_cloud(points.points, points.colours)

    before = [
        Rendering(
            step.before,
            np.nan_to_num(step.surface_z),
            np.isfinite(step.surface_z).astype(np.float32),
        )
        for step in steps
    ]
    up = common_up([camera.c2w_opengl for camera in orbit.cameras])
    return Look(
        before=cloud(before),
        after=cloud([step.rendering for step in steps]),
        camera=start_at(orbit.cameras[0], focus=focus, radius=radius, up=up),
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
        "Walk through the restyled scene": f"cd {finetuned} && ns-viewer --load-config config.yml "
        "--viewer.websocket-host 127.0.0.1",  # by default it answers the whole network
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
