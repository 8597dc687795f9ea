"""Laws of the sliced Wasserstein distance, with POT and the exact 1-D transport as oracles."""

import jaxtyping
import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from scenestyle.errors import ShapeError
from scenestyle.losses import (
    directions_for,
    orthonormal_directions,
    random_directions,
    region_reach,
    sliced_wasserstein,
    style_loss,
    tag_region,
)
from scenestyle.losses.sliced_wasserstein import _sorted_rows


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def clouds(generator, *, batch=1, channels=5, n=40):
    x = torch.randn(batch, channels, n, generator=generator, dtype=torch.float64)
    y = 2 * torch.randn(batch, channels, n, generator=generator, dtype=torch.float64) + 1
    return x, y, random_directions(7, channels, generator).double()


def test_directions_are_unit_isotropic_and_reproducible():
    draw = random_directions(20_000, 3, torch.Generator().manual_seed(1))
    assert torch.allclose(draw.norm(dim=1), torch.ones(20_000))
    assert torch.allclose(draw.T @ draw / 20_000, torch.eye(3) / 3, atol=0.01)
    assert torch.equal(draw, random_directions(20_000, 3, torch.Generator().manual_seed(1)))


def test_one_direction_per_channel_unless_told(generator):
    maps = [torch.zeros(1, 4, 2, 2), torch.zeros(1, 6, 1, 1)]
    assert [d.shape for d in directions_for(maps, generator)] == [(4, 4), (6, 6)]
    assert [d.shape for d in directions_for(maps, generator, num=3)] == [(3, 4), (3, 6)]


def test_zero_on_itself_and_on_any_reordering(generator):
    x, _, directions = clouds(generator)
    shuffled = x[..., torch.randperm(x.shape[-1], generator=generator)]
    assert sliced_wasserstein(x, x, directions) == 0
    assert sliced_wasserstein(x, shuffled, directions) < 1e-24


def test_positive_and_symmetric(generator):
    x, y, directions = clouds(generator)
    assert sliced_wasserstein(x, y, directions) > 0.1
    assert sliced_wasserstein(x, y, directions) == sliced_wasserstein(y, x, directions)


def test_a_shift_costs_its_square_along_the_direction(generator):
    x, _, _ = clouds(generator)
    shift = torch.tensor([3.0, 0, 4, 0, 0], dtype=torch.float64)
    direction = torch.tensor([[0.6, 0, 0.8, 0, 0]], dtype=torch.float64)
    moved = x + shift[:, None]
    assert sliced_wasserstein(x, moved, direction).item() == pytest.approx(25)


def test_equals_pot_on_the_same_directions(generator):
    x, y, directions = clouds(generator)
    oracle = ot.sliced_wasserstein_distance(x[0].T, y[0].T, projections=directions.T, p=2) ** 2
    assert sliced_wasserstein(x, y, directions).item() == pytest.approx(oracle.item(), rel=1e-12)


def test_one_channel_equals_the_exact_assignment(generator):
    x, y, _ = clouds(generator, channels=1, n=25)
    cost = (x[0, 0][:, None] - y[0, 0][None, :]).square().numpy()
    exact = cost[linear_sum_assignment(cost)].mean()
    value = sliced_wasserstein(x, y, torch.ones(1, 1, dtype=torch.float64))
    assert value.item() == pytest.approx(exact, rel=1e-12)


def test_a_batch_is_the_mean_of_its_entries(generator):
    x, y, directions = clouds(generator, batch=3)
    each = [sliced_wasserstein(x[i : i + 1], y[i : i + 1], directions).item() for i in range(3)]
    assert sliced_wasserstein(x, y, directions).item() == pytest.approx(np.mean(each))


def test_gradient_in_double_precision(generator):
    x, y, directions = clouds(generator, channels=3, n=9)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sliced_wasserstein(x, y, directions), x)


@pytest.mark.parametrize("wrong", ["n", "channels", "directions"])
def test_shapes_that_do_not_fit_are_refused(generator, wrong):
    x, y, directions = clouds(generator)
    arguments = {
        "n": (x, y[..., 1:], directions),
        "channels": (x, y[:, 1:], directions),
        "directions": (x, y, directions[:, 1:]),
    }[wrong]
    with pytest.raises(jaxtyping.TypeCheckError):
        sliced_wasserstein(*arguments)
    with pytest.raises(ShapeError):
        sliced_wasserstein.__wrapped__(*arguments)


def maps_pair(generator):
    shapes = [(1, 4, 6, 5), (1, 8, 3, 2)]
    x, y = ([torch.randn(s, generator=generator) for s in shapes] for _ in range(2))
    return x, y, directions_for(x, generator)


def test_style_loss_sums_or_averages_over_taps(generator):
    x, y, directions = maps_pair(generator)
    each = [
        sliced_wasserstein(a.flatten(2), b.flatten(2), d).item()
        for a, b, d in zip(x, y, directions, strict=True)
    ]
    assert style_loss(x, y, directions).item() == pytest.approx(sum(each))
    mean = style_loss(x, y, directions, layer_reduction="mean")
    assert mean.item() == pytest.approx(sum(each) / 2)


def test_style_loss_forgets_where_things_stand(generator):
    x, _, directions = maps_pair(generator)
    mirrored = [f.flip(-1) for f in x]
    assert style_loss(x, mirrored, directions).item() == pytest.approx(0, abs=1e-12)


