"""Nerfacto and splats on the same captures: quality, time, memory; and what restyling makes of them.

python -m benchmarks.two_fields POSES ... [--sides 240 480] [--fields nerfacto splats] [--steps 1500]
    [--styles comic ukiyoe watercolor]

POSES are folders that estimate_poses wrote. Every cell trains in a process of its own, with one
thread; its figures are kept in `.work/two_fields`, so that a further call adds cells to the table;
delete the folder to measure anew.
CPU seconds are those of `train`, with the compiling of the first time left out by a warm-up. Every
tenth point of structure from motion is kept from training; the depth error is the median over
these, in the held-out views that saw them, of |rendered depth / the point's - 1|.
With `--styles`, the fields trained at the least of the sides pass through the stages that follow,
at that side and else with `params.yaml`; the figures are those that `evaluate` writes.
"""

import argparse
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.machine import ROOT, provenance, table, write_result
from scenestyle.artifacts import SparsePoints, View, read_points, write_points
from scenestyle.geometry import project

KEPT = ROOT / ".work" / "two_fields"


def measure(
    poses: Path, field: Literal["nerfacto", "splats"], side: int, steps: int
) -> dict[str, float]:
    """Train one cell and look at its held-out views."""
    from skimage.metrics import structural_similarity

    from scenestyle.nerf.dataset import parse_dataset, read_photo
    from scenestyle.nerf.field import load_field
    from scenestyle.nerf.splat_start import in_field_frame
    from scenestyle.nerf.train import train
    from scenestyle.params import TrainNerf

    params = TrainNerf(field=field, max_image_side=side, iterations=steps)
    run, work, fewer = (
        KEPT / f"{poses.name}_{field}_{side}_{kind}" for kind in ("run", "work", "poses")
    )
    for folder in (run, work, fewer):
        shutil.rmtree(folder, ignore_errors=True)
    run.mkdir(parents=True)
    held_back = hold_back_points(poses, fewer)
    poses = fewer
    warm = KEPT / f"warm_{poses.name}"
    shutil.rmtree(warm, ignore_errors=True)
    warm.mkdir()
    tiny = TrainNerf(field=field, max_image_side=64, iterations=2)
    train(poses, warm, tiny, work=warm / "work")
    wall, cpu = time.perf_counter(), time.process_time()
    metrics = train(poses, run, params, work=work)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    trained = load_field(run)
    held_out = [view for view in trained.views if view.split == "held_out"]
    begin = time.process_time()
    renderings = [trained.render(view.camera) for view in held_out]
    per_view = (time.process_time() - begin) / len(held_out)
    renders = [rendering.rgb for rendering in renderings]
    ssim = [
        structural_similarity(rgb, read_photo(run, view), channel_axis=2, data_range=1.0)
        for rgb, view in zip(renders, held_out, strict=True)
    ]
    frame = parse_dataset(run, "train", holdout_every=params.holdout_every)
    held_back = in_field_frame(held_back, frame)
    errors = [
        depth_errors(held_back, view, rendering.depth_z)
        for view, rendering in zip(held_out, renderings, strict=True)
    ]
    return {
        "heldout_psnr": float(metrics["heldout_psnr"]),  # pyright: ignore[reportArgumentType]
        "train_psnr": float(metrics["train_psnr"]),  # pyright: ignore[reportArgumentType]
        "heldout_ssim": float(np.mean(ssim)),
        "depth_error": float(np.median(np.concatenate(errors))),
        "cpu_s": cpu,
        "wall_s": wall,
        "ms_per_view": 1e3 * per_view,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "steps": steps,
    }


def hold_back_points(poses: Path, fewer: Path) -> SparsePoints:
    """Copy a poses folder without every tenth of its points; returns all points, those alone seen."""
    points = read_points(poses)
    if points is None:
        raise SystemExit(f"{poses} has no points.npz: a folder that estimate_poses wrote is needed")
    shutil.copytree(poses, fewer)
    is_back = np.arange(len(points.xyz)) % 10 == 0
    kept = np.flatnonzero(~is_back)
    views, seen = points.sightings.T
    place = np.cumsum(~is_back) - 1
    sightings = np.stack([views, place[seen]], axis=1)[~is_back[seen]]
    xyz, rgb, error_px = (array[kept] for array in (points.xyz, points.rgb, points.error_px))
    write_points(fewer, SparsePoints(xyz, rgb, error_px, points.names, sightings))
    return replace(points, sightings=points.sightings[is_back[seen]])


def depth_errors(points: SparsePoints, view: View, depth_z: np.ndarray) -> np.ndarray:
    """|rendered depth / the point's - 1| at every point that a view saw."""
    pixels, z = project(points.xyz[points.seen_by(view.name)], view.camera)
    columns, rows = np.floor(pixels).astype(int).T
    height, width = depth_z.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return np.abs(depth_z[rows[inside], columns[inside]] / z[inside] - 1)


