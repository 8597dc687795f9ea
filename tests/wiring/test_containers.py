"""Image and compose file, as far as they can be checked without a container."""

import re
from importlib.metadata import version
from typing import Any

import pytest
import yaml

from tests.support.toy_project import ROOT

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()


@pytest.fixture
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]


def test_the_image_is_the_bare_root_that_is_proved() -> None:
    """`deploy/bare_root.sh` runs `make setup`, the tests and the demo on the same packages."""
    proved = re.search(r"^packages=(.*)$", (ROOT / "deploy/bare_root.sh").read_text(), re.M)
    installed = re.search(r"--no-install-recommends (.*) \\$", DOCKERFILE, re.M)
    assert proved
    assert installed

    assert proved[1].split(",") == installed[1].split()
    assert "bookworm" in DOCKERFILE.split("FROM ")[1].splitlines()[0]
    assert "\nRUN make setup\n" in DOCKERFILE


def test_nothing_runs_as_root_and_only_this_machine_may_ask(services: dict[str, Any]) -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.M) == ["scenestyle"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:4200:4200"]


def test_server_and_worker_meet(services: dict[str, Any]) -> None:
    server, worker = services["server"], services["worker"]
    url = server["environment"]["PREFECT_API_DATABASE_CONNECTION_URL"]
    assert url.startswith("postgresql+asyncpg://prefect:")
    assert url.endswith("@database/prefect")
    assert version("asyncpg")  # the driver that the address names is installed
    assert worker["environment"]["PREFECT_API_URL"] == "http://server:4200/api"
    assert server["volumes"] == worker["volumes"] == ["..:/scenestyle"]
    assert "PYTHONPATH=/scenestyle" in DOCKERFILE, "the mounted clone's code runs"


def test_every_service_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}, name
            assert "healthcheck" in services[other]
