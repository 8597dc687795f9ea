import numba
import pytest
import torch
from nerfstudio.field_components.encodings import HashEncoding
from nerfstudio.field_components.mlp import MLPWithHashEncoding

from scenestyle.nerfstudio_plugin.hash_encoding import (
    CpuHashEncoding,
    encode,
    use_cpu_hash_encodings,
)

LEVELS, TABLE_SIZE = 5, 2**10


@pytest.fixture
def oracle() -> HashEncoding:
    torch.manual_seed(0)
    return HashEncoding(
        num_levels=LEVELS,
        max_res=300,
        log2_hashmap_size=10,
        hash_init_scale=1.0,
        implementation="torch",
    )


@pytest.fixture
def positions() -> torch.Tensor:
    return torch.rand(3000, 3, generator=torch.Generator().manual_seed(1))


def gradients(encoding, positions, weights):
    positions = positions.clone().requires_grad_()
    return torch.autograd.grad(encoding(positions), [positions, encoding.hash_table], weights)


def test_values_are_nerfstudios(oracle, positions):
    encoded = CpuHashEncoding.sharing(oracle)(positions)
    torch.testing.assert_close(encoded, oracle(positions), rtol=0, atol=1e-6)


def test_gradients_are_nerfstudios(oracle, positions):
    weights = torch.randn(len(positions), 2 * LEVELS, generator=torch.Generator().manual_seed(2))
    expected = gradients(oracle, positions, weights)
    found = gradients(CpuHashEncoding.sharing(oracle), positions, weights)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 * float(theirs.abs().max()))


def test_gradients_are_those_of_the_values(positions):
    generator = torch.Generator().manual_seed(3)
    table = torch.randn(LEVELS * 2**4, 3, generator=generator, dtype=torch.float64)
    scalings = torch.tensor([2.0, 3, 5, 7, 11], dtype=torch.float64)
    inputs = positions[:20].double().requires_grad_(), table.requires_grad_()
    assert torch.autograd.gradcheck(lambda p, t: encode(p, t, scalings), inputs)


def test_positions_on_the_faces_of_cells_are_nerfstudios(oracle):
    faces = torch.tensor([[0.0, 0, 0], [1, 1, 1], [0.5, 0.25, 1], [0.125, 0, 0.75]])
    encoded = CpuHashEncoding.sharing(oracle)(faces)
    torch.testing.assert_close(encoded, oracle(faces), rtol=0, atol=1e-6)


def test_number_of_threads_changes_no_bit(oracle, positions):
    encoding = CpuHashEncoding.sharing(oracle)
    weights = torch.randn(len(positions), 2 * LEVELS, generator=torch.Generator().manual_seed(2))
    several = gradients(encoding, positions, weights)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = gradients(encoding, positions, weights)
    finally:
        numba.set_num_threads(before)
    for a, b in zip(several, one, strict=True):
        assert torch.equal(a, b)


def test_a_batch_keeps_its_shape_and_may_be_empty(oracle):
    encoding = CpuHashEncoding.sharing(oracle)
    assert encoding(torch.rand(2, 7, 3)).shape == (2, 7, 2 * LEVELS)
    assert encoding(torch.empty(0, 3)).shape == (0, 2 * LEVELS)


def test_state_dicts_are_interchangeable(positions):
    module = MLPWithHashEncoding(num_levels=LEVELS, log2_hashmap_size=8, implementation="torch")
    expected, state = module(positions), module.state_dict()
    use_cpu_hash_encodings(module)
    assert isinstance(module.model[0], CpuHashEncoding)
    assert module.state_dict().keys() == state.keys()
    torch.testing.assert_close(module(positions), expected, rtol=0, atol=1e-6)


def test_the_table_stays_one_parameter(oracle, positions):
    encoding = CpuHashEncoding.sharing(oracle)
    with torch.no_grad():
        oracle.hash_table.mul_(2)
    assert encoding.hash_table is oracle.hash_table
    torch.testing.assert_close(encoding(positions), oracle(positions), rtol=0, atol=2e-6)
