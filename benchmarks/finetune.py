"""A scene with stylized views of its photos: how near the field comes to held-out ones, against time.

    python -m benchmarks.finetune ../shared/data/bear/images ../shared/data/bear/vangogh --poses data/poses/bear

The stylized views were made from the photos themselves, by another program; here they are reduced
to the size of the rendered views. From one source field two finetunes start with the same
parameters:

- ours: `finetune_nerf` as it is;
- published loss: the same patches, taps and directions, but the loss step as the authors published
  it: the network runs four times and keeps four graphs, and its weights are not frozen (see
  benchmarks/losses.py). The loss has the same value.

Every so many steps the clock stops and the sliced Wasserstein distance from held-out renders to
held-out stylized views is measured. Writes benchmarks/results/finetune_* with the curves and a
sheet of pictures.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import mse_loss

from benchmarks.machine import provenance, table, write_picture, write_result
from scenestyle.artifacts import View, ViewsFolder, read_rgb, read_views, write_rgb
from scenestyle.features import FeatureExtractor
from scenestyle.finetune.patch_losses import depth_loss
from scenestyle.finetune.patches import Target, random_patch
from scenestyle.losses import directions_for
from scenestyle.nerf.trainer import Losses, Trainer
from scenestyle.params import FinetuneNerf, RenderViews, TrainNerf

CPU = torch.device("cpu")
MEASURED_AT = (0, 10, 25, 50, 100, 200, 300, 400, 600, 800)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder; its parent's name is the scene's")
    parser.add_argument(
        "stylized", type=Path, help="folder with a picture of the same name per photo"
    )
    parser.add_argument(
        "--poses", type=Path, required=True, help="folder that estimate_poses wrote"
    )
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    scene = arguments.photos.parent.name
    origin = provenance(("torch", "nerfstudio", "numba"), num_threads=arguments.threads)
    params = replace(FinetuneNerf(), iterations=arguments.iterations)
    with tempfile.TemporaryDirectory() as folder:
        text = compare(arguments, Path(folder), params)
    lines = [f"# {scene}, finetuned towards {arguments.stylized.name}", "", origin, "", text]
    write_result(f"finetune_{scene}", "\n".join(lines), num_threads=arguments.threads)


def compare(arguments: argparse.Namespace, root: Path, params: FinetuneNerf) -> str:
    """Train the source, finetune it twice, and describe both."""
    from scenestyle.nerf.train import train
    from scenestyle.viz.contact_sheet import contact_sheet
    from tasks import render_views

    nerf, views, stylized = (root / name for name in ("nerf", "views", "stylized"))
    nerf.mkdir()
    source = train(arguments.poses, nerf, TrainNerf(field="nerfacto"), work=root / "work")
    render_views.run(nerf, arguments.poses, views, RenderViews())
    posed = read_views(views)
    for view in posed:
        reduce(arguments.stylized, view, stylized)
    rows, columns = [], []
    for name in ("ours", "published loss"):
        curve, pictures = finetune(nerf, views, stylized, params, is_published=name != "ours")
        rows += [[name, *row] for row in curve]
        columns.append(pictures)
    held_out = [view for view in posed if view.split == "held_out"][:3]
    before, wanted = (
        [read_rgb(folder / "rgb" / f"{view.name}.png") for view in held_out]
        for folder in (views, stylized)
    )
    scene = arguments.photos.parent.name
    sheet = contact_sheet(
        list(zip(before, *columns, wanted, strict=True)),
        row_labels=[view.name for view in held_out],
        column_labels=["held-out view", "ours", "published loss", "stylized"],
        max_picture_side=240,
    )
    picture = write_picture(f"finetune_{scene}", sheet)
    return "\n".join(
        [
            f"{len(posed)} photos; source field with the defaults of `train_nerf` for nerfacto: held-out "
            f"{source['heldout_psnr']:.2f} dB in {source['seconds']} s. Views of "
            f"{posed[0].camera.width}x{posed[0].camera.height}, {params.iterations} steps of "
            f"{params.patch_size or 64} px, defaults of `finetune_nerf` otherwise.",
            "",
            table(
                ["", "steps", "seconds", "CPU seconds", "held-out SWD", "depth, relative change"],
                rows,
            ),
            "",
            f"![held-out views]({picture})",
        ]
    )


def published_losses(
    trainer: Trainer, features: FeatureExtractor, targets: Sequence[Target], params: FinetuneNerf
) -> Losses:
    """The terms of a step, with four passes through a network whose weights want gradients, too."""
    features.requires_grad_(True)

    def losses(generator: torch.Generator) -> Mapping[str, Tensor]:
        patch = random_patch(targets, params.patch_size or 64, generator)
        shown = patch.seen_by(trainer.model)
        void = torch.rand(3, generator=generator)
        image = (shown.rgb + (1 - shown.opacity) * void[:, None, None])[None]
        style = image.new_zeros(())
        render_maps, stylized_maps = features(image), features(patch.rgb)
        directions = directions_for(stylized_maps, generator)
        for x, y, rows in zip(render_maps, stylized_maps, directions, strict=True):
            sorted_x, sorted_y = ((rows @ f.flatten(2)).sort(dim=-1).values for f in (x, y))
            style = style + (sorted_x - sorted_y).square().mean()
        pairs = list(zip(features(image), features(patch.rgb), strict=True))
        content = torch.stack(
            [mse_loss(x, y) for x, y in pairs[-features.num_content_taps :]]
        ).sum()
        return {
            "style": style,
            "content": params.content_weight * content,
            "depth": params.depth_weight * depth_loss(shown.depth_ray, patch),
            **shown.auxiliary,
        }

    return losses


def reduce(folder: Path, view: View, out: Path) -> None:
    """Write one stylized picture at the size of its view."""
    path = next(folder.glob(f"{view.name}.*"))
    with Image.open(path) as picture:
        size = (view.camera.width, view.camera.height)
        reduced = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    write_rgb(out / "rgb" / f"{view.name}.png", np.asarray(reduced, np.float32) / 255)


def finetune(
    nerf: Path, views: Path, stylized: Path, params: FinetuneNerf, *, is_published: bool
) -> tuple[list[list[str]], list[np.ndarray]]:
    """Curve of one finetune, and three held-out views at its end."""
    from scenestyle.evaluation.measure import feature_swd
    from scenestyle.finetune.finetune import (
        continued_trainer,
        num_steps,
        read_pictures,
        target_features,
        training_targets,
    )
    from scenestyle.finetune.guard import change
    from scenestyle.finetune.patch_losses import patch_losses

    rendered = ViewsFolder.open(views)
    held_out = rendered.held_out
    wanted = [read_rgb(stylized / "rgb" / f"{view.name}.png") for view in held_out]
    distance = feature_swd(wanted, params.seed)
    pictures = read_pictures(rendered, [stylized], params)
    targets = training_targets(rendered, pictures, params, CPU)
    features = target_features(targets, params)
    trainer = continued_trainer(nerf, params, CPU)
    if is_published:
        losses = published_losses(trainer, features, targets, params)
    else:
        losses = patch_losses(trainer, features, targets, torch.ones(1), params)
    steps = num_steps(params, nerf)
    curve, seconds, cpu_seconds = [], 0.0, 0.0
    renders: list[np.ndarray] = []
    for step in range(steps + 1):
        if step in MEASURED_AT or step == steps:
            renders = [trainer.model.render(view.camera).rgb for view in held_out]
            swd = np.mean([distance(x, y) for x, y in zip(renders, wanted, strict=True)])
            depth = change(trainer, rendered)["depth_abs_rel"]
            curve.append(
                [f"{step}", f"{seconds:.1f}", f"{cpu_seconds:.1f}", f"{swd:.4f}", f"{depth:.4f}"]
            )
            print(*curve[-1], flush=True)
        if step < steps:
            start, cpu_start = time.perf_counter(), time.process_time()
            trainer.update(losses)
            seconds += time.perf_counter() - start
            cpu_seconds += time.process_time() - cpu_start
    return curve, renders[:3]


if __name__ == "__main__":
    main()
