"""Which views stand for all of them."""

from collections.abc import Sequence

import numpy as np

from scenestyle.cameras import PinholeCamera


def farthest_views(cameras: Sequence[PinholeCamera], count: int) -> list[int]:
    """Indices of `count` cameras that cover the scene, by farthest-point sampling, ascending.

    The distance of two cameras is that of their centres, in units of the root mean square distance
    from the mean centre, plus that of their viewing directions (unit vectors). The first is the one
    nearest to the middle of all; each further one is the farthest from those chosen (Gonzalez 1985,
    "Clustering to minimize the maximum intercluster distance"). Ties go to the lower index.
    """
    features = _features(cameras)
    chosen = [int(np.argmin(np.linalg.norm(features - features.mean(0), axis=1)))]
    while len(chosen) < min(count, len(cameras)):
        gaps = np.stack([_gaps(features, features[index]) for index in chosen]).min(0)
        gaps[chosen] = -1
        chosen.append(int(np.argmax(gaps)))
    return sorted(chosen)


def _features(cameras: Sequence[PinholeCamera]) -> np.ndarray:
    poses = np.stack([camera.c2w_opengl for camera in cameras])
    centres = poses[:, :3, 3] - poses[:, :3, 3].mean(0)
    spread = np.sqrt(np.square(centres).sum(1).mean())
    directions = -poses[:, :3, 2]
    return np.concatenate([centres / max(spread, 1e-9), directions], axis=1)


def _gaps(features: np.ndarray, to: np.ndarray) -> np.ndarray:
    difference = features - to
    return np.linalg.norm(difference[:, :3], axis=1) + np.linalg.norm(difference[:, 3:], axis=1)
