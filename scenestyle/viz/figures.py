"""The figures of a result in plain words: what each means and how to read it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One figure as a person reads it."""

    title: str
    value: str
    """formatted, with its unit"""
    yardstick: str
    """the figure to hold it against; empty if there is none"""
    meaning: str
    """one sentence"""


@dataclass(frozen=True)
class _Reading:
    title: str
    format: str
    meaning: str
    yardstick: str = ""
    """a template over all figures"""


_READINGS = {
    "movement_rmse": _Reading(
        "Movement",
        "{:.3f}",
        "How far the colours moved from before to after along the path (RMSE, 0 to 1): near 0 means that "
        "nothing was edited.",
    ),
    "warp_short": _Reading(
        "Flicker, neighbouring frames",
        "{:.4f}",
        "How much a point of the scene changes colour from one frame to the next (RMSE, lower is "
        "steadier); read it beside the source's, which is the part that the edit did not cause.",
        "source: {warp_short_source:.4f}, measured on {warp_short_visible_share:.0%} of the picture",
    ),
    "warp_long": _Reading(
        "Flicker, seven frames apart",
        "{:.4f}",
        "The same for frames that lie seven apart, where a style that hangs on the viewpoint shows.",
        "source: {warp_long_source:.4f}, measured on {warp_long_visible_share:.0%} of the picture",
    ),
    "depth_abs_rel": _Reading(
        "Depth moved",
        "{:.1%}",
        "How far surfaces moved towards or away from the camera, on average, as a share of their "
        "distance: 0% keeps the shape of the scene.",
    ),
    "depth_delta_125": _Reading(
        "Depth kept",
        "{:.1%}",
        "Share of pixels whose distance changed by less than a quarter: near 100% keeps the shape.",
    ),
    "heldout_swd": _Reading(
        "Distance to the style",
        "{:.3f}",
        "How far renders lie from the stylized pictures of views that were never trained on (sliced "
        "Wasserstein distance of features): below the source's, the style has arrived.",
        "source: {heldout_swd_source:.3f}",
    ),
    "heldout_psnr_source": _Reading(
        "Quality of the source field",
        "{:.1f} dB",
        "How well the field before the edit reproduces photos that it was not trained on (PSNR, higher "
        "is better): detail that is missing here, the edit cannot bring back.",
    ),
}


def read_figures(metrics: Mapping[str, float]) -> list[Figure]:
    """Put the figures of `metrics.json` into words, in the order of the report."""
    return [
        Figure(
            title=reading.title,
            value=reading.format.format(metrics[name]),
            yardstick=reading.yardstick.format(**metrics),
            meaning=reading.meaning,
        )
        for name, reading in _READINGS.items()
    ]
