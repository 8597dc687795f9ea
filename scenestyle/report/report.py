"""The report of one edit: an HTML page that opens from disk and needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from scenestyle.report.look import Look, viewer_program
from scenestyle.report.verdicts import Figure, overall
from scenestyle.viz.maps import scale_bar
from scenestyle.viz.page import render_page

Picture = Float[np.ndarray, "_ _ 3"]

_SHOWN_SIDE, _FIT_SIDE = 768, 320
"""longest side of an image on the page, pixels: of the views shown large, and of all views"""


@dataclass(frozen=True)
class Comparison:
    """Two images of one camera, for a slider between them."""

    name: str
    """name of the view"""
    before: Picture
    """RGB in [0, 1]"""
    after: Picture
    """RGB in [0, 1], of the same size"""


@dataclass(frozen=True)
class Chart:
    """A drawn curve and what it shows."""

    title: str
    svg: bytes


@dataclass(frozen=True)
class Capture:
    """What became of the photos."""

    cameras: Chart
    """where they were taken, from above"""
    summary: str
    """how many have a place, and how firm it is"""
    lost: Sequence[tuple[str, str]]
    """photos without a place, and what to do about each"""


@dataclass(frozen=True)
class Maps:
    """Frames beside the maps of what is wrong with them."""

    sheet: Picture
    """one row per frame"""
    flicker: Chart
    """the warp error of every frame"""
    top_error: float
    """warp error of the brightest colour"""
    depth_limit: float
    """relative change of depth of the deepest colours"""


@dataclass(frozen=True)
class Report:
    """Everything that the page shows; all texts are plain text and get escaped."""

    scene: str
    """id"""
    style: str
    """id"""
    caption: str
    """what the scene shows"""
    prompt: str
    """the sentence that restyled it, filled in"""
    warnings: Sequence[str]
    """what was amiss with the sentence or the scene when the views were restyled"""
    look: Look
    """the scene as points, to look round"""
    video_mp4: bytes
    """orbit, before beside after"""
    comparisons: Sequence[Comparison]
    """some views before and after the edit"""
    contact_sheet: Picture
    """the same views from photo to restyled field"""
    fits: Sequence[Comparison]
    """every view as the stylized image and as the finetuned field's render"""
    figures: Sequence[Figure]
    not_computed: Mapping[str, str]
    """figures that could not be computed -> why"""
    capture: Capture
    maps: Maps
    charts: Sequence[Chart]
    seconds: Mapping[str, float]
    """stage -> wall-clock time"""
    settings: Mapping[str, str]
    """name -> value: model, revision, seeds, parameters, versions"""
    commands: Mapping[str, str]
    """what it does -> command line"""


def render_report(report: Report) -> str:
    """The page as HTML: images as JPEG, the video and the charts embedded as data URIs.

    Images are reduced to what a screen shows, so that 32 views stay below 15 MB. The same report
    gives the same page.
    """
    return render_page(
        "scenestyle.report",
        "report.html.jinja",
        report=report,
        overall=overall(report.figures),
        viewer=viewer_program(),
        scale_bars={kind: scale_bar(kind) for kind in ("errors", "changes")},
        shown_side=_SHOWN_SIDE,
        fit_side=_FIT_SIDE,
    )
