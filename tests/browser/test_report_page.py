"""The report as a person meets it."""

import io
from pathlib import Path

import numpy as np
import pytest
from browser_sizes import PHONE, OpenPage
from PIL import Image
from playwright.sync_api import Locator, Page

from scenestyle.viz.charts import line_chart
from scenestyle.viz.figures import read_figures
from scenestyle.viz.report import Chart, Comparison, Maps, Report, render_report
from scenestyle.viz.video import side_by_side, write_video

RED, BLUE = (np.tile(np.float32(colour), (96, 128, 1)) for colour in ([0.9, 0.1, 0.1], [0, 0.2, 1]))


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    frames = [side_by_side(RED, BLUE * (i / 24), labels=("before", "after")) for i in range(24)]
    write_video(folder / "orbit.mp4", frames, fps=12)
    curve = line_chart(
        {"style": [(0, 1.0), (9, 0.2)]}, title="t", x_label="x", y_label="y", format="svg"
    )
    report = Report(
        scene="demo",
        style="ukiyoe",
        caption="colourful objects",
        prompt="a woodblock print of colourful objects " * 4,
        video_mp4=(folder / "orbit.mp4").read_bytes(),
        comparisons=[Comparison(f"view_{i}", RED, BLUE) for i in range(3)],
        contact_sheet=np.concatenate([RED, BLUE], axis=1),
        fits=[Comparison(f"view_{i}", RED, BLUE) for i in range(32)],
        figures=read_figures({"movement_rmse": 0.2, "depth_abs_rel": 0.5}, {}),
        not_computed={"LPIPS": "no weights"},
        maps=Maps(np.concatenate([RED, BLUE], axis=1), Chart("Flicker", curve), 0.1, 0.25),
        charts=[Chart("Losses", curve)],
        seconds={"train_nerf": 1.0},
        settings={"a very long name of a setting": "x" * 90},
        commands={"again": "dvc repro evaluate@demo-ukiyoe " + "--long-option " * 9},
    )
    path = folder / "report.html"
    path.write_text(render_report(report), encoding="utf-8")
    return path


def share_of_red(element: Locator) -> float:
    """Share of an element's columns, along a line below its handle and above its labels, that are red."""
    picture = np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).astype(int)
    line = picture[picture.shape[0] // 4]
    return float(np.mean(line[:, 0] > line[:, 2]))


def test_a_slider_follows_the_pointer(page_file: Path, open_page: OpenPage) -> None:
    slider = open_page(page_file).locator(".compare").first
    slider.scroll_into_view_if_needed()
    assert share_of_red(slider) == pytest.approx(0.5, abs=0.03)

    box = slider.bounding_box()
    assert box is not None
    mouse, y = slider.page.mouse, box["y"] + 0.7 * box["height"]
    mouse.move(box["x"] + 0.5 * box["width"], y)
    mouse.down()
    mouse.move(box["x"] + 0.8 * box["width"], y, steps=4)
    mouse.up()

    assert share_of_red(slider) == pytest.approx(0.8, abs=0.05)


def test_a_slider_follows_the_keyboard_and_shows_its_focus(
    page_file: Path, open_page: OpenPage
) -> None:
    page = open_page(page_file)
    slider = page.locator(".compare").nth(1)
    slider.locator("input").focus()
    for _ in range(10):
        page.keyboard.press("ArrowLeft")

    assert share_of_red(slider) == pytest.approx(0.4, abs=0.03)
    page.keyboard.press("Home")
    assert share_of_red(slider) < 0.03
    page.keyboard.press("End")
    assert share_of_red(slider) > 0.97
    assert slider.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"


def test_everything_that_moves_can_be_reached_by_tab(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file)
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName"))

    assert {"INPUT", "VIDEO", "SUMMARY", "CODE", "A"} <= reached


def test_the_video_plays(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file)
    page.evaluate(
        """new Promise((played, failed) => {
             const video = document.querySelector("video");
             video.ontimeupdate = () => video.currentTime > 0.3 && played(true);
             setTimeout(() => failed(Error(`stood at ${video.currentTime} s`)), 20000);
           })"""
    )

    assert page.evaluate("[...document.querySelectorAll('video')].map(v => v.videoWidth)") == [256]


def test_who_wants_no_motion_gets_a_still_video(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file, reduced_motion="reduce")

    assert page.evaluate("document.querySelector('video').paused")


def test_all_pictures_decode_once_their_list_is_opened(
    page_file: Path, open_page: OpenPage
) -> None:
    page = open_page(page_file)
    page.locator("summary").click()

    sizes = page.evaluate(
        "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
    )

    assert len(sizes) == 2 * (3 + 32) + 1 + 1 + 2 + 2
    assert min(sizes) > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_the_paper(page_file: Path, open_page: OpenPage, scheme: str) -> None:
    page = open_page(page_file, color_scheme=scheme)
    for selector in ("p.quiet", ".verdict.good", ".verdict.broken", "h1", "a"):
        ratio = contrast(page, selector)
        assert ratio > 4.5, f"{selector}: {ratio:.1f}"
    is_dark = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.1
    assert is_dark == (scheme == "dark")


def test_a_phone_need_not_scroll_sideways(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file, viewport=PHONE, has_touch=True, is_mobile=True)
    page.locator("summary").click()

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.locator(".compare").first.evaluate("e => e.clientWidth") > 300


def contrast(page: Page, selector: str) -> float:
    """WCAG contrast ratio of a text to the page's paper."""
    colours = page.evaluate(
        """selector => [document.querySelector(selector), document.body].map(
             (e, i) => getComputedStyle(e)[i ? "backgroundColor" : "color"])""",
        selector,
    )
    dark, light = sorted(luminance(colour) for colour in colours)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = np.array([float(c) for c in colour[colour.index("(") + 1 : -1].split(",")[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
