"""What a scheduled run does about others of its deployment: nights that were missed or cut off.

A run takes the deployment's only slot (`concurrency_limit` in prefect.yaml) and holds it by a lease
that it renews. After a power cut the lease runs out by itself; what stays behind are runs that were
due meanwhile, one that Prefect shows as running for ever, and what its worker kept in temporary
folders.
"""

import json
import logging
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import Cancelled, Crashed

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

logger = logging.getLogger(__name__)

_AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def cover_missed_nights() -> list[FlowRun]:
    """Cancel the other scheduled runs of this deployment that are due: this run does their work.

    Without that, three nights that were missed while the worker was down are three runs when it is
    back. Runs with other parameters, and those that a person asked for, stay.

    Returns:
        The cancelled runs; none where this run belongs to no deployment.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow_run.deployment_id is None:
        return []
    this = context.flow_run
    with get_client(sync_client=True) as client:
        missed = [
            run
            for run in _others(
                client,
                this,
                [StateType.SCHEDULED],
                expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),  # pyright: ignore[reportArgumentType]
            )
            if run.auto_scheduled and run.parameters == this.parameters
        ]
        for run in missed:
            message = f"Missed; the run {this.name!r} does its work."
            client.set_flow_run_state(run.id, Cancelled(message=message))
    return missed


def close_vanished_runs(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Have Prefect show earlier runs of this deployment that never ended as crashed.

    For the hooks that follow a run's end: only then is the slot free, and closing such a run,
    whose lease is gone, would release a slot that another run holds.
    """
    del flow, state  # a hook gets them
    try:
        with get_client(sync_client=True) as client:
            if flow_run.deployment_id is None or flow_run.start_time is None:
                return
            deployment = client.read_deployment(flow_run.deployment_id)
            limit = deployment.global_concurrency_limit
            if limit is None or limit.limit != 1:  # others may well be at work
                return
            for other in _others(client, flow_run, _AT_WORK):
                if other.state is not None and other.state.timestamp < flow_run.start_time:
                    message = "Its process vanished: a power cut, or it was killed."
                    client.set_flow_run_state(other.id, Crashed(message=message), force=True)
            _empty_temporary_folders(client, flow_run)
    except PrefectException as error:  # the run has its result; this was tidying up
        logger.warning("runs that vanished stay as they are: %s", error)


def _empty_temporary_folders(client: "SyncPrefectClient", run: FlowRun) -> None:
    """Delete what killed workers (3.8) kept of runs of this deployment: also their environment.

    A worker removes both folders of a run when that ends, unless it was killed before.
    """
    kept = {}
    for note in Path(tempfile.gettempdir()).glob("prefect-workspace-attempt-*/supervisor.json"):
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
            kept[found["flow_run_id"]] = [note.parent, Path(found["workspace_root"])]
        except (OSError, ValueError, KeyError):  # of another user, another release, or just going
            continue
    if not kept:
        return
    ended = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
    for other in _others(client, run, ended, id=FlowRunFilterId(any_=[*map(UUID, kept)])):
        for folder in kept[str(other.id)]:
            shutil.rmtree(folder, ignore_errors=True)


def _others(
    client: "SyncPrefectClient", run: FlowRun, states: list[StateType], **more: Any
) -> list[FlowRun]:
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[run.deployment_id]),  # pyright: ignore[reportArgumentType]
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
            **more,
        )
    )
    return [other for other in found if other.id != run.id]
