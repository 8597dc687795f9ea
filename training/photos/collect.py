"""Gather the photographs of `sources.toml` in one folder, each with a depth of the same pixels.

    python -m training.photos.collect --work .work/embedded --packages PACKAGES --project PROJECT

PACKAGES holds unpacked packages, a folder each, by name (`apt-get download NAME; dpkg-deb -x
NAME_*.deb PACKAGES/NAME`; packages of PyPI are found where they are installed). PROJECT is a
scenestyle project in which the captures are scenes whose views have been rendered (`scenestyle
add-scene NAME ...`, `dvc repro render_views@NAME`): a capture gives its photographs and its field's
renders, both with the field's depth. A photograph without a field gets a made-up depth; so do those
of a capture whose cameras could not be found. What is missing is left out, and said.
"""

import argparse
import json
import logging
import tomllib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from scenestyle.artifacts import MIN_OPACITY, read_rgb, write_map, write_rgb
from training.photos.buffers import resized_depth
from training.procedural.arrays import floats
from training.procedural.filters import blur, brightness

log = logging.getLogger(__name__)

SOURCES = Path(__file__).with_name("sources.toml")
LONG_SIDE = 640
"""pixels of a photograph's longer side as it is kept, at most"""
FOCAL_SHARE = 1.2
"""focal length over the longer side where none is known"""


@dataclass(frozen=True)
class Photograph:
    """A picture of something real, and how far away it is."""

    name: str
    picture: UInt8[np.ndarray, "height width 3"]
    depth_z: Float[np.ndarray, "height width"]
    """any unit; infinite where there is nothing"""
    focal: float
    """pixels"""
    shows: str
    """a few words for captions"""
    held_out: bool


def collect(work: Path, packages: Path | None, project: Path | None) -> int:
    """Write `WORK/photographs/` and its index; returns how many photographs it holds."""
    out = work / "photographs"
    out.mkdir(parents=True, exist_ok=True)
    with SOURCES.open("rb") as file:
        sources = tomllib.load(file)
    found = list(_packaged(sources["packages"], packages))
    found += list(_captured(sources["captures"], project)) if project else []
    entries = []
    for photograph, record in found:
        write_rgb(out / f"{photograph.name}.png", floats(photograph.picture) / 255)
        write_map(out / f"{photograph.name}.npy", photograph.depth_z)
        entries.append(
            {
                "name": photograph.name,
                "focal": photograph.focal,
                "shows": photograph.shows,
                "held_out": photograph.held_out,
                **record,
            }
        )
    text = json.dumps(entries, indent=1, ensure_ascii=False)
    (out / "index.json").write_text(text + "\n", encoding="utf-8")
    return len(entries)


def read_photographs(work: Path, *, held_out: bool) -> list[Photograph]:
    """Those of `WORK/photographs/` for training, or those of the captures held out.

    Raises:
        FileNotFoundError: If nothing has been collected; the message names the command.
    """
    index = work / "photographs" / "index.json"
    if not index.is_file():
        raise FileNotFoundError(
            f"{index} is missing: photographs have to be gathered first, see `python -m "
            "training.photos.collect --help`."
        )
    entries = [e for e in json.loads(index.read_text("utf-8")) if e["held_out"] == held_out]
    return [
        Photograph(
            name=e["name"],
            picture=np.rint(255 * read_rgb(index.with_name(f"{e['name']}.png"))).astype(np.uint8),
            depth_z=np.load(index.with_name(f"{e['name']}.npy")),
            focal=e["focal"],
            shows=e["shows"],
            held_out=held_out,
        )
        for e in entries
    ]


def made_up_depth(
    picture: Float[np.ndarray, "height width 3"], seed: int
) -> Float[np.ndarray, "height width"]:
    """A depth that an image might have: near below, far above, bent by brightness and chance."""
    height, width = picture.shape[:2]
    rng = np.random.default_rng(seed)
    side = max(height, width)
    bright = blur(brightness(picture), side / 40)
    chance = blur(rng.standard_normal((height, width)), side / 12)
    chance /= chance.std() + 1e-9
    rise = np.linspace(rng.uniform(0.8, 2.5), 0, height)[:, None]
    return floats(1 + rise + 0.8 * bright + 0.15 * chance - 0.15 * chance.min())


