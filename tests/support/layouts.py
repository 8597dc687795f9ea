"""The same cameras in the layouts of many programs, written from the formats' descriptions."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scenestyle.geometry import invert_rigid, opencv_from_opengl


@dataclass(frozen=True)
class Posed:
    """One photo and where it was taken."""

    photo: Path
    c2w_opengl: np.ndarray

    @property
    def w2c(self) -> np.ndarray:
        """World to camera, OpenCV axes."""
        return invert_rigid(opencv_from_opengl(self.c2w_opengl))

    @property
    def rotation(self) -> np.ndarray:
        """World to camera."""
        return self.w2c[:3, :3]

    @property
    def centre(self) -> np.ndarray:
        """In the world."""
        return self.c2w_opengl[:3, 3]


Lens = Mapping[str, float]
"""w, h, fl_x, fl_y, cx, cy, k1, k2, k3, p1, p2; pixels"""
Views = Sequence[Posed]
Writer = Callable[[Path, Views, Lens], None]


def put(folder: Path, views: Views) -> list[str]:
    """Copy the photos; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for view in views:
        shutil.copy2(view.photo, folder / view.photo.name)
    return [view.photo.name for view in views]


def k_of(lens: Lens) -> np.ndarray:
    """The matrix of a pinhole."""
    return np.array([[lens["fl_x"], 0, lens["cx"]], [0, lens["fl_y"], lens["cy"]], [0, 0, 1]])


def words(values: object) -> str:
    """Numbers in full, separated by blanks."""
    return " ".join(repr(float(value)) for value in np.ravel(np.asarray(values)))


def nerfstudio(folder: Path, views: Views, lens: Lens) -> None:
    """`ns-process-data`."""
    names = put(folder / "images", views)
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": view.c2w_opengl.tolist()}
        for name, view in zip(names, views, strict=True)
    ]
    meta = {"camera_model": "OPENCV", **lens, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(meta))


def reality_scan_json(folder: Path, views: Views, lens: Lens) -> None:
    """RealityScan's export for NeRF: a lens per frame, names without folder."""
    names = put(folder, views)
    frames = [
        {"file_path": name, **lens, "transform_matrix": view.c2w_opengl.tolist()}
        for name, view in zip(names, views, strict=True)
    ]
    (folder / "transforms.json").write_text(json.dumps({"frames": frames}))


def blender(folder: Path, views: Views, lens: Lens) -> None:
    """NeRF-synthetic: a field of view, names without suffix."""
    put(folder / "train", views)
    frames = [
        {
            "file_path": f"./train/{view.photo.stem}",
            "rotation": 0.01,
            "transform_matrix": view.c2w_opengl.tolist(),
        }
        for view in views
    ]
    angle = 2 * np.arctan(lens["w"] / 2 / lens["fl_x"])
    for part in ("train", "val", "test"):
        listed = frames if part == "train" else []
        meta = {"camera_angle_x": angle, "frames": listed}
        (folder / f"transforms_{part}.json").write_text(json.dumps(meta))


def colmap(folder: Path, views: Views, lens: Lens, *, text: bool = False) -> None:
    """Mip-NeRF 360: a model and reduced copies of the images."""
    import pycolmap
    from PIL import Image

    names = put(folder / "images", views)
    for number in (2, 4):
        (folder / f"images_{number}").mkdir()
        for name in names:
            with Image.open(folder / "images" / name) as image:
                small = image.resize((image.width // number, image.height // number))
            small.save(folder / f"images_{number}" / name)
    keys = ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2", "k3")
    camera = pycolmap.Camera(
        model="FULL_OPENCV",
        width=int(lens["w"]),
        height=int(lens["h"]),
        params=[*(lens[key] for key in keys), 0, 0, 0],
        camera_id=1,
    )
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera)
    for number, view in enumerate(views, 1):
        image = pycolmap.Image(name=view.photo.name, camera_id=1, image_id=number)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(view.w2c[:3]))
    (folder / "sparse/0").mkdir(parents=True)
    (model.write_text if text else model.write_binary)(folder / "sparse/0")


def colmap_text(folder: Path, views: Views, lens: Lens) -> None:
    """The same as text."""
    colmap(folder, views, lens, text=True)


