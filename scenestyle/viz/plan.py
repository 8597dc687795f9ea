"""The cameras of a scene from above, drawn."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

_INCHES, _PNG_DPI = 5.4, 160
_MAX_LABELS = 12
_LETTER, _LINE = 0.017, 0.032
"""width of a letter and height of a line of names, as shares of the plan's side"""
_PLACED, _LOST, _POINTS = "#3264a8", "#c2372e", "#b9b4aa"


def camera_plan(
    plan: Mapping[str, Sequence[Any]], *, format: Literal["png", "svg"] = "png"
) -> bytes:
    """Draw cameras as arrows in their viewing direction, lost photos as named crosses.

    Args:
        plan: `cameras`, each with `photo`, `at` [x, y] and `looks` [x, y]; `points` [x, y];
            `lost`, each with `photo` and `near` [x, y] or null. Of the cameras some are named,
            and of the lost photos all that are near a camera.
        format: `png`, or `svg` for a page.

    Returns:
        The file's bytes; they hold no date, host or random ids.

    Raises:
        ValueError: If there is no camera.
    """
    if not plan["cameras"]:
        raise ValueError("camera_plan: got no camera, wanted at least one.")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "scenestyle", "svg.fonttype": "path"}):
        figure = Figure(figsize=(_INCHES, _INCHES), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_axis_off()
        axes.set_title("Cameras from above")
        if plan["points"]:
            axes.scatter(*zip(*plan["points"], strict=True), s=3, color=_POINTS, linewidths=0)
        _draw_cameras(axes, plan["cameras"], plan["points"])
        near = [lost for lost in plan["lost"] if lost["near"] is not None]
        for lost in near:
            axes.plot(*lost["near"], "x", color=_LOST, markersize=7, markeredgewidth=1.8)
            _label(axes, lost["photo"], lost["near"], _LOST, below=True)
        if elsewhere := [lost["photo"] for lost in plan["lost"] if lost["near"] is None]:
            figure.text(0.02, 0.01, _footer(elsewhere), fontsize=8, color=_LOST, wrap=True)
        file = io.BytesIO()
        metadata = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(file, format=format, dpi=_PNG_DPI, metadata=metadata)
    return file.getvalue()


def _draw_cameras(
    axes: Any, cameras: Sequence[Mapping[str, Any]], points: Sequence[Sequence[float]]
) -> None:
    xs, ys = zip(*(camera["at"] for camera in cameras), strict=True)
    us, vs = zip(*(camera["looks"] for camera in cameras), strict=True)
    axes.quiver(xs, ys, us, vs, color=_PLACED, scale=18, width=0.004)
    axes.plot(xs, ys, "o", color=_PLACED, markersize=3.5)
    places = [camera["at"] for camera in cameras] + list(points)
    spans = (max(along) - min(along) for along in zip(*places, strict=True))
    for camera in legible_names(cameras, extent=max(spans)):
        _label(axes, camera["photo"], camera["at"], _PLACED)


def legible_names(
    cameras: Sequence[Mapping[str, Any]], *, extent: float
) -> list[Mapping[str, Any]]:
    """Those cameras, evenly chosen from their order, whose names do not cover one another.

    Args:
        cameras: Each with `photo` and `at` [x, y].
        extent: Longer side of the plan, in the units of `at`.
    """
    named: list[Mapping[str, Any]] = []
    for camera in cameras[:: -(-len(cameras) // _MAX_LABELS)]:
        x, y = camera["at"]
        width = _LETTER * extent * len(camera["photo"])
        if all(
            abs(x - other["at"][0]) >= max(width, _LETTER * extent * len(other["photo"]))
            or abs(y - other["at"][1]) >= _LINE * extent
            for other in named
        ):
            named.append(camera)
    return named


def _footer(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_LABELS} more" if len(names) > _MAX_LABELS else ""
    return _plain(f"Lost, near none of these: {', '.join(names[:_MAX_LABELS])}{more}")


def _plain(text: str) -> str:
    """A dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def _label(axes: Any, text: str, at: Sequence[float], colour: str, *, below: bool = False) -> None:
    axes.annotate(
        _plain(text),
        at,
        xytext=(4, -11 if below else 4),
        textcoords="offset points",
        fontsize=8,
        color=colour,
    )
