"""The commands of the README as they are written there, with a server and a worker of the test's own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from toy_project import ROOT, Toy


class Terminal:
    """A shell in a toy project, with a Prefect of its own that ends with it."""

    def __init__(self, toy: Toy, home: Path) -> None:
        self.toy = toy
        self.port = str(free_port())
        self._log = home / "terminal.log"
        mine = {
            name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")
        }
        self._env = {
            **mine,
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_SERVER_API_PORT": self.port,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        self._shells: list[int] = []

    def type(self, script: str) -> tuple[int, str]:
        """Run commands up to the first that fails.

        Returns:
            The exit code, and all that was printed; what runs on in the background goes on printing.
        """
        with self._log.open("w") as log:
            shell = subprocess.Popen(
                ["bash", "-exc", script],
                cwd=self.toy.root,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._shells.append(shell.pid)
            shell.wait()
        return shell.returncode, self._log.read_text()

    def close(self) -> None:
        """End everything that was started here."""
        self.type("prefect server stop")
        started = [p for p in psutil.process_iter() if session(p.pid) in self._shells]
        for process in started:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(started)


def session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def terminal(toy: Toy, tmp_path: Path) -> Iterator[Terminal]:
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, toy.root)
    terminal = Terminal(toy, tmp_path)
    yield terminal
    terminal.close()


def readme(headline: str) -> str:
    """The commands below a line of the README."""
    block = re.search(rf"{headline}\n\n((?:    .*\n)+)", (ROOT / "README.md").read_text())
    assert block is not None
    return block[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_deployed_flow_runs_in_a_worker(terminal: Terminal) -> None:
    script = readme("Or with a server and a worker:")
    for theirs, ours in (("4200", terminal.port), ("fern", "garden"), ("watercolor2", "oil")):
        script = script.replace(theirs, ours)
    terminal.toy.replace("oil painting of", "big oil painting of")
    code, said = terminal.type(script)
    assert code == 0, said
    assert said.count("task-run.Cached") == 3, said
    assert said.count("task-run.Completed") == 3
    assert terminal.toy.stale() == set()
