import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from scenestyle.report.look import Cloud, Look, viewer_program
from scenestyle.report.report import Capture, Chart, Comparison, Maps, Report, render_report
from scenestyle.report.verdicts import Figure

HOSTILE = """<script>alert("x")</script> & 'quotes' {{ 7 * 7 }}"""


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def noise(side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((side, side, 3), dtype=np.float32)


@pytest.fixture
def report() -> Report:
    return Report(
        scene="demo",
        style="ukiyoe",
        caption="colourful objects",
        prompt="a woodblock print of colourful objects",
        warnings=["The prompt has no {caption}."],
        look=Look(Cloud(b"123456789", "{}"), Cloud(b"abcdefghi", "{}"), '{"fov": 50}'),
        video_mp4=b"not really a video",
        comparisons=[Comparison(f"view_{i}", noise(16, i), noise(16, i + 9)) for i in range(3)],
        contact_sheet=noise(40, 1),
        fits=[Comparison(f"fit_{i}", noise(16, i), noise(16, i + 9)) for i in range(4)],
        figures=[
            Figure(
                "Movement",
                "0.123",
                "Near 0 means that nothing was edited.",
                interval="0.12 to 0.13",
                controls=[("source renders", "0.0111")],
                verdict="look here",
                rule="good from 0.5",
            )
        ],
        not_computed={"LPIPS": "no weights on disk"},
        capture=Capture(
            Chart("Cameras from above", b"<svg xmlns='y'/>"),
            "2 of 3 photos have a place in the scene.",
            [("dark.jpg", "take it again")],
        ),
        maps=Maps(noise(30, 2), Chart("Flicker", b"<svg xmlns='x'/>"), 0.08, 0.25),
        charts=[Chart("Source field", b"<svg xmlns='http://www.w3.org/2000/svg'/>")],
        seconds={"train_nerf": 12.4, "finetune_nerf": 30.0},
        settings={"model": "embedded", "torch": "2.14.1"},
        commands={"This result": "dvc repro evaluate@demo-ukiyoe"},
    )


def test_the_page_shows_everything(report: Report) -> None:
    page = Page(render_report(report))

    for text in (
        "woodblock",
        "Warning: The prompt has no {caption}.",
        "view_2",
        "0.123",
        "look here",
        "0.12 to 0.13",
        "source renders: 0.0111",
        "good from 0.5",
        "LPIPS",
        "no weights on disk",
        "2 of 3 photos",
        "dark.jpg",
        "take it again",
        "0.08 and more",
        "25% farther",
        "train_nerf",
        "12 s",
        "42 s",
        "2.14.1",
    ):
        assert text in page.text
    assert "dvc repro evaluate@demo-ukiyoe" in page.text
    assert "0 good · 1 look here · 0 broken" in page.text
    sliders = 3 + 4
    assert len(page.all("input")) == sliders + 2
    sheet, cameras, maps, scales, charts = 1, 1, 1, 2, 2
    assert len(page.all("img")) == 2 * sliders + sheet + cameras + maps + scales + charts


def test_the_video_is_in_the_page(report: Report) -> None:
    (video,) = Page(render_report(report)).all("video")

    assert base64.b64decode(video["src"].partition("base64,")[2]) == report.video_mp4


def test_nothing_is_loaded_from_elsewhere(report: Report) -> None:
    html = render_report(report).replace(viewer_program(), "")  # names the namespace of XHTML
    sources = [
        attributes[name]
        for _, attributes in Page(html).tags
        for name in ("src", "href", "srcset", "poster", "action")
        if name in attributes
    ]

    assert sources
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"https?:|url\(|@import|fetch\(", html)


def test_the_points_are_in_the_page(report: Report) -> None:
    page = Page(render_report(report))

    scripts = {script["data-name"]: script for script in page.all("script") if script}
    assert scripts.keys() == {"before", "after"}
    assert base64.b64encode(b"abcdefghi").decode() in page.text
    assert page.all("canvas")[0]["data-camera"] == '{"fov": 50}'


def test_the_page_says_what_its_3d_view_consists_of(report: Report) -> None:
    splats = Cloud(b"abcdefghi", "{}", "splats")
    html = render_report(replace(report, look=replace(report.look, before=splats, after=splats)))

    assert html.count('type="application/x-splats"') == 2
    assert "own Gaussians" in html
    assert "points sampled" not in html
    assert render_report(report).count('type="application/x-points"') == 2
    assert "points sampled" in render_report(report)


def test_texts_of_users_stay_texts(report: Report) -> None:
    hostile = replace(
        report,
        caption=HOSTILE,
        prompt=HOSTILE,
        settings={HOSTILE: HOSTILE},
        commands={"x": HOSTILE},
        comparisons=[replace(report.comparisons[0], name=HOSTILE)],
    )

    page, plain = Page(render_report(hostile)), Page(render_report(report))

    assert len(page.all("script")) == len(plain.all("script")) == 2 + 2
    assert page.text.count(HOSTILE) >= 5
    assert HOSTILE in page.all("img")[0]["alt"]


def test_every_picture_has_a_text_in_its_place(report: Report) -> None:
    page = Page(render_report(report))

    assert all(image["alt"] for image in page.all("img"))
    sliders = [control for control in page.all("input") if control["type"] == "range"]
    assert all(c["aria-label"] for c in sliders + page.all("video") + page.all("canvas"))


def test_same_report_same_page(report: Report) -> None:
    assert render_report(report) == render_report(report)


def test_32_large_views_stay_within_15_mb(report: Report) -> None:
    ramp = np.linspace(0, 1, 1024, dtype=np.float32)
    smooth = np.stack([*np.meshgrid(ramp, ramp), np.full((1024, 1024), 0.5, np.float32)], axis=-1)
    textured = np.clip(smooth + 0.05 * noise(1024, 3), 0, 1)
    views = [Comparison(f"view_{i}", textured, textured) for i in range(32)]

    html = render_report(replace(report, comparisons=views[:6], fits=views))

    assert len(html) < 15e6
