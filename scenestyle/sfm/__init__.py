"""Camera poses of a scene's photos: structure from motion by COLMAP, or a posed dataset taken over.

Imports pycolmap, as `scenestyle.capture` does, and only inside functions.
"""

from scenestyle.sfm.estimate import estimate_poses

__all__ = ["estimate_poses"]
