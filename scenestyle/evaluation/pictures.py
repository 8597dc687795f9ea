"""The parts of the report: pictures, maps, curves, and how the result came about."""

import csv
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from scenestyle.artifacts import MIN_OPACITY, View, came_as_splats, read_json, write_rgb
from scenestyle.cameras import PinholeCamera
from scenestyle.evaluation.look import look_round
from scenestyle.evaluation.renders import Inputs, Orbit, Picture, Step, spread
from scenestyle.metrics.warp import ViewLink, warp_errors, warp_residual
from scenestyle.params import Evaluate
from scenestyle.report.report import Capture, Chart, Comparison, Maps, Report
from scenestyle.report.verdicts import Figure
from scenestyle.splat_file import SplatFile
from scenestyle.viz.charts import line_chart, smoothed
from scenestyle.viz.contact_sheet import contact_sheet
from scenestyle.viz.maps import depth_change_map, error_map
from scenestyle.viz.plan import camera_plan
from scenestyle.viz.video import side_by_side, write_video

Curves = dict[str, list[tuple[int, float]]]
"""name -> frame and value of every point"""

_CHART_POINTS = 300
_NUM_MAPPED_FRAMES = 4
_SHOWN_LOST = 20
"""lost photos that the page describes"""
_DEPTH_LIMIT = 0.25
"""relative change of depth of the deepest colours on a map"""


def build_report(
    inputs: Inputs,
    params: Evaluate,
    *,
    texts: tuple[str, str],
    orbit: Orbit,
    steps: Sequence[Step],
    shown: Sequence[Step],
    splats: tuple[SplatFile, SplatFile] | None,
    links: Sequence[ViewLink],
    flicker: Curves,
    video_mp4: bytes,
    figures: Sequence[Figure],
    not_computed: Mapping[str, str],
) -> Report:
    """Put together all that the report shows.

    Args:
        inputs: Results of the earlier stages.
        params: Parameters of the stage.
        texts: Caption of the scene, and the prompt that it was restyled with.
        orbit: Novel path before and after the edit.
        steps: All held-out views.
        shown: The views among them that are shown large.
        splats: The Gaussians before and after the edit, where the fields are splats.
        links: Neighbouring frames of the orbit, on which the maps of errors are.
        flicker: Warp error of every frame.
        video_mp4: The orbit as a video.
        figures: Metrics in words.
        not_computed: Metric -> why there is none.
    """
    scene, style = inputs.finetuned.parent.name, inputs.finetuned.name
    return Report(
        scene=scene,
        style=style,
        caption=texts[0],
        prompt=texts[1],
        warnings=read_json(inputs.stylized / "manifest.json").get("warnings", []),
        look=look_round(steps, splats, begin=begin_at(shown)),
        video_mp4=video_mp4,
        comparisons=[Comparison(title(step.view), step.before, step.after) for step in shown],
        contact_sheet=sheet(shown),
        fits=[Comparison(title(step.view), step.stylized, step.after) for step in steps],
        figures=figures,
        not_computed=not_computed,
        capture=capture(inputs),
        maps=error_maps(orbit, links, flicker),
        charts=[
            *([] if came_as_splats(inputs.poses) else [loss_chart("Source field", inputs.nerf)]),
            loss_chart("Restyled field", inputs.finetuned),
        ],
        seconds=seconds_per_stage(inputs),
        settings={"field": field(splats), **settings(inputs, params)},
        commands=commands(scene, style, inputs.finetuned),
    )


def begin_at(shown: Sequence[Step]) -> PinholeCamera:
    """The camera that the 3D view begins at: of a view that the field was trained on, if any."""
    trained = [step for step in shown if step.view.split == "train"]
    return [*trained, *shown][0].view.camera


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


