"""Calibrations of caliscope: older ones, and those that are not finished."""

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.formats import load_calibration, save_calibration
from calibration.geometry.rotations import rotation_matrix
from calibration.types import as_lenses
from tests.test_calibration_formats import same

OLD = """CreationDate = 2023-02-07T08:31:15.128437
camera_count = 11

{cameras}
[capture_volume]
stage = 2

[charuco]
columns = 4
units = "inch"

[stereo_1_10]
RMSE = 0.8
rotation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
translation = [[-1.6], [-0.2], [1.3]]

[point_estimates]
sync_indices = [{points}]
obj = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]
"""
CAM = """[cam_{port}]
port = {port}
size = [ 1280, 720,]
rotation_count = 1
error = 0.3
exposure = "null"
matrix = [ [ 900.0, 0.0, 640.0,], [ 0.0, 901.0, 360.0,], [ 0.0, 0.0, 1.0,],]
distortions = [ -0.1, 0.04, 0.0, 0.0, 0.06,]
{place}
"""
PLACE = "translation = [ {port}.0, -0.2, 3.0,]\nrotation = [ [ 0.0, -1.0, 0.0,], [ 1.0, 0.0, 0.0,], [ 0.0, 0.0, 1.0,],]"


def old_caliscope(places, points="1, " * 9):
    cameras = "\n".join(CAM.format(port=port, place=place.format(port=port)) for port, place in places.items())
    return OLD.format(cameras=cameras, points=points)


def test_the_older_config_of_caliscope(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(old_caliscope({1: PLACE, 10: PLACE, 11: PLACE, 2: PLACE}, points="1, " * 600_000))
    found = load_calibration(path)
    assert found.names == ("1", "10", "11", "2") and found.placed and not found.lenses
    np.testing.assert_allclose(found["10"].t, [10_000, -200, 3000])
    np.testing.assert_allclose(found["10"].R, rotation_matrix(np.array([0, 0, np.pi / 2])), atol=1e-9)


@pytest.mark.parametrize(("count", "said"), [("1", "1 by 1, 10 by 1 quarter turns"), ("-1", "1 by -1"), ("0", "")])
def test_pictures_that_caliscope_shows_turned_are_said(tmp_path, count, said):
    path = tmp_path / "config.toml"
    path.write_text(old_caliscope({1: PLACE, 10: PLACE}).replace("rotation_count = 1", f"rotation_count = {count}"))
    lines = [line for line in load_calibration(path).remarks if "rotation_count" in line]
    assert len(lines) == bool(said) and all(said in line and "as they are saved, unturned" in line for line in lines)


def test_the_oldest_config_of_caliscope_has_lenses_with_other_words(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(
        "[cam_0]\nport = 0\nresolution = [ 1280, 720,]\nrotation_count = 0\n"
        'camera_matrix = [ [ "768.39", "0.0", "627.7",], [ "0.0", "771.0", "370.9",], [ "0.0", "0.0", "1.0",],]\n'
        'distortion = [ [ "0.1", "-0.2", "0.0005", "-0.001", "0.1",],]\nignore = false\n'
    )
    found = load_calibration(path)
    assert found.names == ("0",) and not found.placed
    assert found["0"].K[0, 0] == 768.39 and found["0"].dist[1] == -0.2
    path.write_text(path.read_text().replace('"768.39"', '"many"'))
    with pytest.raises(CalibrationError, match=r"\[0\] matrix: 'many' is not a number"):
        load_calibration(path)


@pytest.mark.parametrize("nothing", ["", 'translation = "null"\nrotation = "null"', "translation = []\nrotation = []"])
@pytest.mark.parametrize("new", [False, True])
def test_a_camera_that_caliscope_did_not_place_is_named_and_serves_as_a_lens(tmp_path, nothing, new):
    path = tmp_path / "camera_array.toml"
    text = old_caliscope({0: PLACE, 1: nothing, 2: PLACE})
    path.write_text(text.replace("[cam_", "[cameras.") if new else text)
    found = load_calibration(path)
    assert found.placed and found.names == ("0", "2") and [c.name for c in found.lenses] == ["1"]
    assert any("not placed: 1; the others are used" in line for line in found.remarks)
    lenses = as_lenses(found)
    assert lenses.names == ("0", "2", "1") and not lenses.placed and not lenses.cameras[0].t.any()
    save_calibration(found, tmp_path / "lab.toml")
    again = load_calibration(tmp_path / "lab.toml")
    same(again, found)
    same(as_lenses(again), lenses)
    save_calibration(found, tmp_path / "p.toml", "pose2sim")
    assert load_calibration(tmp_path / "p.toml").names == ("0", "2")


@pytest.mark.parametrize("nothing", ["", '"null"', "[]"])
def test_a_camera_whose_lens_caliscope_does_not_know_is_left_out_and_named(tmp_path, nothing):
    path = tmp_path / "camera_array.toml"
    text = old_caliscope({0: PLACE, 1: "", 2: PLACE}).replace("[cam_", "[cameras.")
    before, rest = text.split("[cameras.1]")
    lines = [
        line for line in rest.split("[cameras.2]")[0].splitlines() if not line.startswith(("matrix", "distortions"))
    ]
    lines += [f"matrix = {nothing}", f"distortions = {nothing}"] if nothing else []
    path.write_text(before + "[cameras.1]" + "\n".join(lines) + "\n[cameras.2]" + rest.split("[cameras.2]")[1])
    found = load_calibration(path)
    assert found.names == ("0", "2") and not found.lenses
    assert found.remarks[-1].endswith("left out, as its lens is not calibrated yet: 1")
    path.write_text("[cameras.1]\n" + "\n".join(lines[1:]))
    with pytest.raises(CalibrationError, match=r"no lens in it is calibrated yet \(cameras.1\)"):
        load_calibration(path)
