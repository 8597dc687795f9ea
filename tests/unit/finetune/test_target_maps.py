"""Feature maps of targets are computed once where they cannot change."""

import numpy as np
import pytest
import torch

from scenestyle.cameras import PinholeCamera
from scenestyle.features import load_features
from scenestyle.finetune import patch_losses
from scenestyle.finetune.patch_losses import TargetMaps
from scenestyle.finetune.patches import Patch, Target

FEATURES = load_features("efficientnet_lite0")
CAMERA = PinholeCamera(np.eye(4), fx=90.0, fy=90.0, cx=48.0, cy=40.0, width=96, height=80)
EVERYTHING = slice(0, 80), slice(0, 96)


def target(view_index: int, opacity: float = 1.0, *, is_cut_out: bool = False) -> Target:
    rgb = np.random.default_rng(view_index).random((1, 80, 96, 3), dtype=np.float32)
    ones = np.ones((80, 96), np.float32)
    return Target.from_view(
        *(CAMERA, view_index, rgb, ones, opacity * ones, ones, torch.device("cpu")),
        is_cut_out=is_cut_out,
    )


def num_computed(monkeypatch: pytest.MonkeyPatch, *patches: Patch) -> int:
    """How often the network runs for patches that are asked for twice."""
    calls = []
    trunk = FEATURES.trunk.forward
    monkeypatch.setattr(FEATURES.trunk, "forward", lambda rgb: calls.append(0) or trunk(rgb))
    maps_of = TargetMaps(FEATURES)
    for patch in [*patches, *patches]:
        maps, computed = maps_of(patch), len(calls)
        assert all(torch.equal(*pair) for pair in zip(maps, FEATURES(patch.rgb), strict=True))
        del calls[computed:]
    return len(calls)


def test_whole_views_are_computed_once_each_and_at_each_scale(monkeypatch):
    one, other = target(0), target(1)
    half = one.resized(0.5).crop(slice(0, 40), slice(0, 48))
    views = [one.crop(*EVERYTHING), other.crop(*EVERYTHING), half]
    assert num_computed(monkeypatch, *views) == 3


def test_what_a_void_shines_through_or_is_a_part_is_computed_anew(monkeypatch):
    cut_out = target(0, opacity=0.5, is_cut_out=True).crop(*EVERYTHING)
    assert num_computed(monkeypatch, cut_out) == 2
    part = target(0).crop(slice(0, 32), slice(4, 44))
    assert num_computed(monkeypatch, part) == 2


def test_what_is_kept_is_bounded(monkeypatch):
    one, other = (target(index).crop(*EVERYTHING) for index in (0, 1))
    num_bytes = sum(f.nbytes for f in FEATURES(one.rgb))
    monkeypatch.setattr(patch_losses, "_MOST_KEPT_BYTES", num_bytes)
    assert num_computed(monkeypatch, one, other) == 3
