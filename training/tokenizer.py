"""The CLIP tokenizer of the embedded model: byte pairs learnt from the generator's own captions.

`python -m training.tokenizer` rebuilds the folder `tokenizer/`. Weights are tied to it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

LENGTH = 32
"""tokens per caption, start and end included"""
FOLDER = Path(__file__).with_name("tokenizer")
BOS, EOS = "<|startoftext|>", "<|endoftext|>"

_VOCABULARY = 2048
_SCENES = 1500


def load() -> "CLIPTokenizer":
    """The tokenizer that the weights were trained with."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(FOLDER)


def token_ids(tokenizer: "CLIPTokenizer", captions: list[str]) -> Int[np.ndarray, "captions 32"]:
    """Ids of the captions, cut or padded to `LENGTH`."""
    encoded = tokenizer(captions, padding="max_length", max_length=LENGTH, truncation=True)
    return np.array(encoded["input_ids"], dtype=np.int16)


def corpus(seed: int) -> Iterator[str]:
    """Captions of random scenes in every style."""
    from training.procedural.captions import TEMPLATES, caption
    from training.procedural.scenes import random_scene

    rng = np.random.default_rng(seed)
    for _ in range(_SCENES):
        scene = random_scene(rng)
        yield from (caption(scene, style, rng) for style in TEMPLATES)


def build(seed: int) -> "CLIPTokenizer":
    """Learn byte pairs from the corpus; every byte stays encodable, also at the end of a word."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    suffix, alphabet = "</w>", pre_tokenizers.ByteLevel.alphabet()
    blank = CLIPTokenizer()
    pairs = Tokenizer(models.BPE(unk_token=EOS, end_of_word_suffix=suffix))
    pairs.normalizer = blank.backend_tokenizer.normalizer
    pairs.pre_tokenizer = blank.backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[BOS, EOS],
        initial_alphabet=alphabet,
        end_of_word_suffix=suffix,
        show_progress=False,
    )
    pairs.train_from_iterator(corpus(seed), trainer)
    model = json.loads(pairs.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for byte in sorted(alphabet):
        vocabulary.setdefault(byte + suffix, len(vocabulary))
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=[tuple(pair) for pair in model["merges"]],  # pyright: ignore[reportArgumentType]
        model_max_length=LENGTH,
        pad_token=EOS,
    )


def main() -> None:
    """Write the tokenizer folder."""
    build(seed=5).save_pretrained(FOLDER)


if __name__ == "__main__":
    main()
