"""Checkpoints in nerfstudio's form that load without executing anything (`weights_only=True`)."""

import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from scenestyle.errors import ArtifactError
from scenestyle.files import whole_file
from scenestyle.nerfstudio_plugin.interface import FIELD_FORMAT
from scenestyle.params import TrainNerf


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all; equal states give equal bytes."""
    with whole_file(path) as partial, partial.open("wb") as file:
        torch.save(_plain(state), file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises:
        ArtifactError: If the file is missing, damaged, or holds more than tensors and plain values.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, pickle.UnpicklingError):  # PyTorch's words advise to open it unsafely
            reason = "it is damaged or holds more than tensors and plain values; none of it was run"
        raise ArtifactError(
            f"{path} cannot be read as a checkpoint ({reason}). Delete its folder and rerun the "
            "stage."
        ) from error


def run_checkpoint(run: Path) -> Path:
    """The newest checkpoint of a run.

    Raises:
        ArtifactError: If the run holds none.
    """
    found = sorted((run / "nerfstudio_models").glob("step-*.ckpt"))
    if not found:
        raise ArtifactError(
            f"{run}/nerfstudio_models holds no step-*.ckpt. Rerun the stage that makes {run}."
        )
    return found[-1]


def checkpoint_path(run: Path, step: int) -> Path:
    """Where nerfstudio looks for the checkpoint of `step`."""
    return run / "nerfstudio_models" / f"step-{step:09d}.ckpt"


def recorded_params(checkpoint: Mapping[str, Any], run: Path) -> TrainNerf:
    """What the source field of a run was trained with.

    Raises:
        ArtifactError: If the checkpoint was not written by this version of the project.
    """
    found = checkpoint.get("field_format")
    if found != FIELD_FORMAT:
        raise ArtifactError(
            f"{run} holds a field of format {found}, this version of scenestyle renders format "
            f"{FIELD_FORMAT}. Rerun train_nerf."
        )
    try:
        return TypeAdapter(TrainNerf).validate_python(checkpoint["train_nerf"])
    except (KeyError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(
            f"{run} was made by another version of scenestyle ({reason}). Rerun train_nerf."
        ) from error


def _plain(value: Any) -> Any:
    """Rebuild containers, turn NumPy scalars into Python's, put tensors on the CPU.

    nerfstudio's schedulers leave NumPy scalars in the state, which safe loading refuses. Fresh
    containers and interned strings make the pickle independent of who shares what with whom, which
    differs between a run in one go and a resumed one.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, np.generic):
        return value.item()
    return sys.intern(value) if isinstance(value, str) else value
