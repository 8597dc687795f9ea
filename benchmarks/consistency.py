"""How well the views of a scene agree, by what they share: attention, initial noise, StyleAligned's options, fusing in 3D.

    dvc repro render_views@demo
    python -m benchmarks.consistency --edits demo-ukiyoe demo-watercolor

Every edit is restyled by the embedded model in every way. The table has the warp RMSE of the views,
nearest cameras and seven apart in their order (source depth, hidden points left out;
`scenestyle/metrics/warp.py`), and what tells a view that agrees from one that is merely pale: RMSE
to the source (how strong the style is), the mean absolute difference of neighbouring pixels
(detail), and the RMSE to the first way. Writes the table and a picture per edit to
benchmarks/results/. Finished ways are kept in `--work`.
"""

import argparse
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from benchmarks.machine import ROOT, provenance, table, write_picture, write_result
from scenestyle.device import let_idle_threads_sleep
from scenestyle.diffusion.inputs import RenderedViews, evenly_spaced, read_rendered_views
from scenestyle.diffusion.plan import plan_views
from scenestyle.diffusion.restyle import Restyler
from scenestyle.metrics.image import rmse
from scenestyle.metrics.warp import link_pairs, link_views, nearest_pairs, warp_errors
from scenestyle.params import Params, load_params
from scenestyle.viz.contact_sheet import contact_sheet

Pictures = Float[np.ndarray, "views height width 3"]

TAU = 0.02


@dataclass(frozen=True)
class Way:
    """What the views share, besides being fused or not."""

    sharing: Literal["auto", "full", "none"] = "auto"
    """as in params.yaml; `auto`: as there"""
    settings: Mapping[str, bool] = field(default_factory=dict)
    """that are on"""


WAYS: Mapping[str, Way] = {
    "attention": Way(),
    "attention to all": Way("full"),
    "no attention": Way("none"),
    "attention, noise": Way(settings={"carry_noise": True}),
    "attention, aligned": Way(settings={"align_attention": True}),
    "attention, norms": Way(settings={"share_norms": True}),
}
"""by name; the others are compared with the first that is asked for"""
COLUMNS = ["edit", "fused", "shared", "nearest", "seven apart", "to source", "detail", "moved"]


def figures(views: RenderedViews, pictures: Pictures, first: Pictures) -> list[str]:
    """The cells of a row, from the fourth."""
    cameras, depths_z = views.cameras, list(views.depth_z)
    nearest = link_pairs(depths_z, cameras, nearest_pairs(cameras), tau=TAU)
    apart = link_views(depths_z, cameras, gap=7, tau=TAU)
    frames = list(pictures)
    values = [
        warp_errors(frames, nearest).mean(),
        warp_errors(frames, apart).mean(),
        rmse(list(views.rgb), frames),
        np.mean([np.abs(np.diff(pictures, axis=axis)).mean() for axis in (1, 2)]),
        rmse(list(first), frames),
    ]
    return [f"{value:.4f}" for value in values]


def sheet(views: RenderedViews, made: Mapping[str, Pictures]) -> Float[np.ndarray, "_ _ 3"]:
    """One row of views per way."""
    shown = evenly_spaced(len(views.names), 4)
    rows = [views.rgb, *made.values()]
    return contact_sheet(
        [[row[index] for index in shown] for row in rows],
        row_labels=["source", *made],
        column_labels=[views.names[index] for index in shown],
    )


def measure(
    edit: str,
    views: RenderedViews,
    ways: Sequence[str],
    work: Path,
    params: Params,
) -> tuple[list[list[str]], dict[str, Pictures]]:
    """The rows of one edit, asked for in params.yaml or not, and its pictures by way."""
    scene, style = edit.split("-")
    restyler = Restyler.load(views, params.stylize_views, [params.styles[style]])
    settings = restyler.settings(params.scenes[scene].caption, params.styles[style])
    alone = replace(settings, carry_noise=False, align_attention=False, share_norms=False)
    rows, made = [], {}
    for fusion_steps in (settings.fusion_steps, 0):
        fused = "yes" if fusion_steps else "no"
        for way in ways:
            name = f"fused: {fused}, {way}"
            kept = work / f"{edit} {len(views.names)} {fused} {way}.npy"
            if not kept.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                changed = replace(alone, fusion_steps=fusion_steps, **WAYS[way].settings)
                np.save(kept, np.stack(_sharing(restyler, WAYS[way].sharing).restyle(changed)))
            made[name] = np.load(kept)
            first = made[f"fused: {fused}, {ways[0]}"]
            rows.append([edit, fused, way, *figures(views, made[name], first)])
            print(*rows[-1], flush=True)
    return rows, made


def _sharing(restyler: Restyler, sharing: str) -> Restyler:
    if sharing == "auto":
        return restyler
    params = replace(restyler.params, sharing=sharing)
    plan = plan_views(restyler.model, restyler.views.cameras, restyler.sizes, params)
    return replace(restyler, params=params, plan=plan)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edits", nargs="+", default=["demo-ukiyoe"], help="SCENE-STYLE")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--views", type=int, help="only the first so many; they are neighbours")
    parser.add_argument("--references", type=int, help="share with so many; default: as params say")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="with views/")
    parser.add_argument("--work", type=Path, default=ROOT / ".work" / "consistency")
    args = parser.parse_args(argv)
    let_idle_threads_sleep()
    params, threads = load_params(args.params), torch.get_num_threads()
    if args.references is not None:
        sharing = {"sharing": "references", "num_references": args.references}
        params = replace(params, stylize_views=replace(params.stylize_views, **sharing))
    origin = provenance(("torch", "diffusers"), num_threads=threads)
    rows = []
    for edit in args.edits:
        views = read_rendered_views(args.data / "views" / edit.split("-")[0])
        views = views.pick(range(len(views.names))[: args.views])
        of_edit, made = measure(edit, views, args.ways, args.work, params)
        rows += of_edit
        day = datetime.datetime.now(datetime.UTC)
        write_picture(f"consistency_{edit}_{day:%Y-%m-%d}", sheet(views, made))
    which = "all views" if args.views is None else f"the first {args.views} views"
    options = params.stylize_views
    text = ["# What views agree in, by what they share", "", origin]
    text += [
        f"Model {options.model}, {which}, sharing: {options.sharing}, num_references: "
        f"{options.num_references}.",
        "",
        table(COLUMNS, rows),
    ]
    write_result("consistency", "\n".join(text), num_threads=threads)


if __name__ == "__main__":
    main()
