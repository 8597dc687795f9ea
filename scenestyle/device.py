"""Where the tensors of a stage live: one GPU if there is one, else the CPU."""

import os
from typing import TYPE_CHECKING

from scenestyle.errors import ParamsError

if TYPE_CHECKING:
    import torch

VARIABLE = "SCENESTYLE_DEVICE"
"""Environment variable that overrides the choice: `cpu`, `cuda` or `cuda:1`."""


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
            f"{VARIABLE}={name!r}: this machine offers cpu and {num_gpus} CUDA device(s) that torch "
            "can use. Name one of them, or leave the variable unset."
        )
    return device
