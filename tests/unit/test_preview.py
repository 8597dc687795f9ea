from dataclasses import replace

import numpy as np

from scenestyle.artifacts import read_rgb
from scenestyle.params import Style, StylizeViews
from scenestyle.preview import preview
from tests.support.tiny_diffusion import write_tiny_views

PARAMS = {"num_inference_steps": 2, "image_side": 64}


def test_a_row_of_views_and_a_row_per_style(tiny_folder, tmp_path, caplog):
    write_tiny_views(tmp_path / "views", num_views=4)
    params = StylizeViews(model=str(tiny_folder), **PARAMS)
    styles = {
        "winter": Style(prompt="{caption} in winter"),
        "lava": Style(prompt="{caption} of lava"),
    }
    sheets = {
        num_styles: read_rgb(
            preview(
                tmp_path / "views",
                dict(list(styles.items())[:num_styles]),
                "a fern",
                params,
                tmp_path / f"sheet_{num_styles}.png",
                num_views=2,
            )
        )
        for num_styles in (1, 2)
    }
    assert not caplog.messages  # these weights list no styles: they are taken to know all
    one, two = sheets[1], sheets[2]
    row = two.shape[0] - one.shape[0]
    assert 24 <= row <= 48  # a picture of 24 pixels and its margin
    np.testing.assert_array_equal(two[: -row - 8], one[:-8])


def test_a_style_the_embedded_model_does_not_know_is_warned_of_once(tmp_path, caplog):
    write_tiny_views(tmp_path / "views", num_views=1)
    cubist = Style(prompt="a cubist painting of {caption}")
    styles = {"weak": cubist, "strong": replace(cubist, strength=0.8), "lava": Style(prompt="lava")}
    params = StylizeViews(**PARAMS)
    preview(tmp_path / "views", styles, "ice", params, tmp_path / "sheet.png", num_views=1)
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert "cubist" in warning
