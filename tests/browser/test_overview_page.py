"""The overview as a person meets it."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from scenestyle.overview.overview import OverviewRow, render_overview
from tests.support.browser_sizes import PHONE, OpenPage


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    picture = np.random.default_rng(0).random((60, 80, 3), dtype=np.float32)
    figures = {"fern": 0.25, "demo": 0.125, "moss": 0.5}
    rows = [
        OverviewRow(
            scene,
            "oil",
            "done",
            prompt="oil",
            figures={"movement_rmse": value},
            thumbnails=[picture, 1 - picture],
            report=f"{scene}.html",
        )
        for scene, value in figures.items()
    ]
    folder = tmp_path_factory.mktemp("overview")
    failed = OverviewRow("bear", "oil", "failed", note="It diverged. " * 9)
    path = folder / "overview.html"
    path.write_text(render_overview([failed, *rows]), encoding="utf-8")
    (folder / "fern.html").write_text("<title>the report of fern</title>")
    return path


def scenes(page: Page) -> list[str]:
    return [text.split(" ")[0] for text in page.locator("tbody th").all_inner_texts()]


def test_a_heading_sorts_both_ways_and_keeps_blanks_last(
    page_file: Path, open_page: OpenPage
) -> None:
    page = open_page(page_file)
    assert scenes(page) == ["bear", "fern", "demo", "moss"]

    heading = page.get_by_role("button", name="movement")
    heading.click()
    assert scenes(page) == ["demo", "fern", "moss", "bear"]
    heading.press("Enter")
    assert scenes(page) == ["moss", "fern", "demo", "bear"]
    assert (
        page.get_by_role("columnheader", name="movement").get_attribute("aria-sort") == "descending"
    )

    page.get_by_role("button", name="scene and style").click()
    assert scenes(page) == ["bear", "demo", "fern", "moss"]


def test_a_thumbnail_leads_to_the_report(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file)
    page.get_by_role("link", name="Report of fern in oil").click()

    assert page.title() == "the report of fern"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_the_table_not_the_page(
    page_file: Path, open_page: OpenPage, scheme: str
) -> None:
    page = open_page(page_file, viewport=PHONE, color_scheme=scheme)

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
