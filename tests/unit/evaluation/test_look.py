import numpy as np
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.evaluation.look import most_seen
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, rasterize
from scenestyle.splat_file import SplatFile

CAMERA = PinholeCamera(np.eye(4), 60.0, 60.0, 32.0, 24.0, 64, 48)


def wall(count: int, z: float, size: float, generator: np.random.Generator) -> SplatFile:
    """Opaque Gaussians at a depth in front of the camera."""
    xy = generator.uniform(-0.5, 0.5, (count, 2)) * -z
    quats = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    parts = (
        np.column_stack([xy, np.full(count, z)]),
        quats,
        np.full((count, 3), np.log(size)),
        np.full(count, 6.0),
        generator.normal(size=(count, 1, 3)),
    )
    return SplatFile(*(part.astype(np.float32) for part in parts))


def both(a: SplatFile, b: SplatFile) -> SplatFile:
    names = ("means", "quats", "log_scales", "logits", "harmonics")
    return SplatFile(*(np.concatenate([getattr(a, name), getattr(b, name)]) for name in names))


def image(splats: SplatFile) -> np.ndarray:
    names = ("means", "quats", "log_scales", "logits", "harmonics")
    gaussians = Gaussians(*(torch.from_numpy(getattr(splats, name)) for name in names))
    return rasterize(gaussians, CAMERA).rgb.detach().numpy()


def test_what_is_hidden_goes_first() -> None:
    generator = np.random.default_rng(0)
    hidden, seen = wall(200, -6.0, 0.2, generator), wall(200, -2.0, 0.2, generator)
    scene = both(hidden, seen)

    kept = most_seen(scene, [CAMERA], 210)

    assert len(kept.means) == 210
    assert np.isin(seen.means[:, 0], kept.means[:, 0]).mean() > 0.8
    np.testing.assert_allclose(image(kept), image(scene), atol=0.2)
    assert np.abs(image(kept) - image(scene)).mean() < 1e-3
    places = [np.flatnonzero(scene.means[:, 0] == x)[0] for x in kept.means[:, 0]]
    assert places == sorted(places)


def test_few_enough_stay_as_they_are() -> None:
    splats = wall(20, -2.0, 0.2, np.random.default_rng(0))

    assert most_seen(splats, [CAMERA], 20) is splats
