"""Where the tensors of a stage are, on a GPU or the CPU; and how its threads wait."""

import os
from typing import TYPE_CHECKING

from scenestyle.errors import ParamsError

if TYPE_CHECKING:
    import torch

VARIABLE = "SCENESTYLE_DEVICE"
"""Environment variable that overrides the choice: `cpu`, `cuda` or `cuda:1`."""


def let_idle_threads_sleep() -> None:
    """Have OpenMP's threads sleep while they wait for work; call it before torch is imported.

    By default they spin, and on cores that are shared with other processes they then take the time
    that the others, and their own siblings, need: beside a dozen busy processes on two cores, a
    training step with two threads fell from about 2.4 s to 0.3 s. A set OMP_WAIT_POLICY is
    respected.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def select_device(wanted: str | None = None) -> "torch.device":
    """The device to compute on: `wanted`, else what SCENESTYLE_DEVICE names, else CUDA, else CPU.

    Raises:
        ParamsError: If the named device is not one of torch's kinds, or this machine lacks it.
    """
    import torch

    name = wanted or os.environ.get(VARIABLE) or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ParamsError(
            f"{VARIABLE}={name!r} is not a device; use cpu, cuda or cuda:N, or leave it unset."
        ) from error
    num_gpus = torch.cuda.device_count()
    if device.type not in ("cpu", "cuda") or (
        device.type == "cuda" and (device.index or 0) >= num_gpus
    ):
        raise ParamsError(
            f"{VARIABLE}={name!r}: this machine offers cpu and {num_gpus} CUDA device(s) that "
            "torch can use. Name one of them, or leave the variable unset."
        )
    return device
