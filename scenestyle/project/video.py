"""Still images out of a video: evenly spaced in time, each the sharpest of its part."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenestyle.errors import InputError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

_SIDE_FOR_SHARPNESS = 320
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Video:
    """What a video file says about itself."""

    width: int
    """pixels, as it is shown"""
    height: int
    """pixels, as it is shown"""
    seconds: float
    """length"""


def inspect_video(path: Path) -> Video:
    """Read the head of a video file and its first frame.

    Raises:
        InputError: If it is no video, or its length is not known.
    """
    with _open(path) as container:
        first = next(_frames(path, container), None)
        seconds = (container.duration or 0) / 1e6
        if first is None or seconds <= 0:
            raise InputError(f"{path} holds no pictures or does not say how long it is.")
        width, height = first.width, first.height
    if first.rotation % 180:
        width, height = height, width
    return Video(width, height, seconds)


def write_stills(path: Path, out: Path, *, count: int) -> None:
    """Cut a video into `count` equal parts; write the sharpest frame of each as JPEG.

    Sharpness is the variance of the Laplacian of the reduced luma (Pech-Pacheco et al. 2000). The
    files bear the date of the video.

    Args:
        path: A video that `inspect_video` accepts.
        out: An existing folder.
        count: Number of parts; a part without frames gives no image.

    Raises:
        InputError: If a frame cannot be decoded.
    """
    import os

    stat = path.stat()
    seconds = inspect_video(path).seconds
    with _open(path) as container:
        for number, frame in _sharpest(_frames(path, container), seconds, count):
            still = out / f"frame_{number:04d}.jpg"
            image = frame.to_image().rotate(frame.rotation, expand=True)
            image.save(still, quality=_JPEG_QUALITY)
            os.utime(still, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def _sharpest(
    frames: "Iterator[VideoFrame]", seconds: float, count: int
) -> "Iterator[tuple[int, VideoFrame]]":
    """The sharpest frame of each part, with the part's number."""
    best: tuple[int, float, VideoFrame] | None = None
    for frame in frames:
        part = min(int((frame.time or 0) / seconds * count), count - 1)
        if best is not None and part != best[0]:
            yield best[0], best[2]
            best = None
        value = sharpness(_luma(frame))
        if best is None or value > best[1]:
            best = part, value, frame
    if best is not None:
        yield best[0], best[2]


def sharpness(luma: np.ndarray) -> float:
    """Variance of the Laplacian of a grey image, in squared grey levels."""
    grey = luma.astype(np.float32)
    inside = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inside
    return float(laplacian.var())


def _luma(frame: "VideoFrame") -> np.ndarray:
    scale = min(1.0, _SIDE_FOR_SHARPNESS / max(frame.width, frame.height))
    width, height = max(8, round(frame.width * scale)), max(8, round(frame.height * scale))
    return frame.reformat(width=width, height=height, format="gray").to_ndarray()


def _open(path: Path) -> "InputContainer":
    import av

    try:
        return av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} is not a video that can be read ({error}).") from error


def _frames(path: Path, container: "InputContainer") -> "Iterator[VideoFrame]":
    import av

    if not container.streams.video:
        raise InputError(f"{path} holds no pictures.")
    try:
        yield from container.decode(container.streams.video[0])
    except av.FFmpegError as error:
        raise InputError(f"{path} is damaged ({error}); export it again.") from error
