import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import Terminal
from tests.support.toy_project import ROOT, Toy


@pytest.fixture
def terminal(toy: Toy, tmp_path: Path) -> Iterator[Terminal]:
    """A shell in a toy project; everything started there is killed afterwards."""
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, toy.root)
    terminal = Terminal(toy, tmp_path)
    yield terminal
    terminal.kill()
