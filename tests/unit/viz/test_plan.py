import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from scenestyle.viz.plan import camera_plan, legible_names

PLAN = {
    "cameras": [
        {"photo": f"{i:02d}.jpg", "at": [np.cos(i), np.sin(i)], "looks": [-np.cos(i), -np.sin(i)]}
        for i in range(6)
    ],
    "points": [[0.1, 0.2], [0.0, -0.1]],
    "lost": [
        {"photo": "<b> & $x$.jpg", "near": [0.5, 0.5]},
        {"photo": "$<i>$.jpg", "near": None},
    ],
}


@pytest.mark.parametrize("format", ["png", "svg"])
def test_same_plan_same_bytes(format):
    assert camera_plan(PLAN, format=format) == camera_plan(PLAN, format=format)


def test_lost_photos_are_drawn_in_a_colour_of_their_own():
    def has_red(plan):
        rgb = np.asarray(Image.open(io.BytesIO(camera_plan(plan))).convert("RGB")).astype(int)
        return bool(((rgb[..., 0] > 150) & (rgb[..., 1] < 90)).any())

    assert has_red({**PLAN, "lost": PLAN["lost"][:1]})
    assert has_red({**PLAN, "lost": PLAN["lost"][1:]})
    assert not has_red({**PLAN, "lost": []})


def test_svg_is_well_formed_whatever_photos_are_called():
    assert ET.fromstring(camera_plan(PLAN, format="svg")).tag.endswith("svg")


def test_one_camera_without_points_can_be_drawn():
    one = {"cameras": PLAN["cameras"][:1], "points": [], "lost": []}
    assert camera_plan(one).startswith(b"\x89PNG")


def test_no_camera_is_refused():
    with pytest.raises(ValueError, match="no camera"):
        camera_plan({"cameras": [], "points": [], "lost": []})


def test_names_of_cameras_that_stand_close_do_not_cover_one_another():
    crowd = [{"photo": f"crowd_{i}.jpg", "at": [0.01 * i, 0.0]} for i in range(6)]
    apart = [{"photo": "left.jpg", "at": [-5.0, 0.0]}, {"photo": "above.jpg", "at": [0.0, 1.0]}]

    named = [camera["photo"] for camera in legible_names([*crowd, *apart], extent=10.0)]

    assert named == ["crowd_0.jpg", "left.jpg", "above.jpg"]
