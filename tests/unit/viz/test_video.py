from pathlib import Path

import av
import numpy as np
import pytest

from scenestyle.errors import ShapeError
from scenestyle.viz.video import centred, side_by_side, write_video


def moving_gradient(num_frames: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    x = np.linspace(0, 1, width, dtype=np.float32)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    return [
        np.stack(np.broadcast_arrays((x + shift) / 2, y, np.float32(shift)), axis=-1).astype(
            np.float32
        )
        for shift in np.linspace(0, 1, num_frames, dtype=np.float32)
    ]


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") / 255 for frame in container.decode(video=0)]


def test_frames_come_back_in_order_and_nearly_unchanged(tmp_path: Path) -> None:
    frames = moving_gradient(9)
    write_video(tmp_path / "orbit.mp4", frames, fps=10)

    read = decoded(tmp_path / "orbit.mp4")

    assert len(read) == 9
    for frame, back in zip(frames, read, strict=True):
        assert np.sqrt(np.mean((frame - back) ** 2)) < 0.03


def test_browsers_can_play_it(tmp_path: Path) -> None:
    path = tmp_path / "orbit.mp4"
    write_video(path, moving_gradient(5), fps=25)

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 25
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_odd_sizes_are_padded_by_one(tmp_path: Path) -> None:
    write_video(tmp_path / "odd.mp4", moving_gradient(3, height=33, width=47), fps=10)

    assert decoded(tmp_path / "odd.mp4")[0].shape == (34, 48, 3)


def test_same_frames_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.mp4" for index in range(12)]
    for path in paths:
        write_video(path, moving_gradient(12), fps=12)

    assert len({path.read_bytes() for path in paths}) == 1


def test_no_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="no frame"):
        write_video(tmp_path / "empty.mp4", [], fps=10)


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    frames = [*moving_gradient(2), *moving_gradient(1, height=20)]

    with pytest.raises(ShapeError, match="frame 2"):
        write_video(tmp_path / "mixed.mp4", frames, fps=10)


def test_side_by_side_keeps_both_pictures_below_their_labels() -> None:
    left, right = moving_gradient(2, height=60, width=80)

    both = side_by_side(left, right, labels=("before", "after"))

    assert both.shape == (60, 160, 3)
    np.testing.assert_allclose(both[30:], np.concatenate([left, right], axis=1)[30:], atol=1 / 255)
    assert (both[:20, :40] > 0.99).all(axis=-1).any()


def test_a_smaller_image_stands_in_the_middle_of_a_black_one():
    found = centred(np.ones((3, 5, 3), np.float32), 8, 5)
    assert found.shape == (8, 5, 3)
    np.testing.assert_array_equal(found[:, 0, 0], [0, 0, 1, 1, 1, 0, 0, 0])
    whole = np.random.default_rng(0).random((3, 5, 3))
    np.testing.assert_array_equal(centred(whole, 3, 5), whole)
