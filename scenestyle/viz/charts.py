"""Line charts, drawn without a display and with the same bytes for the same numbers."""

import io
from collections.abc import Mapping, Sequence
from typing import Literal

_PNG_DPI = 140
_INCHES = (5.4, 3.0)
"""width and height; letters are of 10 points, and must be legible where a phone or half a page
shows the whole"""
_LOG_RANGE = 1e5
"""a logarithmic axis shows at most this ratio below its top"""


def line_chart(
    curves: Mapping[str, Sequence[tuple[int, float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_y: bool = False,
    format: Literal["png", "svg"] = "png",
) -> bytes:
    """Draw one line per curve, named in a legend if there are several.

    Args:
        curves: Name -> points (x, y). Under `log_y`, points with y <= 0 are left out.
        title: Above the chart.
        x_label: Under the horizontal axis.
        y_label: Beside the vertical axis.
        log_y: Whether the vertical axis is logarithmic; it shows at most five decades.
        format: `png`, or `svg` for a page.

    Returns:
        The file's bytes; they hold no date, host or random ids.

    Raises:
        ValueError: If there is no curve.
    """
    if not curves:
        raise ValueError("line_chart: got no curve, wanted at least one.")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A Figure of its own, not pyplot: no global state, and no display is looked for.
    with mpl.rc_context({"svg.hashsalt": "scenestyle", "svg.fonttype": "path"}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for name, points in curves.items():
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1.4)
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        if log_y:
            axes.set_yscale("log", nonpositive="mask")
            axes.set_ylim(bottom=max(axes.get_ylim()[0], axes.get_ylim()[1] / _LOG_RANGE))
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if len(curves) > 1:
            figure.legend(loc="outside right upper", frameon=False)
        file = io.BytesIO()
        metadata = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(file, format=format, dpi=_PNG_DPI, metadata=metadata)
    return file.getvalue()


def smoothed(points: Sequence[tuple[int, float]], *, half_width: int) -> list[tuple[int, float]]:
    """Running mean over up to `2 * half_width + 1` neighbours, shorter at both ends."""
    windows = (
        points[max(0, index - half_width) : index + half_width + 1] for index in range(len(points))
    )
    return [
        (x, sum(y for _, y in window) / len(window))
        for (x, _), window in zip(points, windows, strict=True)
    ]
