import pytest

from scenestyle.report.verdicts import overall, read_figures

METRICS = {
    "movement_rmse": 0.1234,
    "warp_short": 0.0311,
    "warp_short_source": 0.0212,
    "warp_short_visible_share": 0.876,
    "views_warp": 0.05,
    "views_warp_source": 0.02,
    "views_warp_stylized": 0.08,
    "depth_abs_rel": 0.0812,
    "depth_delta_125": 0.9876,
    "heldout_swd": 2.4,
    "heldout_swd_source": 2.5,
    "content_ssim": 0.6,
    "content_ssim_stylized": 0.5,
    "redrawn_edges": 0.77,
    "heldout_psnr_source": 26.54,
}


def read(**changes: float) -> dict[str, tuple[str, str | None]]:
    return {
        figure.title: (figure.value, figure.verdict) for figure in read_figures(METRICS | changes)
    }


def test_every_figure_that_was_computed_is_read_and_no_other() -> None:
    assert read() == {
        "Movement": ("0.123", "good"),
        "Distance to the style": ("2.400", "broken"),
        "Flicker, neighbouring frames": ("0.0311", "good"),
        "Disagreement of neighbouring views": ("0.0500", "good"),
        "Depth change": ("8.1%", "look here"),
        "Depth preserved": ("98.8%", "good"),
        "Luminance SSIM": ("0.600", "good"),
        "Fit of the model to the scene": ("0.77", "look here"),
        "Quality of the source field, PSNR": ("26.5 dB", "good"),
    }


def test_controls_bounds_and_intervals_stand_beside_a_figure() -> None:
    figures = {f.title: f for f in read_figures(METRICS, {"warp_short": (0.0299, 0.0333)})}
    flicker, views = (
        figures["Flicker, neighbouring frames"],
        figures["Disagreement of neighbouring views"],
    )

    assert flicker.controls == [("source renders", "0.0212")]
    assert flicker.rule == "good up to 1.5 times, broken above 2.5 times the source renders"
    assert flicker.interval == "0.0299 to 0.0333"
    assert views.controls == [
        ("source renders", "0.0200"),
        ("stylized views before fitting", "0.0800"),
    ]
    assert figures["Depth change"].rule == "good up to 5.0%, broken above 15.0%"
    assert figures["Depth preserved"].rule == "good from 95.0%, broken below 85.0%"
    assert figures["Depth change"].interval == ""


@pytest.mark.parametrize(
    ("title", "key", "worsening"),
    [
        ("Movement", "movement_rmse", [0.2, 0.05, 0.04, 0.02, 0.0199, 0]),
        ("Depth change", "depth_abs_rel", [0, 0.05, 0.051, 0.15, 0.16, 9]),
        ("Depth preserved", "depth_delta_125", [1, 0.95, 0.949, 0.85, 0.849, 0]),
        ("Flicker, neighbouring frames", "warp_short", [0, 0.0318, 0.0319, 0.053, 0.0531, 1]),
        ("Luminance SSIM", "content_ssim", [1, 0.45, 0.44, 0.35, 0.34, -1]),
    ],
)
def test_verdicts_turn_at_their_bounds(title: str, key: str, worsening: list[float]) -> None:
    verdicts = [read(**{key: float(value)})[title][1] for value in worsening]

    assert verdicts == ["good", "good", "look here", "look here", "broken", "broken"]


def test_a_control_that_was_asked_for_stands_beside_the_others() -> None:
    extra = {
        "views_warp_unshared": 0.09,
        "views_warp_alone": 0.06,
        "refit_psnr": 21.04,
        "refit_psnr_source": 28.0,
    }
    figures = {figure.title: figure for figure in read_figures(METRICS | extra)}

    assert figures["Disagreement of neighbouring views"].controls[-2:] == [
        ("views restyled without sharing", "0.0900"),
        ("an edit without sharing", "0.0600"),
    ]
    refit = figures["Agreement of the stylized views, refit PSNR"]
    assert (refit.value, refit.controls) == ("21.0 dB", [("source renders", "28.0 dB")])


def test_the_overall_count() -> None:
    assert overall(read_figures(METRICS)) == {"good": 6, "look here": 2, "broken": 1}


def test_every_figure_says_what_it_means() -> None:
    for figure in read_figures(METRICS):
        assert figure.meaning.endswith(".")