def restyle(
    poses: Path, field: Literal["nerfacto", "splats"], side: int, style: str
) -> dict[str, float]:
    """Pass a field that `measure` trained through the stages after training."""
    from scenestyle.params import load_params
    from tasks import evaluate, finetune_nerf, render_views, stylize_views

    run = KEPT / f"{poses.name}_{field}_{side}_run"
    params = load_params(ROOT / "params.yaml")
    made = KEPT / f"{poses.name}_{field}_{side}_{style}"
    shutil.rmtree(made, ignore_errors=True)
    views, stylized, finetuned, result, work = (
        made / name for name in ("views", "stylized", "finetuned", "result", "work")
    )
    for folder in (views, stylized, finetuned, result):
        folder.mkdir(parents=True)
    words = {"caption": "a scene", "style": params.styles[style]}
    render_views.run(run, poses, views, replace(params.render_views, max_image_side=side))
    begin = time.process_time()
    stylize_views.run(views, stylized, params.stylize_views, **words, work=work / "stylize")
    stylize_s = time.process_time() - begin
    finetune_nerf.run(run, views, stylized, finetuned, params.finetune_nerf, work=work / "finetune")
    finetune_s = time.process_time() - begin - stylize_s
    shown = replace(params.evaluate, max_image_side=side)
    evaluate.run(poses, run, views, stylized, finetuned, result, shown, **words, work=work / "show")
    return {
        **json.loads((result / "metrics.json").read_text()),
        "stylize_s": stylize_s,
        "finetune_s": finetune_s,
        "evaluate_s": time.process_time() - begin - stylize_s - finetune_s,
    }


def make_cell(kept: Path, poses: Path, *words: str) -> None:
    """Measure a cell in a process of its own, with one thread, unless its figures are there."""
    if kept.exists():
        return
    command = [sys.executable, "-m", "benchmarks.two_fields", str(poses), "--cell", str(kept)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    subprocess.run([*command, *words], check=True, cwd=ROOT, env=env)


def trained_table() -> str:
    """Of all fields that were ever measured."""
    rows = []
    for kept in sorted(KEPT.glob("* * *.json")):
        if len(kept.stem.split()) > 3:
            continue
        cell = json.loads(kept.read_text())
        rows.append(
            [
                *kept.stem.split(),
                cell["steps"],
                *(f"{cell[name]:.2f}" for name in ("heldout_psnr", "train_psnr")),
                f"{cell['heldout_ssim']:.3f}",
                f"{100 * cell['depth_error']:.1f}",
                *(f"{cell[name]:.0f}" for name in ("cpu_s", "wall_s", "ms_per_view", "peak_mb")),
            ]
        )
    header = ["scene", "px", "field", "steps", "held-out dB", "train dB", "held-out SSIM"]
    header += ["depth error %", "CPU s", "wall s", "CPU ms per view", "peak MB"]
    return table(header, rows)


def restyled_table() -> str:
    """Of all that were ever restyled; distances of the source's own renders in brackets."""
    rows = []
    for kept in sorted(KEPT.glob("* * * *.json")):
        cell = json.loads(kept.read_text())
        scene, side, field, style = kept.stem.split()
        pairs = ("heldout_swd", "warp_short", "warp_long")
        seconds = ("stylize_s", "finetune_s", "evaluate_s")
        rows.append(
            [
                *(scene, side, field, style),
                *(f"{cell[name]:.3f} ({cell[f'{name}_source']:.3f})" for name in pairs),
                *(f"{cell[name]:.3f}" for name in ("movement_rmse", "movement_rmse_stylized")),
                f"{100 * cell['depth_abs_rel']:.1f}",
                *(f"{cell[name]:.0f}" for name in seconds),
            ]
        )
    header = ["scene", "px", "field", "style", "held-out SWD (source)"]
    header += ["warp short (source)", "warp long (source)", "movement", "stylized views' movement"]
    header += ["depth changed %", "stylize CPU s", "finetune CPU s", "evaluate CPU s"]
    return table(header, rows)


def main() -> None:
    """Measure what is asked for and write the tables of all that was ever measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("poses", nargs="+", type=Path)
    parser.add_argument("--sides", nargs="+", type=int, default=[240, 480])
    parser.add_argument("--fields", nargs="+", default=["splats", "nerfacto"])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--styles", nargs="+", default=[])
    parser.add_argument("--cell", type=Path, help="used by the program itself")
    asked = parser.parse_args()
    if asked.cell is not None:
        of = asked.poses[0], asked.fields[0], asked.sides[0]
        cell = restyle(*of, asked.styles[0]) if asked.styles else measure(*of, asked.steps)
        asked.cell.write_text(json.dumps(cell))
        return
    KEPT.mkdir(parents=True, exist_ok=True)
    head = provenance(("gsplat", "nerfstudio", "numba", "torch"), num_threads=1)
    for poses, side, field in itertools.product(asked.poses, asked.sides, asked.fields):
        words = ["--sides", str(side), "--fields", field, "--steps", str(asked.steps)]
        make_cell(KEPT / f"{poses.name} {side} {field}.json", poses, *words)
    least = min(asked.sides)
    for style, poses, field in itertools.product(asked.styles, asked.poses, asked.fields):
        words = ["--sides", str(least), "--fields", field, "--styles", style]
        make_cell(KEPT / f"{poses.name} {least} {field} {style}.json", poses, *words)
    write_result(
        "two_fields",
        f"# Two fields\n\n{head}\n\n## Trained\n\n{trained_table()}\n\n"
        f"## Restyled\n\n{restyled_table()}",
        num_threads=1,
    )


if __name__ == "__main__":
    main()
