"""What Prefect shows of a result."""

import base64
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from PIL import Image
from prefect import flow
from prefect.runtime import flow_run

from flows.artifacts import artifact_key, catalog_picture, show_catalog, show_result, summary
from flows.results import Row, is_current, write_table
from scenestyle.artifacts import write_json, write_rgb
from scenestyle.overview.overview import OverviewRow
from scenestyle.project.catalog import Wanted
from scenestyle.report.verdicts import read_figures
from tests.support.prefect_records import artifacts

METRICS = {"movement_rmse": 0.2, "warp_short": 0.05, "warp_short_source": 0.01, "seconds": 3.0}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    write_json(tmp_path / "metrics.json", METRICS)
    write_rgb(tmp_path / "stills/a_after.png", np.full((4, 6, 3), 0.5, np.float32))
    return [tmp_path / name for name in ("orbit.mp4", "report.html", "stills")]


def test_a_summary_names_what_is_not_good(tmp_path: Path) -> None:
    text = summary("fern-oil", read_figures(METRICS), tmp_path / "report.html")

    assert "1 good, 0 look here, 1 broken" in text
    assert "**Flicker, neighbouring frames**: 0.0500, broken" in text
    assert "Movement" not in text
    assert str(tmp_path / "report.html") in text


def test_a_key_is_one_that_prefect_takes() -> None:
    assert artifact_key("My_Fern-oil__2") == "my-fern-oil-2"


def shown_by(show: Callable[[], None]) -> dict[str | None, Any]:
    """Type of artifact -> its data, of a flow run that shows something."""

    @flow
    def shows() -> UUID:
        show()
        return UUID(str(flow_run.id))

    return {artifact.type: artifact.data for artifact in artifacts(shows())}


def test_a_run_carries_summary_table_and_picture(files: list[Path], prefect_server: None) -> None:
    data = shown_by(lambda: show_result("fern-oil", files))

    assert data.keys() == {"markdown", "table", "image"}
    table = json.loads(str(data["table"]))
    assert [(line["figure"], line["verdict"]) for line in table] == [
        ("Movement", "good"),
        ("Flicker, neighbouring frames", "broken"),
    ]
    assert table[1]["controls"] == "source renders: 0.0100"
    assert str(data["image"]).startswith("data:image/png;base64,")


RED, BLUE = (np.tile(np.float32(colour), (30, 40, 1)) for colour in ([1, 0, 0], [0, 0, 1]))


def catalog() -> tuple[list[Row], list[OverviewRow]]:
    """Two scenes, one of them in one style only, and an attempt that failed."""
    found = [("fern", "oil"), ("fern", "ink"), ("moss", "ink"), ("lost", "ink")]
    rows = [
        Row(
            Wanted(number, scene, style),
            {},
            "No photos.\nAdd some." if scene == "lost" else "",
            None,
        )
        for number, (scene, style) in enumerate(found, start=1)
    ]
    lines = [
        OverviewRow(scene, style, "failed", note="No photos.")
        if scene == "lost"
        else OverviewRow(scene, style, "done", thumbnails=[RED, BLUE])
        for scene, style in found
    ]
    return rows, lines


def test_a_catalog_carries_summary_table_and_picture(tmp_path: Path, prefect_server: None) -> None:
    rows, lines = catalog()

    data = shown_by(lambda: show_catalog("My_scenes", rows, lines, tmp_path / "page.html"))

    assert data.keys() == {"markdown", "table", "image"}
    assert "3 Cached, 0 Completed, 1 Failed" in str(data["markdown"])
    assert "- **lost, ink**: No photos. Add some." in str(data["markdown"])
    assert [line["scene"] for line in json.loads(str(data["table"]))] == [
        "fern",
        "fern",
        "moss",
        "lost",
    ]
    jpeg = base64.b64decode(str(data["image"]).removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(jpeg)).format == "JPEG"


def test_the_picture_of_a_catalog_is_scenes_by_styles_and_blank_where_nothing_was_made() -> None:
    _, lines = catalog()
    sheet = catalog_picture(lines)

    red, blue = (
        int(np.all(np.abs(sheet - colour[0, 0]) < 0.01, axis=-1).sum()) for colour in (RED, BLUE)
    )
    assert (red, blue) == (2 * RED[..., 0].size, 3 * BLUE[..., 0].size)


def test_a_catalog_without_any_result_has_no_picture(tmp_path: Path, prefect_server: None) -> None:
    rows, lines = catalog()

    data = shown_by(lambda: show_catalog("c", rows[-1:], lines[-1:], tmp_path / "page.html"))

    assert data.keys() == {"markdown", "table"}


def test_a_night_that_changes_nothing_leaves_its_table_and_its_page(tmp_path: Path) -> None:
    rows, _ = catalog()
    report = tmp_path / "report.html"
    report.touch()
    write_json(tmp_path / "metrics.json", {"clip": 0.3})
    rows[0] = Row(rows[0].wanted, {}, "", report)
    table, page = tmp_path / "t.csv", tmp_path / "t.html"
    assert write_table(table, rows)
    assert not write_table(table, rows)
    assert not is_current(page, rows)
    page.touch()
    assert is_current(page, rows)
    os.utime(report, ns=(0, page.stat().st_mtime_ns + 1))
    assert not is_current(page, rows)
    write_json(tmp_path / "metrics.json", {"clip": 0.4})
    assert write_table(table, rows)
