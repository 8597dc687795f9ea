"""The subcommands of `scenestyle`, run in the project's root folder."""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from scenestyle.cli.blend import blend
from scenestyle.cli.export import export
from scenestyle.cli.sweep import swept
from scenestyle.device import let_idle_threads_sleep
from scenestyle.errors import ArtifactError, ParamsError, ScenestyleError
from scenestyle.params import check_id, load_params, lookup
from scenestyle.project.params_file import add_entry, edit_entry
from scenestyle.project.scenes import NUM_STILLS, add_scene_folder
from scenestyle.project.styles import taken_in

NewName = Positional[Annotated[str, arg(metavar="NAME")]]
SceneId = Positional[Annotated[str, arg(metavar="SCENE")]]
StyleId = Positional[Annotated[str, arg(metavar="STYLE")]]
StyleIds = Positional[Annotated[tuple[str, ...], arg(metavar="[STYLE ...]")]]
Prompt = Positional[Annotated[str, arg(metavar="PROMPT")]]
Source = Positional[Annotated[Path, arg(metavar="SOURCE")]]

_PARAMS = Path("params.yaml")
_SCENES = Path("data/scenes")
_VIEWS = Path("data/views")
_PREVIEWS = Path("outputs/previews")


def add_scene(name: NewName, source: Source, *, caption: str, num_stills: int = NUM_STILLS) -> None:
    """Add a scene: a folder of photos, a video, or a dataset that comes with poses.

    It is checked, then copied to data/scenes/NAME. A posed dataset has a transforms.json
    (nerfstudio) or a COLMAP model. Of a video, the sharpest frames are taken, evenly spaced.

    Example: scenestyle add-scene fern ~/photos/fern --caption "a fern in an office"

    Args:
        name: Letters, digits and underscores.
        source: The folder or the video; it is only read.
        caption: What the photos show; fills {caption} in a style's prompt.
        num_stills: How many pictures to take from a video.
    """
    check_id("scene", name)
    if name in load_params(_PARAMS).scenes:
        raise ParamsError(f"there is a scene {name!r} already. Choose another name.")
    found = add_scene_folder(
        name, source, caption, scenes=_SCENES, params=_PARAMS, num_stills=num_stills
    )
    sizes = ", ".join(f"{width}x{height}" for width, height in found.sizes[:3])
    poses = "poses will be estimated" if found.kind == "photos" else f"with poses ({found.kind})"
    _say(f"Added scene {name}: {len(found.images)} pictures of {sizes} pixels, {poses}.")
    if found.ignored:
        _say(f"Left out {len(found.ignored)} other files: {', '.join(found.ignored[:5])}.")
    _say(f"Next: scenestyle restyle {name} STYLE")


def add_style(
    name: NewName,
    prompt: Prompt,
    *,
    strength: float | None = None,
    guidance_scale: float | None = None,
    negative_prompt: str | None = None,
    seed: int | None = None,
    image: Path | None = None,
    image_scale: float | None = None,
) -> None:
    """Add a style: one sentence, and how hard to pull towards it.

    Example: scenestyle add-style watercolor "a watercolor painting of {caption}" --strength 0.6
    Example: scenestyle add-style ours "a painting of {caption}" --image ~/pictures/ours.jpg

    Args:
        name: Letters, digits and underscores.
        prompt: What the pictures should be; {caption} becomes the scene's caption.
        strength: Share of the noise schedule that is re-run, above 0 up to 1; default: the model's.
        guidance_scale: Classifier-free guidance, 1 (off) to 50; default: the model's.
        negative_prompt: What the pictures should not be.
        seed: Of the initial noise; default 0.
        image: A picture whose look to take beside the sentence, copied to data/styles; for models that see pictures, such
            as sdxl.
        image_scale: How strongly that picture counts, 0 to 2; default 0.6.
    """
    check_id("style", name)
    if name in load_params(_PARAMS).styles:
        raise ParamsError(
            f"there is a style {name!r} already. Change it in {_PARAMS}, or choose another name."
        )
    options = {
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "strength": strength,
        "guidance_scale": guidance_scale,
        "seed": seed,
        "image_scale": image_scale,
    }
    given = {option: value for option, value in options.items() if value is not None}
    with taken_in(image, name) as picture:
        add_entry(_PARAMS, "styles", name, given | picture)
    _say(f"Added style {name}. Next: scenestyle restyle SCENE {name}")


