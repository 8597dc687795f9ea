"""Takes an image whose look a style is to have into the project."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from scenestyle.errors import InputError, reason


@contextmanager
def taken_in(source: Path | None, style: str, folder: Path) -> Iterator[dict[str, str]]:
    """Copy a style's image to `folder/STYLE.SUFFIX`; if the block fails, the copy is gone again.

    Yields:
        The style's parameters `image` and `image_sha256`; none without a source.

    Raises:
        InputError: If the source is not an image, or another one is there under this name.
    """
    if source is None:
        yield {}
        return
    _check_picture(source)
    target = folder / f"{style}{source.suffix.lower()}"
    is_there = target.exists()
    if is_there and not target.samefile(source):
        raise InputError(
            f"{target} exists already. Choose another name for the style, remove that file, or "
            f"take it as it is: "
            f"--image {target}"
        )
    if not is_there:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    try:
        yield {
            "image": target.as_posix(),
            "image_sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        }
    except BaseException:
        if not is_there:
            target.unlink()
        raise


def _check_picture(source: Path) -> None:
    try:
        with Image.open(source) as picture:
            picture.verify()
    except (OSError, SyntaxError) as error:
        raise InputError(f"{source} cannot be read as a picture ({reason(error)}).") from error
