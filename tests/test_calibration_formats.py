import dataclasses
import pickle
import sys

import cv2
import numpy as np
import pytest

from calibration import formats as registry
from calibration.errors import CalibrationError, UserError
from calibration.formats import formats, load_calibration, save_calibration
from calibration.geometry.camera import Camera
from calibration.geometry.rotations import rotation_matrix
from calibration.types import Calibration, with_up
from stream.app.demo import MULTI, fetch
from stream.types import StreamError


@pytest.fixture(scope="session")
def qca():
    return make_qualisys()


def rig(n=3, placed=True, names=("left cam", "b", 'x"].y')):
    rng = np.random.default_rng(1)
    cameras = []
    for k in range(n):
        R = rotation_matrix(rng.normal(0, 1, 3)) if placed else np.eye(3)
        t = rng.normal(0, 3000, 3) if placed else np.zeros(3)
        K = np.array([[900.1 + k, 0, 320.25], [0, 901, 240.5], [0, 0, 1]])
        cameras.append(Camera(names[k], (640, 480), K, rng.normal(0, 0.1, 5), R, t))
    return Calibration(tuple(cameras), placed)


def same(a, b, atol=1e-9):
    assert a.names == b.names and a.placed == b.placed
    for x, y in zip(a.cameras, b.cameras, strict=True):
        assert x.size == y.size
        for key in ("K", "dist", "R", "t"):
            np.testing.assert_allclose(getattr(x, key), getattr(y, key), atol=atol)


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("name", [key for key, value in formats().items() if hasattr(value, "write")])
def test_round_trip_of_every_format_that_is_written(tmp_path, name, placed):
    calibration = rig(placed=placed)
    save_calibration(calibration, tmp_path / "a.toml", name)
    same(load_calibration(tmp_path / "a.toml"), calibration)
    same(load_calibration(tmp_path / "a.toml", name), calibration)


# every format there is, also one that was just added


def make_caliscope(folder):
    path = folder / "camera_array.toml"
    path.write_text(CALISCOPE.format(id=7, fisheye="false"))
    return path


def make_easymocap(folder):
    easymocap(folder, rig(names=("c01", "c02", "c03")))
    return folder


def make_opencv(folder):
    (folder / "head.yaml").write_text(ROS)
    return folder / "head.yaml"


def make_qualisys(folder=None):
    """The real Qualisys file of the four-camera demo."""
    try:
        return fetch(MULTI) / "calibration" / "Calib.qca.txt"
    except StreamError as error:
        pytest.skip(str(error))


def example(name, folder):
    """A file of a format: written by it, made here, or what its module says that it can be tried with."""
    module = formats()[name]
    if hasattr(module, "write"):
        save_calibration(rig(), folder / "a.toml", name)
        return folder / "a.toml"
    maker = globals().get(f"make_{name}") or getattr(module, "example", None)
    assert maker, f"calibration/formats/{name}.py has neither write nor example(folder)"
    return maker(folder)


def keeps_the_contract(name, folder):
    path = example(name, folder)
    assert formats()[name].TITLE
    calibration = load_calibration(path)
    same(load_calibration(path, name), calibration)
    assert calibration.cameras and all(camera.size[0] > 1 for camera in calibration.cameras)
    # Half of it is no calibration, and that is said.
    for number, file in enumerate(sorted(p for p in (path.iterdir() if path.is_dir() else [path]) if p.is_file())):
        half = folder / f"half{number}" / file.name
        half.parent.mkdir()
        half.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(UserError) as caught:
            load_calibration(half, name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", formats())
def test_every_format_reads_its_example(tmp_path, name):
    keeps_the_contract(name, tmp_path)


NEW_FORMAT = """
from calibration.errors import CalibrationError
from calibration.geometry.camera import camera_from_fov
from calibration.types import Calibration

FORMAT, TITLE = "lens", "one number"
def matches(path): return path.suffix == ".lens"
def read(path, *, unit=None, size=None):
    {read}
def example(folder):
    (folder / "a.lens").write_text("60.25 640 480")
    return folder / "a.lens"
"""
GOOD = """words = path.read_text().split()
    if len(words) != 3: raise CalibrationError(f"{path}: give degrees, width and height")
    camera = camera_from_fov("a", (int(words[1]), int(words[2])), float(words[0]))
    return Calibration((camera,), placed=False)"""


@pytest.mark.parametrize(("read", "kept"), [(GOOD, True), ('raise CalibrationError("no")', False)])
def test_a_new_format_is_one_file_and_is_tried(tmp_path, monkeypatch, read, kept):
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "lens.py").write_text(NEW_FORMAT.replace("{read}", read))
    monkeypatch.setattr(registry, "__path__", [*registry.__path__, str(folder)])
    try:
        assert "lens" in formats()
        if kept:
            keeps_the_contract("lens", tmp_path)
        else:
            with pytest.raises(CalibrationError):
                keeps_the_contract("lens", tmp_path)
    finally:
        del sys.modules["calibration.formats.lens"]


