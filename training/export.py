"""Write the embedded model as a diffusers folder: float16 safetensors, its styles, and hashes.

`python -m training.export --work .work/embedded --out scenestyle/embedded/weights` takes the
annealed denoiser (or with `--trunk` the trunk's weight average) and the autoencoder as trained so
far, or with `--autoencoder-of WEIGHTS` that of an exported folder.
"""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from scenestyle.diffusion.control_nets import CONTROLS_FILE
from scenestyle.diffusion.known_styles import STYLES_FILE
from scenestyle.diffusion.noise_offset import OFFSET_FILE
from training import tokenizer
from training.exported import load_autoencoder
from training.looks import LOOKS, LOOKS_FILE, OFFSET
from training.models import Denoiser, autoencoder, scheduler, use_layout
from training.procedural.captions import KEY_WORDS
from training.train_autoencoder import checkpoint_path

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

HASH_FILE = "SHA256SUMS"
CONTROLS = ("depth", "tile")
"""what the exported ControlNets see, in their order"""


def export(denoiser: Path, pictures: "AutoencoderKL", out: Path) -> None:
    """Assemble the pipeline from a denoiser's checkpoint and an autoencoder; save it to `out`."""
    from diffusers import MultiControlNetModel, StableDiffusionXLControlNetImg2ImgPipeline

    words = tokenizer.load()
    model = Denoiser(vocabulary=len(words))
    state = torch.load(denoiser, weights_only=True)
    model.load_state_dict(state["average"])
    use_layout(model, torch.contiguous_format)
    pipeline = StableDiffusionXLControlNetImg2ImgPipeline(
        vae=pictures,
        text_encoder=model.text_encoder,
        text_encoder_2=model.text_encoder_2,
        tokenizer=words,
        tokenizer_2=words,
        unet=model.unet,
        controlnet=MultiControlNetModel([model.controlnet, model.tile]),
        scheduler=scheduler(),  # pyright: ignore[reportArgumentType]  # an enum of classes
        requires_aesthetics_score=False,
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    pipeline.to(torch.float16).save_pretrained(out, safe_serialization=True)
    styles = json.dumps(KEY_WORDS, indent=2)
    (out / STYLES_FILE).write_text(styles + "\n", encoding="utf-8")
    if state["looks"]:
        names = {style: [look.name for look in pair] for style, pair in LOOKS.items()}
        (out / LOOKS_FILE).write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")
        offset = json.dumps(asdict(OFFSET))
        (out / OFFSET_FILE).write_text(offset + "\n", encoding="utf-8")
    (out / CONTROLS_FILE).write_text(json.dumps(CONTROLS) + "\n", encoding="utf-8")
    write_hashes(out)


def trained_autoencoder(work: Path) -> "AutoencoderKL":
    """The autoencoder as it was trained in `work`."""
    model = autoencoder()
    model.load_state_dict(torch.load(checkpoint_path(work), weights_only=True)["model"])
    return model


def write_hashes(folder: Path) -> None:
    """Write `SHA256SUMS` over every other file, in the format of sha256sum."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != HASH_FILE)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in files
    ]
    (folder / HASH_FILE).write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Command line of `export`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".work/embedded"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trunk", action="store_true", help="not the annealed copy")
    parser.add_argument("--autoencoder-of", type=Path, help="exported weights, not this run's")
    arguments = parser.parse_args()
    name = "trunk.pt" if arguments.trunk else "annealed.pt"
    pictures = (
        load_autoencoder(arguments.autoencoder_of)
        if arguments.autoencoder_of
        else trained_autoencoder(arguments.work)
    )
    export(arguments.work / "denoiser" / name, pictures, arguments.out)


if __name__ == "__main__":
    main()
