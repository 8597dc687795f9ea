"""Gaussians in the file that 3DGS's authors wrote and everybody's viewers read (.ply)."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from scenestyle.errors import ArtifactError, reason
from scenestyle.export_names import Up
from scenestyle.files import whole_file

_QUARTER = np.sqrt(0.5)
_TURNS: dict[Up, Float[np.ndarray, " 4"]] = {
    "z": np.array([1.0, 0.0, 0.0, 0.0]),
    "y": np.array([_QUARTER, -_QUARTER, 0.0, 0.0]),
    "y-down": np.array([_QUARTER, _QUARTER, 0.0, 0.0]),
}
"""rotations (w, x, y, z) about x that turn z to where up is to be"""


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
    """spherical harmonics of the colour, 1 or 4 bases"""

    def turned(self, up: Up) -> "SplatFile":
        """A scene whose z is up, with another axis upwards: centres, shapes, colours turn together.

        Sizes stay.
        """
        if up == "z":
            return self
        turn = _TURNS[up]
        rotation = _matrix(turn)
        quats = _product(turn, self.quats.astype(np.float64))
        harmonics = self.harmonics.copy()
        if harmonics.shape[1] > 1:
            # The first degree is a vector, whose parts stand as (-y, z, -x).
            y, z, x = -harmonics[:, 1], harmonics[:, 2], -harmonics[:, 3]
            x, y, z = np.einsum("ij,jnc->inc", rotation, np.stack([x, y, z]))
            harmonics[:, 1], harmonics[:, 2], harmonics[:, 3] = -y, z, -x
        return replace(
            self,
            means=(self.means @ rotation.T).astype(np.float32),
            quats=quats.astype(np.float32),
            harmonics=harmonics,
        )


def write_splats(path: Path, splats: SplatFile) -> None:
    """Write a binary .ply with the fields of 3DGS, whole or not at all.

    Logarithms and logits stand as they are; the higher harmonics stand colour by colour.

    Source: Kerbl et al. 2023, "3D Gaussian Splatting", arXiv:2308.04079; the field names of its
        published code, which all viewers follow.
    """
    count, bases = splats.harmonics.shape[:2]
    rest = splats.harmonics[:, 1:].transpose(0, 2, 1).reshape(count, -1)
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
    """Read what `write_splats` or another program wrote, of degree 0 or 1.

    Raises:
        ArtifactError: If it is no binary .ply of float Gaussians; says what is missing.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({reason(error)}).") from error
    head, end, body = content.partition(b"end_header\n")
    lines = head.decode("ascii", errors="replace").split("\n")
    if not end or "format binary_little_endian 1.0" not in lines:
        raise ArtifactError(f"{path} is not a binary little-endian .ply file.")
    properties = [line.split() for line in lines if line.startswith("property ")]
    names = [words[-1] for words in properties]
    bases = 1 + sum(name.startswith("f_rest_") for name in names) // 3
    missing = [name for name in _names(1) if name not in names and not name.startswith("n")]
    if missing or bases not in (1, 4) or any(words[1] != "float" for words in properties):
        raise ArtifactError(
            f"{path} does not hold Gaussians with float fields and harmonics of degree 0 or 1 "
            f"(missing: {', '.join(missing) or 'none'}; {bases} bases)."
        )
    count = next(int(line.split()[2]) for line in lines if line.startswith("element vertex"))
    table = np.frombuffer(body, "<f4", count * len(names)).reshape(count, -1)
    column = {name: table[:, place] for place, name in enumerate(names)}

    def stacked(*wanted: str) -> Float[np.ndarray, "n k"]:
        return np.stack([column[name] for name in wanted], axis=-1)

    first = stacked("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    rest = [f"f_rest_{index}" for index in range(3 * (bases - 1))]
    others = stacked(*rest).reshape(count, 3, -1).transpose(0, 2, 1) if rest else first[:, :0]
    return SplatFile(
        means=stacked("x", "y", "z"),
        quats=stacked("rot_0", "rot_1", "rot_2", "rot_3"),
        log_scales=stacked("scale_0", "scale_1", "scale_2"),
        logits=column["opacity"].copy(),
        harmonics=np.concatenate([first, others], axis=1),
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