def reality_scan_csv(folder: Path, views: Views, lens: Lens) -> None:
    """RealityScan: Internal/External camera parameters."""
    names = put(folder, views)
    side = max(lens["w"], lens["h"])
    rows = ["#cameras " + str(len(views))]
    rows.append("#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2")
    for name, view in zip(names, views, strict=True):
        # R = Rz(-heading) Rx(pitch) Ry(roll)
        yaw, pitch, roll = Rotation.from_matrix(view.c2w_opengl[:3, :3]).as_euler(
            "ZXY", degrees=True
        )
        cells = [*view.centre, -yaw, pitch, roll, lens["fl_x"] * 36 / side]
        cells += [(lens["cx"] - lens["w"] / 2) / side, (lens["cy"] - lens["h"] / 2) / side]
        cells += [lens["k1"], lens["k2"], lens["k3"], 0, lens["p1"], lens["p2"]]
        rows.append(",".join([name, *(repr(float(cell)) for cell in cells)]))
    (folder / "cameras.csv").write_text("\n".join(rows) + "\n")


def reality_scan_xmp(folder: Path, views: Views, lens: Lens) -> None:
    """RealityScan: a file beside every photo."""
    put(folder, views)
    side = max(lens["w"], lens["h"])
    coefficients = words([lens[key] for key in ("k1", "k2", "k3")] + [0, lens["p1"], lens["p2"]])
    for view in views:
        (folder / f"{view.photo.stem}.xmp").write_text(
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xcr:Version="3" '
            'xcr:DistortionModel="brown4t2" '
            f'xcr:FocalLength35mm="{lens["fl_x"] * 36 / side!r}" xcr:Skew="0" xcr:AspectRatio="1" '
            f'xcr:PrincipalPointU="{(lens["cx"] - lens["w"] / 2) / side!r}" '
            f'xcr:PrincipalPointV="{(lens["cy"] - lens["h"] / 2) / side!r}">'
            f"<xcr:Rotation>{words(view.rotation)}</xcr:Rotation>"
            f"<xcr:Position>{words(view.centre)}</xcr:Position>"
            f"<xcr:DistortionCoeficients>{coefficients}</xcr:DistortionCoeficients>"
            "</rdf:Description></x:xmpmeta>"
        )


def metashape(folder: Path, views: Views, lens: Lens) -> None:
    """Metashape: `cameras.xml` of a component that is turned, scaled and moved; one unaligned."""
    put(folder / "photos", views)
    turn = Rotation.from_euler("xyz", [20, 30, 40], degrees=True).as_matrix()
    scale, move = 2.5, np.array([3.0, -4.0, 5.0])
    cameras = []
    for number, view in enumerate(views):
        local = opencv_from_opengl(view.c2w_opengl)
        local[:3, 3] = turn.T @ (local[:3, 3] - move) / scale
        local[:3, :3] = turn.T @ local[:3, :3]
        cameras.append(
            f'<camera id="{number}" sensor_id="0" component_id="0" label="{view.photo.stem}">'
            f"<transform>{words(local)}</transform></camera>"
        )
    lines = {
        "f": lens["fl_y"],
        "b1": lens["fl_x"] - lens["fl_y"],
        "cx": lens["cx"] - lens["w"] / 2,
        "cy": lens["cy"] - lens["h"] / 2,
        **{key: lens[key] for key in ("k1", "k2", "k3")},
        "p1": lens["p2"],
        "p2": lens["p1"],
    }
    calibration = "".join(f"<{key}>{float(value)!r}</{key}>" for key, value in lines.items())
    (folder / "cameras.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><document version="2.0.0"><chunk label="Chunk 1">'
        '<sensors next_id="1"><sensor id="0" label="unknown" type="frame">'
        f'<resolution width="{int(lens["w"])}" height="{int(lens["h"])}"/>'
        f'<calibration type="frame" class="adjusted">{calibration}</calibration></sensor></sensors>'
        '<components next_id="1"><component id="0"><transform>'
        f"<rotation>{words(turn)}</rotation><translation>{words(move)}</translation>"
        f"<scale>{scale}</scale></transform></component></components>"
        f'<cameras next_id="9"><group label="walk">{"".join(cameras)}</group>'
        '<camera id="99" sensor_id="0" label="unaligned"/></cameras></chunk></document>'
    )


