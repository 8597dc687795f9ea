"""The commands of the README as they are written there, with a server and a worker of the test's own."""

import csv
import io
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import psutil
import pytest

from tests.support.sentences import faults_of
from tests.support.terminal import Terminal, is_at, readme, until


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that takes messages: its URL, and what came so far."""
    messages: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", messages
        server.shutdown()


@pytest.mark.timeout(300)
def test_a_deployment_runs_in_a_worker(terminal: Terminal, prefect_server: None) -> None:
    from prefect.settings import PREFECT_API_URL

    terminal.toy.replace("oil painting of", "big oil painting of")
    code, said = terminal.type(
        f"""
        export PREFECT_API_URL={PREFECT_API_URL.value()}
        prefect work-pool create local --type process
        prefect --no-prompt deploy --all
        prefect worker start --pool local --type process &
        prefect deployment run stylize-scene/local -p scene=garden -p style=oil --watch
        """
    )
    assert code == 0, said
    assert said.count("task-run.Cached") == 3, said
    assert said.count("task-run.Completed") == 3
    assert terminal.toy.stale() == set()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_of_the_readme_deploy_run_and_schedule(terminal: Terminal) -> None:
    """One server for all of it, since its start is what takes the time."""
    toy = terminal.toy
    script = readme("Or with a server and a worker:")
    for theirs, ours in (("4200", terminal.port), ("fern", "garden"), ("watercolor2", "oil")):
        script = script.replace(theirs, ours)
    toy.replace("oil painting of", "big oil painting of")
    code, said = terminal.type(script)
    assert code == 0, said
    assert said.count("task-run.Cached") == 3, said
    assert said.count("task-run.Completed") == 3
    assert toy.stale() == set()

    run = "prefect deployment run stylize-scene/local -p scene=grden -p style=oil --watch"
    code, _ = terminal.type(f"{run} > watched.txt")  # the worker prints to the terminal, too
    assert code == 1
    watched = (toy.root / "watched.txt").read_text()
    assert "unknown scene 'grden'; did you mean 'garden'?" in " ".join(watched.split())
    assert "Traceback" not in watched

    toy.add_overview()
    # The catalog of the nightly deployment is the one that prefect.yaml names.
    catalog = toy.root / "examples/catalogs/demo.csv"
    catalog.parent.mkdir(parents=True)
    catalog.write_text(
        "scene,caption,styles\ngarden,,ink\ngarden,,oil\ngarden,,pen\ngarden,,made of glass\n"
        "lost,lost,ink\nmoss,moss,ink\n"
    )
    shutil.copytree(toy.root / "data/scenes/garden", toy.root / "data/scenes/moss")
    toy.plant_trouble("train_nerf", 'if "moss" in str(out): raise InputError("too dark")')
    with webhook() as (url, messages):
        code, said = terminal.type(f"python -m flows.notify {url}")
        assert code == 0, said
        code, said = terminal.type("prefect deployment run stylize-catalog/nightly --watch")
        until(lambda: messages, 60)
    assert code == 1, "two rows are bad"
    (message,) = [str(each["text"]) for each in messages]
    assert "Failed" in message.splitlines()[0]
    assert "row 5: " in message
    assert faults_of(message) == []
    assert "row 6: train_nerf@moss: too dark" in message
    assert "2 of 6 results failed" in said
    states = terminal.task_states()
    assert states["add_scene@lost"] == states["train_nerf@moss"] == "Failed"
    assert {state for name, state in states.items() if "made_of_glass" in name} == {"Completed"}
    table = (toy.root / "outputs/catalogs/demo.csv").read_text()
    states = [row["state"] for row in csv.DictReader(io.StringIO(table))]
    assert states == ["Cached", "Cached", "Completed", "Completed", "Failed", "Failed"]

    # SQLAlchemy 2.1 silently never creates scheduled runs.
    scheduled = until(lambda: terminal.flow_runs("SCHEDULED"), 150)
    assert {run["auto_scheduled"] for run in scheduled} == {True}
    assert all("T02:00:00" in run["expected_start_time"] for run in scheduled)
    page = httpx.get(f"http://127.0.0.1:{terminal.port}/", follow_redirects=True)
    assert page.status_code == 200
    assert "<html" in page.text.lower()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_after_kills_of_worker_and_server_the_next_run_repeats_only_what_was_unfinished(
    terminal: Terminal,
) -> None:
    toy = terminal.toy
    *begin, worker, run = readme("Or with a server and a worker:").splitlines()
    run = run.replace("fern", "garden").replace("watercolor2", "oil")
    toy.replace("render_views: {max_image_side: 64}", "render_views: {max_image_side: 32}")
    toy.plant_trouble(
        "stylize_views",
        "import time\nif not Path('begun').exists(): Path('begun').touch(); time.sleep(600)",
    )
    script = "\n".join([*begin, worker, run.replace(" --watch", "")])
    code, said = terminal.type(script.replace("4200", terminal.port))
    assert code == 0, said
    until((toy.root / "begun").exists, 120)
    terminal.kill()
    until(lambda: not [p for p in psutil.process_iter() if is_at(p, toy.root)], 20)
    assert toy.runs() == ["render_views@garden"]

    once = [line for line in begin if "create" not in line and "deploy" not in line]
    script = "\n".join([*once, worker, run])
    code, said = terminal.type(script.replace("4200", terminal.port))
    assert code == 0, said
    assert toy.runs() == [f"{stage}@garden-oil" for stage in PER_EDIT]
    assert toy.stale() == {f"{stage}@garden-ink" for stage in PER_EDIT}


PER_EDIT = ("stylize_views", "finetune_nerf", "evaluate")