def test_native_keeps_gravity_devices_serials_and_how_it_was_made(tmp_path):
    made = {"by": 'a "quoted"\nline', "rms_px": 0.25, "frames": 31}
    full = dataclasses.replace(
        with_up(rig(), np.array([0, -2.0, 0])),
        devices=("/dev/video0", None, "C:\\cam"),
        serials=(None, "77", None),
        made=made,
    )
    save_calibration(full, tmp_path / "lab.toml")
    back = load_calibration(tmp_path / "lab.toml")
    same(back, full, atol=0)
    np.testing.assert_array_equal(back.up, [0, -1, 0])
    assert (back.devices, back.serials, dict(back.made)) == (full.devices, full.serials, made)


def test_qualisys_is_read_in_pixels_and_mm(qca):
    calibration = load_calibration(qca)
    assert calibration.names == ("cam01", "cam02", "cam03", "cam04") and calibration.up is None
    first = calibration["cam01"]
    assert first.size == (1088, 1920)
    assert first.K[0, 0] == pytest.approx(107599.671875 / 64)
    assert first.K[1, 2] == pytest.approx(60680.792969 / 64)
    np.testing.assert_allclose(first.dist, [-0.046183, 0.139983, 0.000608, 0.00069, 0], atol=1e-12)
    np.testing.assert_allclose(first.centre, [1460.2324, -1909.1590, 1896.5059], atol=1e-3)
    # All four look down into the middle: their axes pass the same place, which no wrong sign or transpose leaves so.
    A = sum(np.eye(3) - np.outer(c.R[2], c.R[2]) for c in calibration.cameras)
    b = sum((np.eye(3) - np.outer(c.R[2], c.R[2])) @ c.centre for c in calibration.cameras)
    middle = np.linalg.solve(A, b)
    assert all(np.linalg.norm(np.cross(c.R[2], middle - c.centre)) < 700 for c in calibration.cameras)
    assert all(c.R[2] @ (middle - c.centre) > 1000 and c.R[2, 2] < -0.2 for c in calibration.cameras)


@pytest.mark.parametrize("name", ["native", "pose2sim"])
def test_real_file_survives_conversion(qca, tmp_path, name):
    calibration = load_calibration(qca)
    save_calibration(calibration, tmp_path / "x.toml", name)
    same(load_calibration(tmp_path / "x.toml"), calibration)


def easymocap(folder, calibration, sizes=True, numbered=False):
    intri = cv2.FileStorage(str(folder / "intri.yml"), cv2.FILE_STORAGE_WRITE)
    extri = cv2.FileStorage(str(folder / "extri.yml"), cv2.FILE_STORAGE_WRITE)
    for storage in (intri, extri):
        storage.startWriteStruct("names", cv2.FILE_NODE_SEQ)
        for name in calibration.names:
            storage.write("", name)
        storage.endWriteStruct()
    for i, camera in enumerate(calibration.cameras):
        key = str(i + 1) if numbered else camera.name
        intri.write(f"K_{key}", np.array(camera.K))
        intri.write(f"dist_{key}", np.array(camera.dist)[None])
        if sizes:
            intri.write(f"W_{key}", camera.size[0])
            intri.write(f"H_{key}", camera.size[1])
        extri.write(f"R_{key}", cv2.Rodrigues(np.array(camera.R))[0])
        extri.write(f"Rot_{key}", np.array(camera.R))
        extri.write(f"T_{key}", np.array(camera.t)[:, None] / 1000)
    intri.release()
    extri.release()


