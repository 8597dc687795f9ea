from dataclasses import replace

import numpy as np
import pytest

from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ShapeError
from scenestyle.geometry import focus_from_depths, is_rigid, look_at, pixel_rays, smooth_orbit

UP = np.array([0.0, 0, 1])
FOCUS = np.array([0.3, -0.2, 0.5])


def camera(centre, target=FOCUS):
    return PinholeCamera(
        look_at(np.asarray(centre, float), np.asarray(target, float), UP),
        fx=50.0, fy=50.0, cx=20.0, cy=15.0, width=40, height=30,
    )  # fmt: skip


def on_sphere(azimuths, elevations, distances):
    """Centres around the focus; angles in degrees."""
    a, e = np.broadcast_arrays(np.radians(azimuths), np.radians(elevations))
    directions = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=-1)
    return FOCUS + np.asarray(distances)[..., None] * directions


def ring(start, stop, n=24, seed=0):
    rng = np.random.default_rng(seed)
    azimuths = np.linspace(start, stop, n, endpoint=False)
    elevations, distances = rng.uniform(20, 35, n), rng.uniform(3.8, 4.2, n)
    return [camera(c) for c in on_sphere(azimuths, elevations, distances)]


def forward_facing(n=20, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.stack([np.full(n, 6.0), *rng.uniform(-0.5, 0.5, (2, n))], axis=-1)
    return [camera(c, target=c - [6, 0, 0]) for c in centres]


def centres_of(path):
    return np.stack([frame.c2w_opengl[:3, 3] for frame in path])


CAPTURES = {
    "full circle": ring(0, 360),
    "arc": ring(-100, 100),
    "forward-facing": forward_facing(),
}


@pytest.fixture(params=CAPTURES)
def capture(request):
    return CAPTURES[request.param]


def test_every_frame_is_rigid_and_looks_at_the_focus(capture):
    for frame in smooth_orbit(capture, 30, focus=FOCUS):
        assert is_rigid(frame.c2w_opengl)
        toward = FOCUS - frame.c2w_opengl[:3, 3]
        np.testing.assert_allclose(
            -frame.c2w_opengl[:3, 2], toward / np.linalg.norm(toward), atol=1e-9
        )
        assert (frame.width, frame.height, frame.fx) == (40, 30, 50.0)


def test_the_path_is_closed_and_smooth(capture):
    """No step, the one from the last frame to the first included, is far longer than the others."""
    centres = centres_of(smooth_orbit(capture, 90, focus=FOCUS))
    steps = np.linalg.norm(centres - np.roll(centres, 1, axis=0), axis=-1)
    bends = np.linalg.norm(np.diff(centres, n=2, axis=0), axis=-1)
    assert steps.max() < 2 * np.pi * 6 / 90
    assert bends.max() < 0.15 * steps.max()


def test_the_path_stays_where_the_capture_has_been(capture):
    """Not one frame lies outside the box of the cameras by more than their usual spacing."""
    centres, seen = centres_of(smooth_orbit(capture, 60, focus=FOCUS)), centres_of(capture)
    margin = 0.1 * np.ptp(seen, axis=0).max()
    assert (centres > seen.min(axis=0) - margin).all()
    assert (centres < seen.max(axis=0) + margin).all()


def test_a_full_circle_is_turned_once():
    offsets = centres_of(smooth_orbit(CAPTURES["full circle"], 60, focus=FOCUS)) - FOCUS
    turned = np.unwrap(np.arctan2(offsets[:, 1], offsets[:, 0]))
    assert abs(turned[-1] - turned[0]) == pytest.approx(2 * np.pi * 59 / 60, rel=0.02)


def test_an_arc_is_never_left_into_its_gap():
    offsets = centres_of(smooth_orbit(CAPTURES["arc"], 60, focus=FOCUS)) - FOCUS
    assert np.abs(np.degrees(np.arctan2(offsets[:, 1], offsets[:, 0]))).max() < 100


def test_the_path_is_novel(capture):
    """A path that merely repeated the cameras would show nothing new."""
    centres, seen = centres_of(smooth_orbit(capture, 60, focus=FOCUS)), centres_of(capture)
    nearest = np.linalg.norm(centres[:, None] - seen[None], axis=-1).min(axis=1)
    assert np.median(nearest) > 0.01


def test_two_cameras_make_no_orbit():
    with pytest.raises(ShapeError, match="got 2"):
        smooth_orbit(CAPTURES["arc"][:2], 10, focus=FOCUS)


def test_focus_of_cameras_over_a_ground_is_where_they_look():
    target = np.array([0.5, -0.4, 0.0])
    cameras = [camera(c, target) for c in on_sphere(np.arange(0, 360, 30), 30.0, np.full(12, 4))]
    depths_z = [-c.c2w_opengl[2, 3] / pixel_rays(c)[..., 2] for c in cameras]
    np.testing.assert_allclose(focus_from_depths(cameras, depths_z), target, atol=0.05)


def test_focus_ignores_infinite_depth_and_needs_some_depth():
    cameras = [camera(c) for c in on_sphere([0, 40, 80], 30.0, np.full(3, 4))]
    depth_z = np.full((30, 40), 4.0)
    half_empty = depth_z.copy()
    half_empty[:, 20:] = np.inf
    focus = focus_from_depths(cameras, [half_empty, depth_z, depth_z])
    np.testing.assert_allclose(focus, FOCUS, atol=0.3)
    with pytest.raises(ShapeError, match="no focus"):
        focus_from_depths(cameras, [np.full((30, 40), np.inf)] * 3)


def test_an_orbit_has_the_commonest_size_of_the_capture():
    wide = CAPTURES["arc"]
    high = [replace(camera, width=camera.height, height=camera.width) for camera in wide]
    (frame,) = smooth_orbit([high[0], *wide[1:]], 1, focus=FOCUS)
    assert (frame.width, frame.height) == (wide[1].width, wide[1].height)
    (frame,) = smooth_orbit([wide[0], *high[1:]], 1, focus=FOCUS)
    assert (frame.width, frame.height) == (high[1].width, high[1].height)
