"""Many images on one labelled page.

Images are RGB in [0, 1], channels last; write a sheet with `artifacts.write_rgb`.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from scenestyle.cameras import fit_within
from scenestyle.errors import ShapeError

_PAPER, _INK = "white", (40, 40, 46)
_GAP, _FONT_SIZE, _MAX_LABEL_WIDTH = 8, 15, 180


def contact_sheet(
    rows: Sequence[Sequence[Float[np.ndarray, "_ _ 3"]]],
    *,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    max_picture_side: int = 256,
) -> Float[np.ndarray, "height width 3"]:
    """Lay images out on a white grid, one row per entry of `rows`.

    Images of any sizes mix; each keeps its shape, is never enlarged, and sits in the middle of
    its cell. A short row leaves its last cells empty. The same images give the same bytes.

    Args:
        rows: RGB images in [0, 1], channels last.
        row_labels: One text per row, at its left; long ones are wrapped. None: no labels.
        column_labels: One text per column, above it.
        max_picture_side: Longest side of an image on the sheet, pixels.

    Returns:
        The sheet, float32 RGB in [0, 1].

    Raises:
        ShapeError: If there is no image, or the labels do not fit the rows or columns.
    """
    num_columns = max((len(row) for row in rows), default=0)
    if num_columns == 0:
        raise ShapeError("contact_sheet: got no picture, wanted at least one.")
    _check_labels(row_labels, len(rows), "row")
    _check_labels(column_labels, num_columns, "column")
    grid = [[_thumbnail(picture, max_picture_side) for picture in row] for row in rows]
    picture_width = max(cell.width for row in grid for cell in row)
    if column_labels is not None:
        grid.insert(0, [text_image(text, picture_width) for text in column_labels])
    if row_labels is not None:
        corner = [""] if column_labels is not None else []
        for row, text in zip(grid, [*corner, *row_labels], strict=True):
            row.insert(0, text_image(text, _MAX_LABEL_WIDTH))
    return np.asarray(_paste_grid(grid), dtype=np.float32) / 255


def to_pil(picture: Float[np.ndarray, "height width 3"]) -> Image.Image:
    """An 8-bit image, rounded to nearest; values outside [0, 1] are clipped."""
    return Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))


def text_image(text: str, max_width: int, *, font_size: int = _FONT_SIZE) -> Image.Image:
    """Dark text on white, cropped to its ink and wrapped to `max_width` pixels where words allow.

    Pillow's own font is used, so that labels look the same on every machine.
    """
    font = ImageFont.load_default(font_size)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > max_width:
            lines.append(word)
        else:
            lines[-1] = longer
    wrapped = "\n".join(lines)
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left, top, right, bottom = measure.multiline_textbbox((0, 0), wrapped, font=font)
    image = Image.new("RGB", (math.ceil(right - left), math.ceil(bottom - top)), _PAPER)
    ImageDraw.Draw(image).multiline_text(
        (-left, -top), wrapped, fill=_INK, font=font, align="center"
    )
    return image


def _check_labels(labels: Sequence[str] | None, wanted: int, kind: str) -> None:
    if labels is not None and len(labels) != wanted:
        raise ShapeError(
            f"contact_sheet: got {len(labels)} {kind} labels for {wanted} {kind}s; "
            "pass one each, or None."
        )


def _thumbnail(picture: Float[np.ndarray, "height width 3"], max_side: int) -> Image.Image:
    image = to_pil(picture)
    size = fit_within(image.width, image.height, max_side)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def _paste_grid(grid: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Every image in the middle of its cell; columns as wide, rows as high as their largest."""
    columns = itertools.zip_longest(*grid)
    widths = [max(cell.width for cell in column if cell is not None) for column in columns]
    heights = [max(cell.height for cell in row) for row in grid]
    xs = list(itertools.accumulate((width + _GAP for width in widths), initial=_GAP))
    ys = list(itertools.accumulate((height + _GAP for height in heights), initial=_GAP))
    sheet = Image.new("RGB", (xs[-1], ys[-1]), _PAPER)
    for row, y, height in zip(grid, ys, heights, strict=False):
        for cell, x, width in zip(row, xs, widths, strict=False):
            sheet.paste(cell, (x + (width - cell.width) // 2, y + (height - cell.height) // 2))
    return sheet
