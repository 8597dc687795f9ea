from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from scenestyle.errors import InputError
from scenestyle.project.captures import catalog_text, find_captures
from scenestyle.project.catalog import read_catalog
from tests.support.toy_project import PARAMS


def photos(folder: Path) -> Path:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for number in range(3):
        pixels = noise.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_a_folder_of_captures_becomes_a_catalog_that_reads_back(tmp_path: Path) -> None:
    captures = tmp_path / "captures"
    wanted = {
        "red_chair": photos(captures / "red-chair"),
        "Red_chair_2": photos(captures / "Red chair"),
        "caf": photos(captures / "café"),
    }
    (captures / "notes.txt").write_text("no video")
    (captures / "empty").mkdir()
    (captures / ".DS_Store").touch()
    found = find_captures(captures)
    assert {path: scene.lower() for scene, path in found.taken.items()} == {
        path.resolve(): scene.lower() for scene, path in sorted(wanted.items())
    } | {wanted["Red_chair_2"].resolve(): "red_chair", wanted["red_chair"].resolve(): "red_chair_2"}
    assert found.left_out.keys() == {"notes.txt", "empty"}

    file = tmp_path / "catalog.csv"
    file.write_text(catalog_text(found.taken, ["ink", "made of glass"]), encoding="utf-8")
    catalog = read_catalog(file, yaml.safe_load(PARAMS))
    assert catalog.sources == found.taken
    assert {scene["caption"] for scene in catalog.changes["scenes"].values()} == {
        "red chair",
        "Red chair",
        "café",
    }
    assert len(catalog.wanted) == 6


def test_a_capture_itself_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a capture itself"):
        find_captures(photos(tmp_path / "fern"))
    with pytest.raises(InputError, match="is no folder"):
        find_captures(tmp_path / "nothing")
