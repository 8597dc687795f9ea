"""The overview: one self-contained HTML page of many results, scenes by styles."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float
from PIL import Image

from scenestyle.artifacts import read_json, read_rgb
from scenestyle.cameras import fit_within
from scenestyle.report.verdicts import overall, read_figures
from scenestyle.viz.contact_sheet import to_pil
from scenestyle.viz.page import render_page

State = Literal["done", "failed", "missing"]
Picture = Float[np.ndarray, "_ _ 3"]

_THUMBNAIL_SIDE = 240
_COLUMNS = {
    "movement_rmse": ("movement", "{:.3f}"),
    "heldout_swd": ("distance to the style", "{:.2f}"),
    "warp_short": ("flicker", "{:.4f}"),
    "warp_long": ("flicker, far apart", "{:.4f}"),
    "depth_abs_rel": ("depth moved", "{:.1%}"),
    "heldout_psnr_source": ("source field, dB", "{:.1f}"),
    "gaussians": ("Gaussians", "{:,.0f}"),
}
"""key in metrics.json -> heading and format"""


@dataclass(frozen=True)
class OverviewRow:
    """One scene in one style; all texts are plain text and get escaped."""

    scene: str
    """id"""
    style: str
    """id"""
    state: State
    """whether there is a result, the attempt at it failed, or it was not made yet"""
    prompt: str = ""
    """the sentence, filled in"""
    figures: Mapping[str, object] = field(default_factory=dict)
    """`metrics.json` of the result; the page leaves blank what it lacks"""
    thumbnails: Sequence[Picture] = ()
    """small images, RGB in [0, 1], shown beside each other: before, after"""
    report: str | None = None
    """link to the report, relative to the page"""
    note: str = ""
    """how the state came about ("up to date", "ran: the prompt changed"), or the error that ended
    it"""


def render_overview(rows: Sequence[OverviewRow], *, title: str = "All results") -> str:
    """The page as HTML: opens from disk, needs no network, sorts by any column.

    The same rows give the same page. They appear in the order given until a heading is pressed.

    Args:
        rows: One per scene and style; `read_result` makes the row of a finished one.
        title: Heading of the page.
    """
    return render_page(
        "scenestyle.overview",
        "overview.html.jinja",
        title=title,
        rows=[(row, _cells(row)) for row in rows],
        headings=["verdicts", *(heading for heading, _ in _COLUMNS.values())],
        num_done=sum(row.state == "done" for row in rows),
        num_failed=sum(row.state == "failed" for row in rows),
    )


def read_result(
    scene: str, style: str, folder: Path, *, page: Path, prompt: str = "", note: str = ""
) -> OverviewRow:
    """The row of a result folder of the stage evaluate; its state is `missing` if there is none.

    Args:
        scene: Id of the scene.
        style: Id of the style.
        folder: With `metrics.json`, `report.html` and `stills/`.
        page: File that the overview will be written to; the link to the report starts there.
        prompt: The sentence, filled in.
        note: How the result came about.

    Raises:
        ArtifactError: If the folder is there, but its figures or images cannot be read.
    """
    if not folder.is_dir():
        return OverviewRow(scene, style, "missing", prompt=prompt, note=note)
    before = sorted((folder / "stills").glob("*_before.png"))[:1]
    after = sorted((folder / "stills").glob("*_after.png"))[:1]
    return OverviewRow(
        scene,
        style,
        "done",
        prompt=prompt,
        figures=read_json(folder / "metrics.json"),
        thumbnails=[_thumbnail(read_rgb(still)) for still in [*before, *after]],
        report=Path(os.path.relpath(folder / "report.html", page.parent)).as_posix(),
        note=note,
    )


def _thumbnail(picture: Picture) -> Picture:
    image = to_pil(picture)
    size = fit_within(image.width, image.height, _THUMBNAIL_SIDE)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS), dtype=np.float32) / 255


def _cells(row: OverviewRow) -> list[tuple[object, str]]:
    """Per column the value to sort by and its text; both empty where there is no such figure."""
    known = {
        key: float(value)
        for key, value in row.figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    columns = [
        (known[key], format.format(known[key])) if key in known else ("", "")
        for key, (_, format) in _COLUMNS.items()
    ]
    return [_verdicts(known), *columns]


def _verdicts(figures: Mapping[str, float]) -> tuple[object, str]:
    """How many figures are not good; a broken one counts before all that ask for a look."""
    counts = overall(read_figures(figures))
    if not any(counts.values()):
        return "", ""
    rank = 100 * counts["broken"] + counts["look here"]
    text = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return rank, text
