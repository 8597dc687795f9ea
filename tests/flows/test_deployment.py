"""The commands of the README, with a server and a worker of the test's own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from toy_project import ROOT, Toy

PREFECT = str(Path(sys.executable).with_name("prefect"))


@contextmanager
def background(*command: str, env: dict[str, str], cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_deployed_flow_runs_in_a_worker(toy: Toy, tmp_path: Path) -> None:
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, toy.root)
    port = free_port()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    def prefect(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PREFECT, *arguments],
            cwd=toy.root,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def run(style: str) -> subprocess.CompletedProcess[str]:
        parameters = ["-p", "scene=garden", "-p", f"style={style}"]
        return prefect("deployment", "run", "stylize-scene/local", *parameters, "--watch")

    toy.replace("oil painting of", "big oil painting of")
    with background(PREFECT, "server", "start", "--port", str(port), env=env, cwd=toy.root):
        end = time.monotonic() + 120
        while prefect("work-pool", "ls").returncode != 0:
            assert time.monotonic() < end
        assert prefect("work-pool", "create", "local", "--type", "process").returncode == 0
        deployed = prefect("--no-prompt", "deploy", "--all")
        assert "'stylize-scene/local' successfully created" in deployed.stdout, deployed.stdout
        worker = (PREFECT, "worker", "start", "--pool", "local", "--type", "process")
        with background(*worker, env=env, cwd=toy.root):
            done = run("oil")
            assert done.returncode == 0, done.stdout
            assert done.stdout.count("task-run.Cached") == 3
            assert done.stdout.count("task-run.Completed") == 3
            assert toy.stale() == set()
            assert run("oyl").returncode == 1
