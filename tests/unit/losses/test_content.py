"""Laws of the content loss."""

import pytest
import torch

from scenestyle.errors import ShapeError
from scenestyle.losses import content_loss


def test_sums_the_mean_squares_of_its_taps():
    x = [torch.zeros(1, 2, 3, 3), torch.zeros(1, 4, 2, 2)]
    y = [torch.full((1, 2, 3, 3), 2.0), torch.full((1, 4, 2, 2), 3.0)]
    assert content_loss(x, y).item() == pytest.approx(4 + 9)
    assert content_loss(x, x) == 0


def test_knows_positions():
    x = [torch.arange(8.0).view(1, 1, 2, 4)]
    assert content_loss(x, [x[0].flip(-1)]) > 0


def test_gradient_in_double_precision():
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 2, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: content_loss([x], [y]), x)


@pytest.mark.parametrize("other", [[], [torch.zeros(1, 2, 3, 4)], [torch.zeros(1, 2, 3, 3)] * 2])
def test_shapes_that_do_not_fit_are_refused(other):
    with pytest.raises(ShapeError):
        content_loss([torch.zeros(1, 2, 3, 3)], other)
