"""The metrics of a result in plain words: their meaning, controls and verdicts.

The bounds of the verdicts are this project's own, set by hand on its demo scenes; they are shown
beside every verdict. No paper gives any.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "look here", "broken"]


@dataclass(frozen=True)
class Figure:
    """One figure as a person reads it."""

    title: str
    value: str
    """formatted, with its unit"""
    meaning: str
    """one sentence or two"""
    interval: str = ""
    """where its mean lies over other views, if it is a mean"""
    controls: Sequence[tuple[str, str]] = ()
    """what the same measure says of something else: name and value"""
    verdict: Verdict | None = None
    """None: there is nothing to hold it against"""
    rule: str = ""
    """how the verdict came about"""


@dataclass(frozen=True)
class _Bounds:
    good: float
    broken: float
    higher_is_better: bool = False
    relative_to: str = ""
    """key of the control that both are multiples of; empty: they are figures themselves"""


@dataclass(frozen=True)
class _Reading:
    title: str
    format: str
    meaning: str
    bounds: _Bounds | None = None
    controls: tuple[str, ...] = ()
    """keys of the same measure of something else; that of an edit without sharing, `KEY_alone`,
    goes without saying"""


_CONTROL_NAMES = {
    "source": "source renders",
    "stylized": "stylized views before fitting",
    "unshared": "views restyled without sharing",
    "alone": "an edit without sharing",
}
"""last word of a control's key -> whose figure it is"""

_READINGS = {
    "movement_rmse": _Reading(
        "Movement",
        "{:.3f}",
        "How far the colours moved from before to after along the orbit (RMSE, 0 to 1). Near 0 "
        "means that nothing was edited.",
        _Bounds(0.05, 0.02, higher_is_better=True),
        ("movement_rmse_stylized",),
    ),
    "heldout_swd": _Reading(
        "Distance to the style",
        "{:.3f}",
        "How far renders are from the stylized images of held-out views (sliced Wasserstein "
        "distance of features). Well below the source's, the style has arrived.",
        _Bounds(0.5, 0.9, relative_to="heldout_swd_source"),
        ("heldout_swd_source",),
    ),
    "warp_short": _Reading(
        "Flicker, neighbouring frames",
        "{:.4f}",
        "How much a point of the scene changes colour from one frame to the next (RMSE, lower is "
        "steadier). The source's value is not due to the edit.",
        _Bounds(1.5, 2.5, relative_to="warp_short_source"),
        ("warp_short_source",),
    ),
    "warp_long": _Reading(
        "Flicker, seven frames apart",
        "{:.4f}",
        "The same for frames that are seven apart, which shows a style that depends on the "
        "viewpoint.",
        _Bounds(1.5, 2.5, relative_to="warp_long_source"),
        ("warp_long_source",),
    ),
    "warp_short_features": _Reading(
        "Perceptual flicker, neighbouring frames",
        "{:.4f}",
        "The same in a perceptual distance on the features of EfficientNet-Lite0. It is like "
        "LPIPS but not LPIPS: compare it only with results of this project.",
        _Bounds(1.5, 2.5, relative_to="warp_short_features_source"),
        ("warp_short_features_source",),
    ),
    "warp_long_features": _Reading(
        "Perceptual flicker, seven frames apart",
        "{:.4f}",
        "The same for frames that are seven apart.",
        _Bounds(1.5, 2.5, relative_to="warp_long_features_source"),
        ("warp_long_features_source",),
    ),
    "views_warp": _Reading(
        "Disagreement of neighbouring views",
        "{:.4f}",
        "The same measure between neighbouring cameras of the capture, where the stylized images "
        "can be measured, too. The field must agree with itself better than the images it was "
        "finetuned on.",
        _Bounds(1.0, 1.25, relative_to="views_warp_stylized"),
        ("views_warp_source", "views_warp_stylized", "views_warp_unshared"),
    ),
    "refit_psnr": _Reading(
        "Agreement of the stylized views, refit PSNR",
        "{:.1f} dB",
        "How well a fresh field, trained on the stylized images alone, predicts those that were "
        "held out (higher is better). Images that contradict each other cannot be predicted.",
        None,
        ("refit_psnr_source", "refit_psnr_unshared"),
    ),
    "depth_abs_rel": _Reading(
        "Depth change",
        "{:.1%}",
        "How far surfaces moved towards or away from the camera, on average, as a fraction of "
        "their distance. 0% preserves the shape of the scene.",
        _Bounds(0.05, 0.15),
    ),
    "depth_delta_125": _Reading(
        "Depth preserved",
        "{:.1%}",
        "Fraction of pixels whose distance changed by less than a quarter. Near 100% preserves "
        "the shape.",
        _Bounds(0.95, 0.85, higher_is_better=True),
    ),
    "content_ssim": _Reading(
        "Luminance SSIM",
        "{:.3f}",
        "Structural similarity of the luminance before and after, 1 for unchanged: are light and "
        "shade preserved? A strong style lowers it; the field should not lose much more than the "
        "stylized images did.",
        _Bounds(0.9, 0.7, higher_is_better=True, relative_to="content_ssim_stylized"),
        ("content_ssim_stylized",),
    ),
    "content_features": _Reading(
        "Content (deep features)",
        "{:.3f}",
        "Similarity of deep features of EfficientNet-Lite0 at the same place before and after "
        "(cosine, 1 for unchanged): are the same objects still in the same places?",
        _Bounds(0.9, 0.7, higher_is_better=True, relative_to="content_features_stylized"),
        ("content_features_stylized",),
    ),
    "clip_directional_similarity": _Reading(
        "CLIP text-image directional similarity",
        "{:.3f}",
        "Whether CLIP sees the images change in the direction of the sentence, 1 at most. It "
        "compares only with values of the same CLIP model, and a style that flickers can score "
        "well.",
        None,
        ("clip_directional_similarity_stylized",),
    ),
    "clip_direction_consistency_edit": _Reading(
        "CLIP direction consistency, edit",
        "{:.3f}",
        "Whether CLIP sees the edit take neighbouring frames in one direction, 1 at most.",
    ),
    "clip_direction_consistency_motion": _Reading(
        "CLIP direction consistency, motion",
        "{:.3f}",
        "Whether CLIP sees edited frames follow a camera step as the original ones do, 1 at most. "
        "The formula differs from the one above; the two do not compare.",
    ),
    "redrawn_edges": _Reading(
        "Fit of the model to the scene",
        "{:.2f}",
        "How much of the views' edges is left when the model redraws them as photographs, 1 for "
        "all. Where it is little, the scene lies outside of what the model can draw, and no style "
        "will show it: try a larger model.",
        _Bounds(0.8, 0.6, higher_is_better=True),
    ),
    "heldout_psnr_source": _Reading(
        "Quality of the source field, PSNR",
        "{:.1f} dB",
        "How well the field before the edit reproduces photos that it was not trained on (higher "
        "is better). The edit cannot bring back detail that is missing here.",
        _Bounds(25.0, 20.0, higher_is_better=True),
    ),
    "heldout_ssim_source": _Reading(
        "Quality of the source field, SSIM",
        "{:.3f}",
        "The same as structural similarity of the luminance, 1 for the photo itself.",
        _Bounds(0.8, 0.6, higher_is_better=True),
    ),
    "heldout_lpips_source": _Reading(
        "Quality of the source field, LPIPS",
        "{:.3f}",
        "The same as LPIPS (AlexNet), 0 for the photo itself.",
        _Bounds(0.2, 0.4),
    ),
}