@pytest.mark.parametrize("numbered", [False, True])
def test_easymocap(tmp_path, numbered):
    calibration = rig(names=("c01", "c02", "c03"))
    easymocap(tmp_path, calibration, numbered=numbered)
    for path in (tmp_path, tmp_path / "intri.yml", tmp_path / "extri.yml"):
        same(load_calibration(path), calibration)
    easymocap(tmp_path, calibration, sizes=False, numbered=numbered)
    with pytest.raises(CalibrationError, match=r"intri\.yml.*W_.*--size"):
        load_calibration(tmp_path)
    same(load_calibration(tmp_path, size=(640, 480)), calibration)
    (tmp_path / "extri.yml").unlink()
    assert not load_calibration(tmp_path, size=(640, 480)).placed


def test_opencv_file_and_folder(tmp_path):
    calibration = rig(names=("a", "b", "c"))
    for camera in calibration.cameras:
        storage = cv2.FileStorage(str(tmp_path / f"{camera.name}.yml"), cv2.FILE_STORAGE_WRITE)
        for key, value in (
            ("image_width", 640), ("image_height", 480), ("camera_matrix", np.array(camera.K)),
            ("distortion_coefficients", np.array(camera.dist)[:, None]), ("rotation", np.array(camera.R)),
            ("translation", np.array(camera.t)[:, None]),
        ):  # fmt: skip
            storage.write(key, value)
        storage.release()
    same(load_calibration(tmp_path), calibration)
    assert load_calibration(tmp_path / "b.yml", unit=1.0).names == ("b",)


ROS = (
    "image_width: 640\nimage_height: 480\ncamera_name: head\ncamera_matrix:\n  rows: 3\n  cols: 3\n"
    "  data: [500, 0, 320, 0, 501, 240, 0, 0, 1]\ndistortion_model: plumb_bob\n"
    "distortion_coefficients:\n  rows: 1\n  cols: 5\n  data: [0.1, 0.2, 0.3, 0.4, 0.5]\n"
)


def test_ros_camera_info(tmp_path):
    calibration = load_calibration(make_opencv(tmp_path))
    assert calibration.names == ("head",) and not calibration.placed
    np.testing.assert_array_equal(calibration.cameras[0].dist, [0.1, 0.2, 0.3, 0.4, 0.5])


CALISCOPE = """
CHARUCO = 1
[cameras.{id}]
cam_id = {id}
size = [640, 480]
rotation_count = 0
error = 0.3
matrix = [[900.0, 0.0, 320.0], [0.0, 901.0, 240.0], [0.0, 0.0, 1.0]]
distortions = [0.1, 0.0, 0.0, 0.0, 0.0]
translation = [0.5, 1.0, 40.0]
rotation = [0.0, 1.0, 0.0]
fisheye = {fisheye}
"""


def test_caliscope(tmp_path):
    path = tmp_path / "camera_array.toml"
    path.write_text(CALISCOPE.format(id=7, fisheye="false"))
    calibration = load_calibration(path)
    assert calibration.names == ("7",)
    np.testing.assert_allclose(calibration.cameras[0].t, [500, 1000, 40000])
    np.testing.assert_allclose(calibration.cameras[0].R, cv2.Rodrigues(np.array([0, 1.0, 0]))[0])
    path.write_text(CALISCOPE.format(id=7, fisheye="true"))
    with pytest.raises(CalibrationError, match=r"camera_array\.toml.*cameras\.7.*fisheye"):
        load_calibration(path)


@pytest.mark.parametrize(
    ("t", "unit", "mm"),
    [(2.5, None, 2500), (4500.0, None, 4500), (60.0, None, 600), (50.0, 10.0, 500), (2.5, 1.0, 2.5)],
)
def test_metres_or_board_units(tmp_path, t, unit, mm):
    path = tmp_path / "anipose.toml"
    path.write_text(
        f'[cam_0]\nname = "A"\nsize = [640, 480]\nmatrix = [[900.0, 0, 320], [0, 900, 240], [0, 0, 1]]\n'
        f"distortions = [0.1]\nrotation = [0, 0, 0]\ntranslation = [0, 0, {t}]\n[metadata]\nerror = 0.5\n"
    )
    np.testing.assert_allclose(load_calibration(path, unit=unit).cameras[0].t, [0, 0, mm])


