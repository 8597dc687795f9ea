"""Files and folders that are there whole or not at all, and locks that the kernel gives free."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial-"
"""How the names of half-written files and folders begin; the rest is the name that they will have,
so that writers that tell formats by the ending find it."""


def partial_of(path: Path) -> Path:
    """Where `path` lies until it is whole: beside it, in the same file system."""
    return path.with_name(f"{PARTIAL}{path.name}")


@contextmanager
def whole_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Write a file whole or not at all.

    Args:
        path: The file; its folder is made if need be.
        durable: Whether it must outlast a power failure right after the block.

    Yields:
        Where to write. It takes the place of `path` when the block ends; if the block fails, `path`
        stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        yield partial
        if durable:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text as UTF-8, whole or not at all; `durable` as in `whole_file`."""
    with whole_file(path, durable=durable) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Write a folder whole or not at all.

    Yields:
        An empty folder. It takes the place of `path`, and of all that lies there, when the block
        ends; if the block fails, `path` stays as it was.
    """
    partial = partial_of(path)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Keep a file or folder to this process; the kernel releases it however the process ends.

    Args:
        path: A folder, or a file that is made if it is not there. Whoever wants the same must lock
            it, too.
        wait: Whether to wait for another process that has it.

    Raises:
        BlockingIOError: If another process has it and `wait` is off.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_CREAT
    handle = os.open(path, flags, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether another process keeps the file or folder by `locked`."""
    try:
        with locked(path, wait=False):
            return False
    except BlockingIOError:
        return True
