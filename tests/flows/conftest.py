import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import Terminal
from tests.support.toy_project import ROOT, Toy


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server of the session's own; its start takes ten seconds."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def terminal(toy: Toy, tmp_path: Path) -> Iterator[Terminal]:
    """A shell in a toy project; everything started there is killed afterwards."""
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, toy.root)
    terminal = Terminal(toy, tmp_path)
    yield terminal
    terminal.kill()
