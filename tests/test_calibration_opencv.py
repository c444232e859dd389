"""Calibrations as OpenCV, its samples, ROS, and scripts of one's own write them: YAML, XML and JSON."""

import json

import cv2
import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.formats import load_calibration
from calibration.geometry.rotations import rotation_vector
from tests.test_calibration_formats import rig, same


@pytest.mark.parametrize("suffix", [".yml", ".yaml", ".xml", ".json"])
def test_opencv_in_yaml_xml_and_json(tmp_path, suffix):
    calibration = rig(names=("a2", "a10", "b"))
    for camera in calibration.cameras:
        storage = cv2.FileStorage(str(tmp_path / f"{camera.name}{suffix}"), cv2.FILE_STORAGE_WRITE)
        for key, value in (
            ("calibration_time", "Mon Nov 30 15:00:00 2026"), ("image_width", 640), ("image_height", 480),
            ("flags", 0), ("camera_matrix", np.array(camera.K)),
            ("distortion_coefficients", np.array(camera.dist)[:, None]), ("avg_reprojection_error", 0.31),
            ("rvec", rotation_vector(camera.R)), ("tvec", np.array(camera.t)[:, None]),
        ):  # fmt: skip
            storage.write(key, value)
        storage.release()
    (tmp_path / "notes.json").write_text('{"operator": "me"}')
    back = load_calibration(tmp_path)
    same(back, calibration)
    assert back.names == ("a2", "a10", "b")
    (tmp_path / f"b{suffix}").write_bytes((tmp_path / f"b{suffix}").read_bytes()[:-200])
    with pytest.raises(CalibrationError, match=rf"b\{suffix}: "):
        load_calibration(tmp_path)


def test_the_two_cameras_of_opencvs_stereo_sample(tmp_path):
    first, second = rig(2).cameras
    R, t = second.R @ first.R.T, second.t - second.R @ first.R.T @ first.t
    storage = cv2.FileStorage(str(tmp_path / "stereo.yml"), cv2.FILE_STORAGE_WRITE)
    for key, value in (("M1", first.K), ("D1", first.dist[None]), ("M2", second.K), ("D2", second.dist[None]), ("R", R),
                       ("T", t[:, None]), ("R1", np.eye(3)), ("P1", np.eye(3, 4))):  # fmt: skip
        storage.write(key, np.array(value))
    storage.release()
    with pytest.raises(CalibrationError, match="--size"):
        load_calibration(tmp_path / "stereo.yml")
    back = load_calibration(tmp_path / "stereo.yml", size=(640, 480))
    assert back.names == ("stereo1", "stereo2") and back.placed
    np.testing.assert_allclose(back.cameras[1].R, R, atol=1e-9)
    np.testing.assert_allclose(back.cameras[1].t, t, atol=1e-6)


def test_the_two_files_of_opencvs_stereo_sample(tmp_path):
    first, second = rig(2).cameras
    R, t = second.R @ first.R.T, second.t - second.R @ first.R.T @ first.t
    for name, pairs in (
        ("intrinsics", (("M1", first.K), ("D1", first.dist), ("M2", second.K), ("D2", second.dist))),
        ("extrinsics", (("R", R), ("T", t[:, None]), ("R1", np.eye(3)), ("Q", np.eye(4)))),
    ):
        storage = cv2.FileStorage(str(tmp_path / f"{name}.yml"), cv2.FILE_STORAGE_WRITE)
        for key, value in pairs:
            storage.write(key, np.array(value))
        storage.release()
    for path in (tmp_path, tmp_path / "intrinsics.yml"):
        back = load_calibration(path, size=(640, 480))
        assert back.placed
        np.testing.assert_allclose(back.cameras[1].t, t, atol=1e-6)
    with pytest.raises(CalibrationError, match=r"give the intrinsics\.yml beside it"):
        load_calibration(tmp_path / "extrinsics.yml")


@pytest.mark.parametrize(
    ("names", "found"),
    [(("narrow_stereo", "narrow_stereo"), ("back", "front")), (("rig/left", "rig/right"), ("right", "left"))],
)
def test_ros_cameras_have_names_that_can_be_given(tmp_path, names, found):
    for name, stem in zip(names, ("front", "back"), strict=True):
        text = ECHO.replace("MODEL", "none").replace("D: [0.1, 0.01, 0.001, 0.002, 0.0]", "D: []")
        (tmp_path / f"{stem}.yaml").write_text(f"camera_name: {name}\n{text}")
    back = load_calibration(tmp_path)
    assert back.names == found
    assert not back.cameras[0].dist.any()  # an empty list is no distortion


@pytest.mark.parametrize("key", ["dist_coeff", "distortion", "distortion_coeffs"])
def test_json_and_yaml_as_scripts_write_them(tmp_path, key):
    camera = rig(1).cameras[0]
    (tmp_path / "a.json").write_text(json.dumps({"camera_matrix": camera.K.tolist(), key: [camera.dist.tolist()]}))
    (tmp_path / "b.yaml").write_text(f"camera_matrix: {camera.K.tolist()}\n{key}: {[camera.dist.tolist()]}\n")
    for name in ("a.json", "b.yaml"):
        (found,) = load_calibration(tmp_path / name, size=(640, 480)).cameras
        np.testing.assert_allclose(found.dist, camera.dist)


ECHO = """header:
  seq: 1
  stamp: {secs: 0, nsecs: 0}
  frame_id: "head"
height: 480
width: 640
distortion_model: "MODEL"
D: [0.1, 0.01, 0.001, 0.002, 0.0]
K: [500.0, 0.0, 320.0, 0.0, 501.0, 240.0, 0.0, 0.0, 1.0]
R: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
P: [480.0, 0.0, 320.0, 0.0, 0.0, 481.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
---
header:
  seq: 2
"""


@pytest.mark.parametrize("keys", [str, str.lower])
@pytest.mark.parametrize(("model", "fisheye"), [("plumb_bob", False), ("equidistant", True)])
def test_a_printed_ros_camera_info(tmp_path, keys, model, fisheye):
    text = ECHO.replace("MODEL", model)
    if fisheye:
        text = text.replace(", 0.0]\nK", "]\nK")
    for key in "DKRP":
        text = text.replace(f"\n{key}:", f"\n{keys(key)}:")
    (tmp_path / "head.yaml").write_text(text)
    found = load_calibration(tmp_path / "head.yaml")
    # R is of the rectified picture and places nobody.
    assert found.names == ("head",) and not found.placed and found.cameras[0].fisheye == fisheye
    assert found.cameras[0].K[1, 1] == 501 and found.cameras[0].size == (640, 480)
