"""What pulls a render towards its photo or its stylized view: pure functions.

Most compare feature maps, which come from `scenestyle.features`, one per tap, as `batch channels
height width`.
"""

from scenestyle.losses.content import content_loss
from scenestyle.losses.photometric import photometric_loss
from scenestyle.losses.sliced_wasserstein import (
    directions_for,
    orthonormal_directions,
    random_directions,
    region_reach,
    sliced_wasserstein,
    style_loss,
    tag_region,
)

__all__ = [
    "content_loss",
    "directions_for",
    "orthonormal_directions",
    "photometric_loss",
    "random_directions",
    "region_reach",
    "sliced_wasserstein",
    "style_loss",
    "tag_region",
]
