"""Train UNet, ControlNets and text encoders together; may be killed and resumed at any time.

    python -m training.train_denoiser --work .work/embedded --minutes 600

trains the trunk at constant learning rate (after a warm-up), one process with one thread per core,
gradients averaged. The same command continues it. With `--anneal-minutes 12` it copies the trunk's
latest checkpoint and brings the learning rate of the copy down to zero: good weights at any time,
while the trunk can go on. With `--begin-from WEIGHTS` a new trunk begins at an exported folder
instead of at random. Every step draws from a generator seeded with the step, so a resumed run is
the run that was interrupted, as long as no shards have been added. A batch comes from one shard,
read anew from the system's page cache, so that memory does not grow with the data.

The objective is the clean latents (x0) under noise that image-to-image really meets: a run that
starts from a photograph at timestep s sees, at a later timestep t, latents that are still part
photograph. With r(t) = alpha_t / sigma_t, a deterministic DDIM path (Song et al. 2021, arXiv
2010.02502, eq. 12) with right predictions stands at alpha_t (style + r(s)/r(t) (photo - style)) +
sigma_t noise.
"""

import argparse
import copy
import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from scenestyle.errors import ParamsError
from scenestyle.files import whole_file
from training import looks, tokenizer
from training.data import (
    HELD_OUT_PHOTOGRAPHS,
    HELD_OUT_SHARD,
    SQUARE,
    Shard,
    Size,
    load_shard,
    shard_path,
    training_shards,
)
from training.exported import load_denoiser
from training.models import Controls, Denoiser, picture_time_ids, scheduler
from training.muon import Muon
from training.precision import training_precision

log = logging.getLogger(__name__)

_LAST_TIMESTEP = 999
_NEGATIVE_PROMPTS = [
    "blurry, low quality",
    "blurry, bad quality, distorted",
    "low quality, deformed, ugly",
    "worst quality, blurry, noisy",
    "blurry",
    "bad quality, text, watermark",
    "",
    "",
    "",
]
_TO_PHOTO = 0.06
"""share of samples whose target is the photograph"""
_CLAIMED_SCALES = (0.5, 0.75, 1.5, 2.0, 2.5, 4.0)
_NO_DEPTH, _NO_TILE = 0.08, 0.04
"""share of samples that go without, so that either ControlNet can be turned down"""
_AT_START, _AT_START_LOOKS = 0.35, 0.5
"""share of samples at the first timestep of a path, where noise alone tells the look"""
_CHECKPOINTS_PER_VALIDATION = 6
_VALIDATION = {
    # name: (timestep the path started at, current timestep)
    "s999": (999, 999),
    "s999@500": (999, 500),
    "e800": (800, 800),
    "e600": (600, 600),
    "e500": (500, 500),
    "e500@200": (500, 200),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, apart from data and time."""

    batch: int = 16
    """samples per process and step at 128 x 128 pixels; other sizes get as many pixels"""
    matrix_lr: float = 0.015
    """Muon, for the hidden matrices of UNet and ControlNet"""
    other_lr: float = 1.5e-3
    """AdamW, for embeddings, first and last layers, norms and text"""
    warm_up: int = 60
    """steps"""
    together: tuple[int, ...] = (1, 2, 3, 3)
    """views that share attention, drawn anew for every step; 1 for those that are restyled alone"""
    looks: bool = False
    """styles have two looks (`training.looks`), of which the noise chooses one; else none"""
    ema: float = 0.998
    """decay per step of the weight average, once past the start"""
    seed: int = 0


@dataclass
class Progress:
    """How far a run has come; all figures are sums over its sessions."""

    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    """training time, all processes running side by side"""
    anneal_start: float | None = None
    """`seconds` at which the learning rate began to fall"""


@dataclass(frozen=True)
class Batch:
    """Noisy latents, what they should become, and the conditions."""

    noisy: Float[Tensor, "batch channels rows columns"]
    target: Float[Tensor, "batch channels rows columns"]
    weight: Float[Tensor, "batch 1 1 1"]
    timestep: Int[Tensor, " batch"]
    controls: Controls
    tokens: Int[Tensor, "batch length"]
    keep_text: Bool[Tensor, " batch"]
    time_ids: Float[Tensor, "batch 6"]
    together: int = 1
    """views after each other that share attention"""


@dataclass
class Training:
    """The state of a run: everything a checkpoint holds."""

    model: Denoiser
    average: Denoiser
    matrices: Muon
    others: torch.optim.AdamW
    progress: Progress
    looks: bool

    def state(self) -> dict[str, object]:
        """Tensors and plain numbers only, so that it loads without pickled code."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "matrices": self.matrices.state_dict(),
            "others": self.others.state_dict(),
            "progress": asdict(self.progress),
            "looks": self.looks,
        }

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint."""
        state = torch.load(path, weights_only=True)
        if state["looks"] != self.looks:
            way_out = "Leave out" if self.looks else "Add"
            raise ParamsError(
                f"{path} was trained with{'out' * self.looks} looks, this run is not.\n"
                f"{way_out} --looks, or begin in another folder with --work."
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.matrices.load_state_dict(state["matrices"])
        self.others.load_state_dict(state["others"])
        self.progress = Progress(**state["progress"])

    def save(self, path: Path) -> None:
        """Write a checkpoint; a kill at any moment leaves the old or the new one whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            torch.save(self.state(), partial)


