"""The report as a person meets it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page

from scenestyle.cameras import PinholeCamera
from scenestyle.report.look import Look, pack_points, start_at
from tests.support.browser_sizes import PHONE, OpenPage
from tests.support.report_page import still, write_report


def ball() -> Look:
    """A ball, grey before and green after, and red on its side at positive x."""
    index = np.arange(8000) + 0.5
    height, turn = 1 - 2 * index / 8000, np.pi * (1 + np.sqrt(5)) * index  # evenly spaced
    radius = np.sqrt(1 - height**2)
    points = np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], axis=-1)
    points = points.astype(np.float32)
    is_right = points[:, :1] > 0
    clouds = [
        pack_points(points, np.where(is_right, [0.9, 0.0, 0.0], rest).astype(np.float32))
        for rest in ([0.5, 0.5, 0.5], [0.0, 0.8, 0.0])
    ]
    camera = PinholeCamera(np.eye(4), 100.0, 100.0, 64.0, 48.0, 128, 96)
    camera.c2w_opengl[:3, 3] = [0, 0, 3]
    start = start_at(camera, focus=np.zeros(3), radius=2.0, up=np.array([0.0, 1.0, 0.0]))
    return Look(*clouds, start)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report"), ball())


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


def shares(canvas: Locator) -> dict[str, float]:
    """Shares of a picture of the ball that are red, green and grey."""
    red, green, _ = np.moveaxis(still(canvas), -1, 0)
    return {
        "red": float(np.mean((red > 150) & (green < 90))),
        "green": float(np.mean((green > 150) & (red < 90))),
        "grey": float(np.mean((abs(red - 127) < 12) & (abs(green - 127) < 12))),
    }


def test_the_scene_can_be_looked_round(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file)
    canvas = page.locator(".look canvas")
    canvas.scroll_into_view_if_needed()

    first = shares(canvas)
    assert first["red"] == pytest.approx(first["green"], rel=0.1)
    assert first["red"] > 0.03
    canvas.focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    assert shares(canvas)["red"] < 0.5 * first["red"]
    page.get_by_role("button", name="Reset view").click()
    assert shares(canvas)["red"] == pytest.approx(first["red"], rel=0.1)
    page.get_by_label("before", exact=True).check()
    before = shares(canvas)
    assert before["green"] < 0.001 < 0.03 < before["grey"]


def test_dragging_turns_the_scene(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file)
    canvas = page.locator(".look canvas")
    canvas.scroll_into_view_if_needed()
    first, box = shares(canvas), canvas.bounding_box()
    assert box is not None

    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"], steps=5)
    page.mouse.up()

    assert shares(canvas)["red"] > 1.3 * first["red"]


def test_the_wheel_scrolls_the_page_past_the_scene(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(page_file)
    canvas = page.locator(".look canvas")
    canvas.scroll_into_view_if_needed()
    canvas.hover()
    before = page.evaluate("scrollY")
    page.mouse.wheel(0, 300)
    page.wait_for_timeout(300)

    assert page.evaluate("scrollY") > before + 200


def test_without_webgl_a_sentence_points_to_the_video(page_file: Path, open_page: OpenPage) -> None:
    page = open_page(
        page_file,
        before="""const real = HTMLCanvasElement.prototype.getContext;
          HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
            return kind.startsWith("webgl") ? null : real.call(this, kind, ...rest);
          };""",
    )

    assert page.get_by_text("This browser cannot draw in 3D").is_visible()
    assert not page.locator(".look canvas").is_visible()


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

    assert len(sizes) == 2 * (3 + 32) + 1 + 1 + 1 + 2 + 2
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
