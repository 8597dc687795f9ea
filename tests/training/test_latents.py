import pytest
import torch

from training import latents


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 6, 8, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(48, 64), mode="bilinear")


def test_one_latent_per_block(pictures):
    assert latents.encode(pictures).shape == (2, latents.CHANNELS, 6, 8)


def test_encoding_is_affine(pictures):
    first, second = pictures
    encoded = latents.encode(torch.stack([first, second, 0.3 * first + 0.7 * second]))
    torch.testing.assert_close(encoded[2], 0.3 * encoded[0] + 0.7 * encoded[1])


def test_linear_decode_is_a_right_inverse(pictures):
    encoded = latents.encode(pictures)
    torch.testing.assert_close(
        latents.encode(latents.linear_decode(encoded)), encoded, atol=1e-4, rtol=1e-4
    )


def test_flat_colour_survives_exactly():
    flat = torch.tensor([0.8, -0.4, 0.1]).view(1, 3, 1, 1).expand(1, 3, 16, 16).contiguous()
    torch.testing.assert_close(latents.linear_decode(latents.encode(flat)), flat, atol=1e-3, rtol=0)


def test_fit_gives_zero_mean_and_unit_spread(pictures, monkeypatch):
    stats = latents.fit(pictures)
    mean, scale = (torch.tensor(stats[key]).view(-1, 1, 1) for key in ("mean", "scale"))
    monkeypatch.setattr(latents, "_stats", lambda: (mean, scale))
    encoded = latents.encode(pictures)
    torch.testing.assert_close(
        encoded.mean((0, 2, 3)), torch.zeros(latents.CHANNELS), atol=1e-4, rtol=0
    )
    assert encoded.std().item() == pytest.approx(1, abs=0.02)