def pix4d(folder: Path, views: Views, lens: Lens) -> None:
    """Pix4D's folder `params` beside the photos."""
    put(folder / "images", views)
    lines = ["fileName imageWidth imageHeight ", "camera matrix K [3x3]", "radial distortion [3x1]"]
    for view in views:
        lines += [
            f"{view.photo.name} {int(lens['w'])} {int(lens['h'])}",
            *map(words, k_of(lens)),
            words([lens["k1"], lens["k2"], lens["k3"]]),
            words([lens["p1"], lens["p2"]]),
            words(view.centre),
            *map(words, view.rotation),
        ]
    (folder / "params").mkdir()
    (folder / "params/site_calibrated_camera_parameters.txt").write_text("\n".join(lines))


def openmvg(folder: Path, views: Views, lens: Lens) -> None:
    """OpenMVG, with a lens of Brown's."""
    put(folder / "images", views)
    data = {
        "sfm_data_version": "0.3",
        "root_path": "/home/somebody/images",
        "views": [
            {
                "key": number,
                "value": {
                    "polymorphic_id": 1073741824,
                    "ptr_wrapper": {
                        "id": 2147483649 + number,
                        "data": {
                            "local_path": "",
                            "filename": view.photo.name,
                            "width": lens["w"],
                            "height": lens["h"],
                            "id_view": number,
                            "id_intrinsic": 0,
                            "id_pose": number,
                        },
                    },
                },
            }
            for number, view in enumerate(views)
        ],
        "intrinsics": [
            {
                "key": 0,
                "value": {
                    "polymorphic_name": "pinhole_brown_t2",
                    "ptr_wrapper": {
                        "id": 2147483648,
                        "data": {
                            "width": lens["w"],
                            "height": lens["h"],
                            "focal_length": lens["fl_x"],
                            "principal_point": [lens["cx"], lens["cy"]],
                            "disto_t2": [lens[k] for k in ("k1", "k2", "k3", "p1", "p2")],
                        },
                    },
                },
            }
        ],
        "extrinsics": [
            {
                "key": number,
                "value": {"rotation": view.rotation.tolist(), "center": view.centre.tolist()},
            }
            for number, view in enumerate(views)
        ],
    }
    (folder / "sfm_data.json").write_text(json.dumps(data, indent=1))


def meshroom(folder: Path, views: Views, lens: Lens) -> None:
    """Meshroom: everything is text, rotations by columns."""
    put(folder / "images", views)
    data = {
        "version": ["1", "2", "3"],
        "views": [
            {
                "viewId": str(number),
                "poseId": str(number),
                "intrinsicId": "7",
                "path": f"/home/somebody/photos/{view.photo.name}",
                "width": str(lens["w"]),
                "height": str(lens["h"]),
            }
            for number, view in enumerate(views)
        ],
        "intrinsics": [
            {
                "intrinsicId": "7",
                "width": str(int(lens["w"])),
                "height": str(int(lens["h"])),
                "sensorWidth": "36",
                "type": "brown",
                "focalLength": repr(lens["fl_x"] * 36 / lens["w"]),
                "principalPoint": [
                    repr(lens["cx"] - lens["w"] / 2),
                    repr(lens["cy"] - lens["h"] / 2),
                ],
                "distortionParams": [repr(lens[k]) for k in ("k1", "k2", "k3", "p1", "p2")],
            }
        ],
        "poses": [
            {
                "poseId": str(number),
                "pose": {
                    "transform": {
                        "rotation": [repr(float(v)) for v in view.rotation.T.ravel()],
                        "center": [repr(float(v)) for v in view.centre],
                    }
                },
            }
            for number, view in enumerate(views)
        ],
    }
    (folder / "cameras.sfm").write_text(json.dumps(data))


def opensfm(folder: Path, views: Views, lens: Lens) -> None:
    """OpenDroneMap's project: names in any order, a second, smaller part."""
    put(folder / "images", views)
    side = max(lens["w"], lens["h"])
    camera = {
        "projection_type": "brown",
        "width": lens["w"],
        "height": lens["h"],
        "focal_x": lens["fl_x"] / side,
        "focal_y": lens["fl_y"] / side,
        "c_x": (lens["cx"] - lens["w"] / 2) / side,
        "c_y": (lens["cy"] - lens["h"] / 2) / side,
        **{key: lens[key] for key in ("k1", "k2", "k3", "p1", "p2")},
    }
    shots = {
        view.photo.name: {
            "rotation": Rotation.from_matrix(view.rotation).as_rotvec().tolist(),
            "translation": view.w2c[:3, 3].tolist(),
            "camera": "v2 dji fc300x",
        }
        for view in reversed(views)
    }
    small = {"cameras": {}, "shots": {"alone.jpg": {}}, "points": {}}
    whole = {"cameras": {"v2 dji fc300x": camera}, "shots": shots, "points": {}}
    (folder / "opensfm").mkdir()
    (folder / "opensfm/reconstruction.json").write_text(json.dumps([small, whole]))


