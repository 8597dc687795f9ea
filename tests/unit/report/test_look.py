import json
import re
from pathlib import Path

import numpy as np
import pytest

from scenestyle.report import look
from scenestyle.report.look import pack_points, pack_splats, start_at, viewer_program
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


@pytest.mark.parametrize("bases", [1, 4])
def test_gaussians_are_read_back_to_the_rounding(bases: int) -> None:
    generator = np.random.default_rng(bases)
    quats = generator.normal(size=(500, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    log_scales, logits = generator.normal(size=(500, 3)), generator.uniform(-4, 4, 500)
    harmonics = generator.normal(size=(500, bases, 3))
    logits[::5] = -20  # not in use

    cloud = pack_splats(
        POINTS,
        quats=quats.astype(np.float32),
        log_scales=log_scales.astype(np.float32),
        logits=logits.astype(np.float32),
        harmonics=harmonics.astype(np.float32),
    )

    layout, is_kept = json.loads(cloud.layout), np.arange(500) % 5 != 0
    count = layout["count"]
    assert count == 400
    assert len(cloud.content) == count * (17 if bases == 1 else 26)
    places = np.frombuffer(cloud.content, "<u2", 3 * count).reshape(-1, 3)
    assert places / 65535 * layout["size"] + layout["low"] == pytest.approx(
        POINTS[is_kept], abs=1e-4
    )
    columns = np.frombuffer(cloud.content, np.uint8, offset=6 * count)
    ends = np.cumsum(count * np.array([1, 3, 4, 3, 3 * (bases - 1)]))
    opacities, scales, rotations, colours, rest = np.split(columns, ends[:-1])

    def back(rounded: np.ndarray, name: str, wanted: np.ndarray) -> None:
        low, step = layout[name]
        assert low + step * rounded.reshape(wanted.shape) == pytest.approx(wanted, abs=0.51 * step)

    assert opacities / 255 == pytest.approx(1 / (1 + np.exp(-logits[is_kept])), abs=0.51 / 255)
    assert rotations.view(np.int8).reshape(-1, 4) / 127 == pytest.approx(
        quats[is_kept], abs=0.51 / 127
    )
    back(scales, "scales", log_scales[is_kept])
    plain = 0.28209479 * harmonics[is_kept, 0] + 0.5
    back(colours, "colours", np.maximum(plain, 0) if bases == 1 else plain)
    back(rest, "harmonics", 0.48860251 * harmonics[is_kept, 1:])


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
    assert begin["focus"] == begin["target"] == [0, 0.5, 0]
    assert begin["up"] == [0, 1, 0]
    assert begin["radius"] == 1.5
    horizontal = 2 * np.arctan(np.tan(np.radians(begin["fov"]) / 2) * 96 / 72)
    assert {round(float(horizontal), 3), round(float(np.radians(begin["fov"])), 3)} & {0.9}


def test_the_look_turns_about_a_point_of_the_axis_so_that_it_begins_as_the_camera_saw() -> None:
    camera = field_of_view_camera(look_at((3.0, 1.0, 0.0), (0.0, 1.0, 0.5)), 96, 72, 0.9)

    begin = json.loads(
        start_at(camera, focus=np.array([0, 0, 0.5]), radius=1.5, up=np.array([0.0, 1, 0]))
    )

    assert begin["target"] == pytest.approx([0, 1, 0.5], abs=1e-5)


def test_the_program_is_bundled_with_its_licence_and_can_stand_in_a_page() -> None:
    program = viewer_program()

    assert "Three.js Authors" in program
    assert "SPDX-License-Identifier: MIT" in program
    assert "</script" not in program


def test_the_bundle_is_of_the_pinned_version_and_of_this_source() -> None:
    pinned = json.loads((FOLDER / "package.json").read_text())["dependencies"]["three"]
    assert pinned.removeprefix("0.").removesuffix(".0") in viewer_program()

    sources = [(FOLDER / name).read_text() for name in ("viewer.js", "points.js", "splats.js")]
    # What a bundler leaves as it is: shaders, line by line, and the names that a page uses.
    shaders = [
        line
        for text in re.findall(r"`\n(.*?)`", "".join(sources), flags=re.DOTALL)
        for line in text.splitlines()
        if line and "${" not in line
    ]
    assert len(shaders) > 50
    names = ["script[data-name]", "application/x-points", "application/x-splats", "pan-y"]
    for text in [*shaders, *names]:
        assert text in viewer_program()
        assert any(text in source for source in sources)
