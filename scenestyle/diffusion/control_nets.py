"""The ControlNets of a pipeline, one or several."""

from typing import Any


def control_nets(controlnet: Any) -> list[Any]:
    """The ControlNets of a pipeline: those of its `MultiControlNetModel`, or its only one."""
    return list(getattr(controlnet, "nets", [controlnet]))
