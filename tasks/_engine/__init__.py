"""How a stage instance of dvc.yaml is brought up to date; knows DVC, not Prefect."""

from tasks._engine.pipeline import Pipeline
from tasks._engine.runner import Outcome, StageError, run_stage
from tasks._engine.timing import estimate

__all__ = ["Outcome", "Pipeline", "StageError", "estimate", "run_stage"]
