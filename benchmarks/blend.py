"""Blends of two styles on a finished scene: the distance to both as t goes from one to the other, and a strip.

    python -m benchmarks.blend data/nerf/demo data/views/demo data/stylized/demo/ukiyoe data/stylized/demo/neon

Each t is a finetune of its own from the cached stylized views; nothing is restyled. t is the weight
of the first style. Distances are sliced Wasserstein distances from held-out renders to the held-out
stylized views of either style, along the same directions for all. Writes
benchmarks/results/blend_*.
"""

import argparse
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import provenance, table, write_picture, write_result
from scenestyle.artifacts import read_rgb, read_views
from scenestyle.params import FinetuneNerf

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("nerf", "views", "first", "second"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--iterations", type=int, default=FinetuneNerf().iterations)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    origin = provenance(("torch", "nerfstudio"), num_threads=arguments.threads)
    distances, pictures = blends(
        arguments, replace(FinetuneNerf(), iterations=arguments.iterations)
    )
    names = [arguments.first.name, arguments.second.name]
    is_monotone = [
        all(after < before for before, after in pairwise(distances[:, 0])),
        all(after > before for before, after in pairwise(distances[:, 1])),
    ]
    rows = [[t, *(f"{d:.4f}" for d in row)] for t, row in zip(SHARES, distances, strict=True)]
    strip = write_picture(f"blend_{names[0]}_{names[1]}", pictures)
    lines = [
        f"# Between two styles: {names[0]} and {names[1]}",
        "",
        origin,
        f"{arguments.iterations} steps per blend, defaults of `finetune_nerf` otherwise.",
        "",
        table(["t", *(f"SWD to {name}, held out" for name in names)], rows),
        "",
        f"Monotone in t: {names[0]} {_yes(is_monotone[0])}, {names[1]} {_yes(is_monotone[1])}.",
        "",
        f"![t from 0 to 1]({strip})",
    ]
    write_result("blend", "\n".join(lines), num_threads=arguments.threads)


def blends(arguments: argparse.Namespace, params: FinetuneNerf) -> tuple[np.ndarray, np.ndarray]:
    """Distances to both styles per t, and the first two held-out views per t on one sheet."""
    from scenestyle.evaluation.measure import feature_swd
    from scenestyle.finetune.finetune import finetune
    from scenestyle.nerf.field import load_field
    from scenestyle.viz.contact_sheet import contact_sheet

    held_out = [view for view in read_views(arguments.views) if view.split == "held_out"]
    folders = (arguments.first, arguments.second)
    targets = [
        [read_rgb(folder / "rgb" / f"{view.name}.png") for view in held_out] for folder in folders
    ]
    metrics = [feature_swd(each, params.seed) for each in targets]
    rows, renders = [], []
    for t in SHARES:
        with tempfile.TemporaryDirectory() as folder:
            out, work = Path(folder) / "out", Path(folder) / "work"
            out.mkdir()
            shares = dict(zip(folders, (t, 1 - t), strict=True))
            finetune(arguments.nerf, arguments.views, shares, out, params, work=work)
            field = load_field(out)
        found = [field.render(view.camera).rgb for view in held_out]
        rows.append(
            [
                float(np.mean([metric(x, y) for x, y in zip(found, wanted, strict=True)]))
                for metric, wanted in zip(metrics, targets, strict=True)
            ]
        )
        renders.append(found[:2])
        print(f"t = {t}: {rows[-1]}", flush=True)
    shown = [targets[1][:2], *renders, targets[0][:2]]
    labels = [
        f"{folders[1].name}, stylized",
        *(f"t = {t}" for t in SHARES),
        f"{folders[0].name}, stylized",
    ]
    sheet = contact_sheet(
        list(zip(*shown, strict=True)), column_labels=labels, max_picture_side=192
    )
    return np.array(rows), sheet


def _yes(claim: bool) -> str:
    return "yes" if claim else "no"


if __name__ == "__main__":
    main()
