"""Calibrations of other programs: fisheyes, Kalibr, COLMAP, and what is named and refused."""

import json
import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.formats import load_calibration, save_calibration
from calibration.geometry.camera import world_to_image
from calibration.geometry.rotations import rotation_vector
from calibration.types import Calibration, as_lenses
from tests.calibration_scene import room
from tests.test_calibration_formats import CALISCOPE, easymocap, rig, same
from tests.test_fisheye import GOPRO


def fisheyes(n=3, names=("left cam", "b", "c")):
    """A calibration of fisheyes, the last one of which is an ordinary lens."""
    placed = room(n)
    cameras = [replace(GOPRO, name=name, R=c.R, t=c.t) for name, c in zip(names, placed, strict=True)]
    cameras[-1] = replace(placed[-1], name=names[-1])
    return Calibration(tuple(cameras))


# fisheyes, wherever they occur


@pytest.mark.parametrize("name", ["native", "pose2sim"])
@pytest.mark.parametrize("placed", [True, False])
def test_a_fisheye_survives_every_format_that_is_written(tmp_path, name, placed):
    calibration = fisheyes() if placed else as_lenses(fisheyes())
    save_calibration(calibration, tmp_path / "a.toml", name)
    back = load_calibration(tmp_path / "a.toml")
    same(back, calibration)
    assert [c.fisheye for c in back.cameras] == [True, True, False]
    if name == "native":
        assert "version = 2\n" in (tmp_path / "a.toml").read_text()
        save_calibration(rig(), tmp_path / "b.toml")
        assert "version = 1\n" in (tmp_path / "b.toml").read_text()


def test_caliscope_and_opencv_say_which_lenses_are_fisheyes(tmp_path):
    path = tmp_path / "camera_array.toml"
    text = CALISCOPE.format(id=7, fisheye="true").replace("[0.1, 0.0, 0.0, 0.0, 0.0]", "[0.1, 0.01, 0.0, 0.0]")
    path.write_text(text)
    assert load_calibration(path).cameras[0].fisheye
    for key, value in (("distortion_model", "equidistant"), ("distortion_model", "fisheye"), ("fisheye_model", 1)):
        storage = cv2.FileStorage(str(tmp_path / "g.yml"), cv2.FILE_STORAGE_WRITE)
        for name, what in (
            ("image_width", 1280), ("image_height", 720), (key, value), ("camera_matrix", np.array(GOPRO.K)),
            ("distortion_coefficients", np.array(GOPRO.dist)),
        ):  # fmt: skip
            storage.write(name, what)
        storage.release()
        camera = load_calibration(tmp_path / "g.yml").cameras[0]
        assert camera.fisheye and camera.dist == pytest.approx(GOPRO.dist)
    (tmp_path / "h.yml").write_text(
        (tmp_path / "g.yml").read_text().replace("fisheye_model: 1", "distortion_model: fov")
    )
    with pytest.raises(CalibrationError, match=r"h\.yml: distortion_model is 'fov', which is not read"):
        load_calibration(tmp_path / "h.yml")


def test_what_does_not_say_that_it_is_a_fisheye_can_be_told(tmp_path):
    calibration = fisheyes(names=("01", "02", "03"))
    calibration = Calibration(calibration.cameras[:2])
    easymocap(tmp_path, calibration)
    assert not load_calibration(tmp_path).cameras[0].fisheye
    same(load_calibration(tmp_path, fisheye=True), calibration)
    assert load_calibration(tmp_path, fisheye=True).cameras[1].fisheye
    easymocap(tmp_path, rig(names=("a", "b", "c")))
    with pytest.raises(CalibrationError, match="5 coefficients; a fisheye has 4: leave out --fisheye"):
        load_calibration(tmp_path, fisheye=True)


# Kalibr


