"""Train the autoencoder on the fixed latents of `latents.py`; a killed run resumes.

    python -m training.train_autoencoder --work .work/embedded --minutes 45

One thread, so that it can share two cores with the denoiser. `--minutes` is the training time
summed over all sessions; over its last part the learning rate falls to zero. Every third step
teaches the encoder the fixed latents, the others teach the decoder to restore pictures from
slightly noisy ones. With `--begin-from WEIGHTS` a new run begins at an exported folder instead of
at random.
"""

import argparse
import logging
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor

from scenestyle.files import whole_file
from training import latents
from training.data import HELD_OUT_SHARD, SQUARE, to_signed
from training.exported import load_autoencoder
from training.latents import BLOCK
from training.models import autoencoder, use_layout
from training.precision import training_precision

log = logging.getLogger(__name__)

_LR = 2.5e-3
_WARM_UP_STEPS = 40
_FLAT_SHARE = 0.45
_CROPS_SHARE = 0.6
_CHECKPOINT_SECONDS = 180
_CHROMA = torch.tensor([[-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])

Pictures = Float[Tensor, "batch 3 height width"]


def checkpoint_path(work: Path) -> Path:
    """Where the run's state lies."""
    return work / "autoencoder" / "autoencoder.pt"


def load_pictures(work: Path) -> list[np.ndarray]:
    """Memory maps of the training pictures, (scenes, viewpoints, pictures, height, width, 3)."""
    held_out = f"pictures-{HELD_OUT_SHARD:06d}.npy"
    paths = sorted(path for path in (work / "data").glob("pictures-*") if path.name != held_out)
    return [np.load(path, mmap_mode="r") for path in paths]


def reconstruction_loss(restored: Pictures, original: Pictures) -> Float[Tensor, ""]:
    """Absolute and squared error, error of gradients at three scales, and of blurred chroma."""
    difference = restored - original
    chroma = torch.einsum("kc,bchw->bkhw", _CHROMA, difference)
    return (
        difference.abs().mean()
        + 0.5 * difference.square().mean()
        + 0.4 * _gradient_error(difference)
        + 2.0 * F.avg_pool2d(chroma, 4).abs().mean()
        + chroma.abs().mean()
    )


def run(work: Path, *, minutes: float, begin_from: Path | None = None, seed: int = 0) -> None:
    """Start or continue until `minutes` of training have been spent.

    A new run begins at the exported folder `begin_from`, or at random.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = load_autoencoder(begin_from) if begin_from else autoencoder()
    use_layout(model, torch.channels_last)
    optimizers = [
        torch.optim.AdamW(
            [weight for name, weight in model.named_parameters() if name.startswith(prefixes)],
            lr=_LR,
            betas=(0.9, 0.98),
            weight_decay=0.0,
        )
        for prefixes in (("encoder", "quant_conv"), ("decoder", "post_quant_conv"))
    ]
    step, spent = 0, 0.0
    checkpoint = checkpoint_path(work)
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, spent = state["step"], state["seconds"]
    shards = load_pictures(work)
    before, session, saved = spent, time.monotonic(), time.monotonic()
    losses: dict[bool, list[float]] = {True: [], False: []}
    while (share := spent / (60 * minutes)) < 1:
        rng = np.random.default_rng((seed, step))
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = _LR * _lr_scale(step, share)
        size, batch = (64, 16) if share < _CROPS_SHARE else (128, 4)
        crops = to_signed(_crops(shards, size, batch, rng))
        teach_encoder = step % 3 == 2
        loss = _train_step(model, optimizers, crops, teach_encoder=teach_encoder)
        losses[teach_encoder].append(loss)
        step += 1
        spent = before + time.monotonic() - session
        if step % 100 == 0:
            log.info(
                "step %d  %.0f s  decoder %.4f  encoder %.4f",
                step, spent, np.mean(losses[False]), np.mean(losses[True]),
            )  # fmt: skip
            losses = {True: [], False: []}
        if time.monotonic() - saved > _CHECKPOINT_SECONDS or spent >= 60 * minutes:
            saved = time.monotonic()
            _save(checkpoint, model, optimizers, step, spent)
    log.info("held-out PSNR %s", held_out_psnr(model, work))


@torch.no_grad()
def held_out_psnr(model: AutoencoderKL, work: Path) -> dict[str, float]:
    """PSNR in dB on held-out images: linear inverse, decoder on exact latents, autoencoder."""
    pictures = np.load(work / "data" / f"pictures-{HELD_OUT_SHARD:06d}.npy", mmap_mode="r")
    originals = to_signed(np.ascontiguousarray(pictures.reshape(-1, *SQUARE, 3)[::13]))
    exact = latents.encode(originals)
    learnt = _encode(model, originals)
    restored = {
        "linear": latents.linear_decode(exact),
        "decoder": _decode(model, exact),
        "autoencoder": _decode(model, learnt),
    }
    return {name: _psnr(picture, originals) for name, picture in restored.items()}


def _train_step(
    model: AutoencoderKL,
    optimizers: list[torch.optim.AdamW],
    pictures: Pictures,
    *,
    teach_encoder: bool,
) -> float:
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    optimizer = optimizers[0 if teach_encoder else 1]
    loss = _encoder_loss(model, pictures) if teach_encoder else _decoder_loss(model, pictures)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()
    return loss.item()


def _encoder_loss(model: AutoencoderKL, pictures: Pictures) -> Float[Tensor, ""]:
    with training_precision():
        learnt = _encode(model, pictures)
    error = learnt.float() - latents.encode(pictures)
    return error.square().mean() + 0.2 * error.abs().mean()


def _decoder_loss(model: AutoencoderKL, pictures: Pictures) -> Float[Tensor, ""]:
    exact = latents.encode(pictures)
    noisy = exact + 0.25 * torch.rand(len(exact), 1, 1, 1) * torch.randn_like(exact)
    with training_precision():
        restored = _decode(model, noisy.contiguous(memory_format=torch.channels_last))
    return reconstruction_loss(restored.float(), pictures)


def _decode(model: AutoencoderKL, latent: Float[Tensor, "batch c rows columns"]) -> Pictures:
    return model.decode(latent, return_dict=False)[0]  # pyright: ignore[reportArgumentType]


def _encode(model: AutoencoderKL, pictures: Pictures) -> Float[Tensor, "batch c rows columns"]:
    distribution = model.encode(pictures, return_dict=False)[0]
    return distribution.mean


def _gradient_error(difference: Pictures) -> Float[Tensor, ""]:
    total = torch.zeros(())
    for _ in range(3):
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        difference = F.avg_pool2d(difference, 2)
    return total


def _crops(shards: list[np.ndarray], size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    large_enough = [shard for shard in shards if min(shard.shape[3:5]) >= size]
    crops = []
    for _ in range(count):
        shard = large_enough[rng.integers(len(large_enough))]
        scene, view, index = (rng.integers(length) for length in shard.shape[:3])
        # On the grid of the latents and never mirrored, as the styles' tiles, dots and hatching
        # lie.
        top, left = (BLOCK * rng.integers((side - size) // BLOCK + 1) for side in shard.shape[3:5])
        crops.append(shard[scene, view, index, top : top + size, left : left + size])
    return np.stack(crops)


def _lr_scale(step: int, share: float) -> float:
    warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
    falling = max(0.0, (share - _FLAT_SHARE) / (1 - _FLAT_SHARE))
    return warm * (0.5 * (1 + math.cos(math.pi * min(falling, 1.0))) + 0.01)


def _save(
    path: Path,
    model: AutoencoderKL,
    optimizers: list[torch.optim.AdamW],
    step: int,
    seconds: float,
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "step": step,
        "seconds": seconds,
    }
    with whole_file(path) as partial:
        torch.save(state, partial)


def _psnr(pictures: Pictures, originals: Pictures) -> float:
    error = ((pictures.clamp(-1, 1) - originals) / 2).square().mean((1, 2, 3))
    return round((-10 * error.log10()).mean().item(), 2)


def main() -> None:
    """Command line of `run`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".work/embedded"))
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--begin-from", type=Path, help="exported weights, for a new run")
    arguments = parser.parse_args()
    run(arguments.work, minutes=arguments.minutes, begin_from=arguments.begin_from)


if __name__ == "__main__":
    main()
