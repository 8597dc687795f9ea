"""Axes that point up, without the imports that turning needs."""

from typing import Literal

Up = Literal["y-down", "y", "z"]
"""which axis of a file of splats points up: against y, as in the files of 3DGS, which their viewers
set upright; y, as in game engines and glTF; or z, as in the field's frame and in Blender"""
