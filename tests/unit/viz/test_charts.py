import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from scenestyle.viz.charts import line_chart, smoothed

TEXTS = {"title": "Loss", "x_label": "step", "y_label": "loss"}


def test_a_chart_is_a_picture_with_one_line_per_curve() -> None:
    png = line_chart({"a": [(0, 1.0), (1, 3.0)], "b": [(0, 3.0), (1, 1.0)]}, **TEXTS)

    colours = {
        tuple(rgb)
        for rgb in np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3).tolist()
    }

    assert {(31, 119, 180), (255, 127, 14)} <= colours


@pytest.mark.parametrize("format", ["png", "svg"])
def test_same_numbers_same_bytes(format: str) -> None:
    curve = {"a": [(step, 1 / (step + 1)) for step in range(50)]}

    first, second = (line_chart(curve, **TEXTS, format=format) for _ in range(2))

    assert first == second


def test_svg_is_well_formed_whatever_the_title_says() -> None:
    svg = line_chart(
        {"<b>&": [(0, 1.0), (1, 2.0)]}, **{**TEXTS, "title": "<script>&"}, format="svg"
    )

    assert ET.fromstring(svg).tag.endswith("svg")


def test_logarithmic_axis_survives_a_zero() -> None:
    assert line_chart({"a": [(0, 0.0), (1, 1.0), (2, 0.1)]}, **TEXTS, log_y=True).startswith(
        b"\x89PNG"
    )


def test_no_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="no curve"):
        line_chart({}, **TEXTS)


def test_smoothing_keeps_a_line_and_averages_a_spike() -> None:
    line = [(step, 2.0 * step) for step in range(9)]
    spike = [(0, 0.0), (1, 0.0), (2, 3.0), (3, 0.0), (4, 0.0)]

    assert smoothed(line, half_width=0) == line
    assert smoothed(line, half_width=2)[2:-2] == line[2:-2]
    assert [y for _, y in smoothed(spike, half_width=1)] == [0, 1, 1, 1, 0]
