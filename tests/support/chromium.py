"""Where the browser is that pages are tested in."""

import os
import shutil

import pytest

NAMES = ("chromium", "google-chrome")
_ADVICE = "no chromium on PATH; on Debian and Ubuntu: apt-get install chromium"


def chromium() -> str:
    """Path of the program; without one the calling test is skipped, under CI it fails."""
    found = [program for program in map(shutil.which, NAMES) if program]
    if found:
        return found[0]
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, so that pages must be tested in a browser: {_ADVICE}")
    pytest.skip(_ADVICE)
