"""An exported folder as networks in training, to resume where the checkpoints are lost.

What export keeps is the weight average in half precision; the optimizers' state starts anew.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from training import tokenizer
from training.models import Denoiser, autoencoder

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

_TOKEN_EMBEDDING = "token_embedding.weight"


def load_denoiser(weights: Path) -> Denoiser:
    """UNet, ControlNets and text encoders of an exported folder, for today's tokenizer.

    Where the folder has no tile ControlNet, it begins as a weak copy of the one for depth.

    A token that the folder's own tokenizer has keeps its vector, any other begins at random, as do
    places in the text beyond the folder's longest.
    """
    from diffusers import ControlNetModel, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    ids = tokenizer.load().get_vocab()
    ids_before = CLIPTokenizer.from_pretrained(weights / "tokenizer").get_vocab()
    model = Denoiser(vocabulary=len(ids))
    parts = {"unet": (UNet2DConditionModel, "unet")} | {
        part: (ControlNetModel, folder)
        for part, folder in zip(("controlnet", "tile"), control_folders(weights), strict=False)
    }
    for name, (kind, folder) in parts.items():
        part = kind.from_pretrained(weights / folder, dtype=torch.float32)
        model.get_submodule(name).load_state_dict(part.state_dict())
    if "tile" not in parts:
        model.begin_tile_from_depth()
    shared = [token for token in ids if token in ids_before]
    rows = torch.tensor([ids[token] for token in shared])
    rows_before = torch.tensor([ids_before[token] for token in shared])
    for name, kind in (
        ("text_encoder", CLIPTextModel),
        ("text_encoder_2", CLIPTextModelWithProjection),
    ):
        encoder = model.get_submodule(name)
        state, before = (
            encoder.state_dict(),
            kind.from_pretrained(weights / name, dtype=torch.float32).state_dict(),
        )
        for key, value in before.items():
            if key.endswith(_TOKEN_EMBEDDING):
                state[key][rows] = value[rows_before]
            else:  # of position vectors there may be more now
                state[key][: len(value)] = value
        encoder.load_state_dict(state)
    return model


def control_folders(weights: Path) -> list[str]:
    """Folders of the ControlNets within exported weights: for depth and, if any, the image."""
    return [name for name in ("controlnet", "controlnet_1") if (weights / name).is_dir()]


def load_autoencoder(weights: Path) -> "AutoencoderKL":
    """The autoencoder of an exported folder."""
    from diffusers import AutoencoderKL

    model = autoencoder()
    before = AutoencoderKL.from_pretrained(weights / "vae", dtype=torch.float32)
    model.load_state_dict(before.state_dict())  # diffusers would write where it read it from
    return model
