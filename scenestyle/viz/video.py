"""H.264 videos that browsers play, from RGB frames in [0, 1]."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import ImageOps

from scenestyle.errors import ShapeError
from scenestyle.viz.contact_sheet import text_image, to_pil

_LABEL_MARGIN = 4


def write_video(
    path: Path, frames: Iterable[Float[np.ndarray, "height width 3"]], *, fps: int, crf: int = 18
) -> None:
    """Write an MP4 that starts playing before it is read whole (H.264, yuv420p, index in front).

    The same frames give the same bytes: no clock or thread takes part. An odd last row or
    column is repeated once, because yuv420p halves the colour resolution.

    Args:
        path: The `.mp4` to write.
        frames: RGB in [0, 1], all of one size; read one at a time.
        fps: Frames per second.
        crf: Constant rate factor, 0 (lossless) to 51.

    Raises:
        ShapeError: If there is no frame, or frames differ in size.
    """
    import av

    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ShapeError(f"{path.name}: got no frame, wanted at least one.")
    first = _even(first)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        # Equal frames gave differing bytes about every third time with x264's macroblock tree.
        stream.options = {"crf": str(crf), "threads": "1", "x264-params": "mbtree=0"}
        for frame in _same_size(chain([first], map(_even, frames)), path.name):
            picture = av.VideoFrame.from_image(to_pil(frame))
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def centred(
    picture: Float[np.ndarray, "_ _ 3"], height: int, width: int
) -> Float[np.ndarray, "{height} {width} 3"]:
    """An image in the middle of a black one that is no smaller; alone if it is as large."""
    down, across = height - picture.shape[0], width - picture.shape[1]
    margins = ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0))
    return np.pad(picture, margins)


def side_by_side(
    left: Float[np.ndarray, "height width 3"],
    right: Float[np.ndarray, "height width 3"],
    *,
    labels: tuple[str, str],
) -> Float[np.ndarray, "height both_widths 3"]:
    """Two images of one size beside each other, each with a small label at its upper left."""
    pictures = [_labelled(*pair) for pair in zip((left, right), labels, strict=True)]
    return np.concatenate(pictures, axis=1)


def _labelled(
    picture: Float[np.ndarray, "height width 3"], text: str
) -> Float[np.ndarray, "height width 3"]:
    image = to_pil(picture)
    label = text_image(text, image.width, font_size=max(9, image.width // 24))
    tag = ImageOps.expand(label, _LABEL_MARGIN, fill="white")
    # Players lay their controls over the lower edge.
    image.paste(tag, (_LABEL_MARGIN, _LABEL_MARGIN))
    return np.asarray(image, dtype=np.float32) / 255


def _even(picture: Float[np.ndarray, "_ _ 3"]) -> Float[np.ndarray, "_ _ 3"]:
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _same_size(
    frames: Iterable[Float[np.ndarray, "_ _ 3"]], name: str
) -> Iterator[Float[np.ndarray, "_ _ 3"]]:
    wanted = None
    for index, frame in enumerate(frames):
        wanted = wanted or frame.shape
        if frame.shape != wanted:
            raise ShapeError(f"{name}: frame {index} is {frame.shape}, the first was {wanted}.")
        yield frame
