"""What Prefect shows: summaries, tables and images of results, catalogs and previews."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.results import Row
from scenestyle.artifacts import read_json, read_rgb
from scenestyle.report.verdicts import Figure, overall, read_figures

if TYPE_CHECKING:
    from scenestyle.overview.overview import OverviewRow, Picture

_LONGEST_SIDE = 2400
"""longest side of a contact sheet in Prefect's database, pixels"""
_MAX_SCENES, _MAX_STYLES, _PICTURE_SIDE = 12, 8, 160
"""on the image of a catalog: rows, columns beside the source's, and pixels of each"""


def show_result(edit: str, files: Sequence[Path]) -> None:
    """Attach a result to the current flow run.

    Args:
        edit: `SCENE-STYLE`.
        files: What the stage evaluate wrote.

    Raises:
        ArtifactError: If its figures cannot be read.
    """
    folder = next(path.parent for path in files if path.name == "report.html")
    metrics = read_json(folder / "metrics.json")
    figures = read_figures({name: float(value) for name, value in metrics.items()})
    key = artifact_key(edit)
    create_markdown_artifact(summary(edit, figures, folder / "report.html"), key=f"{key}-summary")
    create_table_artifact([row(figure) for figure in figures], key=f"{key}-figures")
    still = min((folder / "stills").glob("*_after.png"), default=None)
    if still is not None:
        from scenestyle.viz.page import data_uri

        picture = data_uri(still.read_bytes(), "image/png")
        create_image_artifact(picture, key=f"{key}-picture", description=str(still))


def show_preview(scene: str, prompts: Mapping[str, str], sheet: Path) -> None:
    """Attach a contact sheet of styles to the current flow run, and what the styles ask for.

    Args:
        scene: Its id.
        prompts: Style -> sentence, in the order of the rows.
        sheet: The image.

    Raises:
        ArtifactError: If it cannot be read.
    """
    from scenestyle.viz.page import jpeg_uri

    key = f"preview-{artifact_key(scene)}"
    rows = [f"| {style} | {prompt} |" for style, prompt in prompts.items()]
    text = [f"# {scene}", "", f"Sheet: `{sheet}`", "", "| style | prompt |", "| --- | --- |", *rows]
    create_markdown_artifact("\n".join(text), key=f"{key}-styles")
    picture = jpeg_uri(read_rgb(sheet), _LONGEST_SIDE)
    create_image_artifact(picture, key=f"{key}-sheet", description=str(sheet))


def show_failure(name: str, error: str) -> None:
    """Attach to the current flow run why it has no result, as Markdown."""
    lines = "\n".join(f"    {line}" for line in error.splitlines())
    create_markdown_artifact(
        f"# {name}\n\nNot made:\n\n{lines}", key=f"{artifact_key(name)}-summary"
    )


def show_catalog(
    name: str, rows: Sequence[Row], lines: "Sequence[OverviewRow]", page: Path
) -> None:
    """Attach the outcome of a catalog to the current flow run.

    Args:
        name: Name of the catalog.
        rows: Its lines, for the table.
        lines: The rows as `page` shows them, for the image; without any result there is none.
        page: The page of their images.
    """
    key = artifact_key(f"catalog-{name}")
    create_markdown_artifact(catalog_summary(name, rows, page), key=f"{key}-summary")
    create_table_artifact([row.cells() for row in rows], key=key, description=str(page))
    if any(line.thumbnails for line in lines):
        from scenestyle.viz.page import jpeg_uri

        picture = jpeg_uri(catalog_picture(lines))
        create_image_artifact(picture, key=f"{key}-picture", description=str(page))


def catalog_summary(name: str, rows: Sequence[Row], page: Path) -> str:
    """Markdown: how many results there are, why others are not, and where all are shown."""
    states = [row.state for row in rows]
    counts = ", ".join(f"{states.count(s)} {s}" for s in ("Cached", "Completed", "Failed"))
    failed = [
        f"- **{row.wanted.scene}, {row.wanted.style}**: {' '.join(row.error.split())}"
        for row in rows
        if row.error
    ]
    return "\n".join([f"# {name}", "", f"{counts}. Page: `{page}`", "", *failed])


def catalog_picture(lines: "Sequence[OverviewRow]") -> "Picture":
    """Scenes by styles, the source first; white without a result. Large ones are cut off."""
    import numpy as np

    from scenestyle.viz.contact_sheet import contact_sheet

    made = {(line.scene, line.style): line.thumbnails for line in lines if line.thumbnails}
    scenes = list(dict.fromkeys(scene for scene, _ in made))[:_MAX_SCENES]
    styles = list(dict.fromkeys(style for _, style in made))[:_MAX_STYLES]
    blank = np.ones((1, 1, 3), np.float32)
    rows = []
    for scene in scenes:
        before = next(pair[0] for (of, _), pair in made.items() if of == scene)
        after = [made[scene, style][-1] if (scene, style) in made else blank for style in styles]
        rows.append([before, *after])
    return contact_sheet(
        rows,
        row_labels=scenes,
        column_labels=["before", *styles],
        max_picture_side=_PICTURE_SIDE,
    )


def artifact_key(name: str) -> str:
    """What Prefect takes as a key: small letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def summary(edit: str, figures: Sequence[Figure], report: Path) -> str:
    """Markdown: how many figures are good, the ones that are not, and where the report lies."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in overall(figures).items())
    doubtful = [
        f"- **{figure.title}**: {figure.value}, {figure.verdict} ({figure.rule})"
        for figure in figures
        if figure.verdict not in (None, "good")
    ]
    return "\n".join([f"# {edit}", "", f"{counts}. Report: `{report}`", "", *doubtful])


def row(figure: Figure) -> dict[str, str]:
    """The line of a figure in the table."""
    return {
        "figure": figure.title,
        "value": figure.value,
        "verdict": figure.verdict or "",
        "bounds": figure.rule,
        "controls": "; ".join(f"{name}: {value}" for name, value in figure.controls),
    }
