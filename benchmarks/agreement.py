"""What shared attention alone is worth: how far views disagree with it, as a multiple of what they do without.

    python -m benchmarks.agreement --data data --scenes demo kitchen fern

Neighbouring views of a scene are restyled by the embedded model, each from noise of its own and never fused, once alone and once
with attention shared among all. Disagreement is the warp RMSE of nearest cameras (source depth, hidden points left out;
`scenestyle/metrics/warp.py`), its mean over styles and seeds. Beside it, for both ways, what tells a view that agrees from one that is merely
pale: the mean absolute difference of neighbouring pixels. Writes the table and a picture per scene to benchmarks/results/.
"""

import argparse
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from benchmarks.machine import ROOT, provenance, table, write_picture, write_result
from scenestyle.device import let_idle_threads_sleep
from scenestyle.diffusion.inputs import RenderedViews, read_rendered_views
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.noise import CarriedNoise
from scenestyle.diffusion.plan import Plan
from scenestyle.diffusion.presets import EMBEDDED
from scenestyle.diffusion.stylize import resolve_settings, stylize, working_size
from scenestyle.diffusion.weights import EMBEDDED_FOLDER, file_sha256
from scenestyle.metrics.warp import link_pairs, nearest_pairs, warp_errors
from scenestyle.params import Style, StylizeViews
from scenestyle.viz.contact_sheet import contact_sheet
from training.contact_sheet import PROMPTS
from training.export import HASH_FILE

if TYPE_CHECKING:
    from scenestyle.diffusion.models import DiffusionModel

Pictures = Sequence[Float[np.ndarray, "_height _width 3"]]

TAU = 0.02
COLUMNS = ["scene", "strength", "alone", "shared", "shared / alone", "detail, alone", "shared"]


class OwnNoise(CarriedNoise):
    """Noise of which no view takes anything from another."""

    def __init__(self, sizes: Sequence[tuple[int, int]]) -> None:
        """For views whose latents have so many rows and columns."""
        ends = np.cumsum([rows * columns for rows, columns in sizes])
        self.draws = [
            np.arange(end - rows * columns, end).reshape(rows, columns)
            for end, (rows, columns) in zip(ends, sizes, strict=True)
        ]
        self.first = 0


@dataclass(frozen=True)
class Way:
    """The pictures of one way, and how they agree."""

    pictures: Mapping[tuple[str, int], Pictures]
    """by style and seed"""
    disagreement: float
    """warp RMSE"""
    detail: float


def restyled(
    model: "DiffusionModel",
    views: RenderedViews,
    styles: Sequence[str],
    seeds: Sequence[int],
    strength: float,
    sharing: str,
) -> Way:
    """All styles and seeds in one way."""
    count = len(views.names)
    plan = replace(Plan.joint(count), sharing=sharing)
    factor, side = model.pipeline.vae_scale_factor, model.preset.image_side
    working = [
        working_size(each.width, each.height, side, multiple_of=factor) for each in views.cameras
    ]
    noise = OwnNoise([(height // factor, width // factor) for width, height in working])
    links = link_pairs(list(views.depth_z), views.cameras, nearest_pairs(views.cameras), tau=TAU)
    pictures = {}
    for style in styles:
        for seed in seeds:
            settings = resolve_settings(
                "",
                Style(PROMPTS[style], strength=strength, seed=seed),
                StylizeViews(),
                model.preset,
            )
            settings = replace(settings, fusion_steps=0, carry_noise=False)
            pictures[style, seed] = stylize(
                model, views.rgb, views.disparity, settings, plan, noise=noise
            )
    errors = [warp_errors(list(each), links).mean() for each in pictures.values()]
    steps = [
        np.abs(np.diff(view, axis=axis)).mean()
        for each in pictures.values()
        for view in each
        for axis in (0, 1)
    ]
    return Way(pictures, float(np.mean(errors)), float(np.mean(steps)))


def sheet(views: RenderedViews, alone: Way, shared: Way) -> Float[np.ndarray, "_ _ 3"]:
    """The views, and per style and seed a row alone and one shared."""
    rows, labels = [list(views.rgb)], ["source"]
    for (style, seed), pictures in alone.pictures.items():
        rows += [list(pictures), list(shared.pictures[style, seed])]
        labels += [f"{style}, seed {seed}, alone", "shared"]
    return contact_sheet(rows, row_labels=labels, column_labels=list(views.names))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, default=EMBEDDED_FOLDER)
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="with views/")
    parser.add_argument("--scenes", nargs="+", default=["demo"])
    parser.add_argument("--views", type=int, default=4, help="the first so many; neighbours")
    parser.add_argument("--styles", nargs="+", choices=PROMPTS, default=list(PROMPTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 0.8, 1.0])
    args = parser.parse_args(argv)
    let_idle_threads_sleep()
    threads = torch.get_num_threads()
    origin = provenance(("torch", "diffusers"), num_threads=threads)
    # A folder, even if it is the embedded model's own, would be used with SDXL's values.
    model = replace(load_pipeline(str(args.weights), torch.device("cpu")), preset=EMBEDDED)
    model.pipeline.set_progress_bar_config(disable=True)
    rows, day = [], datetime.datetime.now(datetime.UTC)
    for scene in args.scenes:
        views = read_rendered_views(args.data / "views" / scene)
        views = views.pick(range(args.views))
        best = None
        for strength in args.strengths:
            alone, shared = (
                restyled(model, views, args.styles, args.seeds, strength, sharing)
                for sharing in ("none", "full")
            )
            ratio = shared.disagreement / alone.disagreement
            figures = [alone.disagreement, shared.disagreement, ratio, alone.detail, shared.detail]
            rows.append([scene, strength, *(f"{figure:.4f}" for figure in figures)])
            print(*rows[-1], flush=True)
            if best is None or ratio < best[0]:
                best = ratio, sheet(views, alone, shared)
        if best is not None:
            write_picture(f"agreement_{scene}_{day:%Y-%m-%d}", best[1])
    text = [
        "# What shared attention alone is worth",
        "",
        origin,
        f"SHA-256 of the weights' {HASH_FILE}: {file_sha256(args.weights / HASH_FILE)}.",
        f"Styles: {', '.join(args.styles)}; seeds {args.seeds}; {args.views} views.",
        "",
        table(COLUMNS, rows),
    ]
    write_result("agreement", "\n".join(text), num_threads=threads)


if __name__ == "__main__":
    main()