def test_style_loss_wants_one_set_of_directions_per_tap(generator):
    x, y, directions = maps_pair(generator)
    with pytest.raises(ShapeError, match="2, 2 and 1"):
        style_loss(x, y, directions[:1])
    with pytest.raises(ShapeError):
        style_loss([], [], [])


@pytest.mark.parametrize("num", [3, 5, 12])
def test_orthonormal_directions_are_so_in_sets(num: int, generator):
    rows = orthonormal_directions(num, 5, generator)
    assert rows.shape == (num, 5)
    for first in range(0, num, 5):
        block = rows[first : first + 5]
        assert torch.allclose(block @ block.T, torch.eye(len(block)), atol=1e-5)


def test_orthonormal_directions_are_isotropic_and_reproducible():
    draws = torch.cat(
        [orthonormal_directions(2, 3, torch.Generator().manual_seed(seed)) for seed in range(4000)]
    )
    assert torch.allclose(draws.mean(0), torch.zeros(3), atol=0.03)
    assert torch.allclose(draws.T @ draws / len(draws), torch.eye(3) / 3, atol=0.02)
    assert torch.equal(draws[:2], orthonormal_directions(2, 3, torch.Generator().manual_seed(0)))


def test_orthonormal_directions_vary_the_distance_less_about_the_same_mean(generator):
    x, y, _ = clouds(generator, channels=8)
    found = {
        kind: torch.stack(
            [
                sliced_wasserstein(
                    x, y, directions_for([x[..., None]], generator, kind=kind)[0].double()
                )
                for _ in range(300)
            ]
        )
        for kind in ("gaussian", "orthonormal")
    }
    standard_error = float(found["gaussian"].std()) / 300**0.5
    assert found["orthonormal"].mean().item() == pytest.approx(
        found["gaussian"].mean().item(), abs=4 * standard_error
    )
    assert found["orthonormal"].std() < 0.5 * found["gaussian"].std()


def halves(left: float, right: float) -> torch.Tensor:
    """A map of 3 channels, one value left and another right."""
    grid = torch.full((1, 3, 4, 8), right)
    grid[..., :4] = left
    return grid


def regional_loss(render: torch.Tensor, stylized: torch.Tensor, region: torch.Tensor, generator):
    maps, others = [render], [stylized]
    directions = directions_for(maps, generator)
    reach = region_reach(maps, others)
    tagged, tagged_directions = tag_region(maps, directions, region, reach=reach)
    tagged_others, _ = tag_region(others, directions, region, reach=reach)
    plain = style_loss(maps, others, directions)
    return style_loss(tagged, tagged_others, tagged_directions), plain


def test_features_are_not_matched_across_the_edge_of_a_region(generator):
    region = halves(1.0, 0.0)[:, :1]
    swapped, plain = regional_loss(halves(1.0, 2.0), halves(2.0, 1.0), region, generator)
    assert plain < 1e-10
    assert swapped > 0.1


def test_a_regional_loss_is_the_mean_over_inside_and_outside(generator):
    render, stylized = (torch.rand(1, 3, 4, 8, generator=generator) - 0.5 for _ in range(2))
    seed = generator.get_state()
    found, _ = regional_loss(render, stylized, halves(1.0, 0.0)[:, :1], generator)
    generator.set_state(seed)
    (directions,) = directions_for([render], generator)
    by_hand = [
        sliced_wasserstein(render[..., side].flatten(2), stylized[..., side].flatten(2), directions)
        for side in (slice(4), slice(4, 8))
    ]
    assert found.item() == pytest.approx(sum(by_hand).item() / 2, rel=1e-4)


@pytest.mark.parametrize("inside", [0.0, 1.0])
def test_a_region_that_is_all_or_nothing_changes_nothing(inside: float, generator):
    render, stylized = (torch.rand(1, 3, 4, 8, generator=generator) for _ in range(2))
    found, plain = regional_loss(render, stylized, torch.full((1, 1, 4, 8), inside), generator)
    assert found.item() == pytest.approx(plain.item(), rel=1e-4)


def test_sorting_is_torchs_in_value_and_gradient(generator):
    directions = random_directions(6, 5, generator)
    x, y = (torch.randn(2, 5, 300, generator=generator) for _ in range(2))
    weights = torch.randn(2, 6, 300, generator=generator)
    gradients = []
    for sort in (_sorted_rows, lambda values: values.sort(dim=-1).values):
        leaf = x.clone().requires_grad_(True)
        rows = sort(directions @ leaf)
        (rows * weights).sum().backward()
        gradients.append(leaf.grad)
        assert torch.equal(rows, (directions @ x).sort(dim=-1).values)
    assert torch.equal(*gradients)
    assert torch.equal(_sorted_rows(directions @ y), (directions @ y).sort(dim=-1).values)


@pytest.mark.parametrize("num_rows", [1, 2, 5])
def test_any_number_of_threads_sorts_alike(num_rows: int, generator):
    values, weights = torch.randn(2, num_rows, 300, generator=generator)
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            leaf = values.clone().requires_grad_()
            rows = _sorted_rows(leaf)
            (rows * weights).sum().backward()
            found.append((rows, _sorted_rows(values), leaf.grad))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], values.sort(dim=-1).values)
    for several in found[1:]:
        assert all(map(torch.equal, found[0], several))
