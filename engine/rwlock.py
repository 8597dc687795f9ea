"""DVC's list of the files in use, `.dvc/tmp/rwlock`, written as a whole or not at all.

DVC (3.67) writes it in place, at the beginning and the end of whatever it does with a stage. Killed
at that moment it leaves half a list, or none, and every later command refuses to work.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import StringIO
from pathlib import Path

from scenestyle.files import write_whole

logger = logging.getLogger(__name__)


@cache
def teach_dvc() -> None:
    """Replace, in this process, the file system through which DVC reads and writes its list."""
    from dvc import rwlock

    edit = rwlock._edit_rwlock

    def edit_whole(folder: str, _: object, hardlink: bool) -> object:
        return edit(folder, _WholeFiles(), hardlink)

    setattr(rwlock, "_edit_rwlock", edit_whole)  # noqa: B010 (pyright minds the other way)


class _WholeFiles:
    """Of DVC's file systems, what its list needs. DVC lets only one process in at a time."""

    join = staticmethod(os.path.join)

    @contextmanager
    def open(self, path: str, mode: str = "r", *, encoding: str) -> Iterator[StringIO]:
        """A file to read, empty of locks if it is torn; or one to write, whole or not at all."""
        if mode == "r":
            yield StringIO(_whole(Path(path), encoding))
            return
        file = StringIO()
        yield file
        write_whole(Path(path), file.getvalue())


def _whole(path: Path, encoding: str) -> str:
    text = path.read_text(encoding=encoding)
    try:
        json.loads(text)
    except ValueError:  # nobody writes it now, so whoever did is dead
        logger.warning("%s was torn by a killed dvc: the list of files in use begins anew", path)
        return "{}"
    return text
