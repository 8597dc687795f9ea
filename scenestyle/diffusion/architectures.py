"""What SDXL and Stable Diffusion 1.5 are made of: configurations, vocabulary, and no weights.

The configurations are the published ones, in the layout of a diffusers folder; the vocabulary is
CLIP's (Radford et al. 2021, arXiv:2103.00020), under the licence that lies beside it.
"""

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

Architecture = Literal["sdxl", "sd15"]

_FOLDER = Path(__file__).with_name("published")
_MERGES = _FOLDER / "clip" / "merges.txt.gz"
_START, _END = "<|startoftext|>", "<|endoftext|>"
_NETWORKS = {
    "unet": "UNet2DConditionModel",
    "controlnet": "ControlNetModel",
    "vae": "AutoencoderKL",
}
_TEXT_ENCODERS = {
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
PARTS: dict[Architecture, tuple[str, ...]] = {
    "sdxl": (*_NETWORKS, *_TEXT_ENCODERS),
    "sd15": (*_NETWORKS, "text_encoder"),
}
"""networks of each"""
_LONGEST_PROMPT = 77
"""tokens, start and end included"""


def configuration(architecture: Architecture) -> Path:
    """A diffusers folder without weights and tokenizers; `controlnet` is what fits beside it."""
    return _FOLDER / architecture


def network(architecture: Architecture, part: str) -> Any:
    """A network as configured, with fresh weights, on torch's current default device.

    Args:
        architecture: Whose part it is.
        part: `unet`, `controlnet`, `vae`, `text_encoder` or, of SDXL, `text_encoder_2`.
    """
    import diffusers
    import transformers

    folder = configuration(architecture) / part
    if part in _TEXT_ENCODERS:
        config = transformers.CLIPTextConfig.from_pretrained(folder)
        return getattr(transformers, _TEXT_ENCODERS[part])(config)
    kind = getattr(diffusers, _NETWORKS[part])
    return kind.from_config(kind.load_config(folder))


def tokenizers(architecture: Architecture) -> dict[str, Any]:
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
    letters = _letters_of_bytes()
    words = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges)]
    return CLIPTokenizer(
        vocab={word: index for index, word in enumerate([*words, _START, _END])},
        merges=merges,  # pyright: ignore[reportArgumentType]
        model_max_length=_LONGEST_PROMPT,
        pad_token=pad_token,
    )


def _letters_of_bytes() -> list[str]:
    """A visible letter for each byte: its own where it has one, else one from U+0100 on."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    visible += range(ord("®"), ord("ÿ") + 1)
    hidden = 256 - len(visible)
    return [chr(code) for code in (*visible, *range(256, 256 + hidden))]