def bundler(folder: Path, views: Views, lens: Lens) -> None:
    """Bundler: one focal length, the middle of the photo, one camera that found no place."""
    put(folder / "photos", views)
    lines = ["# Bundle file v0.3", f"{len(views) + 1} 1", "0.0 0 0", *["0 0 0"] * 4]
    for view in views:
        w2c_opengl = invert_rigid(view.c2w_opengl)
        lines.append(words([lens["fl_x"], lens["k1"], lens["k2"]]))
        lines += [words(row) for row in w2c_opengl[:3, :3]]
        lines.append(words(w2c_opengl[:3, 3]))
    lines += ["0 0 0", "255 0 0", "2 0 0 0.5 0.5 1 0 0.5 0.5"]
    (folder / "bundle").mkdir()
    (folder / "bundle/bundle.out").write_text("\n".join(lines))
    names = ["photos/lost.jpg", *(f"photos/{view.photo.name} 0 532.4" for view in views)]
    (folder / "list.txt").write_text("\n".join(names))


def kapture(folder: Path, views: Views, lens: Lens) -> None:
    """Naver's kapture."""
    names = put(folder / "sensors/records_data/mapping", views)
    keys = ("w", "h", "fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2")
    cells = ", ".join(repr(lens[key]) for key in keys)
    head = "# kapture format: 1.1\n"
    (folder / "sensors/sensors.txt").write_text(
        f"{head}# sensor_id, name, sensor_type, [sensor_params]+\ncam0, , camera, OPENCV, {cells}\n"
    )
    records = [f"{k}, cam0, mapping/{name}" for k, name in enumerate(names)]
    (folder / "sensors/records_camera.txt").write_text(head + "\n".join(records))
    rows = []
    for number, view in enumerate(views):
        x, y, z, w = Rotation.from_matrix(view.rotation).as_quat()
        numbers = ", ".join(repr(float(v)) for v in (w, x, y, z, *view.w2c[:3, 3]))
        rows.append(f"{number}, cam0, {numbers}")
    (folder / "sensors/trajectories.txt").write_text(head + "\n".join(rows))


def polycam(folder: Path, views: Views, lens: Lens) -> None:
    """Polycam's raw data, with what it recorded before it corrected the poses."""
    names = put(folder / "keyframes/corrected_images", views)
    put(folder / "keyframes/images", views)
    for kind, shift in (("corrected_cameras", 0), ("cameras", 9)):
        (folder / "keyframes" / kind).mkdir()
        for name, view in zip(names, views, strict=True):
            entries = {
                f"t_{row}{column}": float(view.c2w_opengl[row, column]) + shift * (column == 3)
                for row in range(3)
                for column in range(4)
            }
            data = {
                **entries,
                "fx": lens["fl_x"],
                "fy": lens["fl_y"],
                "cx": lens["cx"],
                "cy": lens["cy"],
                "width": lens["w"],
                "height": lens["h"],
                "blur_score": 100.0,
            }
            path = folder / "keyframes" / kind / f"{Path(name).stem}.json"
            path.write_text(json.dumps(data))


def record3d(folder: Path, views: Views, lens: Lens) -> None:
    """Record3D: photos have numbers."""
    put(folder / "rgb", views)
    poses = []
    for number, view in enumerate(views):
        (folder / "rgb" / view.photo.name).rename(folder / f"rgb/{number}{view.photo.suffix}")
        quaternion = Rotation.from_matrix(view.c2w_opengl[:3, :3]).as_quat()
        poses.append([*quaternion.tolist(), *view.centre.tolist()])
    data = {"w": lens["w"], "h": lens["h"], "K": k_of(lens).T.ravel().tolist(), "poses": poses}
    (folder / "metadata").write_text(json.dumps({**data, "fps": 60}))


