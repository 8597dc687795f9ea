"""Named shape aliases, so that signatures read in the words of the field."""

from jaxtyping import Float
from torch import Tensor

FeatureMap = Float[Tensor, "batch _channels _height _width"]
