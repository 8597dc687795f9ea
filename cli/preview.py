"""`scenestyle preview`, also as `python -m cli.preview`, which exits with its parent."""

import signal
import sys

from cli.console import LAYOUT, Floats, Ints, SceneId, StyleIds, say
from cli.sweep import swept
from engine.gpu import gpus, one_gpu
from engine.process import die_with_parent
from scenestyle.errors import ArtifactError, ParamsError
from scenestyle.params import load_params, lookup


def preview(
    scene: SceneId,
    styles: StyleIds = (),
    *,
    views: int = 4,
    guidance: Floats = (),
    image_guidance: Floats = (),
    strength: Floats = (),
    seed: Ints = (),
) -> None:
    """See styles on a few views of a scene, on one page, before any field is fitted to them.

    With several values of an option, every style is shown with each of them, and with all
    combinations if several options are given.

    Example: scenestyle preview fern watercolor winter --strength 0.4 0.6 0.8

    Args:
        scene: Id of a scene whose views are rendered.
        styles: Ids of styles; default: all of params.yaml.
        views: How many views to show, evenly spaced.
        guidance: Values of the guidance scale; default: the style's own.
        image_guidance: Values of the image guidance scale, of a model that edits by instruction;
            default: the style's own.
        strength: Values of the strength; default: the style's own.
        seed: Values of the seed; default: the style's own.
    """
    if views < 1:
        raise ParamsError(f"--views: must be above 0, got {views}.")
    params = load_params(LAYOUT.params)
    caption = lookup("scene", scene, params.scenes).caption
    chosen = {style: lookup("style", style, params.styles) for style in styles or params.styles}
    sweep = {
        "guidance_scale": guidance,
        "image_guidance_scale": image_guidance,
        "strength": strength,
        "seed": seed,
    }
    chosen = swept(chosen, sweep)
    rendered = LAYOUT.views(scene)
    if not rendered.is_dir():
        raise ArtifactError(
            f"{rendered}: the views are not rendered yet. Run: dvc repro render_views@{scene}"
        )
    from scenestyle.preview import preview as preview_styles

    sheet = LAYOUT.preview(scene)
    with one_gpu(gpus()):
        if said := _what_fits():
            say(said)
        preview_styles(rendered, chosen, caption, params.stylize_views, sheet, num_views=views)
    say(f"preview: {sheet.resolve()}")


def _what_fits() -> str | None:
    """Which models the GPU holds, said before it is filled; None where there is none."""
    import torch

    if not torch.cuda.is_available():
        return None
    from scenestyle.diffusion.plan import free_gb
    from scenestyle.project.fits import advice

    return f"{advice(free_gb(torch.device('cuda')))} (stylize_views.model, image_side)"


def main() -> None:
    """Run `scenestyle preview` with this program's arguments, as the child of a flow."""
    from cli.main import main as scenestyle

    die_with_parent(signal.SIGKILL)
    scenestyle(["preview", *sys.argv[1:]])


if __name__ == "__main__":
    main()