def nerfies(folder: Path, views: Views, lens: Lens) -> None:
    """Nerfies and HyperNeRF, with photos at half size alone."""
    from PIL import Image

    (folder / "rgb/2x").mkdir(parents=True)
    (folder / "camera").mkdir()
    for view in views:
        with Image.open(view.photo) as image:
            half = image.resize((image.width // 2, image.height // 2))
        half.save(folder / f"rgb/2x/{view.photo.stem}.png")
        data = {
            "orientation": view.rotation.tolist(),
            "position": view.centre.tolist(),
            "focal_length": lens["fl_x"],
            "pixel_aspect_ratio": lens["fl_y"] / lens["fl_x"],
            "principal_point": [lens["cx"], lens["cy"]],
            "skew": 0.0,
            "radial_distortion": [lens["k1"], lens["k2"], lens["k3"]],
            "tangential_distortion": [lens["p1"], lens["p2"]],
            "image_size": [lens["w"], lens["h"]],
        }
        (folder / f"camera/{view.photo.stem}.json").write_text(json.dumps(data))
    (folder / "dataset.json").write_text(json.dumps({"count": len(views)}))


def neus(folder: Path, views: Views, lens: Lens) -> None:
    """IDR's and NeuS's DTU: projections up to scale, masks whose names are shorter."""
    from PIL import Image

    put(folder / "image", views)
    (folder / "mask").mkdir()
    arrays = {}
    for number, view in enumerate(views):
        p = np.eye(4)
        p[:3] = 1.7 * k_of(lens) @ view.w2c[:3]
        arrays[f"world_mat_{number}"] = p
        arrays[f"world_mat_inv_{number}"] = np.linalg.inv(p)
        arrays[f"scale_mat_{number}"] = np.diag([2.0, 2.0, 2.0, 1.0])
        size = int(lens["w"]), int(lens["h"])
        Image.new("L", size, 255).save(folder / f"mask/{number:03d}.png")
    np.savez(folder / "cameras_sphere.npz", **arrays)


def mvsnet(folder: Path, views: Views, lens: Lens) -> None:
    """BlendedMVS."""
    put(folder / "blended_images", views)
    (folder / "cams").mkdir()
    for view in views:
        lines = ["extrinsic", *map(words, view.w2c), "", "intrinsic", *map(words, k_of(lens)), ""]
        lines.append("425.0 2.5 192 905.0")
        (folder / f"cams/{view.photo.stem}_cam.txt").write_text("\n".join(lines))
    (folder / "cams/pair.txt").write_text("1\n0\n1 1 0.5\n")


def scannet(folder: Path, views: Views, lens: Lens) -> None:
    """ScanNet, with a photo that found no place."""
    put(folder / "color", views)
    shutil.copy(views[0].photo, folder / f"color/9999{views[0].photo.suffix}")
    (folder / "pose").mkdir()
    (folder / "intrinsic").mkdir()
    for view in views:
        text = "\n".join(map(words, opencv_from_opengl(view.c2w_opengl)))
        (folder / f"pose/{view.photo.stem}.txt").write_text(text)
    (folder / "pose/9999.txt").write_text("\n".join(["-inf -inf -inf -inf"] * 4))
    k = np.eye(4)
    k[:3, :3] = k_of(lens)
    text = "\n".join(map(words, k))
    for name in ("intrinsic_color.txt", "intrinsic_depth.txt"):
        (folder / "intrinsic" / name).write_text(text)


def nsvf(folder: Path, views: Views, lens: Lens) -> None:
    """Synthetic NSVF: the focal length and the centre in a line."""
    put(folder / "rgb", views)
    (folder / "pose").mkdir()
    for view in views:
        text = "\n".join(map(words, opencv_from_opengl(view.c2w_opengl)))
        (folder / f"pose/{view.photo.stem}.txt").write_text(text)
    line = words([lens["fl_x"], lens["cx"], lens["cy"], 0])
    (folder / "intrinsics.txt").write_text(f"{line}\n0. 0. 0.\n0.\n1.\n800 800\n")
    (folder / "bbox.txt").write_text("-1 -1 -1 1 1 1 0.1")


def nerf_plus_plus(folder: Path, views: Views, lens: Lens) -> None:
    """NeRF++: a K for each photo; those of `test` are left out."""
    k = np.eye(4)
    k[:3, :3] = k_of(lens)
    for part, chosen in (("train", views), ("test", views[:1])):
        put(folder / part / "rgb", chosen)
        for kind in ("pose", "intrinsics"):
            (folder / part / kind).mkdir()
        for view in chosen:
            pose = opencv_from_opengl(view.c2w_opengl)
            (folder / part / f"pose/{view.photo.stem}.txt").write_text(words(pose))
            (folder / part / f"intrinsics/{view.photo.stem}.txt").write_text(words(k))


def llff(folder: Path, views: Views, lens: Lens) -> None:
    """LLFF without its COLMAP model."""
    put(folder / "images", views)
    rows = []
    for view in views:
        right, up, back, place = view.c2w_opengl[:3].T
        size = [lens["h"], lens["w"], lens["fl_x"]]
        block = np.stack([-up, right, back, place, size], axis=-1)
        rows.append([*block.ravel(), 0.5, 9.0])
    np.save(folder / "poses_bounds.npy", np.array(rows))


def scannet_pp(folder: Path, views: Views, lens: Lens) -> None:
    """ScanNet++: the list lies beside folders of photos and masks that it does not name."""
    from PIL import Image

    names = put(folder / "dslr/resized_images", views)
    (folder / "dslr/resized_anon_masks").mkdir()
    (folder / "dslr/nerfstudio").mkdir()
    frames = []
    for name, view in zip(names, views, strict=True):
        mask = Image.new("L", (int(lens["w"]), int(lens["h"])), 255)
        mask.save(folder / f"dslr/resized_anon_masks/{Path(name).stem}.png")
        pose = view.c2w_opengl.tolist()
        masked = {"mask_path": f"{Path(name).stem}.png"}
        frames.append({"file_path": name, **masked, "transform_matrix": pose, "is_bad": False})
    meta = {**lens, "camera_model": "OPENCV", "has_mask": True, "frames": frames}
    path = folder / "dslr/nerfstudio/transforms.json"
    path.write_text(json.dumps({**meta, "test_frames": [{"file_path": "DSC00001.JPG"}]}))


FULL = ("fl_y", "cx", "cy", "k1", "k2", "k3", "p1", "p2")
"""what a lens may have beyond a focal length along x"""
WRITERS: Mapping[str, tuple[Writer, Sequence[str]]] = {
    "transforms.json": (nerfstudio, FULL),
    "transforms.json of RealityScan": (reality_scan_json, FULL),
    "transforms.json of ScanNet++": (scannet_pp, FULL),
    "Blender set": (blender, ()),
    "COLMAP model": (colmap, FULL),
    "COLMAP model as text": (colmap_text, FULL),
    "RealityScan CSV": (reality_scan_csv, ("cx", "cy", "k1", "k2", "k3", "p1", "p2")),
    "RealityScan XMP": (reality_scan_xmp, ("cx", "cy", "k1", "k2", "k3", "p1", "p2")),
    "Metashape": (metashape, FULL),
    "Pix4D": (pix4d, FULL),
    "OpenMVG": (openmvg, ("cx", "cy", "k1", "k2", "k3", "p1", "p2")),
    "Meshroom": (meshroom, ("cx", "cy", "k1", "k2", "k3", "p1", "p2")),
    "OpenSfM": (opensfm, FULL),
    "Bundler": (bundler, ("k1", "k2")),
    "Kapture": (kapture, ("fl_y", "cx", "cy", "k1", "k2", "p1", "p2")),
    "Polycam": (polycam, ("fl_y", "cx", "cy")),
    "Record3D": (record3d, ("fl_y", "cx", "cy")),
    "Nerfies": (nerfies, FULL),
    "IDR": (neus, ("fl_y", "cx", "cy")),
    "MVSNet": (mvsnet, ("fl_y", "cx", "cy")),
    "pose per photo": (scannet, ("fl_y", "cx", "cy")),
    "pose per photo of NSVF": (nsvf, ("cx", "cy")),
    "pose per photo of NeRF++": (nerf_plus_plus, ("fl_y", "cx", "cy")),
    "LLFF": (llff, ()),
}
"""layout, as a capture calls it, and more words -> who writes it, and what of a lens it can tell"""


def told(lens: Lens, keys: Sequence[str]) -> dict[str, float]:
    """A lens as far as a layout can tell it."""
    plain = {"fl_y": lens["fl_x"], "cx": lens["w"] / 2, "cy": lens["h"] / 2}
    plain |= dict.fromkeys(("k1", "k2", "k3", "p1", "p2"), 0.0)
    return {**lens, **plain, **{key: lens[key] for key in keys}}
