"""What a Prefect server has on record of a flow run."""

import time
from uuid import UUID

from prefect import task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import Artifact, TaskRun
from prefect.exceptions import ObjectNotFound

PATIENCE_SECONDS = 60


def task_runs(flow_run: UUID) -> list[TaskRun]:
    """Every task run of a flow run that has ended."""
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
    with get_client(sync_client=True) as client:
        marker = _wait_until_recorded(client)
        found = client.read_task_runs(flow_run_filter=chosen)
    return [run for run in found if run.id != marker]


def artifacts(flow_run: UUID) -> list[Artifact]:
    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run]))
    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=chosen)


def _wait_until_recorded(client: SyncPrefectClient) -> UUID:
    """Task runs reach the server as events, after the fact but in order: one more is the last."""

    @task(persist_result=False)
    def mark() -> None: ...

    marker = mark(return_state=True).state_details.task_run_id
    assert marker is not None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            state = client.read_task_run(marker).state
        except ObjectNotFound:
            state = None
        if state is not None and state.is_final():
            return marker
        time.sleep(0.1)
    raise TimeoutError(f"The server recorded no task run within {PATIENCE_SECONDS} s.")
