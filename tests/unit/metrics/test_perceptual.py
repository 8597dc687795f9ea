import pytest
import torch

from scenestyle.errors import ShapeError
from scenestyle.features import load_features
from scenestyle.metrics.perceptual import feature_similarity, perceptual_map


def maps(seed: int, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


TAPS = ((2, 8, 12, 16), (2, 24, 6, 8))


def test_equal_features_are_at_distance_zero_and_opposite_ones_at_four() -> None:
    x = maps(0, *TAPS)

    assert perceptual_map(x, x, (12, 16)).abs().max() == 0
    assert perceptual_map(x, [-f for f in x], (12, 16)) == pytest.approx(4, rel=1e-5)
    assert feature_similarity(x, x) == pytest.approx(1, rel=1e-5)
    assert feature_similarity(x, [-f for f in x]) == pytest.approx(-1, rel=1e-5)


def test_only_the_direction_of_features_counts() -> None:
    x, y = maps(0, *TAPS), maps(1, *TAPS)

    scaled = [f * 5 for f in y]

    assert torch.allclose(perceptual_map(x, y, (12, 16)), perceptual_map(x, scaled, (12, 16)))
    assert torch.allclose(feature_similarity(x, y), feature_similarity(x, scaled))


def test_distance_is_symmetric_and_twice_one_minus_the_cosine_on_average() -> None:
    x, y = maps(0, TAPS[0]), maps(1, TAPS[0])

    distance = perceptual_map(x, y, (12, 16))

    assert torch.allclose(distance, perceptual_map(y, x, (12, 16)))
    assert torch.allclose(distance.mean((1, 2)), 2 - 2 * feature_similarity(x, y), atol=1e-5)


def test_a_change_is_found_where_it_is() -> None:
    x = maps(0, (1, 8, 12, 16))
    y = [x[0].clone()]
    y[0][:, :, 2:5, 3:7] *= -1

    distance = perceptual_map(x, y, (12, 16))[0]

    assert distance[2:5, 3:7] == pytest.approx(4, rel=1e-5)
    assert distance.sum().item() == pytest.approx(4 * 12, rel=1e-5)


def test_with_the_embedded_network_blur_grows_with_its_width() -> None:
    features = load_features("efficientnet_lite0")
    sharp = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def blurred(width: int) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(
            sharp, width, 1, padding=width // 2, count_include_pad=False
        )

    with torch.no_grad():
        near, far = (
            perceptual_map(features(sharp), features(blurred(width)), (64, 64)).mean()
            for width in (3, 7)
        )

    assert 0 < near < far < 4


def test_maps_must_fit_together() -> None:
    x = maps(0, *TAPS)
    with pytest.raises(ShapeError, match="same shapes"):
        perceptual_map(x, x[:1], (12, 16))
    with pytest.raises(ShapeError, match="same shapes"):
        feature_similarity([], [])
