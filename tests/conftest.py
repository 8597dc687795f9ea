import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from scenestyle.errors import ScenestyleError
from tests.support.sentences import Provocations, site_of
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


_provocations = Provocations.read()
_running = ""


def _note(error: ScenestyleError, *_: object, **__: object) -> None:
    """In place of `ScenestyleError.__init__`, which does nothing."""
    site = site_of(sys._getframe(1))
    if site is not None:
        _provocations.seen.setdefault(_running, {})[site.key] = str(error)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-provocations", action="store_true", help=Provocations.write.__doc__)


def pytest_configure() -> None:
    setattr(ScenestyleError, "__init__", _note)  # noqa: B010


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """See which errors a test provokes, and what they say."""
    global _running
    _running = item.nodeid
    result = yield
    _provocations.check_sentences(item.nodeid)
    if not item.config.getoption("--write-provocations"):
        _provocations.check_table(item.nodeid)
    return result


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--write-provocations"):
        _provocations.write()


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server of the session's own; its start takes ten seconds."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
