"""What a large capture will cost, told before anything is read."""

import math
import os

from scenestyle.cameras import fit_within
from scenestyle.capture import Capture
from scenestyle.params import EstimatePoses

_MANY = 200
"""photos up to which every pair is matched"""
_MUCH = 2_000_000_000
"""bytes of photos from which taking them in is felt"""
_DECODE = 0.008
"""seconds per megapixel: a photo read whole and decoded at an eighth of its size"""
_COPY = 100_000_000
"""bytes per second that are read, hashed and copied twice: to the project and to DVC's cache"""
_FEATURES = 1.2
"""seconds per megapixel of the reduced photo: SIFT on one core"""
_PAIR = 0.13
"""seconds per megapixel: matching two photos on one core"""
_WINDOW = 10
_PLACING = 0.6
"""seconds per photo on one core: placing it and adjusting what is there; 0.04 to 1.2 were seen"""
_LONG = 900
"""seconds of finding poses from which a person should know before"""


def sentence_of_costs(capture: Capture) -> str:
    """What reading and posing a large capture takes on this machine, roughly; empty for others.

    From the heads of the files; the rates stand above, rough ones of two cores. On the captures of
    `benchmarks/results/captures_*` they tell 0.7 to 1.8 times of what was measured.
    """
    number = len(capture.photos)
    size = sum(photo.path.stat().st_size for photo in capture.photos)
    posing = 0.0 if capture.model is not None else _posing(capture)
    if number < _MANY and size < _MUCH and posing < _LONG:
        return ""
    pixels = sum(width * height for width, height in (p.size for p in capture.photos)) / 1e6
    reading = pixels * _DECODE / (os.cpu_count() or 1) + size / _COPY
    words = (
        f"{number:,} photos, {size / 1e9:.1f} GB: checking and copying them takes about "
        f"{_span(reading)}"
    )
    if capture.model is not None:
        return f"{words}. They come with poses."
    return (
        f"{words}, finding their poses about {_span(posing)}. 20 to 100 photos are enough for most "
        "scenes."
    )


def _posing(capture: Capture) -> float:
    """Seconds until the photos have poses."""
    number = len(capture.photos)
    reduced = [fit_within(*p.size, EstimatePoses().max_image_side) for p in capture.photos]
    area = sum(width * height for width, height in reduced) / 1e6
    partners = (number - 1) / 2 if number <= _MANY else _WINDOW + math.log2(number)
    return area * (_FEATURES + partners * _PAIR) / (os.cpu_count() or 1) + number * _PLACING


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