def write_curves(out: Path, flicker: Curves, finetuned: Path) -> None:
    """Write `flicker.csv` and `losses.csv` for `dvc plots`."""
    with (out / "flicker.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["frame", *flicker])
        for points in zip(*flicker.values(), strict=True):
            writer.writerow([points[0][0], *(f"{error:.6g}" for _, error in points)])
    shutil.copyfile(finetuned / "losses.csv", out / "losses.csv")


def sheet(steps: Sequence[Step]) -> Picture:
    """One row per camera, from photo to restyled field."""
    columns = {
        "photo": [step.photo for step in steps if step.photo is not None],
        "source field": [step.before for step in steps],
        "stylized view": [step.stylized for step in steps],
        "restyled field": [step.after for step in steps],
    }
    columns = {name: pictures for name, pictures in columns.items() if pictures}
    return contact_sheet(
        list(zip(*columns.values(), strict=True)),
        row_labels=[title(step.view) for step in steps],
        column_labels=list(columns),
        max_picture_side=min(256, max(max(step.before.shape) for step in steps)),
    )


def title(view: View) -> str:
    """Name of a view for people."""
    return f"{view.name} (held out)" if view.split == "held_out" else view.name


def capture(inputs: Inputs) -> Capture:
    """Where the photos were taken, and which have no place."""
    found = read_json(inputs.poses / "report.json")
    cameras = Chart("Cameras from above", camera_plan(found["seen_from_above"], format="svg"))
    if came_as_splats(inputs.poses):
        summary = (
            f"The scene came as {found['splats']:,} splats with {found['cameras']} cameras; there "
            "are no photos of it, and the field was not trained."
        )
        return Capture(cameras=cameras, summary=summary, lost=[])
    angle, px = found["triangulation_angle_degrees"], found["mean_reprojection_error_px"]
    summary = f"{found['registered']} of {found['photos']} photos have a place in the scene."
    if angle is not None and px is not None:
        summary += (
            f" {found['points']} points were seen under {angle:.1f} degrees (median), to {px:.2f} "
            "pixels."
        )
    lost = [(lost["photo"], lost["advice"]) for lost in found.get("lost_photos", [])]
    if len(lost) > _SHOWN_LOST:
        more = f"{len(lost) - _SHOWN_LOST} more"
        lost = [*lost[:_SHOWN_LOST], (more, f"see {inputs.poses / 'report.json'}")]
    return Capture(cameras=cameras, summary=summary, lost=lost)


def error_maps(orbit: Orbit, links: Sequence[ViewLink], flicker: Curves) -> Maps:
    """Warp errors and changes of depth of some frames, the one that flickers most first."""
    before, after = ([f.rgb for f in frames] for frames in (orbit.before, orbit.after))
    worst_frame, _ = max(flicker["after"], key=lambda point: point[1])
    worst = next(index for index, link in enumerate(links) if link.i == worst_frame)
    chosen = [worst, *(i for i in spread(range(len(links)), _NUM_MAPPED_FRAMES) if i != worst)]
    chosen = chosen[:_NUM_MAPPED_FRAMES]
    residuals = {index: warp_residual(after, links[index]) for index in chosen}
    top = max(0.05, *(float(np.nanpercentile(residual, 99)) for residual in residuals.values()))
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
    return Maps(sheet, flicker=flicker_chart(flicker), top_error=top, depth_limit=_DEPTH_LIMIT)


def flicker_chart(flicker: Curves) -> Chart:
    """Flicker along the orbit, for the report."""
    name = "Flicker along the orbit"
    svg = line_chart(flicker, title=name, x_label="frame", y_label="warp error", format="svg")
    return Chart(name, svg)


def flicker_curves(orbit: Orbit, links: Sequence[ViewLink]) -> Curves:
    """Warp error of every frame to the one before it, before and after the edit."""
    seen = [link for link in links if link.is_visible.any()]
    return {
        when: [
            (link.i, float(error))
            for link, error in zip(seen, warp_errors([f.rgb for f in frames], seen), strict=True)
        ]
        for when, frames in (("before", orbit.before), ("after", orbit.after))
    }


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


def field(splats: tuple[SplatFile, SplatFile] | None) -> str:
    """What the scene is made of."""
    return f"{len(splats[1].means):,} Gaussian splats" if splats else "NeRF (nerfacto)"


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
        **{f"{part} licence": licence for part, licence in manifest.get("licences", {}).items()},
        **{name: value for name, value in manifest["settings"].items() if name != "prompt"},
        "seed of evaluate": params.seed,
        "scenestyle": version("scenestyle"),
        **dict(sorted(versions.items())),
    }
    return {name.replace("_", " "): _in_words(value) for name, value in described.items()}


def _in_words(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value) or "none"


def commands(scene: str, style: str, finetuned: Path) -> dict[str, str]:
    """How to make, walk through and export the result, whose field lies in `finetuned`."""
    export = f"scenestyle export {scene} {style} --format"
    return {
        "This result and all it needs": f"dvc repro evaluate@{scene}-{style}",
        "The same through Prefect": "python -m flows.stylize_scene "
        f"--scene {scene} --style {style}",
        "Walk through the restyled scene": f"cd {finetuned} && ns-viewer --load-config config.yml "
        "--viewer.websocket-host 127.0.0.1",  # by default it answers the whole network
        "A video of any length and size": f"{export} video --seconds 8 --fps 24 --size 480",
        "Coloured points for MeshLab, Blender, Open3D": f"{export} ply",
        "Gaussian splats for 3DGS viewers": f"{export} splat",
        "A coloured mesh": f"{export} mesh",
        "Frames with their cameras": f"{export} frames",
        "The run for nerfstudio's tools, elsewhere": f"{export} nerfstudio",
    }
