"""Named shape aliases, so that signatures read in the words of the field.

Colour is RGB in [0, 1], channels last. `c2w_opengl` is a camera-to-world matrix whose camera axes
are x right, y up, z backwards (nerfstudio's frame). `depth_z` is distance along the optical axis.
"""

from jaxtyping import Float
from torch import Tensor

Image = Float[Tensor, "height width 3"]
Images = Float[Tensor, "views height width 3"]
Depth = Float[Tensor, "height width"]
Depths = Float[Tensor, "views height width"]
Pose = Float[Tensor, "4 4"]
Poses = Float[Tensor, "views 4 4"]
FeatureMap = Float[Tensor, "batch _channels _height _width"]
