"""Which other layouts of photos and poses are read, and which are known but not read."""

from dataclasses import replace
from pathlib import Path

from scenestyle.capture.capture import natural_order
from scenestyle.capture.frames import Frame, Listing
from scenestyle.capture.locate import Tree
from scenestyle.capture.photogrammetry import find_metashape, find_pix4d, find_reality_scan
from scenestyle.capture.published_sets import (
    find_llff,
    find_matrices,
    find_mvsnet,
    find_nerfies,
    find_polycam,
    find_projections,
    find_record3d,
)
from scenestyle.capture.sfm_exports import (
    find_bundler,
    find_kapture,
    find_meshroom,
    find_openmvg,
    find_opensfm,
)
from scenestyle.capture.texts import begin_of

_FINDERS = (
    find_metashape,
    find_reality_scan,
    find_pix4d,
    find_openmvg,
    find_meshroom,
    find_opensfm,
    find_kapture,
    find_polycam,
    find_record3d,
    find_nerfies,
    find_projections,
    find_mvsnet,
    find_matrices,
    find_llff,
    find_bundler,
)
_NOT_READ = {
    "*.nvm": "VisualSFM",
    "frame_annotations.jgz": "CO3D",
    "traj.txt": "Replica",
    "groundtruth.txt": "TUM RGB-D",
    "*.psx": "a Metashape project",
    "*.rcproj": "a RealityScan project",
    "*.p4d": "a Pix4D project",
    "*sfm*.log": "Tanks and Temples",
    "*.traj": "ARKitScenes",
    "*.xml": "BlocksExchange",
}
"""names of files with poses that nothing here reads"""


def find_listing(tree: Tree) -> Listing | None:
    """What a data set of any of these layouts lists, in the order in which a person counts.

    Raises:
        InputError: If its files are damaged.
    """
    for find in _FINDERS:
        listing = find(tree)
        if listing is not None and listing.frames:
            return replace(listing, frames=sorted(listing.frames, key=_by_path))
    return None


def poses_not_read(tree: Tree) -> str:
    """A sentence on files with poses in a layout that is not read; empty if there are none."""
    for pattern, program in _NOT_READ.items():
        found = tree.named(pattern)
        if pattern == "*.xml":
            found = [file for file in found if "<BlocksExchange" in begin_of(tree.root / file)]
        if found:
            return (
                f"{found[0].as_posix()} ({program}) may hold poses in a form that is not read; "
                "they are estimated anew. To keep them, export a COLMAP model or a transforms.json."
            )
    return ""


def _by_path(frame: Frame) -> tuple[object, ...]:
    return natural_order(Path(str(frame["file_path"])))