def restyle(scene: SceneId, style: StyleId) -> None:
    """Ask for a scene in a style; `dvc repro` or the flow then makes it.

    Example: scenestyle restyle fern watercolor

    Args:
        scene: Id of a scene in params.yaml.
        style: Id of a style in params.yaml.
    """
    params = load_params(_PARAMS)
    lookup("scene", scene, params.scenes)
    lookup("style", style, params.styles)
    edit = f"{scene}-{style}"
    if edit in params.edits:
        _say(f"Scene {scene} in style {style} is asked for already. Make it by either of")
    else:
        add_entry(_PARAMS, "edits", edit, edit_entry(scene, style))
        _say(f"Asked for scene {scene} in style {style}. Make it by either of")
    _say(f"  dvc repro evaluate@{edit}")
    _say(f"  python -m flows.stylize_scene --scene {scene} --style {style}")


def preview(
    scene: SceneId,
    styles: StyleIds = (),
    *,
    views: int = 4,
    guidance: tuple[float, ...] = (),
    strength: tuple[float, ...] = (),
    seed: tuple[int, ...] = (),
) -> None:
    """See styles on a few views of a scene, on one page, before any field is fitted to them.

    With several values of an option, every style is shown with each of them, and with all combinations if
    several options are given.

    Example: scenestyle preview fern watercolor winter --strength 0.4 0.6 0.8

    Args:
        scene: Id of a scene whose views are rendered.
        styles: Ids of styles; default: all of params.yaml.
        views: How many views to show, evenly spaced.
        guidance: Values of the guidance scale; default: the style's own.
        strength: Values of the strength; default: the style's own.
        seed: Values of the seed; default: the style's own.
    """
    if views < 1:
        raise ParamsError(f"--views: must be above 0, got {views}.")
    params = load_params(_PARAMS)
    caption = lookup("scene", scene, params.scenes).caption
    chosen = {style: lookup("style", style, params.styles) for style in styles or params.styles}
    sweep = {"guidance_scale": guidance, "strength": strength, "seed": seed}
    chosen = swept(chosen, sweep)
    rendered = _VIEWS / scene
    if not rendered.is_dir():
        raise ArtifactError(
            f"{rendered}: the views are not rendered yet. Run: dvc repro render_views@{scene}"
        )
    from scenestyle.diffusion.preview import preview as preview_styles

    sheet = preview_sheet(scene)
    preview_styles(rendered, chosen, caption, params.stylize_views, sheet, num_views=views)
    _say(f"preview: {sheet.resolve()}")


def preview_sheet(scene: str) -> Path:
    """Where the command `preview` writes the contact sheet of a scene."""
    return _PREVIEWS / f"{scene}.png"


COMMANDS: dict[str, Callable[..., None]] = {
    "add-scene": add_scene,
    "add-style": add_style,
    "restyle": restyle,
    "preview": preview,
    "blend": blend,
    "export": export,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the library's own subcommands."""
    run(COMMANDS, argv)


def run(commands: dict[str, Callable[..., None]], argv: Sequence[str] | None = None) -> None:
    """Run a command line; an error of the user's making is one message and exit code 1.

    Args:
        commands: Name -> function, whose docstring is its help.
        argv: Its words; by default those of this program.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    let_idle_threads_sleep()
    try:
        tyro.extras.subcommand_cli_from_dict(
            commands, prog="scenestyle", description="Restyle captured scenes.", args=argv
        )
    except ScenestyleError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from error


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
