"""The ControlNets of a pipeline, one or several."""

from typing import Any


def control_nets(controlnet: Any) -> list[Any]:
    """What is in a pipeline's `controlnet`: a `MultiControlNetModel`'s nets, or the one ControlNet that it is."""
    return list(getattr(controlnet, "nets", [controlnet]))
