"""Slots of Prefect's deployments that nobody holds any more."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

_SILENCE = timedelta(minutes=7)
"""two heartbeats, which come every 3 minutes, and some"""
_LEASES_ON_DISK = "prefect.server.concurrency.lease_storage.filesystem"


@dataclass(frozen=True)
class HeldSlot:
    """A slot that is taken though no run of its deployment lives."""

    deployment: str
    """`FLOW/NAME`"""
    limit: str
    """name of its concurrency limit"""
    living: int
    """how many runs hold a slot rightly"""

    @property
    def release(self) -> str:
        """The command that releases it."""
        return f"prefect global-concurrency-limit update {self.limit} --active-slots {self.living}"


def slots_nobody_holds(*, silence: timedelta = _SILENCE) -> list[HeldSlot]:
    """Ask the server for deployments of which more slots are taken than runs live.

    Args:
        silence: A run that is said to be at work, as one is for ever after a power cut, but gave no
            sign of life for so long, is taken for dead.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = []
        for deployment in client.read_deployments():
            limit = deployment.global_concurrency_limit
            if limit is None or limit.active_slots == 0:
                continue
            living = sum(_lives(client, run, silence) for run in _at_work(client, deployment.id))
            if limit.active_slots > living:
                found.append(HeldSlot(_name(client, deployment), limit.name, living))
        return found


def leases_outlast_the_server() -> bool:
    """Whether the server keeps leases on disk; else a power cut leaves slots held for ever."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        settings = client.request("GET", "/admin/settings").json()
    return settings["server"]["concurrency"]["lease_storage"] == _LEASES_ON_DISK


def _at_work(client: "SyncPrefectClient", deployment: UUID) -> "Iterator[FlowRun]":
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterDeploymentId,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    states = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    yield from client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states)),
        )
    )


def _lives(client: "SyncPrefectClient", run: "FlowRun", silence: timedelta) -> bool:
    from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventOccurredFilter

    since = datetime.now(UTC) - silence
    if run.state is not None and run.state.timestamp >= since:
        return True
    recent = EventFilter(
        occurred=EventOccurredFilter(since=since),  # pyright: ignore[reportArgumentType]
        any_resource=EventAnyResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    return bool(client.read_events(filter=recent, limit=1).events)


def _name(client: "SyncPrefectClient", deployment: "DeploymentResponse") -> str:
    return f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
