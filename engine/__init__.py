"""How a stage instance of dvc.yaml is brought up to date; knows DVC, not Prefect."""

from engine.pipeline import Pipeline
from engine.runner import Outcome, StageError, run_stage
from engine.share import Parcel, bring_back, parcel, run_shared, take_over
from engine.timing import estimate

__all__ = [
    "Outcome",
    "Parcel",
    "Pipeline",
    "StageError",
    "bring_back",
    "estimate",
    "parcel",
    "run_shared",
    "run_stage",
    "take_over",
]
