"""What `make setup` compiles is all that a scene needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_LATER = """\
import tempfile
from pathlib import Path
from tests.support.tiny_field import PARAMS, SPLATS, write_tiny_source
from dataclasses import replace
for params in (PARAMS, SPLATS):
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_source(Path(folder), replace(params, iterations=2))
"""


@pytest.mark.slow
def test_training_and_rendering_compile_nothing_more(tmp_path: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def compiled_by(*command: str) -> set[Path]:
        subprocess.run([sys.executable, *command], env=env, check=True)
        return set(tmp_path.rglob("*.nbc"))

    at_setup = compiled_by("-m", "cli.compile_kernels")
    assert len(at_setup) > 20
    assert compiled_by("-c", _LATER) == at_setup
