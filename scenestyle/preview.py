"""Several styles on a few views of a scene, on one page: to choose before any field is fitted."""

import logging
from collections.abc import Mapping
from pathlib import Path

from scenestyle.artifacts import write_rgb
from scenestyle.device import select_device
from scenestyle.diffusion.inputs import evenly_spaced, read_rendered_views
from scenestyle.diffusion.known_styles import style_warnings
from scenestyle.diffusion.models import load_pipeline
from scenestyle.diffusion.monocular import with_chosen_depth
from scenestyle.diffusion.plan import plan_views
from scenestyle.diffusion.style_image import with_image_adapter
from scenestyle.diffusion.stylize import fusion_of, noise_of, resolve_settings, stylize
from scenestyle.params import Style, StylizeViews
from scenestyle.viz.contact_sheet import contact_sheet

logger = logging.getLogger(__name__)


def preview(
    views_dir: Path,
    styles: Mapping[str, Style],
    caption: str,
    params: StylizeViews,
    out: Path,
    *,
    num_views: int = 4,
) -> Path:
    """Write a contact sheet: a row of rendered views, then one row per style.

    The views share attention among themselves only, so the full stage, which shares among all
    views, gives similar but not the same pictures.

    Args:
        views_dir: What `render_views` wrote.
        styles: Styles by id; the ids label the rows.
        caption: Of the scene, for the prompts.
        params: Of the stage `stylize_views`.
        out: PNG file to write.
        num_views: Views per style, evenly spaced.

    Returns:
        `out`.

    Raises:
        ArtifactError: If the views are incomplete or not of one size.
        WeightsError: If the model's weights are missing or damaged.
        ParamsError: If a style leaves no step to run, or the GPU's memory does not hold the batch.
    """
    views = read_rendered_views(views_dir)
    few = views.pick(evenly_spaced(len(views.names), num_views))
    few = with_chosen_depth(few, params, select_device())
    model = load_pipeline(params.model, select_device(), params.dtype, params.controls)
    if any(style.image for style in styles.values()):
        model = with_image_adapter(model, params.image_adapter)
    for prompt in dict.fromkeys(style.prompt for style in styles.values()):
        for warning in style_warnings(prompt, model.known_styles):
            logger.warning(warning)
    settings = [resolve_settings(caption, style, params, model.preset) for style in styles.values()]
    height, width = few.rgb.shape[1:3]
    size = settings[0].working_size(width, height, model)
    plan = plan_views(model, few.cameras, size, params)
    restyled = [
        stylize(
            model,
            few.rgb,
            few.disparity,
            each,
            plan,
            fusion=fusion_of(few, each),
            noise=noise_of(few, each, model),
        )
        for each in settings
    ]
    rows = [few.rgb, *restyled]
    sheet = contact_sheet(
        [list(row) for row in rows],
        row_labels=["rendered", *styles],
        column_labels=few.names,
    )
    write_rgb(out, sheet)
    return out
