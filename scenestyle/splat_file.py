"""Gaussians in the file that 3DGS's authors wrote and everybody's viewers read (.ply)."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from scenestyle.axes import Up
from scenestyle.errors import ArtifactError, reason
from scenestyle.files import whole_file
from scenestyle.geometry import rotated_harmonics

_QUARTER = np.sqrt(0.5)
_TURNS: dict[Up, Float[np.ndarray, " 4"]] = {
    "z": np.array([1.0, 0.0, 0.0, 0.0]),
    "y": np.array([_QUARTER, -_QUARTER, 0.0, 0.0]),
    "y-down": np.array([_QUARTER, _QUARTER, 0.0, 0.0]),
}
"""rotations (w, x, y, z) about x that turn z to where up is to be"""
_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
"""names of numbers in a .ply file -> NumPy's"""
_BASES = (1, 4, 9, 16)
_LONGEST_HEADER = 1 << 16
_CONVERT = "Convert it first, for example: npx @playcanvas/splat-transform FILE scene.ply"


@dataclass(frozen=True)
class SplatFile:
    """Gaussians as such a file holds them."""

    means: Float[np.ndarray, "n 3"]
    """centres"""
    quats: Float[np.ndarray, "n 4"]
    """rotations (w, x, y, z) of length 1"""
    log_scales: Float[np.ndarray, "n 3"]
    """log of the standard deviations along the Gaussian's own axes"""
    logits: Float[np.ndarray, " n"]
    """opacities before the sigmoid"""
    harmonics: Float[np.ndarray, "n bases 3"]
    """spherical harmonics of the colour, degree 0 to 3: 1, 4, 9 or 16 bases"""

    @property
    def opacities(self) -> Float[np.ndarray, " n"]:
        """In 0 to 1, by the sigmoid."""
        return 1 / (1 + np.exp(-self.logits.astype(np.float64).clip(-50, 50)))

    def chosen(self, which: Int[np.ndarray, " k"]) -> "SplatFile":
        """Some of the Gaussians, by their numbers."""
        parts = (self.means, self.quats, self.log_scales, self.logits, self.harmonics)
        return SplatFile(*(part[which] for part in parts))

    def turned(self, up: Up) -> "SplatFile":
        """A scene whose z is up, with another axis upwards: centres, shapes, colours turn together.

        Sizes stay.
        """
        if up == "z":
            return self
        turn = _TURNS[up]
        rotation = _matrix(turn)
        quats = _product(turn, self.quats.astype(np.float64))
        return replace(
            self,
            means=(self.means @ rotation.T).astype(np.float32),
            quats=quats.astype(np.float32),
            harmonics=rotated_harmonics(self.harmonics, rotation),
        )


def write_splats(path: Path, splats: SplatFile) -> None:
    """Write a binary .ply with the fields of 3DGS, whole or not at all.

    Logarithms and logits stand as they are; the higher harmonics stand colour by colour.

    Source: Kerbl et al. 2023, "3D Gaussian Splatting", arXiv:2308.04079; the field names of its
        published code, which all viewers follow.
    """
    count, bases = splats.harmonics.shape[:2]
    rest = splats.harmonics[:, 1:].transpose(0, 2, 1).reshape(count, 3 * (bases - 1))
    normals = np.zeros((count, 3))
    columns = [splats.means, normals, splats.harmonics[:, 0], rest, splats.logits[:, None]]
    columns += [splats.log_scales, splats.quats]
    table = np.concatenate(columns, axis=1).astype("<f4")
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {count}",
        *(f"property float {name}" for name in _names(bases)),
        "end_header",
    ]
    with whole_file(path) as partial:
        partial.write_bytes("\n".join([*header, ""]).encode("ascii") + table.tobytes())


