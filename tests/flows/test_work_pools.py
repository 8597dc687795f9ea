"""The templates of work pools for containers, as far as they can be tried without any: Prefect's server takes them."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import PREFECT_API_URL
from prefect.workers.base import BaseJobConfiguration
from pydantic import ConfigDict

from tests.support.toy_project import ROOT, Toy

SPEC = ("job_manifest", "spec", "template", "spec")


class JobConfiguration(BaseJobConfiguration):
    """What a worker makes of pool and deployment, with the fields of every type."""

    model_config = ConfigDict(extra="allow")


@pytest.fixture
def here(toy: Toy, monkeypatch: pytest.MonkeyPatch, prefect_server: None) -> Toy:
    shutil.copy(ROOT / "prefect.yaml", toy.root)
    (toy.root / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/kubernetes_pool.json", toy.root / "deploy")
    monkeypatch.chdir(toy.root)
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    return toy


def prefect(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "prefect"
    return subprocess.run(
        [program, "--no-prompt", *arguments], capture_output=True, text=True, timeout=200
    )


def deploy(place: str, work_pool: list[str]) -> subprocess.CompletedProcess[str]:
    """Have the nightly catalog run in containers, as docs/howto/cluster.md says."""
    made = prefect("work-pool", "create", place, *work_pool)
    assert made.returncode == 0, made.stdout + made.stderr
    settings = Path("prefect.yaml")
    settings.write_text(settings.read_text().replace("<<: *here", f"<<: *{place}"))
    return prefect("deploy", "--name", "nightly")


def deployed(place: str) -> tuple[DeploymentResponse, dict[str, Any]]:
    """What the server knows, and the job that a worker would start."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("stylize-catalog/nightly")
        pool: WorkPool = client.read_work_pool(place)
    job = JobConfiguration.from_template_and_values(
        pool.base_job_template, deployment.job_variables or {}
    )
    return deployment, asyncio.run(job).model_dump()


DOCS = (ROOT / "docs/howto/cluster.md").read_text()


@pytest.mark.timeout(300)
def test_a_deployment_to_docker_is_taken_with_image_and_clone(here: Toy) -> None:
    done = deploy("docker", ["--type", "docker"])
    assert "prefect work-pool create docker --type docker" in DOCS
    assert done.returncode == 0, done.stdout + done.stderr
    deployment, job = deployed("docker")
    assert job["image"] == "registry.example/scenestyle:latest"
    assert job["volumes"] == ["/srv/scenestyle:/scenestyle"]
    assert list(deployment.pull_steps or []) == yaml.safe_load(
        "[prefect.deployments.steps.set_working_directory: {directory: /scenestyle}]"
    )
    assert [schedule.schedule.cron for schedule in deployment.schedules] == ["0 2 * * *"]  # pyright: ignore[reportAttributeAccessIssue]

    settings = Path("prefect.yaml")
    settings.write_text(settings.read_text().replace('volumes: ["/srv', 'volumes: [{}, "/srv'))
    refused = prefect("deploy", "--name", "nightly")
    assert refused.returncode != 0
    assert "{} is not of type" in refused.stdout + refused.stderr


@pytest.mark.timeout(300)
def test_a_deployment_to_kubernetes_is_taken_with_image_claim_and_gpu(here: Toy) -> None:
    template = ["--type", "kubernetes", "--base-job-template", "deploy/kubernetes_pool.json"]
    done = deploy("kubernetes", template)
    assert f"prefect work-pool create kubernetes {' '.join(template)}" in DOCS
    assert done.returncode == 0, done.stdout + done.stderr
    deployment, job = deployed("kubernetes")
    pod = job
    for key in SPEC:
        pod = pod[key]
    container, volume = pod["containers"][0], pod["volumes"][0]
    assert container["image"] == "registry.example/scenestyle:latest"
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert volume["persistentVolumeClaim"] == {"claimName": "scenestyle"}
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/scenestyle"}]
    assert deployment.pull_steps


def test_the_pool_has_all_that_prefects_own_has() -> None:
    """A worker starts from the template: what a newer Prefect adds must be looked at."""
    import prefect.server.api.collections_data.views as bundled

    text = (Path(next(iter(bundled.__path__))) / "aggregate-worker-metadata.json").read_text()
    theirs = json.loads(text)["prefect-kubernetes"]["kubernetes"]["default_base_job_configuration"]
    ours = json.loads((ROOT / "deploy/kubernetes_pool.json").read_text())
    assert theirs["job_configuration"].keys() - ours["job_configuration"].keys() == {
        "cluster_config"  # a block, for workers outside of the cluster
    }
    assert theirs["variables"]["properties"].keys() - ours["variables"]["properties"].keys() == {
        "cluster_config",
        "cpu_limit",
    }
