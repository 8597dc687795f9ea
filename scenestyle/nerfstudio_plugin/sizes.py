"""How large fields are where the parameters do not say it."""

from scenestyle.params import TrainNerf

_SIDES = {"splats": 480, "nerfacto": 240}
"""long side that two CPU cores train in minutes, pixels"""


def num_gaussians(params: TrainNerf) -> int:
    """Most Gaussians of a field of splats."""
    if params.num_gaussians is not None:
        return params.num_gaussians
    return round(17_500 * (training_side(params) / 240) ** 1.2)


def training_side(params: TrainNerf) -> int:
    """Long side of the training images, pixels."""
    if params.max_image_side is not None:
        return params.max_image_side
    return _SIDES[params.field]
