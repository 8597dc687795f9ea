"""Still images out of a video: evenly spaced among its frames, each the sharpest of its part."""

import bisect
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from scenestyle.errors import InputError
from scenestyle.project.hdr import transfer_of, yuv_to_srgb

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_SIDE_FOR_SHARPNESS = 320
_JPEG_QUALITY = 95
_USUAL_RATE = 25  # frames per second of streams that do not tell, such as raw H.264
_CLOCK = 1e-4  # seconds; clocks tick in steps that decimals miss
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


@dataclass(frozen=True)
class Video:
    """What a video file says about itself, and the frames that are asked of it."""

    width: int
    """pixels, as it is shown"""
    height: int
    """pixels, as it is shown"""
    seconds: float
    """length from the first frame to the end of the last one, whatever its clock says"""
    times: tuple[float, ...]
    """when the frames between start and stop are shown, by the file's own clock, in order"""
    transfer: str | None
    """`HLG` or `PQ` of an HDR video, which is brought to the range of photos; else none"""


def inspect_video(path: Path, *, start: float = 0.0, stop: float | None = None) -> Video:
    """Read the time stamps of a video file and decode its first frame.

    Args:
        path: The file.
        start: Seconds after the first frame from which frames are wanted.
        stop: Seconds after the first frame up to which they are; none: to the end.

    Raises:
        InputError: If it is no video, or has no frame between start and stop.
    """
    with _open(path) as container:
        stream = _stream(path, container)
        every = _times(path, container, stream)
        rate = float(stream.average_rate or _USUAL_RATE)
    with _open(path) as container:
        first = next(_frames(path, container), None)
        if first is None or not every:
            raise InputError(f"{path} holds no pictures that can be decoded; export it again.")
        width, height = _shown_size(container, first)
    seconds = every[-1] - every[0] + 1 / rate
    until = float("inf") if stop is None else stop
    times = tuple(time for time in every if start <= time - every[0] + _CLOCK < until)
    if not times:
        raise InputError(
            f"{path} is {seconds:.1f} seconds long and has no frame from second {start:g}"
            + (f" to {stop:g}." if stop is not None else " on.")
        )
    return Video(width, height, seconds, times, transfer_of(first.color_trc))


def write_stills(
    path: Path, out: Path, *, count: int, start: float = 0.0, stop: float | None = None
) -> Video:
    """Cut a video into `count` parts of equally many frames; write the sharpest of each as JPEG.

    Sharpness is the variance of the Laplacian of the reduced luma (Pech-Pacheco et al. 2000).
    Stills are upright, with square pixels, and of an HDR video in the range of photos. The files
    bear the date of the video.

    Args:
        path: A video that `inspect_video` accepts.
        out: An existing folder.
        count: Number of parts; a part without frames gives no image.
        start: As for `inspect_video`.
        stop: As for `inspect_video`.

    Returns:
        What `inspect_video` says.

    Raises:
        InputError: If it is no video, or a frame cannot be decoded.
    """
    import os

    stat = path.stat()
    video = inspect_video(path, start=start, stop=stop)
    with _open(path) as container:
        for number, frame in _sharpest(_frames(path, container), video.times, count):
            still = out / f"frame_{number:04d}.jpg"
            _upright(container, frame).save(still, quality=_JPEG_QUALITY)
            os.utime(still, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return video


def _sharpest(
    frames: "Iterator[VideoFrame]", times: tuple[float, ...], count: int
) -> "Iterator[tuple[int, VideoFrame]]":
    """The sharpest frame of each part, with the part's number."""
    best: tuple[int, float, VideoFrame] | None = None
    gaps = [b - a for a, b in itertools.pairwise(times) if b > a]
    slack = min(gaps, default=1.0) / 2
    for index, frame in enumerate(frames):
        # A stream without a clock is counted.
        time = times[min(index, len(times) - 1)] if frame.time is None else frame.time
        if time < times[0] - slack:
            continue
        if time > times[-1] + slack:
            break
        rank = min(bisect.bisect_left(times, time - slack), len(times) - 1)
        part = rank * count // len(times)
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


def _upright(container: "InputContainer", frame: "VideoFrame") -> Image.Image:
    transfer = transfer_of(frame.color_trc)
    if transfer is None:
        image = frame.to_image()
    else:
        yuv = frame.reformat(format="yuv444p16le").to_ndarray()
        is_full = frame.color_range == _FULL_RANGE
        image = Image.fromarray(yuv_to_srgb(yuv, transfer, full_range=is_full))
    square = _square_size(container, frame)
    if square != image.size:
        image = image.resize(square, Image.Resampling.LANCZOS)
    return image.rotate(frame.rotation, expand=True)


def _square_size(container: "InputContainer", frame: "VideoFrame") -> tuple[int, int]:
    """Size with square pixels; the shorter side of a pixel is stretched."""
    stream = container.streams.video[0]
    ratio = stream.sample_aspect_ratio or Fraction(1)
    if ratio <= 0 or ratio == 1:
        return frame.width, frame.height
    if ratio > 1:
        return round(frame.width * ratio), frame.height
    return frame.width, round(frame.height / ratio)


def _shown_size(container: "InputContainer", frame: "VideoFrame") -> tuple[int, int]:
    width, height = _square_size(container, frame)
    return (height, width) if frame.rotation % 180 else (width, height)


def _times(path: Path, container: "InputContainer", stream: "VideoStream") -> list[float]:
    """When each frame is shown, in order; read from the packets, without decoding."""
    stamps, count = [], 0
    with _damage_in_words(path):
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard:
                count += 1
                if packet.pts is not None and packet.time_base is not None:
                    stamps.append(float(packet.pts * packet.time_base))
    if len(stamps) == count:
        return sorted(stamps)
    rate = float(stream.average_rate or _USUAL_RATE)
    return [number / rate for number in range(count)]


def _stream(path: Path, container: "InputContainer") -> "VideoStream":
    if not container.streams.video:
        raise InputError(f"{path} holds no pictures that can be decoded; export it again.")
    return container.streams.video[0]


def _open(path: Path) -> "InputContainer":
    import av

    try:
        return av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"{path} is neither a folder nor a video or ZIP file that can be read "
            f"({_reason(error)})."
        ) from error


def _frames(path: Path, container: "InputContainer") -> "Iterator[VideoFrame]":
    with _damage_in_words(path):
        yield from container.decode(_stream(path, container))


@contextmanager
def _damage_in_words(path: Path) -> Iterator[None]:
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise InputError(f"{path} is damaged ({_reason(error)}); export it again.") from error


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "no data").lower()
