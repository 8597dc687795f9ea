import pytest

from scenestyle.viz.figures import read_figures

METRICS = {
    "movement_rmse": 0.1234,
    "warp_short": 0.0311,
    "warp_short_source": 0.0212,
    "warp_short_visible_share": 0.876,
    "warp_long": 0.0456,
    "warp_long_source": 0.0333,
    "warp_long_visible_share": 0.5,
    "depth_abs_rel": 0.0312,
    "depth_delta_125": 0.9876,
    "heldout_swd": 0.77,
    "heldout_swd_source": 2.5,
    "heldout_psnr_source": 26.54,
}


def test_every_figure_is_shown_with_its_yardstick_beside_it() -> None:
    shown = {figure.title: (figure.value, figure.yardstick) for figure in read_figures(METRICS)}

    assert shown == {
        "Movement": ("0.123", ""),
        "Flicker, neighbouring frames": (
            "0.0311",
            "source: 0.0212, measured on 88% of the picture",
        ),
        "Flicker, seven frames apart": ("0.0456", "source: 0.0333, measured on 50% of the picture"),
        "Depth moved": ("3.1%", ""),
        "Depth kept": ("98.8%", ""),
        "Distance to the style": ("0.770", "source: 2.500"),
        "Quality of the source field": ("26.5 dB", ""),
    }


def test_every_figure_says_in_one_sentence_what_it_means() -> None:
    for figure in read_figures(METRICS):
        assert figure.meaning.endswith(".")
        assert figure.meaning.count(". ") == 0


def test_a_missing_figure_is_not_passed_over() -> None:
    with pytest.raises(KeyError):
        read_figures(
            {name: value for name, value in METRICS.items() if name != "warp_short_source"}
        )
