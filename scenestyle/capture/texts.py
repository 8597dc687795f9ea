"""Text files of other programs: JSON, tables of numbers, in whatever encoding they were saved."""

import codecs
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from scenestyle.errors import InputError, reason

_BEGIN = 4096


def read_json(path: Path, wanted: str = ".") -> Any:
    """Read a JSON file of another program, in UTF-8 or UTF-16.

    Raises:
        InputError: If it cannot be read; ends with `wanted`.
    """
    try:
        return json.loads(read_text(path, wanted))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}){wanted}"
        ) from error


def read_text(path: Path, wanted: str = ".") -> str:
    """Read a text file of another program, in UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        InputError: If it cannot be read; ends with `wanted`.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} may not be read ({error.strerror}).") from error
    is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return raw.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text in UTF-8{wanted}") from error


def begin_of(path: Path, *, whole: bool = False) -> str:
    """The first few thousand letters of a file, or all, whatever it is, to see who wrote it."""
    try:
        with path.open("rb") as file:
            return (
                file.read(-1 if whole else _BEGIN)
                .decode("utf-8", errors="replace")
                .lstrip("\ufeff")
            )
    except OSError:
        return ""


@contextmanager
def written_by(program: str, path: Path) -> Iterator[None]:
    """While a file that should be one of this program is read.

    Raises:
        InputError: If what is found there is not of the expected form.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, SyntaxError) as error:
        raise InputError(
            f"{path} is not what {program} writes ({reason(error)}). Export it again."
        ) from error


def numbers_in(path: Path) -> Float[np.ndarray, " numbers"]:
    """All numbers of a text file; none at all if it holds anything else."""
    try:
        return np.array(read_text(path).split(), dtype=np.float64)
    except (InputError, ValueError):
        return np.zeros(0)
