from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pytest
from PIL import Image

from scenestyle.errors import InputError
from scenestyle.project.remote import fetch, is_fetched, source_record
from tests.support.s3 import s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(params=["memory", "s3"])
def url(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Photos in a store of this process, or behind an S3 server."""
    if request.param == "s3":
        request.getfixturevalue("s3")
    url = f"{request.param}://store/{uuid4().hex}/fern"
    noise = np.random.default_rng(0)
    for number in range(3):
        path = tmp_path / f"{number}.png"
        Image.fromarray(noise.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
        put(f"{url}/{number}.png", path.read_bytes())
    return url


def put(url: str, content: bytes) -> None:
    with fsspec.open(url, "wb") as file:
        file.write(content)


def test_a_capture_is_fetched_and_a_change_behind_the_url_is_seen(url: str, tmp_path: Path) -> None:
    target = tmp_path / "scenes/fern"
    assert not is_fetched(url, target)
    assert len(fetch(url, target).photos) == 3
    assert {path.name for path in target.iterdir()} == {"0.png", "1.png", "2.png"}
    assert {path.name for path in target.parent.iterdir()} == {"fern", "fern.source.json"}
    assert is_fetched(url, target)

    Image.effect_noise((8, 8), 50).convert("RGB").save(tmp_path / "3.png")
    put(f"{url}/3.png", (tmp_path / "3.png").read_bytes())
    assert not is_fetched(url, target)
    fetch(url, target)
    assert len(list(target.iterdir())) == 4


def test_what_cannot_be_used_leaves_everything_as_it_was(url: str, tmp_path: Path) -> None:
    target = tmp_path / "scenes/fern"
    fetch(url, target)
    before = source_record(target).read_bytes()
    put(f"{url}/1.png", b"no image")
    with pytest.raises(InputError, match=r"1\.png"):
        fetch(url, target)
    assert source_record(target).read_bytes() == before
    assert len(list(target.iterdir())) == 3
    assert not is_fetched(url, target)


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """Names in a store are free, and one with dots would be written beside the scene."""
    url = f"memory://store/{uuid4().hex}/fern"
    for name in ("0.png", "../1.png"):
        put(f"{url}/{name}", b"x")
    with pytest.raises(InputError, match=r"'\.\./1\.png' lies outside of it"):
        fetch(url, tmp_path / "fern")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://nothing/here", "does not exist or is empty"),
        ("nosuch://bucket/fern", "Protocol not known"),
        ("s3://store/none/here", "does not exist or is empty"),
        ("s3://none/fern", "does not exist"),
        ("gs://bucket/fern", "a package that is not installed"),
        ("http://127.0.0.1:1/fern.mp4", "cannot be read|does not exist"),
    ],
)
@pytest.mark.usefixtures("s3")
def test_what_cannot_be_reached_is_said(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        fetch(url, tmp_path / "fern")
    assert not any(tmp_path.iterdir())
