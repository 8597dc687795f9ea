"""Captures that lie behind a URL: on S3 or wherever else fsspec reaches.

A capture is fetched once. Beside the copy, `data/scenes/ID.source.json` notes the URL and what the
store says of each file, so that a listing tells whether anything changed there.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from scenestyle import capture
from scenestyle.artifacts import read_json, write_json
from scenestyle.errors import InputError, reason
from scenestyle.files import PARTIAL
from scenestyle.project.scenes import take_in

Capture = Path | str
"""where a capture lies: a path, or a URL as text"""

_URL = re.compile(r"[a-z][a-z0-9+.-]+(::|://)", re.IGNORECASE)
_VERSIONS = (
    "ETag",
    "etag",
    "md5",
    "generation",
    "mtime",
    "LastModified",
    "last_modified",
    "created",
)
"""what file systems of fsspec call the state of a file; the first that is there is taken"""


def capture_at(text: str, folder: Path) -> Capture:
    """What a cell names: a URL, or a path.

    Args:
        text: `s3://bucket/fern`, `file:///captures/fern`, `~/fern`, `captures/fern`.
        folder: Where a relative path may begin if nothing lies there below the current folder.
    """
    if text.lower().startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    if _URL.match(text):
        return text
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # `~name` of a user who is not there
        path = Path(text)
    return folder / path if not path.exists() and (folder / path).exists() else path


def is_fetched(url: str, target: Path) -> bool:
    """Whether `target` was fetched from `url` and nothing has changed there since.

    Raises:
        InputError: If the URL cannot be listed.
    """
    record = source_record(target)
    return record.is_file() and read_json(record) == _record(url, _listing(url))


def fetch(url: str, target: Path) -> capture.Capture:
    """Put a checked copy of the capture at `url` at `target`, in place of what may lie there.

    Args:
        url: A folder or a file, as fsspec takes it.
        target: The scene's folder.

    Returns:
        What lies at `target` now.

    Raises:
        InputError: If it cannot be fetched or used; nothing has changed then.
    """
    files = _listing(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=target.parent) as folder:
        place = Path(folder) / (PurePosixPath(urlsplit(url).path).name or target.name)
        with _in_words(url):
            source = _download(url, [*files], place)
        found = take_in(source, target)
    write_json(source_record(target), _record(url, files))
    return found


def source_record(target: Path) -> Path:
    """Where it is noted what a fetched scene's folder was made from."""
    return target.with_name(f"{target.name}.source.json")


def _record(url: str, files: Mapping[str, str]) -> dict[str, Any]:
    return {"url": url, "files": dict(files)}


def _listing(url: str) -> dict[str, str]:
    """Name of each file below a URL, relative to it -> size and version; `.` for a single file."""
    with _in_words(url):
        files, root = _filesystem(url)
        if files.isfile(root):
            return {".": _state(files.info(root))}
        found = files.find(root, detail=True)
    names = {name: str(PurePosixPath(name).relative_to(root)) for name in found}
    if outside := [name for name in names.values() if ".." in PurePosixPath(name).parts]:
        raise InputError(f"{url}: {outside[0]!r} lies outside of it; rename or remove it there.")
    if not names:
        raise InputError(
            f"{url} does not exist or is empty; wanted is a folder of photos, a posed dataset or a "
            "video."
        )
    return {names[name]: _state(found[name]) for name in sorted(found)}


def _download(url: str, names: list[str], place: Path) -> Path:
    files, root = _filesystem(url)
    if names == ["."]:
        files.get_file(root, str(place))
        return place
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
    files.get([f"{root.rstrip('/')}/{name}" for name in names], [str(place / n) for n in names])
    return place


def _filesystem(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    files, root = url_to_fs(url, use_listings_cache=False)
    return files, root


def _state(info: Mapping[str, Any]) -> str:
    version = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
    return f"{info.get('size')} {version}".strip()


@contextmanager
def _in_words(url: str) -> Iterator[None]:
    """Turn what file systems raise into a sentence."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{url} does not exist.") from error
    except ImportError as error:
        raise InputError(
            f"{url} needs a package that is not installed: {reason(error)}. Install that, or copy "
            "the capture to this machine and name its folder."
        ) from error
    except Exception as error:  # each file system raises classes of its own
        raise InputError(
            f"{url} cannot be read: {str(error) or 'no reason was given'}. Check the address, the "
            "network and your right to read it."
        ) from error
