"""Training data: shards of scenes as latents, pictures, disparity and caption tokens.

`python -m training.data --work .work/embedded --shards 0:40` writes the shards that are
missing. Three of four show photographs (`training.photos`), each as three crops; the others made-up
scenes, each from three viewpoints. At every one of them a scene is there as a clean photograph, as
two spoilt ones (soft and noisy, as the renders of a radiance field are) and in the same styles, so
that views can be trained together; every style equally often. Disparity is scaled to 0..1 over all
viewpoints, as it is over all views of a scene when the model is used. All pictures of a shard have
one size; shards of several sizes take turns.
"""

import argparse
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from training import latents, tokenizer
from training.photos.collect import Photograph, read_photographs
from training.photos.crops import crops, worth_a_look
from training.procedural.captions import caption, content_of_photograph, sentence
from training.procedural.raycast import Buffers, render
from training.procedural.scenes import NamedScene, nearby, random_scene
from training.procedural.styles import STYLES, stylize

Size = tuple[int, int]
"""height and width in pixels"""

STYLE_NAMES = tuple(STYLES)
HELD_OUT_SHARD = 100_000
"""index of the shard of made-up scenes that is never trained on"""
HELD_OUT_PHOTOGRAPHS = 100_001
"""index of the shard of the captures that are never trained on"""
_HELD_OUT = (HELD_OUT_SHARD, HELD_OUT_PHOTOGRAPHS)

SQUARE: Size = (128, 128)
"""the most frequent size, and that of the held-out shards"""
_SIZES: tuple[Size, ...] = (
    SQUARE, SQUARE, SQUARE, (96, 160), (256, 320), (160, 96), SQUARE, (192, 192),
)  # fmt: skip
_PROCEDURAL_PERIOD = 4
"""one in so many shards shows made-up scenes"""
_VIEWPOINTS, _PHOTOS, _STYLED, _CAPTIONS = 3, 3, 6, 3
_PICTURE_SHARDS = 32
_SEED = 20_261_122

