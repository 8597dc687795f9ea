"""Kernels give the same numbers whether they were just compiled or come from the cache on disk."""

import os
import subprocess
import sys
from pathlib import Path

_SUMMARY_OF_GRADIENTS = """\
import hashlib, torch
from benchmarks.splat_raster import ours, some_camera, some_gaussians
from scenestyle.losses import photometric_loss

rgb = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0))
other = rgb.flip(2).requires_grad_()
photometric_loss(other, rgb).backward()
gaussians = some_gaussians(400, 64)
ours(gaussians, some_camera(64, 48)).square().sum().backward()
gradients = [other.grad, gaussians.means.grad, gaussians.quats.grad, gaussians.logits.grad]
print([hashlib.sha256(each.numpy().tobytes()).hexdigest()[:12] for each in gradients])
"""


def test_a_first_run_is_like_all_later_ones(tmp_path: Path) -> None:
    """With all of fastmath, the gradient of the photometric loss differed by rounding (tried)."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.run(
            [sys.executable, "-c", _SUMMARY_OF_GRADIENTS],
            env=env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    )
    assert list(tmp_path.rglob("*.nbi"))
    assert first == second