def start_training(model: Denoiser, recipe: Recipe) -> Training:
    """A run at step 0."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        (matrices if _is_hidden_matrix(name, parameter) else others).append(parameter)
    return Training(
        model=model,
        average=copy.deepcopy(model).requires_grad_(False),
        matrices=Muon(matrices, lr=recipe.matrix_lr),
        others=torch.optim.AdamW(others, lr=recipe.other_lr, betas=(0.9, 0.98), weight_decay=0.0),
        progress=Progress(),
        looks=recipe.looks,
    )


def advance(
    training: Training, shards: Mapping[Size, Sequence[Path]], recipe: Recipe, lr_scale: float
) -> float:
    """One update from one batch per process, drawn by seed, process and step alone.

    All processes draw the same size, each its own shard of it. Returns this process's loss.
    """
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    step = training.progress.step
    size = _drawn_size(shards, np.random.default_rng((recipe.seed, step)))
    samples = samples_per_batch(recipe, size)
    rng = np.random.default_rng((recipe.seed, rank, step))
    shard = load_shard(shards[size][int(rng.integers(len(shards[size])))])
    possible = [each for each in recipe.together if each <= shard.photos.shape[1]]
    together = int(rng.choice(possible))
    batch = draw_batch(shard, samples, rng, together=together, in_looks=recipe.looks)
    loss = _update(training, batch, recipe, lr_scale)
    training.progress.step += 1
    training.progress.samples += len(batch.target) * processes
    return loss


def samples_per_batch(recipe: Recipe, size: Size) -> int:
    """As many as have the pixels of `recipe.batch` squares, so that every size takes as long."""
    return max(1, round(recipe.batch * math.prod(SQUARE) / math.prod(size)))


def _drawn_size(shards: Mapping[Size, Sequence[Path]], rng: np.random.Generator) -> Size:
    """A size as often as shards have it."""
    counts = np.array([len(paths) for paths in shards.values()])
    return list(shards)[rng.choice(len(counts), p=counts / counts.sum())]


def _update(training: Training, batch: Batch, recipe: Recipe, lr_scale: float) -> float:
    parameters = list(training.model.parameters())
    for optimizer, lr in (
        (training.matrices, recipe.matrix_lr),
        (training.others, recipe.other_lr),
    ):
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] = lr * lr_scale
    error = (_predicted(training.model, batch) - batch.target).square()
    loss = (error * batch.weight).mean()
    loss.backward()
    _average_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, 1.0)
    training.matrices.step()
    training.others.step()
    step = training.progress.step
    decay = min(recipe.ema, (1 + step) / (12 + step))
    with torch.no_grad():
        for average, parameter in zip(training.average.parameters(), parameters, strict=True):
            average.lerp_(parameter, 1 - decay)
    return loss.item()


def draw_batch(
    shard: Shard,
    samples: int,
    rng: np.random.Generator,
    *,
    together: int = 1,
    in_looks: bool = False,
) -> Batch:
    """Random scenes, viewpoints, styles, captions and noise levels.

    Args:
        shard: What to draw from.
        samples: As many, or the nearest fewer that make whole groups; at least one group.
        rng: Decides everything.
        together: Views of a scene that are restyled together, one after the other: all in one
            style, with one caption and at one noise level.
        in_looks: Show a style in the one of its looks that the noise of the group chooses.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 62)))
    groups = max(1, samples // together)
    samples = groups * together
    scene, view, styled = _drawn_groups(shard, groups, together, rng)
    source = rng.integers(shard.photos.shape[2], size=samples)

    def of_all(of_group: np.ndarray) -> np.ndarray:
        return np.repeat(of_group, together, axis=0)

    words = of_all(rng.integers(shard.tokens.shape[2], size=groups))
    to_photo = of_all(rng.random(groups) < _TO_PHOTO)
    style = np.where(to_photo, 0, shard.style_ids[scene, view, styled])
    target = np.where(
        to_photo[:, None, None, None],
        shard.photos[scene, view, 0],
        shard.styled[scene, view, styled],
    )
    photo = _tensor(shard.photos[scene, view, source])
    picture = _pictures(shard.pictures[scene, view, source])
    disparity = _varied(_tensor(shard.disparity[scene, view])[:, None] / 255, together, rng)
    noise, clean = torch.randn(photo.shape, generator=generator), _tensor(target)
    if in_looks:
        noise = looks.OFFSET.added(noise)
        clean = looks.recoloured_latents(
            clean, torch.from_numpy(style), looks.chosen(noise, together)
        )
    at_start = _AT_START_LOOKS if in_looks else _AT_START
    started, current = (
        torch.from_numpy(of_all(each)) for each in _timesteps(groups, rng, at_start)
    )
    noisy, weight = _on_the_path(clean, photo, started, current, noise)
    tokens = torch.from_numpy(shard.tokens[scene, style, words].astype(np.int64))
    chance = of_all(rng.random(groups))
    negative = torch.from_numpy((chance >= 0.08) & (chance < 0.12))[:, None]
    null = _null_tokens()[
        torch.from_numpy(of_all(rng.integers(len(_NEGATIVE_PROMPTS), size=groups)))
    ]
    has_depth, has_tile = (
        torch.from_numpy(of_all(rng.random(groups) > without).astype(np.float32))
        for without in (_NO_DEPTH, _NO_TILE)
    )
    # Now and then another size than the true one, so that pictures larger than these are none too
    # strange.
    claimed = rng.choice(_CLAIMED_SCALES) if rng.random() < 0.2 else 1.0
    height, width = (int(side * claimed) for side in shard.size)
    return Batch(
        noisy=noisy.contiguous(memory_format=torch.channels_last),
        target=clean,
        weight=weight,
        timestep=current,
        controls=Controls(
            disparity=_three_channels(disparity),
            picture=picture,
            depth_scale=has_depth,
            tile_scale=has_tile,
        ),
        tokens=torch.where(negative, null, tokens),
        keep_text=torch.from_numpy(chance >= 0.08),
        time_ids=picture_time_ids(samples, height, width),
        together=together,
    )


def _drawn_groups(
    shard: Shard, groups: int, together: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scene, viewpoint and place among its styled pictures of every view, group after group.

    A group shows one scene in one style.
    """
    drawn = []
    while len(drawn) < groups:
        scene = int(rng.integers(len(shard)))
        style = rng.choice(shard.style_ids[scene].ravel())
        views, places = np.nonzero(shard.style_ids[scene] == style)
        if len(views) >= together:
            some = rng.permutation(len(views))[:together]
            drawn.append([(scene, views[i], places[i]) for i in some])
    scenes, views, places = np.array(drawn).reshape(-1, 3).T
    return scenes, views, places


@torch.no_grad()
def validate(model: Denoiser, shard: Shard, *, in_looks: bool = False) -> dict[str, float]:
    """Figures on held-out scenes, every view by itself.

    Mean squared x0 error at the stages of `_VALIDATION`; "D" with another scene's disparity, "P"
    image, "T" text. With looks, "L" is how much of its own an image has: 1 all, 0 the mean of both,
    -1 all of the wrong one.
    """
    size = len(shard)
    each = np.arange(size)
    view, styled, words = each % 2, each % shard.styled.shape[2], each // 2 % 2
    style = shard.style_ids[each, view, styled]
    photo = _tensor(shard.photos[each, view, 0])
    disparity = _three_channels(_tensor(shard.disparity[each, view])[:, None] / 255)
    picture = _pictures(shard.pictures[each, view, 0])
    tokens = torch.from_numpy(shard.tokens[each, style, words].astype(np.int64))
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(1))
    clean, other = _tensor(shard.styled[each, view, styled]), None
    if in_looks:
        noise = looks.OFFSET.added(noise)
        look, ids, plain = looks.chosen(noise, together=1), torch.from_numpy(style), clean
        clean, other = (looks.recoloured_latents(plain, ids, which) for which in (look, 1 - look))
    figures: dict[str, float] = {}
    for name, (started, current) in _VALIDATION.items():
        timestep = torch.full((size,), current)
        noisy, weight = _on_the_path(clean, photo, torch.full((size,), started), timestep, noise)
        for suffix in ("", "D", "P", "T") if name == "e500" else ("",):
            batch = Batch(
                noisy=noisy,
                target=clean,
                weight=weight,
                timestep=timestep,
                controls=Controls(
                    disparity=disparity.roll(7, 0) if suffix == "D" else disparity,
                    picture=picture.roll(7, 0) if suffix == "P" else picture,
                    depth_scale=torch.ones(size),
                    tile_scale=torch.ones(size),
                ),
                tokens=tokens.roll(7, 0) if suffix == "T" else tokens,
                keep_text=torch.ones(size, dtype=torch.bool),
                time_ids=picture_time_ids(size, *shard.size),
            )
            predicted = _predicted(model, batch)
            error = (predicted - clean).square().mean().item()
            figures[name + suffix] = round(error, 4)
            if other is not None and not suffix and current == started:
                figures[f"{name}L"] = round(_share_of_look(predicted, clean, other), 3)
    return figures


def _share_of_look(predicted: Tensor, clean: Tensor, other: Tensor) -> float:
    """Mean place between both looks' pictures: 1 at the right one, -1 at the other."""
    half = (clean - other) / 2
    along = ((predicted - (clean + other) / 2) * half).sum((1, 2, 3))
    return (along / half.square().sum((1, 2, 3))).mean().item()


def run(
    work: Path,
    recipe: Recipe,
    *,
    minutes: float,
    anneal_minutes: float | None = None,
    begin_from: Path | None = None,
    processes: int,
    checkpoint_minutes: float = 4.0,
) -> None:
    """Start or continue the trunk, or with `anneal_minutes` a finished copy of it.

    A new trunk begins at the exported folder `begin_from`, or at random.
    """
    name = "trunk" if anneal_minutes is None else "annealed"
    checkpoint = work / "denoiser" / f"{name}.pt"
    with tempfile.TemporaryDirectory() as meeting:
        plan = _Plan(
            work,
            checkpoint,
            recipe,
            minutes,
            anneal_minutes,
            begin_from,
            processes,
            checkpoint_minutes,
            rendezvous=f"file://{meeting}/store",
            parent=os.getpid(),
        )
        if processes == 1:
            _train(0, plan)
        else:
            torch.multiprocessing.spawn(_train, args=(plan,), nprocs=processes)


@dataclass(frozen=True)
class _Plan:
    work: Path
    checkpoint: Path
    recipe: Recipe
    minutes: float
    anneal_minutes: float | None
    begin_from: Path | None
    processes: int
    checkpoint_minutes: float
    rendezvous: str
    parent: int


def _train(rank: int, plan: _Plan) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    if plan.processes > 1:
        dist.init_process_group(
            "gloo", init_method=plan.rendezvous, rank=rank, world_size=plan.processes
        )
    shards = training_shards(plan.work)
    held_out = {
        kind: load_shard(shard_path(plan.work, index))
        for kind, index in (("", HELD_OUT_SHARD), ("photographs ", HELD_OUT_PHOTOGRAPHS))
    }
    training = _begin(plan, held_out[""])
    progress, recipe = training.progress, plan.recipe
    session, saved, records, losses = time.monotonic(), time.monotonic(), 0, []
    before = progress.seconds
    while True:
        progress.seconds = _agreed(before + time.monotonic() - session)
        lr_scale = _lr_scale(progress, recipe, plan.anneal_minutes)
        over = lr_scale <= 0 or progress.seconds - before >= 60 * plan.minutes
        orphaned = plan.processes > 1 and os.getppid() != plan.parent
        if over or orphaned:
            break
        losses.append(advance(training, shards, recipe, lr_scale))
        if rank == 0 and progress.step % 50 == 0:
            log.info(
                "step %d  samples %d  %.0f s  loss %.4f  %d shards",
                progress.step, progress.samples, progress.seconds, np.mean(losses),
                sum(map(len, shards.values())),
            )  # fmt: skip
            losses.clear()
        if time.monotonic() - saved > 60 * plan.checkpoint_minutes:
            saved = time.monotonic()
            shards = training_shards(plan.work)
            if rank == 0:
                training.save(plan.checkpoint)
                records += 1
                if records % _CHECKPOINTS_PER_VALIDATION == 0:
                    _record_validation(training, plan, held_out)
    if rank == 0:
        training.save(plan.checkpoint)
        _record_validation(training, plan, held_out)


def _begin(plan: _Plan, shard: Shard) -> Training:
    torch.manual_seed(plan.recipe.seed)
    model = (
        load_denoiser(plan.begin_from)
        if plan.begin_from
        else Denoiser(vocabulary=len(tokenizer.load()))
    )
    training = start_training(model, plan.recipe)
    trunk = plan.checkpoint.with_name("trunk.pt")
    if plan.checkpoint.exists():
        training.restore(plan.checkpoint)
    elif plan.anneal_minutes is not None:
        training.restore(trunk)
        training.progress.anneal_start = training.progress.seconds
    elif plan.begin_from is None:
        batch = draw_batch(shard, 32, np.random.default_rng(plan.recipe.seed))
        model.calibrate(batch.noisy, batch.controls, batch.tokens)
        training.average.load_state_dict(model.state_dict())
    return training


def _record_validation(training: Training, plan: _Plan, held_out: Mapping[str, Shard]) -> None:
    entry = asdict(training.progress)
    for kind, shard in held_out.items():
        errors = validate(training.average, shard, in_looks=training.looks)
        entry |= {f"{kind}{name}": error for name, error in errors.items()}
    log.info("validation %s", json.dumps(entry))
    with plan.checkpoint.with_suffix(".jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def _lr_scale(progress: Progress, recipe: Recipe, anneal_minutes: float | None) -> float:
    if anneal_minutes is not None and progress.anneal_start is not None:
        return 1 - (progress.seconds - progress.anneal_start) / (60 * anneal_minutes)
    return min(1.0, (progress.step + 1) / recipe.warm_up)


def _agreed(value: float) -> float:
    """Rank 0's value in all processes."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(shared, 0)
    return shared.item()


def _average_gradients(parameters: list[nn.Parameter]) -> None:
    if not dist.is_initialized():
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    start = 0
    for parameter in parameters:
        parameter.grad = flat[start : start + parameter.numel()].view(parameter.shape)
        start += parameter.numel()


def _is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    part, _, rest = name.partition(".")
    return (
        part in ("unet", "controlnet", "tile")
        and parameter.ndim >= 2
        and "conv_in" not in rest
        and "conv_out" not in rest
        and min(parameter.shape[0], parameter[0].numel()) >= 16
    )


def _predicted(model: Denoiser, batch: Batch) -> Float[Tensor, "batch channels rows columns"]:
    with training_precision():
        predicted = model(
            batch.noisy,
            batch.timestep,
            batch.controls,
            batch.tokens,
            batch.keep_text,
            batch.time_ids,
            batch.together,
        )
    return predicted.float()


def _on_the_path(
    clean: Tensor, photo: Tensor, started: Tensor, current: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Noisy latents at `current` on a path from the photo at `started`, and the loss weight."""
    alpha_bar = _alpha_bar()
    ratio = (alpha_bar / (1 - alpha_bar)).sqrt()
    share = (ratio[started] / ratio[current].clamp(min=1e-6)).clamp(max=1)
    share = torch.where(started >= _LAST_TIMESTEP, 0.0, share)[:, None, None, None]
    alpha = alpha_bar[current].sqrt()[:, None, None, None]
    sigma = (1 - alpha_bar[current]).sqrt()[:, None, None, None]
    noisy = alpha * (clean + share * (photo - clean)) + sigma * noise
    return noisy, (sigma**-2).clamp(max=5)


def _timesteps(
    size: int, rng: np.random.Generator, at_start: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where paths start (an eighth in pure noise, most near strength 0.5) and where they stand."""
    kind = rng.random(size)
    started = np.where(kind < 0.7, rng.integers(330, 720, size), rng.integers(720, 990, size))
    started = np.where(kind < 0.12, _LAST_TIMESTEP, started)
    first = np.where(started == _LAST_TIMESTEP, rng.integers(850, 1000, size), started)
    later = (40 + rng.random(size) * (started - 40)).astype(np.int64)
    current = np.where(rng.random(size) < at_start, first, later)
    return started, current


def _varied(disparity: Tensor, together: int, rng: np.random.Generator) -> Tensor:
    """Disparity as other scenes scale it: part of the range, bent, soft; alike within a group."""
    size = len(disparity) // together
    low = torch.from_numpy(rng.uniform(0, 0.25, size) * (rng.random(size) < 0.4))
    high = torch.from_numpy(1 - rng.uniform(0, 0.45, size) * (rng.random(size) < 0.6))
    gamma = torch.from_numpy(np.exp(rng.normal(0, 0.3, size)))
    soft_ones = torch.from_numpy(rng.random(size) < 0.25)
    low, high, gamma, soft_ones = (
        value.repeat_interleave(together)[:, None, None, None]
        for value in (low.float(), high.float(), gamma.float(), soft_ones)
    )
    bent = low + (high - low) * disparity**gamma
    soft = nn.functional.avg_pool2d(bent, 5, stride=1, padding=2, count_include_pad=False)
    return torch.where(soft_ones, soft, bent)


def _three_channels(
    maps: Float[Tensor, "batch 1 height width"],
) -> Float[Tensor, "batch 3 height width"]:
    return maps.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def _pictures(
    pictures: UInt8[np.ndarray, "batch height width 3"],
) -> Float[Tensor, "batch 3 height width"]:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


@cache
def _null_tokens() -> Int[Tensor, "prompts length"]:
    ids = tokenizer.token_ids(tokenizer.load(), _NEGATIVE_PROMPTS)
    return torch.from_numpy(ids.astype(np.int64))


@cache
def _alpha_bar() -> Float[Tensor, " timesteps"]:
    return scheduler().alphas_cumprod.float()


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def main() -> None:
    """Command line of `run`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".work/embedded"))
    parser.add_argument("--minutes", type=float, default=600, help="of this session at most")
    parser.add_argument("--anneal-minutes", type=float, help="anneal a copy of the trunk")
    parser.add_argument("--begin-from", type=Path, help="exported weights, for a new trunk")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--slower", type=float, default=1.0, help="factor on the learning rates")
    parser.add_argument("--looks", action="store_true", help="two a style; the noise chooses")
    arguments = parser.parse_args()
    recipe = Recipe()
    recipe = replace(
        recipe,
        matrix_lr=recipe.matrix_lr * arguments.slower,
        other_lr=recipe.other_lr * arguments.slower,
        looks=arguments.looks,
    )
    run(
        arguments.work,
        recipe,
        minutes=arguments.minutes,
        anneal_minutes=arguments.anneal_minutes,
        begin_from=arguments.begin_from,
        processes=arguments.processes,
    )


if __name__ == "__main__":
    main()