def camchain(cameras, folder, key="T_cn_cnm1"):
    text, before = "", None
    for number, camera in enumerate(cameras):
        lens = "equidistant" if camera.fisheye else "radtan"
        (fx, fy), (cx, cy) = camera.K[[0, 1], [0, 1]], camera.K[:2, 2]
        text += (
            f"cam{number}:\n  cam_overlaps: [{number + 1}]\n  camera_model: pinhole\n"
            f"  distortion_coeffs: {camera.dist[:4].tolist()}\n  distortion_model: {lens}\n"
            f"  intrinsics: [{fx!r}, {fy!r},\n    {cx!r}, {cy!r}]\n  resolution: {list(camera.size)}\n"
            f"  rostopic: /cam{number}/image_raw\n"
        ).replace("np.float64(", "").replace(")", "")  # fmt: skip
        T = np.eye(4)
        if key == "T_cam_imu":
            T[:3, :3], T[:3, 3] = camera.R, camera.t / 1000
        elif before is not None:
            T[:3, :3] = camera.R @ before.R.T
            T[:3, 3] = (camera.t - T[:3, :3] @ before.t) / 1000
        if key == "T_cam_imu" or before is not None:
            text += f"  {key}:\n" + "".join(f"  - {row.tolist()}\n" for row in T)
        before = camera
    path = folder / "camchain-rig.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("key", ["T_cn_cnm1", "T_cam_imu"])
def test_kalibr(tmp_path, key):
    cameras = [replace(c, dist=c.dist[:4]) for c in fisheyes().cameras]
    found = load_calibration(camchain(cameras, tmp_path, key))
    assert found.names == ("cam0", "cam1", "cam2") and [c.fisheye for c in found.cameras] == [True, True, False]
    first = cameras[0] if key == "T_cn_cnm1" else replace(cameras[0], R=np.eye(3), t=np.zeros(3))
    point = np.array([[100.0, 50, 900]])  # in the world
    seen = point @ first.R.T + first.t if key == "T_cn_cnm1" else point
    for mine, theirs in zip(found.cameras, cameras, strict=True):
        np.testing.assert_allclose(world_to_image(mine, seen), world_to_image(theirs, point), atol=1e-5)
    assert "metres" in found.remarks[0] or "taken for m" in found.remarks[0]


def test_a_kalibr_chain_that_breaks_and_models_that_are_not_read(tmp_path):
    path = camchain([replace(c, dist=c.dist[:4]) for c in fisheyes().cameras], tmp_path)
    text = path.read_text()
    path.write_text(text[: text.rindex("  T_cn_cnm1")])
    found = load_calibration(path)
    assert found.names == ("cam0", "cam1") and [c.name for c in found.lenses] == ["cam2"]
    assert "not placed: cam2" in found.remarks[-1]
    path.write_text(text.replace("camera_model: pinhole", "camera_model: omni", 1))
    with pytest.raises(CalibrationError, match="cam0: camera_model is 'omni'.*--models pinhole"):
        load_calibration(path)
    path.write_text(text.replace("distortion_model: radtan", "distortion_model: fov", 1))
    with pytest.raises(CalibrationError, match="cam2: distortion_model is 'fov'"):
        load_calibration(path)


# COLMAP


def colmap(folder, cameras, names, unit=1000.0):
    rows, images = "# Camera list\n", "# Image list\n"
    for number, (camera, name) in enumerate(zip(cameras, names, strict=True), 1):
        (fx, fy), (cx, cy) = camera.K[[0, 1], [0, 1]], camera.K[:2, 2] + 0.5
        model = "OPENCV_FISHEYE" if camera.fisheye else "OPENCV"
        rows += f"{number} {model} {camera.size[0]} {camera.size[1]} {fx} {fy} {cx} {cy} "
        rows += " ".join(str(v) for v in camera.dist[:4]) + "\n"
        angle = np.linalg.norm(r := rotation_vector(camera.R))
        q = [np.cos(angle / 2), *(np.sin(angle / 2) * r / angle)]
        images += " ".join(map(str, [number, *q, *(camera.t / unit), number, name])) + "\n"
        images += "1.5 2.5 -1 3.5 4.5 7\n" if number % 2 else "\n"
    (folder / "cameras.txt").write_text(rows)
    (folder / "images.txt").write_text(images)
    (folder / "points3D.txt").write_text("# none\n")


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.png", "my cam 2.jpg", "c.png"], ("a", "my cam 2", "c")),
        (["cam1/frame.png", "cam2/frame.png", "cam10/frame.png"], ("cam1", "cam2", "cam10")),
        (["x/1.png", "x/2.png", "y/1.png"], ("x_1", "x_2", "y_1")),
    ],
)
def test_colmap_text(tmp_path, files, names):
    cameras = [c if c.fisheye else replace(c, dist=np.append(c.dist[:4], 0)) for c in fisheyes().cameras]
    colmap(tmp_path, cameras, files)
    for path in (tmp_path, tmp_path / "cameras.txt", tmp_path / "images.txt"):
        found = load_calibration(path)
        same(found, Calibration(tuple(replace(c, name=n) for c, n in zip(cameras, names, strict=True))), atol=1e-6)
        assert [c.fisheye for c in found.cameras] == [True, True, False]
        assert "no scale of its own" in found.remarks[0]
    assert not load_calibration(tmp_path, unit=1000.0).remarks


