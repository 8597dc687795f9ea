"""Nights: the flow's process, worker and server are killed together, and the following run completes."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Pending, Running

from cli.doctor import examine
from cli.slots import slots_nobody_holds
from flows.stylize_catalog import stylize_catalog
from tests.support.terminal import Terminal, is_at, readme, until


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_after_a_power_cut_at_night_one_run_makes_up_for_all_that_were_missed(
    terminal: Terminal,
) -> None:
    toy = terminal.toy
    toy.add_overview()
    catalog = toy.root / "examples/catalogs/demo.csv"
    catalog.parent.mkdir(parents=True)
    catalog.write_text("scene,styles\ngarden,ink;oil;pen\n")
    minutely = (toy.root / "prefect.yaml").read_text().replace("0 2 * * *", "* * * * *")
    (toy.root / "prefect.yaml").write_text(minutely)
    toy.plant_trouble(
        "evaluate",
        "import time\nif not Path('begun').exists(): Path('begun').touch(); time.sleep(900)",
    )
    *begin, worker, _ = readme("Or with a server and a worker:").splitlines()
    code, said = terminal.type("\n".join([*begin, worker]).replace("4200", terminal.port))
    assert code == 0, said
    until((toy.root / "begun").exists, 300)
    (cut_off,) = terminal.flow_runs("RUNNING")

    terminal.kill()
    until(lambda: not [p for p in psutil.process_iter() if is_at(p, toy.root)], 20)
    time.sleep(310)  # five nights; the lease of the slot runs out after 300 s

    once = [line for line in begin if "create" not in line and "deploy" not in line]
    back = datetime.now(UTC)
    again = "\n".join([*once, worker]).replace("4200", terminal.port)
    code, said = terminal.type(again)
    assert code == 0, said
    until(lambda: terminal.flow_runs("COMPLETED"), 200)
    assert {"evaluate@garden-pen"} <= set(toy.runs())

    def missed() -> dict[str, list[str]]:
        due = [
            run
            for run in terminal.flow_runs()
            if datetime.fromisoformat(run["expected_start_time"]) < back
        ]
        states: dict[str, list[str]] = {}
        for run in due:
            states.setdefault(run["state"]["name"], []).append(run["name"])
        return states

    until(lambda: missed().keys() <= {"Completed", "Cancelled", "Crashed"}, 100)
    states = missed()
    assert states["Crashed"] == [cut_off["name"]]
    assert len(states["Completed"]) == 1
    assert len(states["Cancelled"]) >= 3
    until(lambda: not slots_of(terminal), 30)


def slots_of(terminal: Terminal) -> int:
    """How many slots are taken."""
    url = f"http://127.0.0.1:{terminal.port}/api/v2/concurrency_limits/filter"
    return sum(limit["active_slots"] for limit in httpx.post(url, json={}).json())


def test_doctor_names_a_slot_that_nobody_holds_and_what_releases_it(
    prefect_server: None, tmp_path: Path
) -> None:
    now = timedelta(0)
    with get_client(sync_client=True) as client:
        flow = client.create_flow(stylize_catalog)
        deployment = client.create_deployment(flow, "of-the-test", concurrency_limit=1)
        run = client.create_flow_run_from_deployment(deployment)
        assert slots_nobody_holds(silence=now) == []
        client.set_flow_run_state(run.id, Pending())
        client.set_flow_run_state(run.id, Running())
        assert slots_nobody_holds() == [], "the run gave a sign of life a moment ago"
        time.sleep(1)
        (slot,) = slots_nobody_holds(silence=now)
        assert (slot.deployment, slot.living) == ("stylize-catalog/of-the-test", 0)

        subprocess.run(
            [Path(sys.executable).parent / "prefect", *slot.release.split()[1:]],
            check=True,
            env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())},
        )
        assert slots_nobody_holds(silence=now) == []
        client.delete_deployment(deployment)
    assert dict(examine(tmp_path))["nightly runs"].state in ("ok", "note")


def test_doctor_names_what_a_power_cut_leaves_of_a_server_in_the_background(tmp_path: Path) -> None:
    (tmp_path / "server.pid").write_text("1")
    with temporary_settings({PREFECT_HOME: tmp_path, PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        found = dict(examine(tmp_path))["nightly runs"]
    assert (found.state, found.way_out.split(";")[0]) == ("broken", f"rm {tmp_path}/server.pid")
