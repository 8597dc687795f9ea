"""A report for browsers to open, and what they show of it."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Locator

from scenestyle.report.look import Look
from scenestyle.report.report import Capture, Chart, Comparison, Maps, Report, render_report
from scenestyle.report.verdicts import read_figures
from scenestyle.viz.charts import line_chart
from scenestyle.viz.video import side_by_side, write_video

RED, BLUE = (np.tile(np.float32(colour), (96, 128, 1)) for colour in ([0.9, 0.1, 0.1], [0, 0.2, 1]))


def write_report(folder: Path, look: Look) -> Path:
    """A report with long names and hand-made values; returns its file."""
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
        warnings=["The prompt names no style that the model knows. " * 3],
        look=look,
        video_mp4=(folder / "orbit.mp4").read_bytes(),
        comparisons=[Comparison(f"view_{i}", RED, BLUE) for i in range(3)],
        contact_sheet=np.concatenate([RED, BLUE], axis=1),
        fits=[Comparison(f"view_{i}", RED, BLUE) for i in range(32)],
        figures=read_figures({"movement_rmse": 0.2, "depth_abs_rel": 0.5}, {}),
        not_computed={"LPIPS": "no weights"},
        capture=Capture(Chart("Cameras", curve), "3 of 4.", [("a-long-name" * 9 + ".jpg", "?")]),
        maps=Maps(np.concatenate([RED, BLUE], axis=1), Chart("Flicker", curve), 0.1, 0.25),
        charts=[Chart("Losses", curve)],
        seconds={"train_nerf": 1.0},
        settings={"a very long name of a setting": "x" * 90},
        commands={"again": "dvc repro evaluate@demo-ukiyoe " + "--long-option " * 9},
    )
    path = folder / "report.html"
    path.write_text(render_report(report), encoding="utf-8")
    return path


def still(canvas: Locator) -> np.ndarray:
    """Its picture, once it stands still: `[height, width, 3]`, 0 to 255."""
    shot, last = canvas.screenshot(), b""
    while shot != last:
        canvas.page.wait_for_timeout(500)  # a processor draws few frames per second
        shot, last = canvas.screenshot(), shot
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
