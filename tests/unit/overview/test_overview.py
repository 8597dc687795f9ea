import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenestyle.artifacts import write_json, write_rgb
from scenestyle.errors import ArtifactError
from scenestyle.overview.overview import OverviewRow, read_result, render_overview

HOSTILE = """<script>alert("x")</script> {{ 7 * 7 }}"""
PICTURE = np.random.default_rng(0).random((30, 40, 3), dtype=np.float32)
FERN = OverviewRow(
    "fern",
    "oil",
    "done",
    prompt="an oil painting of a fern",
    figures={"movement_rmse": 0.1234, "heldout_swd": 1.5},
    thumbnails=[PICTURE, 1 - PICTURE],
    report="fern/oil/report.html",
    note="up to date",
)


@pytest.fixture
def result(tmp_path: Path) -> Path:
    folder = tmp_path / "results/fern/oil"
    folder.mkdir(parents=True)
    write_json(folder / "metrics.json", {"movement_rmse": 0.25})
    for name, value in (("a_before", 0.2), ("a_after", 0.8), ("b_before", 0.0), ("b_after", 0.0)):
        write_rgb(folder / "stills" / f"{name}.png", np.full((300, 400, 3), value, np.float32))
    return folder


def test_a_row_shows_what_is_known_of_a_result() -> None:
    html = render_overview([FERN])

    for text in ("fern · oil", "an oil painting of a fern", "0.123", "1.50", "up to date"):
        assert text in html
    assert "40,204" not in html
    assert "40,204" in render_overview([replace(FERN, figures={"gaussians": 40204})])
    assert html.count('href="fern/oil/report.html"') == 2
    assert html.count("<img ") == 2
    assert "1 of 1 made" in html


def test_a_failed_row_carries_its_error_and_a_missing_one_no_link() -> None:
    failed = OverviewRow("fern", "ink", "failed", note="Finetuning diverged after 40 steps.")
    html = render_overview([failed, OverviewRow("fern", "pen", "missing")])

    assert "Finetuning diverged after 40 steps." in html
    assert "0 of 2 made, 1 failed" in re.sub(r"\s+", " ", html)
    assert "href" not in html.split("<tbody>")[1]


def test_nothing_is_loaded_from_elsewhere_and_texts_stay_texts() -> None:
    hostile = replace(FERN, prompt=HOSTILE, note=HOSTILE)
    html = render_overview([hostile], title=HOSTILE)

    assert not re.search(r"https?:|url\(|@import|fetch\(", html)
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)', html))
    assert html.count("<script") == 1
    assert "49" not in re.sub(r'"data:[^"]*"', "", html.split("<body>")[1])


def test_the_row_of_a_result_on_disk(result: Path, tmp_path: Path) -> None:
    row = read_result("fern", "oil", result, page=tmp_path / "overview.html", prompt="oil")

    assert row.state == "done"
    assert row.figures == {"movement_rmse": 0.25}
    assert row.report == "results/fern/oil/report.html"
    assert [picture.shape for picture in row.thumbnails] == [(180, 240, 3)] * 2
    assert [picture.mean() for picture in row.thumbnails] == pytest.approx([0.2, 0.8], abs=0.01)


def test_the_link_leads_from_the_page_to_the_report(result: Path, tmp_path: Path) -> None:
    page = tmp_path / "elsewhere/pages/overview.html"

    row = read_result("fern", "oil", result, page=page)

    assert row.report == "../../results/fern/oil/report.html"


def test_a_result_that_is_not_there_is_missing_and_a_damaged_one_is_an_error(
    result: Path, tmp_path: Path
) -> None:
    absent = read_result("fern", "pen", tmp_path / "fern/pen", page=tmp_path / "o.html")
    assert (absent.state, absent.report, absent.thumbnails) == ("missing", None, ())

    (result / "metrics.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"metrics\.json"):
        read_result("fern", "oil", result, page=tmp_path / "o.html")


def test_sizes_stay_small_for_a_hundred_results() -> None:
    textured = np.random.default_rng(1).random((180, 240, 3), dtype=np.float32)
    rows = [replace(FERN, style=f"s{i}", thumbnails=[textured, textured]) for i in range(100)]

    assert len(render_overview(rows)) < 15e6


def test_figures_that_are_no_numbers_are_left_blank() -> None:
    figures = json.loads('{"movement_rmse": "not computed: no weights"}')
    cells = render_overview([replace(FERN, figures=figures)]).split("<tbody>")[1]

    assert cells.count('data-key=""') == 8


def test_verdicts_are_counted_and_ranked_by_the_worst() -> None:
    def cell(**figures: float) -> tuple[str, str]:
        html = render_overview([replace(FERN, figures=figures)]).split("<tbody>")[1]
        return re.findall(r'<td class="number" data-key="([^"]*)">([^<]*)', html)[0]

    assert cell(movement_rmse=0.2, depth_abs_rel=0.01) == ("0", "2 good")
    assert cell(movement_rmse=0.2, depth_abs_rel=0.1) == ("1", "1 good, 1 look here")
    assert cell(movement_rmse=0.0, depth_abs_rel=0.1) == ("101", "1 look here, 1 broken")
