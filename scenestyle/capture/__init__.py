"""Captures as people bring them: every layout is read into one `Capture`, by one front door.

`scenestyle add-scene` and the stage `estimate_poses` call the same `read_capture`, so that what one
refuses the other refuses, in the same words. Imports pycolmap, and only inside functions.
"""

from scenestyle.capture.capture import MIN_PHOTOS, Capture, Photo
from scenestyle.capture.read import read_capture

__all__ = ["MIN_PHOTOS", "Capture", "Photo", "read_capture"]