_IN_SHORT = ("movement_rmse", "heldout_swd", "warp_short")


def read_figures(
    metrics: Mapping[str, float], intervals: Mapping[str, tuple[float, float]] | None = None
) -> list[Figure]:
    """Put the figures of `metrics.json` into words, in the order of the report.

    Args:
        metrics: Key -> figure; a figure that was not computed, or that its verdict is relative to,
            is not in it.
        intervals: Lower and upper end, of those figures that are means over views.
    """
    return [
        _read(name, reading, metrics, (intervals or {}).get(name))
        for name, reading in _READINGS.items()
        if name in metrics
        and (not reading.bounds or (reading.bounds.relative_to or name) in metrics)
    ]


def in_short(figures: Sequence[Figure]) -> dict[str, str]:
    """The three that say most, title -> value and verdict: moved, arrived at the style, steady."""
    return {
        figure.title.lower(): f"{figure.value} ({figure.verdict})"
        for figure in figures
        if figure.title in {_READINGS[name].title for name in _IN_SHORT}
    }


def overall(figures: Sequence[Figure]) -> dict[Verdict, int]:
    """How many figures are good, ask for a look, and are broken."""
    order: tuple[Verdict, ...] = ("good", "look here", "broken")
    return {verdict: sum(f.verdict == verdict for f in figures) for verdict in order}


def _read(
    name: str, reading: _Reading, metrics: Mapping[str, float], interval: tuple[float, float] | None
) -> Figure:
    say, bounds = reading.format.format, reading.bounds
    return Figure(
        title=reading.title,
        value=say(metrics[name]),
        meaning=reading.meaning,
        interval=f"{say(interval[0])} to {say(interval[1])}" if interval else "",
        controls=[
            (_CONTROL_NAMES[key.rsplit("_", 1)[1]], say(metrics[key]))
            for key in (*reading.controls, f"{name}_alone")
            if key in metrics
        ],
        verdict=_verdict(metrics[name], bounds, metrics) if bounds else None,
        rule=_rule(bounds, say) if bounds else "",
    )


def _verdict(value: float, bounds: _Bounds, metrics: Mapping[str, float]) -> Verdict:
    unit = metrics[bounds.relative_to] if bounds.relative_to else 1.0
    # Turned round, a higher-is-better figure is judged like the others.
    sign = -1 if bounds.higher_is_better else 1
    if sign * value <= sign * bounds.good * unit:
        return "good"
    return "look here" if sign * value <= sign * bounds.broken * unit else "broken"


def _rule(bounds: _Bounds, say: Callable[[float], str]) -> str:
    if bounds.relative_to:
        control = _CONTROL_NAMES[bounds.relative_to.rsplit("_", 1)[1]]
        good, broken = f"{bounds.good:g} times", f"{bounds.broken:g} times the {control}"
    else:
        good, broken = say(bounds.good), say(bounds.broken)
    return (
        f"good from {good}, broken below {broken}"
        if bounds.higher_is_better
        else f"good up to {good}, broken above {broken}"
    )
