"""ZIP files of photos, unpacked with the care that files from strangers need."""

import os
import shutil
import zipfile
from pathlib import Path, PurePosixPath

from scenestyle.errors import InputError, reason

_MAX_GROWTH = 100
"""a packed file may become this many times larger; photos hardly shrink"""
_CHUNK = 1 << 20


def is_zip(path: Path) -> bool:
    """Whether a file is a ZIP archive, whatever its name."""
    return path.is_file() and zipfile.is_zipfile(path)


def unpack(path: Path, out: Path) -> None:
    """Unpack a ZIP archive; hidden files and what macOS adds stay out. Files bear its date.

    Args:
        path: The archive.
        out: An existing, empty folder.

    Raises:
        InputError: If it is damaged, encrypted, or names places outside of itself.
    """
    stat = path.stat()
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and _is_wanted(m.filename)]
            _check(path, members, stat.st_size)
            for member in members:
                file = out / PurePosixPath(member.filename.replace("\\", "/"))
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, file.open("wb") as plain:
                    shutil.copyfileobj(packed, plain, _CHUNK)
                os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path} cannot be unpacked ({reason(error)}); pack it again.") from error


def _is_wanted(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return not any(part.startswith(("__MACOSX", ".")) and part != ".." for part in parts)


def _check(path: Path, members: list[zipfile.ZipInfo], size: int) -> None:
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in place.parts[0]:
            raise InputError(f"{path} holds {member.filename!r}, which lies outside of it.")
        if member.flag_bits & 1:
            raise InputError(f"{path} is encrypted; unpack it and give the folder.")
    if sum(member.file_size for member in members) > _MAX_GROWTH * size:
        raise InputError(f"{path} would grow more than {_MAX_GROWTH} times; unpack it yourself.")
