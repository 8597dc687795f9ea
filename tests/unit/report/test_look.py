import json
from pathlib import Path

import numpy as np
import pytest

from scenestyle.report import look
from scenestyle.report.look import pack_points, start_at, viewer_program
from training.procedural.raycast import field_of_view_camera, look_at

POINTS = np.random.default_rng(0).uniform(-2, 3, (500, 3)).astype(np.float32)
COLOURS = np.random.default_rng(1).random((500, 3)).astype(np.float32)
FOLDER = Path(look.__file__).parent / "viewer"


def test_a_cloud_is_read_back_to_the_rounding() -> None:
    cloud = pack_points(POINTS, COLOURS)

    layout = json.loads(cloud.layout)
    count = layout["count"]
    places = np.frombuffer(cloud.content, "<u2", 3 * count).reshape(-1, 3)
    rgb = np.frombuffer(cloud.content, np.uint8, offset=6 * count).reshape(-1, 3)
    assert places / 65535 * layout["size"] + layout["low"] == pytest.approx(POINTS, abs=1e-4)
    assert rgb / 255 == pytest.approx(COLOURS, abs=0.5 / 255 + 1e-6)
    assert len(cloud.content) == 9 * count


def test_the_spacing_of_a_grid_is_read_back() -> None:
    grid = 0.25 * np.stack(np.meshgrid(*[np.arange(8.0)] * 3), axis=-1).reshape(-1, 3)

    layout = json.loads(
        pack_points(grid.astype(np.float32), np.zeros_like(grid, np.float32)).layout
    )

    assert layout["spacing"] == pytest.approx(0.25)


def test_the_look_begins_where_a_camera_stood() -> None:
    c2w = look_at((3.0, 1.0, 0.0), (0.0, 0.5, 0.0))
    camera = field_of_view_camera(c2w, 96, 72, 0.9)

    begin = json.loads(
        start_at(camera, focus=np.array([0, 0.5, 0]), radius=1.5, up=np.array([0.0, 1, 0]))
    )

    assert begin["position"] == [3, 1, 0]
    assert begin["focus"] == [0, 0.5, 0]
    assert begin["up"] == [0, 1, 0]
    assert begin["radius"] == 1.5
    horizontal = 2 * np.arctan(np.tan(np.radians(begin["fov"]) / 2) * 96 / 72)
    assert {round(float(horizontal), 3), round(float(np.radians(begin["fov"])), 3)} & {0.9}


def test_the_program_is_bundled_with_its_licence_and_can_stand_in_a_page() -> None:
    program = viewer_program()

    assert "Three.js Authors" in program
    assert "SPDX-License-Identifier: MIT" in program
    assert "</script" not in program


def test_the_bundle_is_of_the_pinned_version_and_of_this_source() -> None:
    pinned = json.loads((FOLDER / "package.json").read_text())["dependencies"]["three"]
    source = (FOLDER / "viewer.js").read_text()

    assert pinned.removeprefix("0.").removesuffix(".0") in viewer_program()
    for constant in ("application/x-points", "script[data-name]", "unavailable", "pan-y"):
        assert constant in source
    for constant in ("script[data-name]", "unavailable", "pan-y"):
        assert constant in viewer_program()
