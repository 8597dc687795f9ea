"""Prompts that say what to change, and those that say what the image shows.

Models that edit by instruction want the first ("make it snow"), and see the view itself; all others
the second ("{caption} in winter"), which has the scene's caption in it.
"""


def caption_warnings(prompt: str, *, edits: bool) -> list[str]:
    """What to tell a user who gives a model a prompt of the other kind, told by its caption.

    Args:
        prompt: With `{caption}` where the scene's caption goes.
        edits: Whether the model edits by instruction.
    """
    if edits == ("{caption}" not in prompt):
        return []
    if edits:
        return [
            f"The prompt {shortened(prompt)!r} has {{caption}}, which a model that edits by "
            'instruction does not need: it sees the view. Say what is to change, as in "make it '
            'snow".'
        ]
    return [
        f"The prompt {shortened(prompt)!r} has no {{caption}}, so that it does not say what the "
        "scene shows. If that is not meant, put {caption} where the caption belongs. If it is an "
        'instruction, such as "make it snow", it needs a model that edits by instruction '
        "(stylize_views.model: instruct-pix2pix)."
    ]


def shortened(text: str, length: int = 80) -> str:
    """The begin of a prompt, for a sentence about it."""
    return text if len(text) <= length else f"{text[:length]}..."
