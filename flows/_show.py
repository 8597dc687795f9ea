"""What Prefect shows: of a result a summary, a table of figures and a picture; of a preview its contact sheet."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from scenestyle.artifacts import read_json, read_rgb
from scenestyle.viz.figures import Figure, overall, read_figures

_LONGEST_SIDE = 2400
"""of a contact sheet that goes to Prefect's database, pixels"""


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
        sheet: The picture.

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
