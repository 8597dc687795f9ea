"""`scenestyle add-style`."""

from cli.console import (
    LAYOUT,
    NewName,
    OptionalFloat,
    OptionalInt,
    OptionalPath,
    OptionalText,
    Prompt,
    given,
    say,
)
from scenestyle.errors import ParamsError
from scenestyle.params import check_id, load_params
from scenestyle.project.params_file import add_entry
from scenestyle.project.styles import taken_in


def add_style(
    name: NewName,
    prompt: Prompt,
    *,
    strength: OptionalFloat = None,
    guidance_scale: OptionalFloat = None,
    image_guidance_scale: OptionalFloat = None,
    negative_prompt: OptionalText = None,
    seed: OptionalInt = None,
    image: OptionalPath = None,
    image_scale: OptionalFloat = None,
) -> None:
    """Add a style: one sentence, and the strength with which views are pulled towards it.

    Example: scenestyle add-style watercolor "a watercolor painting of {caption}" --strength 0.6

    Example: scenestyle add-style ours "a painting of {caption}" --image ~/images/ours.jpg

    Example: scenestyle add-style snow "make it snow" --image-guidance-scale 1.8

    Args:
        name: Letters, digits and underscores.
        prompt: What the images should show; {caption} becomes the scene's caption. For a model that
            edits by instruction, such as instruct-pix2pix: what is to change.
        strength: Fraction of the noise schedule that is re-run, above 0 up to 1; default: the
            model's.
        guidance_scale: Classifier-free guidance, 1 (off) to 50; default: the model's.
        image_guidance_scale: Of a model that edits by instruction: how closely an image keeps to
            the view, 1 to 50; default: the model's.
        negative_prompt: What the images should not show.
        seed: Seed of the initial noise; default 0.
        image: An image whose look to take beside the sentence, copied to data/styles; for models
            that take images, such as sdxl.
        image_scale: Weight of the image, 0 to 2; default 0.6.
    """
    check_id("style", name)
    params = load_params(LAYOUT.params)
    if name in params.styles:
        raise ParamsError(
            f"there is a style {name!r} already. Change it in {LAYOUT.params}, or choose another "
            "name."
        )
    options = {
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "strength": strength,
        "guidance_scale": guidance_scale,
        "image_guidance_scale": image_guidance_scale,
        "seed": seed,
        "image_scale": image_scale,
    }
    said = {option: value for option, value in options.items() if value is not None}
    with taken_in(given(image) if image else None, name, LAYOUT.styles) as picture:
        add_entry(LAYOUT.params, "styles", name, said | picture)
    say(f"Added style {name}.")
    captions = [scene.caption for scene in params.scenes.values()]
    from scenestyle.project.prompts import prompt_warnings

    say(*prompt_warnings(prompt, captions, params.stylize_views.model))
    say(f"Next: scenestyle restyle SCENE {name}")
