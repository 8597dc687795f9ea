"""Stages as Prefect tasks. DVC is the cache: Prefect stores no results."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast
from uuid import UUID

from prefect import Task, get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from engine import (
    Outcome,
    Parcel,
    Pipeline,
    StageError,
    estimate,
    parcel,
    run_shared,
    run_stage,
    take_over,
)
from engine.gpu import GPU_STAGES
from scenestyle.errors import ScenestyleError

_RETRIES, _FIRST_DELAY_SECONDS = 2, 20


class FlowError(ScenestyleError):
    """Stages of a flow run failed, so that others could not run."""


def stage_task(stage: str) -> Task[..., Any]:
    """The Prefect task of a stage, called with the id of an instance: a scene, or `SCENE-STYLE`.

    Stages for a GPU are tagged `gpu`, so that `prefect concurrency-limit create gpu N` bounds them
    for a whole server. It ends `Completed` if the stage ran, `Cached` if there was nothing to do or
    an earlier result came back. What may pass by itself, such as too little memory, is tried again.
    """

    @task(
        name=stage,
        task_run_name=f"{stage}@{{instance}}",
        tags=["gpu"] if stage in GPU_STAGES else [],
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=_RETRIES,
        retry_delay_seconds=exponential_backoff(_FIRST_DELAY_SECONDS),
        retry_condition_fn=_may_pass,
    )
    def bring_up_to_date(
        instance: str,
        time_limit: float | None = None,
        parcel: Parcel | None = None,
        upstream: Sequence[Outcome] = (),
    ) -> State[Outcome]:
        name, log = f"{stage}@{instance}", get_run_logger().info
        if parcel is None:
            outcome = run_stage(name, timeout=time_limit, log=log)
        else:
            entries = {done.stage: done.entry for done in upstream}
            outcome = run_shared(name, Path.cwd(), parcel, entries, timeout=time_limit, log=log)
        return _state(outcome)

    return bring_up_to_date


@task(name="overview", task_run_name="overview", cache_policy=NO_CACHE, persist_result=False)
def bring_overview_up_to_date() -> State[Outcome]:
    """Bring the page of all results up to date; here, since no other clone has them all."""
    return _state(run_stage("overview", log=get_run_logger().info))


def _state(outcome: Outcome) -> State[Outcome]:
    why = "; ".join(outcome.reasons)
    match outcome.kind:
        case "fresh":
            return Completed(name="Cached", message="up to date", data=outcome)
        case "restored":
            return Completed(name="Cached", message=f"restored ({why})", data=outcome)
        case "ran":
            return Completed(message=f"ran ({why})", data=outcome)


def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageError) and error.may_pass


@dataclass(frozen=True)
class Done:
    """How a stage of a flow run ended."""

    how: Literal["fresh", "restored", "ran", "failed", "not run"]
    """`not run`: because one that it needs failed"""
    seconds: float = 0.0
    """wall clock"""
    reasons: Sequence[str] = ()
    """why it was not up to date"""
    error: str = ""
    """the sentence that it failed with"""
    entry: Mapping[str, Any] | None = None
    """what dvc.lock says of the result, if it was made in another clone"""


@dataclass
class StageRuns:
    """The stages of one flow run; each starts when those it needs, says dvc.yaml, are done."""

    time_limits: Mapping[str, float] = field(default_factory=dict)
    """stage -> minutes after which it is ended; none where it is not named"""
    skip_fresh: bool = False
    """look at all stages at once, and make no task run of those that are up to date"""
    shared: bool = False
    """the task runner's workers are other clones of the project; results travel by DVC's default
    remote"""

    def __post_init__(self) -> None:
        self._pipeline = Pipeline(Path.cwd())
        self._stale = self._pipeline.stale() if self.skip_fresh else {}
        self._needs = self._pipeline.needs()
        self._futures: dict[str, PrefectFuture[Any]] = {}
        self._names: list[str] = []
        self._packed: dict[tuple[frozenset[str], frozenset[str]], Parcel] = {}

    def submit(self, stage: Task[..., Any], instance: str) -> None:
        """Have a stage brought up to date; those it needs must have been submitted before."""
        name = f"{stage.name}@{instance}"
        if name in self._names:
            return
        self._names.append(name)
        needed = [self._futures[up] for up in self._needs[name] if up in self._futures]
        if not self.skip_fresh or name in self._stale or needed:
            minutes = self.time_limits.get(stage.name)
            self._futures[name] = stage.submit(
                instance,
                time_limit=None if minutes is None else 60 * minutes,
                parcel=self._parcel(name) if self.shared else None,
                upstream=needed if self.shared else (),
                wait_for=needed,
                return_state=False,
            )

    def _parcel(self, name: str) -> Parcel:
        needs = self._needs[name]
        fresh = frozenset(needs - self._futures.keys())
        scenes = frozenset() if needs else frozenset([name.split("@")[1]])
        if (fresh, scenes) not in self._packed:
            self._packed[fresh, scenes] = parcel(Path.cwd(), sorted(fresh), scenes)
        return self._packed[fresh, scenes]

    def results(self) -> dict[str, Done]:
        """Wait for all stages, and say how each ended."""
        for _ in self._as_they_end():
            pass
        results = {name: _done(self._futures.get(name)) for name in self._names}
        entries = {name: done.entry for name, done in results.items() if done.entry is not None}
        if entries:
            take_over(Path.cwd(), entries)
        return results

    def conclude(self) -> list[Path]:
        """Wait for all stages.

        Returns:
            What the last one wrote, relative to the project's root.

        Raises:
            FlowError: If not every stage is done; with a line for each that failed.
        """
        results = self.results()
        failed = [f"  - {done.error}" for done in results.values() if done.how == "failed"]
        held_up = [name for name, done in results.items() if done.how == "not run"]
        if failed or held_up:
            not_run = f"\nNot run: {', '.join(held_up)}." if held_up else ""
            raise FlowError("\n".join(["Stages failed:", *failed]) + not_run)
        return self.outputs()[self._names[-1]]

    def outputs(self) -> dict[str, list[Path]]:
        """Every stage instance of the project, and what it writes, relative to the root."""
        return self._pipeline.outputs()

    def _as_they_end(self) -> Iterator[PrefectFuture[Any]]:
        """Each future when its stage ends; meanwhile an artifact tells how far the flow is."""
        left = {future: name for name, future in self._futures.items()}
        if not left:
            return
        recorded = self._pipeline.recorded_seconds()
        artifact = cast(
            "UUID", create_progress_artifact(0.0, description=_time_left(left.values(), recorded))
        )
        for future in as_completed([*left]):
            del left[future]
            update_progress_artifact(
                artifact,
                100 * (1 - len(left) / len(self._futures)),
                description=_time_left(left.values(), recorded),
            )
            yield future


def _time_left(names: Iterable[str], recorded: Mapping[str, float]) -> str:
    """How long the stages will take one after another, as far as earlier runs tell."""
    seconds = [estimate(name, recorded) for name in names]
    known = [value for value in seconds if value is not None]
    unknown = len(seconds) - len(known)
    text = f"{len(seconds)} stages left: {sum(known) / 60:.0f} min of work"
    return f"{text}, and {unknown} that never ran here" if unknown else text


def _done(future: PrefectFuture[Any] | None) -> Done:
    if future is None:
        return Done("fresh")
    future.wait()  # before that, `state` is what the server has heard so far
    state = future.state
    if state.is_completed():
        outcome: Outcome = future.result()
        return Done(outcome.kind, outcome.seconds, outcome.reasons, entry=outcome.entry)
    if state.is_failed() or state.is_crashed():
        return Done("failed", error=str(future.result(raise_on_failure=False)))
    return Done("not run")
