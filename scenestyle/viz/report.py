"""The report of one edit: a single HTML page that opens from disk and asks the network for nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from scenestyle.viz.figures import Figure
from scenestyle.viz.page import render_page

Picture = Float[np.ndarray, "_ _ 3"]


@dataclass(frozen=True)
class Comparison:
    """One camera before and after the edit."""

    name: str
    """of the view"""
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
    video_mp4: bytes
    """orbit, before beside after"""
    comparisons: Sequence[Comparison]
    contact_sheet: Picture
    """views from photo to restyled field"""
    figures: Sequence[Figure]
    charts: Sequence[Chart]
    seconds: Mapping[str, float]
    """stage -> wall-clock time"""
    settings: Mapping[str, str]
    """name -> value: model, revision, seeds, parameters, versions"""
    commands: Mapping[str, str]
    """what it does -> command line"""


def render_report(report: Report) -> str:
    """The page as HTML: pictures as JPEG, the video and the charts embedded as data URIs.

    The same report gives the same page.
    """
    return render_page("report.html.jinja", report=report)
