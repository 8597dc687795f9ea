"""Held-out scenes through the real pipeline, beside what the style filters draw.

    python -m training.contact_sheet --weights scenestyle/embedded/weights --out sheet.png

Per scene and half of the styles: the photograph and the filters' pictures, then one row per
strength, led by the disparity. Logs two figures per scene and strength: mean absolute colour
difference at 32 pixels, and correlation of the edges.
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.seams import replaced
from scenestyle.metrics.structure import edge_correlation
from training import looks
from training.data import scaled_disparity, scene_views
from training.precision import training_precision
from training.procedural.scenes import random_scene
from training.procedural.styles import stylize

if TYPE_CHECKING:
    from scenestyle.diffusion.models import DiffusionModel

log = logging.getLogger(__name__)

PROMPTS = {
    "watercolor": "a watercolor painting of some objects",
    "pencil": "a pencil sketch of some objects",
    "ukiyo-e": "some objects in ukiyo-e style",
    "neon": "a neon cyberpunk picture of some objects",
    "winter": "some objects in winter covered in snow",
    "autumn": "an autumn scene of some objects",
    "bronze": "a bronze statue of some objects",
    "oil": "some objects in the style of van gogh",
    "blueprint": "a blueprint of some objects",
    "lava": "some objects made of lava",
    "comic": "a comic book drawing of some objects",
    "stained-glass": "a stained glass window of some objects",
    "mosaic": "a mosaic of some objects",
    "chalkboard": "a chalk drawing of some objects",
    "marble": "a marble statue of some objects",
    "ice": "some objects made of ice",
    "moss": "some objects covered in moss",
    "sepia": "a sepia photograph of some objects",
}
"""by style, in the order of the sheet"""

_BANDS = 2

Picture = Float[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Drawn:
    """A picture by the model."""

    picture: Picture
    look: int | None = None
    """which of its style's looks the noise asked for; None: weights that know no looks"""


def load_model(weights: Path) -> "DiffusionModel":
    """The exported folder in float32 with all its ControlNets; the scheduler stays its DDIM."""
    model = load_pipeline(str(weights), torch.device("cpu"))
    model.pipeline.set_progress_bar_config(disable=True)
    return model


def restyle(
    model: "DiffusionModel",
    photo: Picture,
    disparity: Float[np.ndarray, "height width"],
    prompts: Sequence[str],
    *,
    strength: float,
    guidance_scale: float = 2.0,
    steps: int = 10,
    control_scale: float = 1.0,
    has_looks: bool = False,
) -> list[Drawn]:
    """One photograph in several styles, each alone and from its own seed."""
    from PIL import Image

    count = len(prompts)
    image = Image.fromarray(np.rint(photo * 255).astype(np.uint8))
    depth = Image.fromarray(np.rint(disparity * 255).astype(np.uint8)).convert("RGB")
    # One picture per control for the whole batch: of several ControlNets the pipeline refuses
    # lists.
    seen = [{"depth": depth, "tile": image}[control.kind] for control in model.controls]
    with training_precision(), _noise_kept(model) as kept:
        result = model.pipeline(
            prompt=list(prompts),
            image=[image] * count,
            control_image=seen if len(seen) > 1 else seen[0],
            strength=strength,
            guidance_scale=guidance_scale,
            num_inference_steps=steps,
            controlnet_conditioning_scale=control_scale,
            generator=[torch.Generator().manual_seed(index) for index in range(count)],
            output_type="np",
        )
    asked = looks.chosen(kept[0], together=1).tolist() if has_looks else [None] * count
    return [Drawn(*each) for each in zip(result.images, asked, strict=True)]


@contextmanager
def _noise_kept(model: "DiffusionModel") -> Iterator[list[Tensor]]:
    """Within the block the model's noise has its offset, and is written to the list."""
    kept: list[Tensor] = []
    add_noise = model.pipeline.scheduler.add_noise

    def add_and_keep(samples: Tensor, white: Tensor, timesteps: Tensor) -> Tensor:
        noise = model.noise_offset.added(white) if model.noise_offset else white
        kept.append(noise)
        return add_noise(samples, noise, timesteps)

    with replaced(model.pipeline.scheduler, "add_noise", add_and_keep):
        yield kept


def in_looks(picture: Picture, style: str) -> tuple[Picture, Picture]:
    """A style filter's picture in both looks of the style."""
    first, second = looks.LOOKS[style]
    return looks.recoloured(picture, first), looks.recoloured(picture, second)


def sheet(
    weights: Path, seeds: Sequence[int], strengths: Sequence[float], guidance_scale: float
) -> Picture:
    """All styles of the scenes with these seeds, blocks of rows for each scene."""
    model, has_looks = load_model(weights), (weights / looks.LOOKS_FILE).is_file()
    rows: list[list[Picture]] = []
    for seed in seeds:
        rng = np.random.default_rng((7, seed))
        named = random_scene(rng)
        views = scene_views(named, rng)
        disparity = scaled_disparity(views)[0]
        photo = views[0].rgb
        filtered = [stylize(views[0], style, named.style_seed) for style in PROMPTS]
        scene_rows = [(photo, filtered)]
        for strength in strengths:
            drawn = restyle(
                model, photo, disparity, list(PROMPTS.values()),
                strength=strength, guidance_scale=guidance_scale, has_looks=has_looks,
            )  # fmt: skip
            pictures = [each.picture for each in drawn]
            wanted = [
                picture if each.look is None else in_looks(picture, style)[each.look]
                for picture, style, each in zip(filtered, PROMPTS, drawn, strict=True)
            ]
            scene_rows.append((np.repeat(disparity[..., None], 3, -1), pictures))
            _log_figures(seed, strength, pictures, wanted)
        for band in np.array_split(np.arange(len(PROMPTS)), _BANDS):
            rows += [[first, *(styled[index] for index in band)] for first, styled in scene_rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def _log_figures(
    seed: int, strength: float, drawn: Sequence[Picture], wanted: Sequence[Picture]
) -> None:
    colour = [colour_difference(a, b) for a, b in zip(drawn, wanted, strict=True)]
    edges = [edge_correlation(a, b) for a, b in zip(drawn, wanted, strict=True)]
    log.info(
        "scene %d  strength %.2f  colour %.3f  edges %.2f | %s",
        seed, strength, np.mean(colour), np.mean(edges),
        "  ".join(f"{s} {c:.2f}/{e:.2f}" for s, c, e in zip(PROMPTS, colour, edges, strict=True)),
    )  # fmt: skip


def colour_difference(first: Picture, second: Picture) -> float:
    """Mean absolute difference of the colours at 32 x 32 pixels, 0..1."""
    small = [cv2.resize(p, (32, 32), interpolation=cv2.INTER_AREA) for p in (first, second)]
    return float(np.abs(small[0] - small[1]).mean())


def main() -> None:
    """Command line of `sheet`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 4, 9])
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5])
    parser.add_argument("--guidance", type=float, default=2.0)
    arguments = parser.parse_args()
    picture = sheet(arguments.weights, arguments.seeds, arguments.strengths, arguments.guidance)
    cv2.imwrite(str(arguments.out), np.rint(np.clip(picture[..., ::-1], 0, 1) * 255))


if __name__ == "__main__":
    main()
