"""The outcome of a catalog: one line per scene and style, as a table and as a page."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flows.stages import Done
from scenestyle.artifacts import read_json
from scenestyle.files import write_whole
from scenestyle.params import EDIT_STAGES, SCENE_STAGES, Params
from scenestyle.project.catalog import Wanted

if TYPE_CHECKING:
    from scenestyle.overview.overview import OverviewRow

State = Literal["Cached", "Completed", "Failed"]


@dataclass(frozen=True)
class Row:
    """What became of one scene in one style."""

    wanted: Wanted
    stages: Mapping[str, Done]
    """stage -> how it ended; empty where the capture could not be taken in"""
    error: str
    """why there is no up-to-date result; empty if there is one"""
    report: Path | None
    """path of the report; None where there cannot be one"""

    @property
    def state(self) -> State:
        """`Cached`: nothing had to be computed."""
        if self.error:
            return "Failed"
        ran = any(done.how == "ran" for done in self.stages.values())
        return "Completed" if ran else "Cached"

    def cells(self) -> dict[str, str | float]:
        """The row of the table; `seconds` includes the scene's stages, which its rows share."""
        return {
            "row": self.wanted.row,
            "scene": self.wanted.scene,
            "style": self.wanted.style,
            "state": self.state,
            **{
                stage: self.stages[stage].how if stage in self.stages else "not run"
                for stage in (*SCENE_STAGES, *EDIT_STAGES)
            },
            "seconds": round(sum(done.seconds for done in self.stages.values()), 1),
            **self._figures(),
            "error": self.error,
            "report": "" if self.error else str(self.report),
        }

    def _figures(self) -> dict[str, float]:
        if self.error or self.report is None:
            return {}
        figures = read_json(self.report.with_name("metrics.json"))
        return {
            name: value
            for name, value in figures.items()
            if isinstance(value, int | float) and name != "seconds"
        }


def row_of(
    wanted: Wanted, results: Mapping[str, Done], outputs: Mapping[str, Sequence[Path]], fault: str
) -> Row:
    """The line of an edit.

    Args:
        wanted: The edit.
        results: Stage instance -> how it ended, of the whole flow run.
        outputs: Stage instance -> what it writes.
        fault: Why the scene's capture could not be taken in; empty if it could.
    """
    instances = {
        **{stage: f"{stage}@{wanted.scene}" for stage in SCENE_STAGES},
        **{stage: f"{stage}@{wanted.edit}" for stage in EDIT_STAGES},
    }
    stages = {stage: results[name] for stage, name in instances.items() if name in results}
    errors = [done.error for done in stages.values() if done.error]
    written = [out for name in instances.values() for out in outputs.get(name, ())]
    report = next((out for out in written if out.name == "report.html"), None)
    return Row(wanted, stages, fault or "; ".join(errors), report)


def write_table(path: Path, rows: Sequence[Row]) -> bool:
    """Write the lines as CSV; figures that a row lacks stay empty.

    Returns:
        Whether it says anything new.
    """
    cells = [row.cells() for row in rows]
    figures = dict.fromkeys(name for line in cells for name in line)
    last = [name for name in ("error", "report") if name in figures]
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, [*(n for n in figures if n not in last), *last], restval="")
    table.writeheader()
    table.writerows(cells)
    if path.is_file() and path.read_bytes() == text.getvalue().encode():
        return False
    write_whole(path, text.getvalue())
    return True


def is_current(page: Path, rows: Sequence[Row]) -> bool:
    """Whether a page that was written for the same table is newer than all results on it."""
    reports = [row.report for row in rows if row.report is not None and not row.error]
    return page.is_file() and all(
        report.stat().st_mtime_ns <= page.stat().st_mtime_ns for report in reports
    )


def write_page(path: Path, rows: Sequence[Row], params: Params, title: str) -> "list[OverviewRow]":
    """Write the page of all results, with thumbnails.

    Returns:
        What it shows, in the order of the rows.
    """
    from scenestyle.overview.overview import OverviewRow, read_result, render_overview

    lines = []
    for row in rows:
        scene, style = row.wanted.scene, row.wanted.style
        prompt = ""
        if scene in params.scenes and style in params.styles:
            caption = params.scenes[scene].caption
            prompt = params.styles[style].prompt.replace("{caption}", caption)
        if row.error or row.report is None:
            lines.append(OverviewRow(scene, style, "failed", prompt=prompt, note=row.error))
        else:
            note = "up to date" if row.state == "Cached" else _why(row)
            lines.append(
                read_result(scene, style, row.report.parent, page=path, prompt=prompt, note=note)
            )
    write_whole(path, render_overview(lines, title=title))
    return lines


def _why(row: Row) -> str:
    ran = [(stage, done) for stage, done in row.stages.items() if done.how == "ran"]
    stage, first = ran[0]
    return f"{len(ran)} stages ran; {stage}: {'; '.join(first.reasons)}"
