"""What sharing attention and the sliced Wasserstein loss are worth: the paper's ablation on scenes of one's own.

    dvc repro render_views@demo
    python -m benchmarks.quality --scenes demo --styles ukiyoe watercolor neon

Every style is made in three ways and judged by the stage `evaluate`:

- method: views restyled together, SWD loss;
- no sharing: every view restyled by itself (no shared attention, noise or fusion in 3D), SWD loss;
- RGB loss: views restyled together, the field finetuned by the mean squared difference of colours
  instead of the SWD, content and depth terms, on the same patches with the same steps.

"Together" is three things: self-attention shared with reference views, as in the paper, and fusion
in 3D and noise that sticks to the scene, which are ours. A second table takes them apart on the
stylized pictures, which need no field.

Writes the tables and two pictures per scene to benchmarks/results/. Finished ways are kept in
`--work`, in a folder per parameters, weights and views: a killed run goes on where it was, and one
with other sizes starts anew. Figures of consistency are lower is better; so is the held-out SWD,
but "no sharing" is held against its own stylized pictures, so that its figure compares with the
others only in kind.
"""

import argparse
import datetime
import hashlib
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from benchmarks.machine import ROOT, provenance, table, write_picture, write_result
from scenestyle.artifacts import read_json, read_rgb, read_views
from scenestyle.diffusion.weights import EMBEDDED_FOLDER
from scenestyle.features import FeatureExtractor
from scenestyle.finetune.finetune import finetune
from scenestyle.finetune.patches import Target, random_patch
from scenestyle.metrics.image import rmse
from scenestyle.metrics.intervals import bootstrap_mean
from scenestyle.metrics.warp import link_pairs, nearest_pairs, warp_errors
from scenestyle.nerf.trainer import Losses, Trainer
from scenestyle.novel.orbit import read_surfaces
from scenestyle.params import Evaluate, FinetuneNerf, Params, load_params
from scenestyle.viz.contact_sheet import contact_sheet
from tasks import evaluate, stylize_views

WAYS = {
    "method": ("shared", "swd"),
    "no sharing": ("alone", "swd"),
    "RGB loss": ("shared", "rgb"),
}
"""name -> how the views were restyled, what the field was finetuned by"""

TOGETHER = {
    "shared": {},
    "references": {"fusion_steps": 0, "carry_noise": False},
    "fusion": {"sharing": "none", "carry_noise": False},
    "alone": {"sharing": "none", "fusion_steps": 0, "carry_noise": False},
}
"""what the views know of each other -> parameters of stylize_views that differ from those of
`params.yaml`"""

TOGETHER_NAMES = {
    "shared": "attention, fusion and noise",
    "references": "attention only",
    "fusion": "fusion only",
    "alone": "neither",
}

COLUMNS = {
    "movement_rmse": ("movement", "{:.3f}"),
    "views_warp_stylized": ("views disagree, 2D", "{:.4f}"),
    "views_warp": ("views disagree, field", "{:.4f}"),
    "warp_short": ("warp, short", "{:.4f}"),
    "warp_long": ("warp, long", "{:.4f}"),
    "warp_long_features": ("warp, long, features", "{:.3f}"),
    "heldout_swd": ("held-out SWD", "{:.3f}"),
    "depth_abs_rel": ("depth moved", "{:.1%}"),
    "content_features": ("things kept", "{:.3f}"),
}
"""key in metrics.json -> heading and format"""


@dataclass(frozen=True)
class Sizes:
    """What may be made smaller for a quick look."""

    iterations: int
    """of the finetuning"""
    num_frames: int
    """of the orbit"""


def make_views(
    scene: str, style: str, views_as: str, data: Path, work: Path, params: Params
) -> Path:
    """Restyle the views; folder of the stylized pictures."""
    stylized = work / scene / "stylized" / views_as / style
    if not (stylized / "manifest.json").exists():
        _make(
            stylized,
            lambda out, scratch: stylize_views.run(
                data / "views" / scene,
                out,
                replace(params.stylize_views, **TOGETHER[views_as]),
                caption=params.scenes[scene].caption,
                style=params.styles[style],
                work=scratch,
            ),
        )
    return stylized


def make_way(
    scene: str, style: str, way: str, data: Path, work: Path, params: Params, sizes: Sizes
) -> Path:
    """Restyle, finetune and judge in one way; folder of the result."""
    views_as, loss = WAYS[way]
    views, look = data / "views" / scene, params.styles[style]
    caption = params.scenes[scene].caption
    orbit_before = work / scene / "orbit_before"
    stylized = make_views(scene, style, views_as, data, work, params)
    finetuned = work / scene / f"{views_as}_{loss}" / "finetuned" / scene / style
    result = finetuned.parents[2] / "results" / style
    if not (finetuned / "metrics.json").exists():
        with (
            mock.patch("scenestyle.finetune.finetune.patch_losses", rgb_losses)
            if loss == "rgb"
            else nullcontext()
        ):
            _make(
                finetuned,
                lambda out, scratch: finetune(
                    data / "nerf" / scene,
                    views,
                    {stylized: 1.0},
                    out,
                    replace(params.finetune_nerf, iterations=sizes.iterations),
                    work=scratch,
                ),
            )
    if not (result / "metrics.json").exists():
        _make(
            result,
            lambda out, scratch: evaluate.run(
                data / "poses" / scene,
                data / "nerf" / scene,
                views,
                stylized,
                finetuned,
                out,
                replace(params.evaluate, num_frames=sizes.num_frames),
                caption=caption,
                style=look,
                work=scratch_with(orbit_before, scratch),
            ),
        )
    return result


