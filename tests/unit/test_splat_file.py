from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement

from scenestyle.axes import Up
from scenestyle.cameras import PinholeCamera
from scenestyle.errors import ArtifactError
from scenestyle.nerfstudio_plugin.splat_raster import Gaussians, rasterize
from scenestyle.splat_file import SplatFile, is_splat_file, read_splats, write_splats


def some_splats(bases: int = 4, count: int = 60) -> SplatFile:
    generator = np.random.default_rng(0)
    quats = generator.normal(size=(count, 4))
    parts = (
        generator.normal(size=(count, 3)),
        quats / np.linalg.norm(quats, axis=1, keepdims=True),
        generator.normal(size=(count, 3)) - 2,
        generator.normal(size=count),
        0.4 * generator.normal(size=(count, bases, 3)),
    )
    return SplatFile(*(part.astype(np.float32) for part in parts))


def seen(splats: SplatFile, c2w_opengl: np.ndarray) -> np.ndarray:
    names = ("means", "quats", "log_scales", "logits", "harmonics")
    gaussians = Gaussians(*(torch.from_numpy(getattr(splats, name)) for name in names))
    camera = PinholeCamera(c2w_opengl, 40.0, 40.0, 24.0, 18.0, 48, 36)
    return rasterize(gaussians, camera).rgb.detach().numpy()


@pytest.mark.parametrize("bases", [1, 4, 9, 16])
def test_what_is_written_reads_equal(tmp_path: Path, bases: int):
    splats = some_splats(bases)
    write_splats(tmp_path / "a.ply", splats)
    again = read_splats(tmp_path / "a.ply")
    for name in ("means", "quats", "log_scales", "logits", "harmonics"):
        np.testing.assert_array_equal(getattr(again, name), getattr(splats, name))


def test_another_reader_finds_the_fields_of_3dgs(tmp_path: Path):
    splats = some_splats()
    write_splats(tmp_path / "a.ply", splats)
    vertices = PlyData.read(tmp_path / "a.ply")["vertex"]
    assert [each.name for each in vertices.properties] == [
        "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2",
        *(f"f_rest_{index}" for index in range(9)),
        "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3",
    ]  # fmt: skip
    np.testing.assert_array_equal(vertices["z"], splats.means[:, 2])
    np.testing.assert_array_equal(vertices["opacity"], splats.logits)
    # Higher harmonics stand colour by colour: three of red, then green, then blue.
    np.testing.assert_array_equal(vertices["f_rest_1"], splats.harmonics[:, 2, 0])
    np.testing.assert_array_equal(vertices["f_rest_3"], splats.harmonics[:, 1, 1])


@pytest.mark.parametrize("bases", [1, 4, 9, 16])
@pytest.mark.parametrize(
    ("up", "axis"), [("z", (0, 0, 1)), ("y", (0, 1, 0)), ("y-down", (0, -1, 0))]
)
def test_up_is_up_and_a_camera_that_turns_along_sees_the_same(
    up: Up, axis: tuple[int, ...], bases: int
):
    splats = some_splats(bases)
    turned = splats.turned(up)
    pole = SplatFile(*(getattr(splats, n)[:1].copy() for n in splats.__dataclass_fields__))
    pole.means[:] = (0, 0, 1)
    np.testing.assert_allclose(pole.turned(up).means[0], axis, atol=1e-6)
    # The rotation, from what became of three unit vectors.
    frame = SplatFile(*(getattr(splats, n)[:3].copy() for n in splats.__dataclass_fields__))
    frame.means[:] = np.eye(3)
    rotation = frame.turned(up).means.T.astype(np.float64)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-6)
    c2w = np.eye(4)
    c2w[2, 3] = 4.0
    moved = np.eye(4)
    moved[:3] = rotation @ c2w[:3]
    np.testing.assert_allclose(seen(turned, moved), seen(splats, c2w), atol=2e-5)


def test_files_of_other_programs_read_the_same_whatever_else_they_hold(tmp_path: Path):
    splats = some_splats(16)
    write_splats(tmp_path / "a.ply", splats)
    ours = PlyData.read(tmp_path / "a.ply")["vertex"].data
    names = [name for name in reversed(ours.dtype.names) if not name.startswith("n")]
    table = np.empty(len(ours), [*((name, "f4") for name in names), ("label", "u1"), ("t", "f8")])
    for name in names:
        table[name] = ours[name]
    ends = PlyElement.describe(np.zeros(2, [("gain", "f4")]), "exposure")
    PlyData([PlyElement.describe(table, "vertex"), ends], byte_order="<").write(tmp_path / "b.ply")
    again = read_splats(tmp_path / "b.ply")
    for name in SplatFile.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(splats, name))
    assert is_splat_file(tmp_path / "b.ply")


def head(*lines: str) -> bytes:
    text = "\n".join(["ply", "format binary_little_endian 1.0", *lines, "end_header", ""])
    return text.encode("ascii")


PACKED = (
    "element chunk 0",
    "property float min_x",
    "element vertex 0",
    "property uint packed_scale",
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no ply", "not a binary little-endian"),
        (b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", "not a binary little-endian"),
        (head("element vertex 0", "property float x"), "missing: y, z, f_dc_0"),
        (head("element vertex 0", "property list uchar int x"), "not a binary little-endian"),
        (head(*PACKED), "is a compressed .ply file"),
    ],
)
def test_other_files_are_named_with_a_way_out(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(ArtifactError, match=words) as said:
        read_splats(tmp_path / "a.ply")
    assert "splat-transform" in str(said.value)
    assert not is_splat_file(tmp_path / "a.ply")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_splats(tmp_path / "none.ply")


def test_what_is_cut_short_empty_or_not_finite_is_refused(tmp_path: Path):
    path = tmp_path / "a.ply"
    splats = some_splats()
    splats.logits[[7, 9]] = np.nan, np.inf
    write_splats(path, splats)
    with pytest.raises(
        ArtifactError, match=r"2 of 60 splats .* not finite \(the first is number 7"
    ):
        read_splats(path)
    path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(ArtifactError, match="58 of 60 splats are there"):
        read_splats(path)
    write_splats(path, some_splats(count=0))
    with pytest.raises(ArtifactError, match="holds no splats"):
        read_splats(path)
