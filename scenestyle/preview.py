"""Several styles on a few views of a scene, on one page: to choose before any field is fitted."""

from collections.abc import Mapping
from pathlib import Path

from scenestyle.artifacts import write_rgb
from scenestyle.diffusion.inputs import evenly_spaced, read_rendered_views
from scenestyle.diffusion.restyle import Restyler
from scenestyle.params import Style, StylizeViews
from scenestyle.viz.contact_sheet import contact_sheet


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
        ArtifactError: If the views are incomplete.
        WeightsError: If the model's weights are missing or damaged.
        ParamsError: If a style leaves no step to run, or the GPU's memory does not hold the batch.
    """
    views = read_rendered_views(views_dir)
    few = views.pick(evenly_spaced(len(views.names), num_views))
    restyler = Restyler.load(few, params, styles.values())
    restyler.warnings(styles.values())
    settings = [restyler.settings(caption, style) for style in styles.values()]
    restyled = [restyler.restyle(each) for each in settings]
    rows = [few.rgb, *restyled]
    sheet = contact_sheet(
        rows,
        row_labels=["rendered", *styles],
        column_labels=few.names,
    )
    write_rgb(out, sheet)
    return out
