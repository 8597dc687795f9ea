"""How a stage instance of dvc.yaml is brought up to date; knows DVC, not Prefect."""

from tasks._engine.pipeline import Pipeline
from tasks._engine.runner import Outcome, StageError, run_stage
from tasks._engine.share import Parcel, parcel, run_shared, take_over
from tasks._engine.timing import estimate

__all__ = [
    "Outcome",
    "Parcel",
    "Pipeline",
    "StageError",
    "estimate",
    "parcel",
    "run_shared",
    "run_stage",
    "take_over",
]
