import pytest

from cli.sweep import swept
from scenestyle.errors import ParamsError
from scenestyle.params import Style

STYLES = {"oil": Style(prompt="oil", seed=3), "ink": Style(prompt="ink", strength=0.4)}


def test_without_values_the_styles_stay_as_they_are() -> None:
    assert swept(STYLES, {"strength": (), "seed": ()}) == STYLES


def test_every_style_gets_every_combination() -> None:
    found = swept(STYLES, {"guidance_scale": (5.0, 10.0), "seed": (1,)})

    assert list(found) == [
        "oil, guidance scale 5, seed 1",
        "oil, guidance scale 10, seed 1",
        "ink, guidance scale 5, seed 1",
        "ink, guidance scale 10, seed 1",
    ]
    assert found["ink, guidance scale 10, seed 1"] == Style(
        prompt="ink", strength=0.4, guidance_scale=10.0, seed=1
    )


def test_values_out_of_range_are_all_named() -> None:
    with pytest.raises(ParamsError) as told:
        swept(STYLES, {"guidance_scale": (0.2,), "strength": (1.5,)})
    assert "strength: must be at most 1.0 (got 1.5)" in str(told.value)
    assert "guidance_scale: must be at least 1.0 (got 0.2)" in str(told.value)
