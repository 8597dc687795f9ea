import errno
import os
from pathlib import Path

import pytest
import requests

from engine.stage import BusyError, InputsChangedError
from engine.troubles import in_words, may_pass
from scenestyle.errors import InputError, WeightsError


class OutOfMemoryError(RuntimeError):
    """As torch's, which is known by its name."""


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA out of memory"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (requests.ConnectionError(), True),
        (BusyError("busy"), True),
        (InputsChangedError("changed"), True),
        (InputError("no photos"), False),
        (OSError(errno.ENOSPC, "full", "x"), False),
        (RuntimeError("a bug"), False),
    ],
)
def test_only_what_may_be_gone_next_time_is_tried_again(error: Exception, passes: bool) -> None:
    assert may_pass(error) == passes


def test_what_lies_behind_an_error_counts() -> None:
    error = WeightsError("not reachable")
    error.__cause__ = requests.ConnectionError()
    assert may_pass(error)
    assert not may_pass(WeightsError("damaged"))


def test_a_full_disk_is_named_and_a_bug_is_not_talked_over(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as full, open("/dev/full", "wb") as file:  # noqa: PTH123
        file.write(bytes(10**6))
    assert "the disk is full" in (in_words(full.value) or "")
    file = tmp_path / "x"
    file.touch()
    refused = PermissionError(errno.EACCES, "", str(file))
    assert in_words(refused) == (
        f"{file} may not be read or written by this user. Change its rights (chmod, chown)."
    )
    assert f"{file} lies in a file system" in (
        in_words(OSError(errno.EROFS, os.strerror(30), str(file))) or ""
    )
    # Where a file cannot be made, its folder is named and not `.partial-x` within.
    file.unlink()
    assert (in_words(refused) or "").startswith(f"{tmp_path} may not be")
    assert "memory" in (in_words(MemoryError()) or "")
    assert in_words(RuntimeError("a bug")) is None
    assert in_words(FileNotFoundError(2, "none", "x")) is None