def test_colmap_without_images_of_some_or_all_and_what_is_wrong_in_it(tmp_path):
    cameras = [replace(c, dist=c.dist[:4]) for c in fisheyes().cameras]
    colmap(tmp_path, cameras, ["a.png", "b.png", "c.png"])
    images = (tmp_path / "images.txt").read_text()
    (tmp_path / "images.txt").write_text("".join(images.splitlines(keepends=True)[:5]))
    found = load_calibration(tmp_path)
    assert found.names == ("a", "b") and [c.name for c in found.lenses] == ["3"]
    (tmp_path / "images.txt").unlink()
    assert load_calibration(tmp_path).names == ("1", "2", "3") and not load_calibration(tmp_path).placed
    rows = (tmp_path / "cameras.txt").read_text()
    for old, new, message in (
        ("OPENCV_FISHEYE", "THIN_PRISM_FISHEYE", "line 2: the lens model 'THIN_PRISM_FISHEYE' is not read"),
        ("OPENCV_FISHEYE", "FULL_OPENCV", "line 2: FULL_OPENCV has 8 parameters, expected 12"),
        ("1280", "wide", "line 2: 'wide' is not a finite number"),
    ):
        (tmp_path / "cameras.txt").write_text(rows.replace(old, new, 1))
        with pytest.raises(CalibrationError, match=message):
            load_calibration(tmp_path)
    (tmp_path / "cameras.txt").write_text(rows)
    for old, new, message in (
        (" 1 a.png", " 9 a.png", "line 2: camera '9' is not in cameras.txt"),
        (images.splitlines()[1], "1 2 0 0 0 0 0 0 1 a.png", "line 2: QW QX QY QZ is not a rotation"),
        (images.splitlines()[1], "1 2 3", "line 2: expected IMAGE_ID"),
    ):
        (tmp_path / "images.txt").write_text(images.replace(old, new, 1))
        with pytest.raises(CalibrationError, match=message):
            load_calibration(tmp_path)


# a camera without a place


def test_a_camera_of_another_format_that_has_no_place_is_a_lens_too(tmp_path):
    save_calibration(rig(names=("a", "b", "c")), tmp_path / "a.toml", "pose2sim")
    lines = (tmp_path / "a.toml").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("rotation"))
    (tmp_path / "a.toml").write_text("\n".join(lines[:first] + lines[first + 2 :]))
    found = load_calibration(tmp_path / "a.toml")
    assert found.names == ("b", "c") and found.lenses[0].name == "a"


# what is recognised and not read

