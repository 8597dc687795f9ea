from pathlib import Path

import pytest

from tests.support.tiny_diffusion import tiny_pipeline


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny pipeline as a diffusers folder."""
    folder = tmp_path_factory.mktemp("tiny_sdxl")
    tiny_pipeline().save_pretrained(folder)
    return folder
