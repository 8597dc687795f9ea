"""Camera poses of a scene's photos: structure from motion by COLMAP, or a posed dataset taken over.

The only room that imports pycolmap, and only inside functions.
"""

from scenestyle.sfm.estimate import estimate_poses

__all__ = ["estimate_poses"]
