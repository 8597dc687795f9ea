"""Stages as Prefect tasks. DVC is the cache: Prefect stores no results and decides nothing by itself."""

from pathlib import Path
from typing import Any

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed

from scenestyle.errors import ScenestyleError
from tasks._engine import Outcome, Pipeline, run_stage


class FlowError(ScenestyleError):
    """Stages of a flow run failed, so that others could not run."""


def stage_task(stage: str) -> Task[[str], Any]:
    """The Prefect task of a stage, called with the id of an instance: a scene, or `SCENE-STYLE`.

    It ends `Completed` if the stage ran, `Cached` if there was nothing to do or an earlier result came back.
    """

    @task(
        name=stage,
        task_run_name=f"{stage}@{{instance}}",
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def bring_up_to_date(instance: str) -> State[Outcome]:
        outcome = run_stage(f"{stage}@{instance}", log=get_run_logger().info)
        why = "; ".join(outcome.reasons)
        match outcome.kind:
            case "fresh":
                return Completed(name="Cached", message="up to date", data=outcome)
            case "restored":
                return Completed(name="Cached", message=f"restored ({why})", data=outcome)
            case "ran":
                return Completed(message=f"ran ({why})", data=outcome)

    return bring_up_to_date


class StageRuns:
    """The stages of one flow run; each starts when those it needs, says dvc.yaml, are done."""

    def __init__(self) -> None:
        self._pipeline = Pipeline(Path.cwd())
        self._needs = self._pipeline.needs()
        self._futures: dict[str, PrefectFuture[Any]] = {}

    def submit(self, stage: Task[[str], Any], instance: str) -> None:
        """Have a stage brought up to date; those it needs must have been submitted before."""
        name = f"{stage.name}@{instance}"
        needed = [self._futures[upstream] for upstream in self._needs[name]]
        self._futures[name] = stage.submit(instance, wait_for=needed, return_state=False)

    def conclude(self) -> list[Path]:
        """Wait for all stages.

        Returns:
            What the last one wrote, relative to the project's root.

        Raises:
            FlowError: If not every stage is done; with a line for each that failed.
        """
        failed, held_up = [], []
        for name, future in self._futures.items():
            future.wait()
            if future.state.is_failed() or future.state.is_crashed():
                failed.append(f"  - {future.result(raise_on_failure=False)}")
            elif not future.state.is_completed():
                held_up.append(name)
        if failed or held_up:
            not_run = f"\nNot run: {', '.join(held_up)}." if held_up else ""
            raise FlowError("\n".join(["Stages failed:", *failed]) + not_run)
        return self._pipeline.outputs(next(reversed(self._futures)))
