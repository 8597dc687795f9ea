from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import AlexNet_Weights, alexnet

from scenestyle.errors import WeightsError
from scenestyle.metrics.lpips import ALEXNET, load_lpips

PICTURE, OTHER = np.random.default_rng(0).random((2, 64, 64, 3), dtype=np.float32)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of torch's of one's own, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_the_file_is_torchvisions() -> None:
    assert Path(AlexNet_Weights.DEFAULT.url).name == ALEXNET


@pytest.mark.usefixtures("cache")
def test_without_weights_it_says_where_they_were_looked_for() -> None:
    with pytest.raises(WeightsError, match=r"checkpoints/alexnet.*evaluate\.pretrained: download"):
        load_lpips(may_download=False)


def test_with_weights_in_the_cache_it_is_a_distance(cache: Path) -> None:
    torch.manual_seed(0)
    torch.save(alexnet(weights=None).state_dict(), cache / ALEXNET)

    lpips = load_lpips(may_download=False)

    assert lpips(PICTURE, PICTURE) == 0
    assert lpips(PICTURE, OTHER) == pytest.approx(lpips(OTHER, PICTURE), rel=1e-4)
    half_way = (PICTURE + OTHER) / 2
    assert 0 < lpips(PICTURE, half_way) < lpips(PICTURE, OTHER)


def test_damaged_weights_are_an_error(cache: Path) -> None:
    (cache / ALEXNET).write_bytes(b"torn")

    with pytest.raises(WeightsError, match="AlexNet"):
        load_lpips(may_download=False)