def scratch_with(orbit_before: Path, scratch: Path) -> Path:
    """The scratch folder of `evaluate`, with the source field's orbit from where every way finds it.

    The orbit is the same for all of them, and rendering it is a third of judging a way.
    """
    orbit_before.mkdir(parents=True, exist_ok=True)
    link = scratch / "before"
    if not link.is_symlink():
        link.symlink_to(orbit_before.resolve(), target_is_directory=True)
    return scratch


def fingerprint(scene: str, data: Path, params: Params, sizes: Sizes) -> str:
    """Equal for runs that may share finished ways."""
    digest = hashlib.sha256(repr((sizes, params.stylize_views, params.finetune_nerf)).encode())
    digest.update(repr((params.evaluate, params.styles, params.scenes[scene].caption)).encode())
    digest.update((EMBEDDED_FOLDER / "SHA256SUMS").read_bytes())
    for folder in ("rgb", "depth_z", "opacity"):
        for file in sorted((data / "views" / scene / folder).iterdir()):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _make(folder: Path, program: Any) -> None:
    """Run a stage's program into a folder that appears when it is complete."""
    partial, scratch = (folder.with_name(f"{folder.name}.{part}") for part in ("partial", "work"))
    shutil.rmtree(partial, ignore_errors=True)
    for path in (partial, scratch):
        path.mkdir(parents=True, exist_ok=True)
    program(partial, scratch)
    partial.rename(folder)


def rgb_losses(
    trainer: Trainer,
    _features: FeatureExtractor,
    targets: Sequence[Target],
    _weights: Tensor,
    params: FinetuneNerf,
) -> Losses:
    """Plain colours instead of distributions of features; stands in for `patch_losses`.

    The term keeps the name `style`, since the guards of the finetuning look at that one.
    """

    def losses(generator: torch.Generator) -> dict[str, Tensor]:
        patch = random_patch(targets, params.patch_size or 64, generator)
        shown = patch.seen_by(trainer.model)
        void = torch.rand(3, generator=generator).to(shown.rgb)
        rgb = shown.rgb + (1 - shown.opacity) * void[:, None, None]
        return {"style": mse_loss(rgb, patch.rgb[0]), **shown.auxiliary}

    return losses


@dataclass(frozen=True)
class Agreement:
    """How far the stylized pictures of neighbouring cameras disagree, and how much they changed."""

    warp: Float[np.ndarray, " pairs"]
    """warp error of each pair of neighbours, by the source's depth"""
    movement: float
    """RMSE to the source renders"""
    detail: float
    """mean absolute difference of neighbouring pixels: what fusing may smooth away"""
    difference: float
    """RMSE to the pictures of views that share nothing"""


def agreement(views: Path, stylized: Path, alone: Path, *, tau: float) -> Agreement:
    """Measure the stylized pictures themselves, beside those of views that share nothing."""
    posed, surfaces_z = read_surfaces(views)
    cameras = [view.camera for view in posed]
    links = link_pairs(surfaces_z, cameras, nearest_pairs(cameras), tau=tau)
    before, after, unshared = (
        [read_rgb(folder / "rgb" / f"{view.name}.png") for view in posed]
        for folder in (views, stylized, alone)
    )
    detail = np.mean([np.abs(np.diff(rgb, axis=axis)).mean() for rgb in after for axis in (0, 1)])
    return Agreement(
        warp_errors(after, links), rmse(before, after), float(detail), rmse(after, unshared)
    )


def agreement_table(found: dict[tuple[str, str], Agreement]) -> str:
    """Attention and fusion apart, each difference with its interval over pairs of views.

    The pairs are the same in every row, so that the interval is that of a mean of paired
    differences, which is narrower than those of the two means suggest.
    """
    rows = []
    for (style, views_as), each in found.items():
        less = bootstrap_mean(each.warp - found[style, "alone"].warp, seed=0)
        difference = f"{less.mean:+.4f} ({less.low:+.4f} to {less.high:+.4f})"
        rows.append(
            [
                style,
                TOGETHER_NAMES[views_as],
                f"{each.warp.mean():.4f}",
                "" if views_as == "alone" else difference,
                f"{each.movement:.3f}",
                f"{each.detail:.4f}",
                "" if views_as == "alone" else f"{each.difference:.4f}",
            ]
        )
    header = ["style", "the views share", "views disagree, 2D", "minus neither (95 %)", "movement"]
    return table([*header, "detail", "RMSE to neither"], rows)


def held_out_name(views: Path) -> str:
    """The first view that was held out of training."""
    return next(view.name for view in read_views(views) if view.split == "held_out")


