"""The unit of a calibration's lengths: read right, or refused with what to do; never a set-up ten times too small."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.__main__ import main as calibration
from calibration.errors import CalibrationError
from calibration.formats import load_calibration, save_calibration
from calibration.formats._units import UNITS, setup_size
from calibration.geometry.camera import Camera
from calibration.geometry.rotations import rotation_vector
from calibration.types import Calibration
from run_stream import main as run
from tests.calibration_scene import room

FORMATS = ("pose2sim", "caliscope", "opencv", "easymocap")
NO_WORD = ("pose2sim", "opencv")
"""Formats of which the unit is neither in the file nor usual."""
SIZES_M = (0.11, 0.3, 0.9, 2.0, 3.0, 5.0, 9.0, 20.0)


def scaled(metres: float) -> tuple[Camera, ...]:
    """Three cameras on a half circle, so far across."""
    cameras = [replace(c, name=f"c{k}") for k, c in enumerate(room(3))]
    factor = 1000 * metres / setup_size(np.array([c.centre for c in cameras]))
    return tuple(replace(c, t=c.t * factor) for c in cameras)


def write(folder: Path, name: str, cameras: tuple[Camera, ...], mm: float) -> Path:
    """A file of that format with lengths in units of so many millimetres, and no word of it."""
    folder.mkdir(exist_ok=True)
    if name in ("pose2sim", "caliscope"):
        prefix = "cameras." if name == "caliscope" else ""
        (folder / "lab.toml").write_text("".join(
            f"[{prefix}{c.name}]\nsize = {json.dumps(c.size)}\nmatrix = {c.K.tolist()}\n"
            f"distortions = {c.dist.tolist()}\nrotation = {rotation_vector(c.R).tolist()}\n"
            f"translation = {(c.t / mm).tolist()}\n" for c in cameras
        ))  # fmt: skip
        return folder / "lab.toml"
    if name == "opencv":
        for c in cameras:
            values = {"image_width": c.size[0], "image_height": c.size[1], "camera_matrix": np.array(c.K),
                      "distortion_coefficients": np.array(c.dist)[:, None], "rotation": np.array(c.R),
                      "translation": (c.t / mm)[:, None]}  # fmt: skip
            _store(folder / f"{c.name}.yml", values)
        return folder
    _store(folder / "intri.yml", {k: v for c in cameras for k, v in (
        (f"K_{c.name}", np.array(c.K)), (f"dist_{c.name}", np.array(c.dist)[None]),
        (f"W_{c.name}", c.size[0]), (f"H_{c.name}", c.size[1]))})  # fmt: skip
    _store(folder / "extri.yml", {k: v for c in cameras for k, v in (
        (f"Rot_{c.name}", np.array(c.R)), (f"T_{c.name}", (c.t / mm)[:, None]))})  # fmt: skip
    return folder


def _store(path: Path, values: dict) -> None:
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in values.items():
        storage.write(key, value)
    storage.release()


@pytest.mark.parametrize("name", NO_WORD)
def test_a_guessed_unit_is_the_right_one_or_refused(tmp_path: Path, name: str) -> None:
    known = {}
    for metres in SIZES_M:
        cameras = scaled(metres)
        for unit, mm in UNITS.items():
            path = write(tmp_path / f"{metres}{unit}", name, cameras, mm)
            try:
                found = load_calibration(path)
            except CalibrationError as error:
                assert "convert" in str(error) and "--unit" in str(error) and str(path) in str(error)
                continue
            np.testing.assert_allclose([c.t for c in found.cameras], [c.t for c in cameras], atol=1e-6)
            assert f"lengths are taken for {unit}," in found.remarks[0] and f"{metres:.3g} m across" in found.remarks[0]
            known.setdefault(unit, []).append(metres)
    assert known == {"m": [0.11, 0.3, 0.9, 2.0, 3.0, 5.0, 9.0], "cm": [0.3, 0.9], "mm": [3.0, 5.0, 9.0, 20.0]}


@pytest.mark.parametrize("name", ("caliscope", "easymocap"))
def test_a_usual_unit_is_said_and_not_believed_of_a_set_up_too_large(tmp_path: Path, name: str) -> None:
    cameras = scaled(5.0)
    found = load_calibration(write(tmp_path / "m", name, cameras, 1000.0))
    np.testing.assert_allclose([c.t for c in found.cameras], [c.t for c in cameras], atol=1e-6)
    assert "lengths are taken for m, as is usual for this format: the set-up is 5 m across" in found.remarks[0]
    for unit in ("cm", "mm"):
        with pytest.raises(CalibrationError, match=r"apart; say the unit with .* --unit"):
            load_calibration(write(tmp_path / unit, name, cameras, UNITS[unit]))


@pytest.mark.parametrize("name", FORMATS)
def test_the_users_word_wins_and_is_not_called_a_guess(tmp_path: Path, name: str) -> None:
    cameras = scaled(5.0)
    found = load_calibration(write(tmp_path / "x", name, cameras, 10.0), unit=10.0)
    np.testing.assert_allclose([c.t for c in found.cameras], [c.t for c in cameras], atol=1e-6)
    assert found.remarks == () and found.made["unit_of_file"] == "cm"


def test_a_unit_that_a_file_says_and_nobody_knows_is_not_taken_for_another(tmp_path: Path) -> None:
    path = write(tmp_path / "x", "pose2sim", scaled(5.0), 1000.0)
    for unit, message in (("m", None), ("cm", None), ("feet", "unit is 'feet'"), ("MM", "unit is 'MM'")):
        path.write_text(path.read_text().partition("[metadata]")[0] + f'[metadata]\nunit = "{unit}"\n')
        if message is None:
            assert load_calibration(path).made["unit_of_file"] == unit
        else:
            with pytest.raises(CalibrationError, match=message):
                load_calibration(path)
    save_calibration(Calibration(scaled(5.0)), tmp_path / "own.toml")
    own = (tmp_path / "own.toml").read_text()
    (tmp_path / "own.toml").write_text(own.replace('unit = "mm"', 'unit = "cm"'))
    with pytest.raises(CalibrationError, match="unit is 'cm'; a native file is in mm"):
        load_calibration(tmp_path / "own.toml")


def test_every_command_says_at_its_start_what_was_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cameras = tuple(replace(c, size=(640, 480)) for c in scaled(5.0))
    path = write(tmp_path / "x", "pose2sim", cameras, 1000.0)
    said = "lengths are taken for m, told by its size: the set-up is 5 m across"
    assert calibration(["convert", str(path), str(tmp_path / "o.toml")]) == 0
    assert said in capsys.readouterr().err
    sources = [f for k in range(3) for f in ("--camera", f"c{k}=synthetic:frames=2,yaw={k}")]
    flags = ["--view", "none", "--detector", "movenet-lightning", "--runtime", "onnx", "--up", "0,0,1"]
    assert run([*sources, *flags, "--calibration", str(path)]) == 0
    lines = capsys.readouterr().err.partition("/2 frames")
    assert said in lines[0] and lines[1], "said before the first frame set is done"
    assert run([*sources, *flags, "--calibration", str(tmp_path / "o.toml")]) == 0
    captured = capsys.readouterr()
    assert "lengths are taken" not in captured.out + captured.err
    centimetres = write(tmp_path / "y", "pose2sim", cameras, 10.0)
    assert run([*sources, *flags, "--calibration", str(centimetres)]) == 2
    assert "0.5 m in mm, 5 m in cm" in capsys.readouterr().err
