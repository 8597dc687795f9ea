"""What a user should know of a prompt before the model gets it."""

import json
from collections.abc import Iterable
from pathlib import Path

from scenestyle.diffusion.instructions import caption_warnings, shortened
from scenestyle.diffusion.known_styles import read_known_styles, style_warnings
from scenestyle.diffusion.models import edits_by_instruction
from scenestyle.diffusion.weights import EMBEDDED_FOLDER
from scenestyle.errors import WeightsError


def prompt_warnings(prompt: str, captions: Iterable[str], model: str) -> list[str]:
    """Sentences about a style's prompt that can be known without loading the model.

    Args:
        prompt: With `{caption}` where the scene's caption goes.
        captions: Of the scenes that it may be used with.
        model: `stylize_views.model`; of a model that lies on the hub nothing is known here.
    """
    try:
        found = caption_warnings(prompt, edits=edits_by_instruction(model))
    except WeightsError:  # of another kind of model; the stage says so
        return []
    folder = EMBEDDED_FOLDER if model == "embedded" else Path(model)
    if not folder.is_dir():
        return found
    found += style_warnings(prompt, read_known_styles(folder))
    longest = max(
        (prompt.replace("{caption}", caption) for caption in captions),
        key=len,
        default=prompt.replace("{caption}", ""),
    )
    return [*found, *length_warnings(longest, folder / "tokenizer")]


def length_warnings(prompt: str, tokenizer: Path) -> list[str]:
    """A sentence if the prompt is longer than a model's text encoder reads.

    Args:
        prompt: As the model gets it.
        tokenizer: Folder with `tokenizer.json` and `tokenizer_config.json`; without them nothing is
            known.
    """
    files = tokenizer / "tokenizer.json", tokenizer / "tokenizer_config.json"
    if not all(file.is_file() for file in files):
        return []
    from tokenizers import Tokenizer

    limit = json.loads(files[1].read_text(encoding="utf-8"))["model_max_length"]
    encoded = Tokenizer.from_file(str(files[0])).encode(prompt)
    if len(encoded.ids) <= limit:
        return []
    # The last place is the end mark's, which stays.
    lost = prompt[encoded.offsets[limit - 1][0] :].strip()
    return [
        f"The prompt has {len(encoded.ids)} tokens and the model reads {limit}: it will not see "
        f"{shortened(lost)!r}. Shorten the prompt or the caption."
    ]