def read_splats(path: Path) -> SplatFile:
    """Read what `write_splats` or another program wrote, of degree 0 to 3.

    Further properties and elements, such as normals, are ignored.

    Raises:
        ArtifactError: If it is no binary .ply with the fields of 3DGS, is cut short, or holds
            numbers that are not finite; says what is wrong and what to do.
    """
    header = _read_header(path)
    if header is None:
        raise ArtifactError(f"{path} is not a binary little-endian .ply file. {_CONVERT}")
    if not header.is_3dgs:
        if "chunk" in header.elements:
            fault = "is a compressed .ply file"
        else:
            missing = ", ".join(header.missing) or "none"
            fault = (
                "does not hold Gaussians as 3DGS writes them: float fields, harmonics of degree 0 "
                f"to 3 (missing: {missing}; f_rest_*: {header.num_rest})"
            )
        raise ArtifactError(f"{path} {fault}. {_CONVERT}")
    with path.open("rb") as file:
        file.seek(header.length)
        table = np.fromfile(file, header.vertex, header.count)
    if len(table) < header.count:
        raise ArtifactError(
            f"{path} is cut short: {len(table):,} of {header.count:,} splats are there. Copy it "
            "again."
        )
    if not header.count:
        raise ArtifactError(f"{path} holds no splats. Export them again.")
    bases = 1 + header.num_rest // 3

    def stacked(*wanted: str) -> Float[np.ndarray, "n k"]:
        return np.stack([table[name] for name in wanted], axis=-1)

    first = stacked("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    rest = [f"f_rest_{index}" for index in range(3 * (bases - 1))]
    others = stacked(*rest).reshape(len(table), 3, -1).transpose(0, 2, 1) if rest else first[:, :0]
    splats = SplatFile(
        means=stacked("x", "y", "z"),
        quats=stacked("rot_0", "rot_1", "rot_2", "rot_3"),
        log_scales=stacked("scale_0", "scale_1", "scale_2"),
        logits=table["opacity"].copy(),
        harmonics=np.concatenate([first, others], axis=1),
    )
    _check_finite(path, splats)
    return splats


def is_splat_file(path: Path) -> bool:
    """Whether a file is a .ply with the fields of 3DGS; only its head is read.

    Raises:
        ArtifactError: If it cannot be read.
    """
    header = _read_header(path)
    return header is not None and header.is_3dgs


@dataclass(frozen=True)
class _Header:
    """The head of a binary little-endian .ply file."""

    elements: tuple[str, ...]
    """their names, in order"""
    count: int
    """vertices, which come first"""
    vertex: np.dtype
    """of a vertex"""
    length: int
    """of the head, bytes"""

    @property
    def num_rest(self) -> int:
        """Number of higher harmonics, all colours together."""
        return sum(name.startswith("f_rest_") for name in self.vertex.names or ())

    @property
    def missing(self) -> list[str]:
        """Fields of 3DGS that are not there as 32-bit floats."""
        bases = 1 + self.num_rest // 3
        known = {n for n, (kind, *_) in (self.vertex.fields or {}).items() if kind == np.float32}
        return [n for n in _names(bases) if n not in known and n not in ("nx", "ny", "nz")]

    @property
    def is_3dgs(self) -> bool:
        """Whether all fields of 3DGS are there."""
        is_known_degree = self.num_rest % 3 == 0 and 1 + self.num_rest // 3 in _BASES
        return self.elements[0] == "vertex" and is_known_degree and not self.missing


def _read_header(path: Path) -> _Header | None:
    """The head of a .ply file; none if it is none of this kind, or lists stand in its vertices."""
    try:
        with path.open("rb") as file:
            head, end, _ = file.read(_LONGEST_HEADER).partition(b"end_header\n")
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({reason(error)}).") from error
    lines = [line.split() for line in head.decode("ascii", errors="replace").splitlines()]
    if not end or lines[:1] != [["ply"]] or ["format", "binary_little_endian", "1.0"] not in lines:
        return None
    elements: dict[str, tuple[int, list[tuple[str, str]]]] = {}
    for words in lines:
        match words:
            case ["element", name, count] if count.isdecimal():
                elements[name] = (int(count), [])
            case ["property", kind, name] if kind in _TYPES and elements:
                list(elements.values())[-1][1].append((name, f"<{_TYPES[kind]}"))
            case ["property", *_] if list(elements)[-1:] == ["vertex"]:
                return None
    if "vertex" not in elements:
        return None
    count, properties = elements["vertex"]
    try:
        vertex = np.dtype(properties)
    except ValueError:  # a name twice
        return None
    return _Header(tuple(elements), count, vertex, len(head) + len(end))


def _check_finite(path: Path, splats: SplatFile) -> None:
    parts = (splats.means, splats.quats, splats.log_scales, splats.logits, splats.harmonics)
    is_finite = np.logical_and.reduce(
        [np.isfinite(part.reshape(len(part), -1)).all(axis=1) for part in parts]
    )
    broken = np.flatnonzero(~is_finite)
    if len(broken):
        raise ArtifactError(
            f"{path}: {len(broken):,} of {len(is_finite):,} splats hold numbers that are not "
            f"finite (the first is number {broken[0]:,}, counted from 0). Remove them, such as by "
            "npx @playcanvas/splat-transform FILE --filter-nan scene.ply"
        )


def _names(bases: int) -> list[str]:
    return [
        *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
        *(f"f_rest_{index}" for index in range(3 * (bases - 1))),
        *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
    ]


def _matrix(quat: Float[np.ndarray, " 4"]) -> Float[np.ndarray, "3 3"]:
    w, x, y, z = quat
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _product(
    left: Float[np.ndarray, " 4"], right: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n 4"]:
    """The rotation `right` followed by `left`."""
    a, b, c, d = left
    w, x, y, z = right.T
    return np.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        axis=-1,
    )
