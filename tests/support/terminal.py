"""A shell in a toy project, with a Prefect server and worker of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.toy_project import ROOT, Toy


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
            The exit code, and all that was printed; what runs on in the background goes on
            printing.
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

    def flow_runs(self, state: str | None = None) -> list[dict[str, Any]]:
        """What the server knows of flow runs, latest first."""
        wanted = {"flow_runs": {"state": {"type": {"any_": [state]}}}} if state else {}
        return self._ask("flow_runs", {**wanted, "sort": "EXPECTED_START_TIME_DESC"})

    def task_states(self) -> dict[str, str]:
        """Task run -> name of its state, of all flow runs."""
        return {run["name"]: run["state"]["name"] for run in self._ask("task_runs", {})}

    def _ask(self, what: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        url = f"http://127.0.0.1:{self.port}/api/{what}/filter"
        return httpx.post(url, json=wanted).raise_for_status().json()

    def kill(self) -> None:
        """SIGKILL to everything that was started here: server, worker, flow runs and stages."""
        started = [
            process
            for process in psutil.process_iter()
            if session(process.pid) in self._shells or is_at(process, self.toy.root)
        ]
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


def readme(headline: str) -> str:
    """The commands below a line of the README."""
    block = re.search(rf"{headline}\n\n((?:    .*\n)+)", (ROOT / "README.md").read_text())
    assert block is not None
    return block[1]


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


def is_at(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder)
    except psutil.Error:
        return False