def agreement_picture(
    views: Path, styles: Sequence[str], stylized: dict[tuple[str, str], Path]
) -> Any:
    """A held-out view: one row per style, one column per what the views share, the source first."""
    name = held_out_name(views)
    rows = [
        [
            read_rgb(folder / "rgb" / f"{name}.png")
            for folder in (views, *(stylized[style, views_as] for views_as in TOGETHER))
        ]
        for style in styles
    ]
    columns = ["source", *(TOGETHER_NAMES[views_as] for views_as in TOGETHER)]
    return contact_sheet(rows, row_labels=list(styles), column_labels=columns)


def picture(
    scene: str, styles: Sequence[str], data: Path, results: dict[tuple[str, str], Path]
) -> Any:
    """A held-out view: one row per style, one column per way, the source first."""
    views = data / "views" / scene
    name = held_out_name(views)
    rows = [
        [
            read_rgb(views / "rgb" / f"{name}.png"),
            *(read_rgb(results[style, way] / "stills" / f"{name}_after.png") for way in WAYS),
        ]
        for style in styles
    ]
    return contact_sheet(
        rows, row_labels=list(styles), column_labels=["source", *WAYS], max_picture_side=256
    )


def summary(
    scene: str, styles: Sequence[str], figures: dict[tuple[str, str], dict[str, float]]
) -> str:
    """The table of a scene, and how often each part of the method did better."""
    rows = [
        [style, way, *(form.format(figures[style, way][key]) for key, (_, form) in COLUMNS.items())]
        for style in styles
        for way in WAYS
    ]
    counts = [
        f"- {heading}: lower with the method than {against} in "
        f"{sum(figures[s, 'method'][key] < figures[s, against][key] for s in styles)} of "
        f"{len(styles)} styles."
        for key, heading, against in (
            ("views_warp_stylized", "Disagreement of the stylized pictures", "no sharing"),
            ("views_warp", "Disagreement of the field's views", "no sharing"),
            ("warp_long", "Long-range warp error", "no sharing"),
            ("views_warp", "Disagreement of the field's views", "RGB loss"),
            ("warp_long", "Long-range warp error", "RGB loss"),
            ("heldout_swd", "Held-out distance to the style", "RGB loss"),
        )
    ]
    header = ["style", "way", *(heading for heading, _ in COLUMNS.values())]
    return "\n".join([f"## {scene}", "", table(header, rows), "", *counts])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", nargs="+", default=["demo"])
    parser.add_argument("--styles", nargs="+", default=["ukiyoe", "watercolor", "neon"])
    parser.add_argument("--iterations", type=int, default=FinetuneNerf().iterations)
    parser.add_argument("--frames", type=int, default=Evaluate().num_frames)
    parser.add_argument(
        "--data", type=Path, default=ROOT / "data", help="with poses/, nerf/, views/"
    )
    parser.add_argument("--work", type=Path, default=ROOT / ".work" / "quality")
    args = parser.parse_args()
    params, sizes = load_params(ROOT / "params.yaml"), Sizes(args.iterations, args.frames)
    threads = torch.get_num_threads()
    origin = provenance(("torch", "nerfstudio", "diffusers"), num_threads=threads)
    parts = []
    for scene in args.scenes:
        work = args.work / fingerprint(scene, args.data, params, sizes)
        results = {
            (style, way): make_way(scene, style, way, args.data, work, params, sizes)
            for style in args.styles
            for way in WAYS
        }
        figures = {key: read_json(path / "metrics.json") for key, path in results.items()}
        stylized = {
            (style, views_as): make_views(scene, style, views_as, args.data, work, params)
            for style in args.styles
            for views_as in TOGETHER
        }
        views = args.data / "views" / scene
        agreements = {
            (style, views_as): agreement(
                views, folder, stylized[style, "alone"], tau=params.evaluate.warp_tau
            )
            for (style, views_as), folder in stylized.items()
        }
        parts += [summary(scene, args.styles, figures), "", agreement_table(agreements), ""]
        day = datetime.datetime.now(datetime.UTC)
        for name, sheet in (
            (scene, picture(scene, args.styles, args.data, results)),
            (f"{scene}_views", agreement_picture(views, args.styles, stylized)),
        ):
            write_picture(f"quality_{name}_{day:%Y-%m-%d}", sheet)
    text = "\n".join(
        [
            "# What sharing and the sliced Wasserstein loss are worth",
            "",
            origin,
            f"{params.stylize_views.model} model, {sizes.iterations} finetuning steps of one seed, "
            f"orbit of {sizes.num_frames} frames; everything else as in `params.yaml`. "
            "`benchmarks/quality.py` says what the ways are. One seed and one training per cell: "
            "differences in the last digit mean nothing. Per scene the fields first, then the "
            "stylized pictures alone, where a row's difference to views that share nothing has "
            "its bootstrap interval over pairs of neighbouring views.",
            "",
            *parts,
        ]
    )
    write_result("quality", text, num_threads=threads)


if __name__ == "__main__":
    main()
