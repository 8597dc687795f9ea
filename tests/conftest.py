import os
from pathlib import Path

import pytest

from tests.support.toy_project import Toy

# As `scenestyle.device.let_idle_threads_sleep`, which cannot be imported before its types are
# checked.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def finished_toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A toy project in which everything is up to date; take `toy` to change something."""
    toy = Toy.make(tmp_path_factory.mktemp("toy"))
    toy.repro()
    toy.runs()
    return toy


@pytest.fixture
def toy(finished_toy: Toy, tmp_path: Path) -> Toy:
    """A toy project of one's own, everything up to date."""
    return finished_toy.copy(tmp_path / "project")