Picture = Float[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class DrawnScene:
    """Something to be shown in every style."""

    views: Sequence[Buffers]
    style_seed: int
    """of the style filters' own randomness, the same in all views"""
    caption: Callable[[str, np.random.Generator], str]
    """a sentence in the words of the style named"""


Draw = Callable[[np.random.Generator, Size], DrawnScene]


@dataclass(frozen=True)
class Shard:
    """Scenes in memory, all of one size; `photos[:, :, 0]` are the clean ones."""

    photos: Float[np.ndarray, "scenes viewpoints 3 channels rows columns"]
    pictures: UInt8[np.ndarray, "scenes viewpoints 3 height width 3"]
    """of `photos`, for the ControlNet that sees the picture itself"""
    styled: Float[np.ndarray, "scenes viewpoints styled channels rows columns"]
    style_ids: UInt8[np.ndarray, "scenes viewpoints styled"]
    """indices into STYLE_NAMES, the same for all viewpoints of a scene"""
    disparity: UInt8[np.ndarray, "scenes viewpoints height width"]
    """0..255"""
    tokens: Int[np.ndarray, "scenes styles captions length"]

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def size(self) -> Size:
        """Height and width of the pictures."""
        height, width = self.disparity.shape[-2:]
        return height, width


def shard_path(work: Path, shard: int) -> Path:
    """Where a shard lies; its pictures, if kept, lie beside it as `pictures-*.npy`."""
    return work / "data" / f"shard-{shard:06d}.safetensors"


def shard_size(shard: int) -> Size:
    """Size of the pictures in a shard, by its index."""
    return SQUARE if shard in _HELD_OUT else _SIZES[shard % len(_SIZES)]


def shard_scenes(shard: int, scenes: int) -> int:
    """Scenes in a shard, by its index: as many as have the pixels of `scenes` squares."""
    return max(1, scenes * math.prod(SQUARE) // math.prod(shard_size(shard)))


def shows_photographs(shard: int) -> bool:
    """Whether a shard shows photographs, by its index; else made-up scenes."""
    if shard in _HELD_OUT:
        return shard == HELD_OUT_PHOTOGRAPHS
    # Kinds change with every shard, and so that every size is met in both.
    return (shard + shard // len(_SIZES)) % _PROCEDURAL_PERIOD != 0


def load_shard(path: Path) -> Shard:
    """A shard's scenes. Some milliseconds when the file is in the system's page cache."""
    from safetensors.numpy import load_file

    return Shard(**load_file(path))


def training_shards(work: Path) -> dict[Size, list[Path]]:
    """The shards written so far, except those held out, by size."""
    by_size: dict[Size, list[Path]] = {}
    for path in sorted((work / "data").glob("shard-*")):
        index = int(path.stem.removeprefix("shard-"))
        if index not in _HELD_OUT:
            by_size.setdefault(shard_size(index), []).append(path)
    return by_size


def scene_views(
    named: NamedScene, rng: np.random.Generator, size: Size = SQUARE, count: int = 2
) -> list[Buffers]:
    """The scene from its own viewpoint and from others nearby, `count` in all."""
    height, width = size
    viewpoints = [named.viewpoint, *(nearby(named.viewpoint, rng) for _ in range(count - 1))]
    return [render(named.scene, viewpoint.camera(width, height)) for viewpoint in viewpoints]


def scaled_disparity(views: Sequence[Buffers]) -> list[Float[np.ndarray, "height width"]]:
    """Disparity per view, mapped to 0..1 over all views together."""
    disparities = [view.disparity for view in views]
    low = min(disparity.min() for disparity in disparities)
    high = max(disparity.max() for disparity in disparities)
    span = max(high - low, np.float32(1e-6))
    return [(disparity - low) / span for disparity in disparities]


def spoilt(picture: Picture, rng: np.random.Generator) -> Picture:
    """The picture as a modest camera or a radiance field gives it: soft, noisy, a little off."""
    soft = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.35, 1.3))
    grain = rng.standard_normal(picture.shape).astype(np.float32)
    if rng.random() < 0.5:
        grain = 2 * cv2.GaussianBlur(grain, (0, 0), 1.0)
    balance = 1 + 0.06 * rng.standard_normal(3)
    exposed = np.clip(soft, 0, 1) ** rng.uniform(0.75, 1.3) * balance * rng.uniform(0.85, 1.12)
    contrasted = (exposed - 0.5) * rng.uniform(0.8, 1.1) + 0.5
    return np.clip(contrasted + rng.uniform(0, 0.04) * grain, 0, 1).astype(np.float32)


def made_up(rng: np.random.Generator, size: Size) -> DrawnScene:
    """A random scene of solids."""
    named = random_scene(rng)
    return DrawnScene(
        scene_views(named, rng, size, _VIEWPOINTS),
        named.style_seed,
        lambda style, words_rng: caption(named, style, words_rng),
    )


def photographed(photographs: Sequence[Photograph]) -> Draw:
    """What draws parts of random ones of these photographs."""

    def draw(rng: np.random.Generator, size: Size) -> DrawnScene:
        photograph, views = next(_cuts(photographs, rng, size))
        return DrawnScene(
            views,
            int(rng.integers(1 << 31)),
            lambda style, words_rng: sentence(
                content_of_photograph(photograph.shows, words_rng), style, words_rng
            ),
        )

    return draw


def _cuts(
    photographs: Sequence[Photograph], rng: np.random.Generator, size: Size
) -> Iterator[tuple[Photograph, list[Buffers]]]:
    while True:
        photograph = photographs[int(rng.integers(len(photographs)))]
        views = crops(photograph, rng, size, _VIEWPOINTS)
        if worth_a_look(views):
            yield photograph, views


def make_pictures(
    seed: Sequence[int], scenes: int, size: Size, draw: Draw = made_up
) -> tuple[UInt8[np.ndarray, "scenes viewpoints pictures height width 3"], dict[str, np.ndarray]]:
    """Pictures (clean photo, spoilt photos, styles) of random scenes and what belongs to them."""
    rng = np.random.default_rng(seed)
    words = tokenizer.load()
    pictures = np.zeros((scenes, _VIEWPOINTS, _PHOTOS + _STYLED, *size, 3), np.uint8)
    disparity = np.zeros((scenes, _VIEWPOINTS, *size), np.uint8)
    style_ids = np.repeat(_even_choice(rng, scenes)[:, None], _VIEWPOINTS, axis=1)
    captions: list[str] = []
    for index in range(scenes):
        scene = draw(rng, size)
        for view, buffers in enumerate(scene.views):
            drawn = [buffers.rgb, *(spoilt(buffers.rgb, rng) for _ in range(_PHOTOS - 1))]
            drawn += [
                stylize(buffers, STYLE_NAMES[style], scene.style_seed)
                for style in style_ids[index, view]
            ]
            pictures[index, view] = _to_bytes(np.stack(drawn))
        disparity[index] = _to_bytes(np.stack(scaled_disparity(scene.views)))
        captions += [scene.caption(style, rng) for style in STYLES for _ in range(_CAPTIONS)]
    tokens = tokenizer.token_ids(words, captions)
    return pictures, {
        "style_ids": style_ids,
        "disparity": disparity,
        "tokens": tokens.reshape(scenes, len(STYLES), _CAPTIONS, tokenizer.LENGTH),
    }


def _even_choice(rng: np.random.Generator, scenes: int) -> UInt8[np.ndarray, "scenes styled"]:
    """Styles for every scene, one shuffled round of all styles after the other."""
    rounds = -(-scenes * _STYLED // (len(STYLES) - 1))
    order = np.concatenate([1 + rng.permutation(len(STYLES) - 1) for _ in range(rounds)])
    return order[: scenes * _STYLED].reshape(scenes, _STYLED).astype(np.uint8)


def to_signed(pictures: UInt8[np.ndarray, "batch height width 3"]) -> Float[Tensor, "batch 3 h w"]:
    """8-bit pictures as the autoencoder wants them: channels first, -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def write_shard(work: Path, shard: int, scenes: int) -> None:
    """Generate one shard; an interrupted one leaves nothing behind under the final name."""
    from safetensors.numpy import save_file

    path = shard_path(work, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = made_up
    if shows_photographs(shard):
        held_out = shard == HELD_OUT_PHOTOGRAPHS
        draw = photographed(read_photographs(work, held_out=held_out))
    pictures, rest = make_pictures((_SEED, shard), scenes, shard_size(shard), draw)
    encoded = np.stack([_encoded(scene) for scene in pictures])
    if shard < _PICTURE_SHARDS or shard in _HELD_OUT:
        np.save(path.with_name(f"pictures-{shard:06d}.npy"), pictures)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # safetensors writes the memory behind a slice, not the slice: it needs contiguous arrays.
    photos, styled = np.split(encoded, [_PHOTOS], axis=2)
    sources = pictures[:, :, :_PHOTOS]
    parts = {"photos": photos, "pictures": sources, "styled": styled, **rest}
    save_file({key: np.ascontiguousarray(part) for key, part in parts.items()}, temporary)
    temporary.replace(path)


def _encoded(
    pictures: np.ndarray,
) -> Float[np.ndarray, "viewpoints pictures channels rows columns"]:
    flat = pictures.reshape(-1, *pictures.shape[2:])
    encoded = latents.encode(to_signed(flat)).numpy().astype(np.float16)
    return encoded.reshape(*pictures.shape[:2], *encoded.shape[1:])


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _fit_latent_stats(scenes: int) -> None:
    pictures, _ = make_pictures((_SEED, HELD_OUT_SHARD + 1), scenes, SQUARE)
    stats = latents.fit(to_signed(pictures.reshape(-1, *SQUARE, 3)))
    latents.STATS_FILE.write_text(json.dumps(stats, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Write missing shards, or once and for all the statistics that define the latent space."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".work/embedded"))
    parser.add_argument("--shards", default="0:40", help="first:end")
    parser.add_argument("--scenes", type=int, default=100, help="per shard of squares")
    parser.add_argument("--fit-latent-stats", action="store_true", help="makes old weights useless")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if arguments.fit_latent_stats:
        _fit_latent_stats(scenes=150)
        return
    first, end = (int(bound) for bound in arguments.shards.split(":"))
    for shard in (*_HELD_OUT, *range(first, end)):
        if not shard_path(arguments.work, shard).exists():
            scenes = 40 if shard in _HELD_OUT else shard_scenes(shard, arguments.scenes)
            write_shard(arguments.work, shard, scenes)


if __name__ == "__main__":
    main()