Found = Iterator[tuple[Photograph, dict[str, str]]]
"""photographs, and what is recorded of where they come from"""


def _packaged(listed: list[dict[str, Any]], packages: Path | None) -> Found:
    for package in listed:
        for entry in package["photographs"]:
            file = _package_folder(package, packages) / entry["file"]
            if not file.is_file():
                log.warning("left out: %s of package %s is not there", file, package["name"])
                continue
            picture = _at_most(read_rgb(file), LONG_SIDE)
            name = f"{package['name']}-{zlib.crc32(entry['file'].encode()):08x}"
            yield (
                Photograph(
                    name,
                    _to_bytes(picture),
                    made_up_depth(picture, zlib.crc32(name.encode())),
                    FOCAL_SHARE * max(picture.shape),
                    entry["shows"],
                    held_out=False,
                ),
                {key: entry[key] for key in ("file", "by", "licence")},
            )


def _package_folder(package: dict[str, Any], packages: Path | None) -> Path:
    module, _, rest = package["folder"].partition("/")
    if module != "usr":
        spec = find_spec(module)
        return Path(next(iter(spec.submodule_search_locations or [""])), rest) if spec else Path()
    return (packages or Path()) / package["name"] / package["folder"]


def _captured(listed: list[dict[str, Any]], project: Path) -> Found:
    for capture in listed:
        name = capture["name"]
        held_out = capture.get("held_out", False)
        views, photos = project / "data/views" / name, project / "data/poses" / name / "images"
        if not (views / "cameras.json").is_file():
            if held_out:
                log.warning("left out: capture %s has no rendered views in %s", name, views)
            else:
                yield from _without_field(capture, project / "data/scenes" / name)
            continue
        for camera in json.loads((views / "cameras.json").read_text("utf-8")):
            stem = camera["name"]
            depth_z = np.load(views / "depth_z" / f"{stem}.npy")
            opacity = np.load(views / "opacity" / f"{stem}.npy")
            depth_z = np.where(opacity > MIN_OPACITY, depth_z, np.inf)
            render = read_rgb(views / "rgb" / f"{stem}.png")
            photo = _at_most(read_rgb(next(photos.glob(f"{stem}.*"))), LONG_SIDE)
            pictures = {"photo": photo}
            if camera["split"] == "train":  # of a view that it has not seen, a field may show fog
                pictures["render"] = render
            for kind, picture in pictures.items():
                height, width = picture.shape[:2]
                depth = resized_depth(depth_z, (height, width))
                photograph = Photograph(
                    f"{name}-{kind}-{stem}",
                    _to_bytes(picture),
                    depth,
                    camera["fx"] * width / camera["width"],
                    capture["shows"],
                    held_out=held_out,
                )
                yield photograph, {"capture": name}


def _without_field(capture: dict[str, Any], scene: Path) -> Found:
    files = sorted(scene.rglob("*.jpg"))
    if not files:
        log.warning("left out: capture %s has neither views nor photographs there", capture["name"])
    for file in files:
        picture = _at_most(read_rgb(file), LONG_SIDE)
        name = f"{capture['name']}-photo-{file.stem}"
        photograph = Photograph(
            name,
            _to_bytes(picture),
            made_up_depth(picture, zlib.crc32(name.encode())),
            FOCAL_SHARE * max(picture.shape),
            capture["shows"],
            held_out=False,
        )
        yield photograph, {"capture": capture["name"]}


def _at_most(picture: np.ndarray, long_side: int) -> np.ndarray:
    scale = long_side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _to_bytes(picture: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def main() -> None:
    """Command line of `collect`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".work/embedded"))
    parser.add_argument("--packages", type=Path, help="folder of unpacked packages")
    parser.add_argument("--project", type=Path, help="scenestyle project with the captures")
    arguments = parser.parse_args()
    count = collect(arguments.work, arguments.packages, arguments.project)
    log.info("%d photographs in %s", count, arguments.work / "photographs")


if __name__ == "__main__":
    main()
