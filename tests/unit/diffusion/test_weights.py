import hashlib

import pytest

from scenestyle.diffusion.weights import verified
from scenestyle.errors import WeightsError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "weights.safetensors").write_bytes(b"\x00\x01")
    digest = hashlib.sha256(b"\x00\x01").hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  unet/weights.safetensors\n")
    return tmp_path


def test_intact_weights_are_named_by_the_checksum_of_their_list(folder):
    listed = (folder / "SHA256SUMS").read_bytes()
    assert verified(folder) == hashlib.sha256(listed).hexdigest()


def test_a_flipped_bit_is_found(folder):
    (folder / "unet" / "weights.safetensors").write_bytes(b"\x00\x00")
    with pytest.raises(WeightsError, match=r"unet/weights.safetensors is damaged.*git checkout"):
        verified(folder)


def test_a_missing_file_is_found(folder):
    (folder / "unet" / "weights.safetensors").unlink()
    with pytest.raises(WeightsError, match="found no file"):
        verified(folder)


def test_missing_weights_say_where_they_should_be(tmp_path):
    with pytest.raises(WeightsError, match=rf"looked for {tmp_path}/SHA256SUMS"):
        verified(tmp_path)
