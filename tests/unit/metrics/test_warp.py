import numpy as np
import pytest

from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError
from scenestyle.metrics.warp import (
    link_views,
    nearest_pairs,
    perceptual_warp_errors,
    visible_share,
    warp_errors,
    warp_residual,
)
from training.procedural.raycast import Room, Scene, field_of_view_camera, look_at, render
from training.procedural.solids import Primitive
from training.procedural.textures import Texture

WIDTH, HEIGHT, FOCAL = 64, 24, 32.0
FAR_SHIFT, NEAR_SHIFT = 2, 8
"""pixels that a surface moves left per frame; both whole, so that nothing is resampled"""
POSTER = slice(8, 16), slice(40, 48)
"""the near surface in frame 0"""
HIDDEN = slice(8, 16), slice(34, 40)
"""what frame 0 shows of the wall where the poster will stand in frame 1"""


def shifted_cameras(num_frames: int) -> list[PinholeCamera]:
    """Side steps of one scene unit, looking along -z."""
    poses = [np.eye(4) for _ in range(num_frames)]
    for step, c2w_opengl in enumerate(poses):
        c2w_opengl[0, 3] = step
    return [
        PinholeCamera(pose, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT) for pose in poses
    ]


def poster_before_wall(num_frames: int = 2) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Frames and z-depths of a noisy poster in front of a noisy wall, exact in every pixel."""
    wall = (
        np.random.default_rng(0)
        .random((HEIGHT, WIDTH + FAR_SHIFT * num_frames, 3))
        .astype(np.float32)
    )
    poster = np.random.default_rng(1).random((8, 8, 3)).astype(np.float32)
    frames, depths_z = [], []
    for step in range(num_frames):
        frame = wall[:, FAR_SHIFT * step :][:, :WIDTH].copy()
        depth_z = np.full((HEIGHT, WIDTH), FOCAL / FAR_SHIFT, np.float32)
        rows, columns = POSTER
        moved = slice(columns.start - NEAR_SHIFT * step, columns.stop - NEAR_SHIFT * step)
        frame[rows, moved] = poster
        depth_z[rows, moved] = FOCAL / NEAR_SHIFT
        frames.append(frame)
        depths_z.append(depth_z)
    return frames, depths_z


def painted(frame: np.ndarray, where: tuple[slice, slice], change: float) -> np.ndarray:
    copy = frame.copy()
    copy[where] += np.float32(change)
    return copy


def test_a_pure_shift_is_consistent() -> None:
    frames, depths_z = poster_before_wall()
    links = link_views(depths_z, shifted_cameras(2), gap=1, tau=0.02)

    assert warp_errors(frames, links) == pytest.approx([0], abs=1e-6)
    hidden, gone = 6 * 8, FAR_SHIFT * HEIGHT
    assert visible_share(links) == 1 - (hidden + gone) / (WIDTH * HEIGHT)


def test_the_same_figure_without_the_mask_or_the_warp_would_be_large() -> None:
    frames, _ = poster_before_wall()

    assert np.sqrt(np.mean((frames[0] - frames[1]) ** 2)) > 0.3


@pytest.mark.parametrize("frame", [0, 1])
def test_an_unoccluded_change_of_one_view_is_found_and_measured(frame: int) -> None:
    frames, depths_z = poster_before_wall()
    links = link_views(depths_z, shifted_cameras(2), gap=1, tau=0.02)
    frames[frame] = painted(frames[frame], (slice(18, 22), slice(20, 30)), 0.5)

    expected = np.sqrt(40 * 0.5**2 / links[0].is_visible.sum())

    assert warp_errors(frames, links) == pytest.approx([expected], rel=1e-5)


def test_a_change_that_the_other_view_cannot_see_does_not_count() -> None:
    frames, depths_z = poster_before_wall()
    links = link_views(depths_z, shifted_cameras(2), gap=1, tau=0.02)
    frames[0] = painted(frames[0], HIDDEN, 0.5)

    assert warp_errors(frames, links) == pytest.approx([0], abs=1e-6)


def test_pixels_without_a_surface_do_not_count() -> None:
    frames, depths_z = poster_before_wall()
    sky = slice(0, 4), slice(None)
    for depth_z in depths_z:
        depth_z[sky] = np.nan
    frames[0] = painted(frames[0], sky, 0.5)

    links = link_views(depths_z, shifted_cameras(2), gap=1, tau=0.02)

    assert warp_errors(frames, links) == pytest.approx([0], abs=1e-6)


def test_pairs_are_gap_frames_apart() -> None:
    frames, depths_z = poster_before_wall(num_frames=5)
    frames[4] = painted(frames[4], (slice(18, 22), slice(20, 30)), 0.5)

    links = link_views(depths_z, shifted_cameras(5), gap=3, tau=0.02)

    assert [(link.i, link.j) for link in links] == [(3, 0), (4, 1)]
    first, second = warp_errors(frames, links)
    assert first < 1e-6 < 0.01 < second


def test_views_that_share_nothing_are_refused() -> None:
    frames, depths_z = poster_before_wall()
    links = link_views(
        [np.full_like(d, np.nan) for d in depths_z], shifted_cameras(2), gap=1, tau=0.02
    )

    with pytest.raises(ArtifactError, match="common surface"):
        warp_errors(frames, links)


def still_life() -> Scene:
    """Textured solids in a room, without sheen or haze: every point looks the same from anywhere."""
    cloth = Texture((0.8, 0.3, 0.2), (0.2, 0.3, 0.7), "marble", frequency=1.0, grain=0.0)
    return Scene(
        primitives=(
            Primitive("sphere", (0.0, 0.6, 0.0), 0.6, 0.0, cloth),
            Primitive("box", (1.0, 0.4, -0.8), 0.4, 0.4, cloth, yaw=0.4),
        ),
        ground=cloth,
        surroundings=Room(4.0, 4.0, 4.0, cloth),
        light_direction=(0.0, 1.0, 0.0),
    )


def circling_cameras(num_frames: int, width: int) -> list[PinholeCamera]:
    return [
        field_of_view_camera(
            look_at((3.2 * np.sin(angle), 1.6, 3.2 * np.cos(angle)), (0.0, 0.5, 0.0)),
            width,
            3 * width // 4,
            0.9,
        )
        for angle in np.linspace(0, 0.6, num_frames)
    ]


def ray_cast(
    num_frames: int, width: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[PinholeCamera]]:
    cameras = circling_cameras(num_frames, width)
    buffers = [render(still_life(), camera, samples_per_axis=2) for camera in cameras]
    return [b.rgb for b in buffers], [b.depth_z for b in buffers], cameras


def test_a_static_scene_is_consistent_up_to_sampling_and_more_so_when_sampled_finer() -> None:
    coarse, fine = (
        warp_errors(frames, link_views(depths_z, cameras, gap=1, tau=0.02)).mean()
        for frames, depths_z, cameras in (ray_cast(3, 96), ray_cast(3, 288))
    )
    frames, _, _ = ray_cast(3, 96)
    unwarped = np.sqrt(np.mean((frames[0] - frames[1]) ** 2))

    assert coarse < 0.2 * unwarped
    assert fine < 0.8 * coarse


def test_the_map_shows_where_a_pair_disagrees_and_sums_up_to_the_error() -> None:
    frames, depths_z = poster_before_wall()
    (link,) = link_views(depths_z, shifted_cameras(2), gap=1, tau=0.02)
    where = slice(18, 22), slice(20, 30)
    frames[0] = painted(frames[0], where, 0.5)

    residual = warp_residual(frames, link)

    assert residual[where] == pytest.approx(0.5, rel=1e-5)
    assert np.nansum(residual) == pytest.approx(40 * 0.5, rel=1e-4)
    assert np.isnan(residual[HIDDEN]).all()
    assert np.sqrt(np.nanmean(residual**2)) == pytest.approx(warp_errors(frames, [link])[0])


def absolute_difference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(x - y).mean(axis=-1)


def test_a_perceptual_distance_is_averaged_over_what_both_see() -> None:
    frames, depths_z = poster_before_wall()
    links = link_views(depths_z, shifted_cameras(2), gap=1, tau=0.02)

    assert perceptual_warp_errors(frames, links, absolute_difference) == pytest.approx(
        [0], abs=1e-6
    )
    frames[0] = painted(frames[0], (slice(18, 22), slice(20, 30)), 0.5)
    frames[0] = painted(frames[0], HIDDEN, 0.5)
    assert perceptual_warp_errors(frames, links, absolute_difference) == pytest.approx(
        [40 * 0.5 / links[0].is_visible.sum()], rel=1e-5
    )


def test_what_does_not_show_is_filled_so_that_no_seam_is_compared() -> None:
    frames, depths_z = poster_before_wall()
    links = link_views(depths_z, shifted_cameras(2), gap=1, tau=0.02)
    seen = []

    perceptual_warp_errors(frames, links, lambda x, y: seen.append((x, y)) or x[..., 0])

    ((filled, frame),) = seen
    assert filled == pytest.approx(frame, abs=1e-6)


def test_views_are_paired_with_their_nearest_each_pair_once() -> None:
    cameras = shifted_cameras(5)
    order = [4, 0, 3, 1]  # at x = 4, 0, 3, 1

    assert nearest_pairs([cameras[step] for step in order]) == [(2, 0), (3, 1)]
