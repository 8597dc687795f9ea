"""The styles that weights know, where they know few: a prompt for another one gets a warning.

A folder of weights may hold `styles.json`: by style, the words of which a prompt for it has at
least one. Weights without it, such as SDXL's, are taken to know every style. Of models with it, the
text encoder knows few words too, and reads only those.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scenestyle.diffusion.instructions import shortened
from scenestyle.errors import WeightsError, reason
from scenestyle.params import Style

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

STYLES_FILE = "styles.json"

ANY_CAPTION = "a scene"
"""what stands for the caption where a model reads styles only"""

KnownStyles = Mapping[str, Sequence[str]]
"""style -> its key words, in lower case; empty: every style is known"""


def read_known_styles(weights: Path) -> KnownStyles:
    """The styles listed beside the weights, none if there is no list.

    Raises:
        WeightsError: If the list is not a JSON object of lists of words.
    """
    path = weights / STYLES_FILE
    if not path.is_file():
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return {str(style): tuple(map(_word, words)) for style, words in listed.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise WeightsError(
            f"{path} should map each style to a list of words, and does not ({reason(error)}). "
            "Restore the file, or delete it to have every style taken as known."
        ) from error


def named_styles(prompt: str, known: KnownStyles) -> list[str]:
    """The known styles of which the prompt has a key word."""
    words = set(re.findall(r"[^\W\d_]+", prompt.lower()))
    return [style for style, keys in known.items() if words & set(keys)]


def style_warnings(prompt: str, known: KnownStyles) -> list[str]:
    """What to tell a user whose prompt asks a model for a style that it does not know.

    Args:
        prompt: Best without the scene's caption: "a fern on ice" asks for no style.
        known: Of the model.
    """
    if not known or named_styles(prompt, known):
        return []
    return [
        f"The prompt {shortened(prompt)!r} names no style that this model knows, so the result "
        f"will follow it poorly. It knows: {', '.join(known)}. Name one of them, or set "
        "stylize_views.model to a larger model."
    ]


def as_taught(style: Style, tokenizer: "CLIPTokenizer") -> tuple[Style, list[str]]:
    """A style in the words that the tokenizer learnt whole, and those that it did not.

    A tiny text encoder takes the pieces of a strange word for something: "roses" for fire.
    """
    prompt, strange = _split_off(style.prompt.replace("{caption}", ANY_CAPTION), tokenizer)
    negative, more = _split_off(style.negative_prompt, tokenizer)
    return replace(style, prompt=prompt, negative_prompt=negative), strange + more


def _split_off(prompt: str, tokenizer: "CLIPTokenizer") -> tuple[str, list[str]]:
    taught, strange = [], []
    for word in prompt.split():
        is_whole = all(token.endswith("</w>") for token in tokenizer.tokenize(word))
        (taught if is_whole else strange).append(word)
    return " ".join(taught), strange


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a word")
    return value
