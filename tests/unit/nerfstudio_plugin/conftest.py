import pytest
import torch
from nerfstudio.cameras.rays import RayBundle


@pytest.fixture
def rays() -> RayBundle:
    """Rays from within the unit cube outwards, with near and far planes."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.nn.functional.normalize(torch.randn(64, 3, generator=generator))
    return RayBundle(
        origins=torch.rand(64, 3, generator=generator) - 0.5,
        directions=directions,
        pixel_area=torch.ones(64, 1),
        camera_indices=torch.arange(64)[:, None] % 3,
        nears=torch.full((64, 1), 0.05),
        fars=torch.full((64, 1), 100.0),
    )