XCP = (
    '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n<Cameras VERSION="1.0">\n'
    '<Camera DEVICEID="2101234" NAME="" SENSOR_SIZE="1920 1080" TYPE="Vue"><KeyFrames><KeyFrame FOCAL_LENGTH="1700" '
    'POSITION="1 2 3" ORIENTATION="0 0 0 1"/></KeyFrames></Camera></Cameras>\n'
)
FOREIGN = {
    "cal.pkl": (pickle.dumps({"K": 1}), "pickle files are refused, .*opencap"),
    "cal.dat": (pickle.dumps({"K": 1}), "Python pickle, refused"),
    "cameraIntrinsicsExtrinsics.pickle": (b"x", "pickle files are refused"),
    "cal.npz": (b"PK\x03\x04 whatever", "NumPy archive.*cv2.FileStorage"),
    "cal.npy": (b"\x93NUMPY\x01\x00", "NumPy array"),
    "stereoParams.mat": (b"MATLAB 5.0 MAT-file", "MATLAB.*counts pixels from 1"),
    "lab.xcp": (XCP.encode(), r"Vicon calibration \(\.xcp\).*convert_from = 'vicon'"),
    "lab.xml": (XCP.encode("utf-16"), "it is a Vicon calibration"),
    "System.mcal": (b"\x00\x01\x02", "OptiTrack's Motive.*Pose2Sim TOML"),
    "System.cal": (b"\x00\x01\x02", "OptiTrack's Motive"),
    "motive.xml": (b"<Profile><Name>OptiTrack</Name></Profile>", "OptiTrack's Motive"),
    "calibration.json": (
        json.dumps({"cameras": {"a": {"K": [[1]], "dist": [0], "image_size": [1, 1]}}, "camera_poses": {}}).encode(),
        "multical.*cv2.FileStorage",
    ),
    "calibration_171204.json": (
        b'{"calibDataSource": "x", "cameras": [{"name": "00_00", "distCoef": [0]}]}',
        "Panoptic",
    ),
    "transforms.json": (b'{"frames": [{"transform_matrix": [[1]]}]}', "transforms.json"),
    "cameras.xml": (b'<document version="2.0"><chunk label="1"/></document>', "Metashape"),
    "results-cam.txt": (b"Calibration results\nCamera-system parameters:\n", "camchain.yaml"),
    "imu.yaml": (b"imu0:\n  update_rate: 200.0\n", "inertial sensor of Kalibr"),
    "cameras.bin": (b"\x01\x00\x00", "colmap model_converter .*--output_type TXT"),
    "gopro.json": (
        b'{"fisheye_params": {"camera_matrix": [[1, 0, 1], [0, 1, 1], [0, 0, 1]], "distortion_coeffs": [0, 0, 0, 0]}}',
        "Gyroflow.*cv2.FileStorage",
    ),
    "jarvis.yaml": (b"%YAML:1.0\nintrinsicMatrix: 1\ndistortionCoefficients: 2\n", "JARVIS.*transposed"),
    "lens.xml": (b"<calibration><projection>frame</projection></calibration>", "Metashape.*as OpenCV"),
    "bundle.out": (b"# Bundle file v0.3\n1 1\n", "Bundler.*COLMAP"),
    "ost.txt": (b"# oST version 5.0 parameters\n\n[image]\n\nwidth\n640\n\nheight\n480\n", r"old form.*ost\.yaml"),
    "basalt.json": (b'{"value0": {"T_imu_cam": []}}', "Basalt"),
    "extrinsics.yml": (b"%YAML:1.0\nR: 1\nT: 2\nQ: 3\n", r"half of .* intrinsics\.yml"),
    "dlt.csv": (b"1.5e-3,2\n" * 11, "linear transformation.*anew"),
    "lab.zip": (b"PK\x03\x04 whatever", "ZIP archive"),
    "empty.toml": (b"", "it is empty"),
    "notes.yaml": (
        b"# filmed in 4 K at night\nlens:\n  K: unknown\nk: 3\n",
        r"not a calibration in a format known here \(",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_calibrations_of_other_programs_are_named_with_the_way_to_bring_them_here(tmp_path, name):
    data, message = FOREIGN[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(CalibrationError, match=message) as caught:
        load_calibration(path)
    said = str(caught.value)
    assert said.startswith(str(path)) and "\n" not in said and "line 1" not in said
    if not name.startswith(("empty", "notes")):
        with pytest.raises(CalibrationError, match=message):
            load_calibration(tmp_path)


# as editors save them

ENCODINGS = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16 big": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-16 without a mark": lambda text: text.encode("utf-16-le"),
    "utf-32": lambda text: text.encode("utf-32"),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "utf-16 crlf": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "old mac": lambda text: text.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_as_editors_save_it(tmp_path, encoding):
    from tests.faults.calibrations import GOOD, WRITERS

    for name, write in WRITERS.items():
        folder = tmp_path / name
        folder.mkdir()
        path = write(GOOD, folder)
        before = load_calibration(path)
        for file in [path] if path.is_file() else sorted(path.iterdir()):
            file.write_bytes(ENCODINGS[encoding](file.read_text()))
        same(load_calibration(path), before)


def test_text_in_another_encoding_says_what_to_do(tmp_path):
    save_calibration(rig(), tmp_path / "lab.toml")
    (tmp_path / "lab.toml").write_bytes("# Größe\n".encode("cp1252") + (tmp_path / "lab.toml").read_bytes())
    with pytest.raises(CalibrationError, match="no UTF-8 text: byte 4 is 0xf6; .* save it there as UTF-8"):
        load_calibration(tmp_path / "lab.toml")


def test_a_turned_view_of_qualisys_is_said(tmp_path):
    from tests.faults.calibrations import GOOD, qualisys

    path = qualisys(GOOD, tmp_path)
    assert not load_calibration(path).remarks
    path.write_text(path.read_text().replace('active="1"', 'active="1" viewrotation="90"', 1))
    (line,) = load_calibration(path).remarks
    assert "viewrotation: a by 90 degrees" in line and "--up 0,0,1" in line