def broken(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size = [640, 480]", "size = [640, 0]", "size"),
        ("size = [640, 480]", "", "size"),
        ("K = [[900.1", "K = [[nan", "K holds values that are not finite"),
        ("K = [[900.1", "K = [[-1.0", "focal length"),
        ("R = [[", "R = [[9", "R is not a rotation"),
        ("t = [", "tt = [", "t is missing"),
        ("dist = [", 'dist = ["x", ', "dist is not an array of numbers"),
        ('name = "b"', 'name = "left cam"', "more than once"),
        ('name = "b"', "", "name is missing"),
        ("version = 1", "version = 9", "version"),
        ("placed = true", "placed = ", "line"),
    ],
)
def test_a_broken_native_file_names_the_file_and_the_key(tmp_path, old, new, message):
    path = tmp_path / "lab.toml"
    save_calibration(rig(), path)
    broken(path, old, new)
    with pytest.raises(CalibrationError, match=message) as caught:
        load_calibration(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('focalLengthU="107599.671875"', 'focalLengthU="many"', "cam01: intrinsic focalLengthU"),
        ('focalLengthU="107599.671875"', "", "cam01: intrinsic focalLengthU is missing"),
        ('r11="0.5536380477336265"', 'r11="0.9"', "transform r11"),
        ("</calibration>", "", "not XML"),
    ],
)
def test_a_broken_qualisys_file_names_the_camera_and_the_key(qca, tmp_path, old, new, message):
    path = tmp_path / "Calib.qca.txt"
    path.write_bytes(qca.read_bytes())
    broken(path, old, new)
    with pytest.raises(CalibrationError, match=message) as caught:
        load_calibration(path)
    assert str(path) in str(caught.value)


def test_bad_files_are_one_line(tmp_path):
    (tmp_path / "cal.pickle").write_bytes(pickle.dumps({}))
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / "mid.toml").write_text(
        "[a]\nsize=[1,1]\nmatrix=[[1,0,0],[0,1,0],[0,0,1]]\ndistortions=[0,0,0,0]\nrotation=[0,0,0]\ntranslation=[0,0,500]"
    )
    save_calibration(rig(), tmp_path / "good.toml")
    good = (tmp_path / "good.toml").read_text()
    for name, old, new in (
        ("made", "[made]", "made = 3\n[other]"), ("placed", "placed = true", 'placed = "false"'),
        ("K", "[0.0, 0.0, 1.0]]\ndist", "[0.0, 0.0, 0.0]]\ndist"), ("skew", ", 0.0, ", ", 9.0, "),
    ):  # fmt: skip
        assert old in good
        (tmp_path / f"{name}.toml").write_text(good.replace(old, new, 1))
    (tmp_path / "bad.yml").write_text("%YAML:1.0\n---\ncamera_matrix: !!opencv-matrix\n   rows: [[[\n")
    for name, message in (
        ("cal.pickle", "pickle files are refused"), ("none.toml", "no such"), ("note.txt", "not a calibration"),
        ("mid.toml", "--unit"), ("bad.yml", "YAML"),
        ("made.toml", r"made is 3"), ("placed.toml", "placed is 'false'"), ("K.toml", r"K is not \[\[fx"),
        ("skew.toml", r"K is not \[\[fx"),
    ):  # fmt: skip
        with pytest.raises(CalibrationError, match=message) as caught:
            load_calibration(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(CalibrationError, match=r"unknown calibration format 'x'; there are caliscope, .*qualisys"):
        load_calibration(tmp_path / "note.txt", "x")
    with pytest.raises(CalibrationError, match="can only be read; writable are native, pose2sim"):
        save_calibration(rig(), tmp_path / "o", "qualisys")
    with pytest.raises(UserError, match="cannot be written"):
        save_calibration(rig(), tmp_path / "note.txt" / "o.toml")
    with pytest.raises(CalibrationError, match="without cameras"):
        Calibration(())
