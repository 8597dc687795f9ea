"""What SDXL, SD 1.5 and Z-Image are made of: configurations, CLIP's vocabulary, and no weights.

The configurations are the published ones, in the layout of a diffusers folder; the vocabulary is
CLIP's (Radford et al. 2021, arXiv:2103.00020), under the licence that lies beside it.
"""

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scenestyle.errors import WeightsError

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

Architecture = Literal["sdxl", "sd15", "z-image"]

_FOLDER = Path(__file__).with_name("published")
_MERGES = _FOLDER / "clip" / "merges.txt.gz"
_START, _END = "<|startoftext|>", "<|endoftext|>"
_TEXT_ENCODERS = {
    "CLIPTextModel": "CLIPTextModel",
    "CLIPTextModelWithProjection": "CLIPTextModelWithProjection",
    "Qwen3ForCausalLM": "Qwen3Model",  # without the layer that says words
}
"""architecture by its configuration -> class of transformers"""
PARTS: dict[Architecture, tuple[str, ...]] = {
    "sdxl": ("unet", "controlnet", "vae", "text_encoder", "text_encoder_2"),
    "sd15": ("unet", "controlnet", "vae", "text_encoder"),
    "z-image": ("transformer", "controlnet", "vae", "text_encoder"),
}
"""networks of each"""
_LONGEST_PROMPT = 77
"""tokens, start and end included"""


def configuration(architecture: Architecture) -> Path:
    """A diffusers folder without weights and tokenizers; `controlnet` is what fits beside it."""
    return _FOLDER / architecture


def sees_image(channels: int, latent_channels: int, source: Path) -> bool:
    """Whether a UNet is shown an image beside the noise, as models that edit by instruction are.

    Args:
        channels: That it takes.
        latent_channels: Of the latents of an image.
        source: Where it lies.

    Raises:
        WeightsError: If it takes anything else.
    """
    if channels in (latent_channels, 2 * latent_channels):
        return channels > latent_channels
    raise WeightsError(
        f"{source} is a model for inpainting, or another that is not known here: its UNet takes "
        f"{channels} channels instead of {latent_channels}, or {2 * latent_channels} of one that "
        "edits by instruction. Wanted: SDXL, Stable Diffusion 1.5, or InstructPix2Pix of their "
        "kind."
    )


def network(architecture: Architecture, part: str, **changes: Any) -> Any:
    """A network as configured, with fresh weights, on torch's current default device.

    Args:
        architecture: Whose part it is.
        part: One of `PARTS`.
        changes: To the configuration, of networks of diffusers.
    """
    import diffusers
    import transformers

    folder = configuration(architecture) / part
    if part.startswith("text_encoder"):
        config: Any = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        return getattr(transformers, _TEXT_ENCODERS[config.architectures[0]])(config)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return getattr(diffusers, config["_class_name"]).from_config(config | changes)


def tokenizers(architecture: Literal["sdxl", "sd15"]) -> dict[str, Any]:
    """CLIP's tokenizer under the names that pipelines have for it.

    Prompts are filled up with the end's token, for SDXL's second text encoder with token 0.
    """
    if architecture == "sd15":
        return {"tokenizer": clip_tokenizer(_END)}
    return {"tokenizer": clip_tokenizer(_END), "tokenizer_2": clip_tokenizer("!")}


def clip_tokenizer(pad_token: str) -> "CLIPTokenizer":
    """CLIP's tokenizer, made of its 48,894 merges of byte pairs.

    The vocabulary is every byte, every byte at the end of a word, what each merge makes, and the
    two marks of start and end, in this order.
    """
    from transformers import CLIPTokenizer

    lines = gzip.decompress(_MERGES.read_bytes()).decode("utf-8").splitlines()
    merges = [tuple(line.split(" ")) for line in lines]
    letters = letters_of_bytes()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
    return CLIPTokenizer(
        vocab={word: index for index, word in enumerate([*words, _START, _END])},
        merges=merges,  # pyright: ignore[reportArgumentType]
        model_max_length=_LONGEST_PROMPT,
        pad_token=pad_token,
    )


def letters_of_bytes() -> list[str]:
    """A visible letter for each byte: its own where it has one, else one from U+0100 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    visible += range(ord("®"), ord("ÿ") + 1)
    hidden = 256 - len(visible)
    return [chr(code) for code in (*visible, *range(256, 256 + hidden))]
