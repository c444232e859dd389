"""Hostile and damaged text that is read: a refusal in one line, soon, and never another exception. A row a fault."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration.errors import CalibrationError
from calibration.fitting import parse_letterbox
from calibration.formats import load_calibration
from calibration.geometry.camera import camera_to_image, image_to_ray
from engines.argument_types import MISTAKE
from tests.faults import calibrations
from tests.faults.calibrations import FORMS, GOOD, WRITERS
from tests.faults.fault import row
from tests.faults.mutations import MUTATIONS, mutate


def refused(path: Path, name: str | None, *words: str) -> str:
    """The one line of a refusal."""
    with pytest.raises(CalibrationError) as caught:
        load_calibration(path, name)
    said = str(caught.value)
    assert len(said) < 450 + len(str(path)) and said.isprintable()
    assert str(path) in said or str(path.parent) in said
    assert all(any(one in said for one in word.split("|")) for word in words), said
    return said


@pytest.mark.parametrize("form", FORMS)
def test_the_cameras_that_the_faults_are_made_of_are_good(form: str, tmp_path: Path) -> None:
    name, write = FORMS[form]
    path = write(GOOD, tmp_path)
    for found in (load_calibration(path), load_calibration(path, name)):
        assert len(found.cameras) == 2 and found.placed
        for camera in found.cameras:
            assert camera.size == (1280, 720)
            assert camera.K[0, 0] == pytest.approx(900) and camera.t == pytest.approx(GOOD["t"])
            assert camera.dist == pytest.approx(GOOD["dist"]) and pytest.approx(calibrations.matrix(GOOD)) == camera.R


ABSURD: dict[str, tuple[dict[str, Any], str]] = {
    "focal length of 1e-300": ({"f": 1e-300}, "focal length"),
    "focal length of 1.4 pixels": ({"f": 1.4}, "1.4 pixels"),
    "focal length of metres": ({"f": 1e6}, "between 128 and 128000"),
    "negative focal length": ({"f": -900.0}, "focal length"),
    "focal length of 1e300": ({"f": 1e300}, "K holds"),
    "principal point far away": ({"cx": 1e6}, "principal point lies 9.99e+05 pixels"),
    "distortion of 1e6": ({"dist": [1e6, 0, 0, 0, 0]}, "1e+06"),
    "distortion of -1e6": ({"dist": [-1e6, 0, 0, 0, 0]}, "turns back"),
    "distortion of 1e308": ({"dist": [1e308, 1e308, 0, 0, 1e308]}, "1e+308"),
    "distortion that turns back inside the image": ({"dist": [-0.9, 0, 0, 0, 0]}, "turns back 5"),
    "tangential distortion of 1e6": ({"dist": [0, 0, 1e6, 0, 0]}, "tangential coefficient of dist is 1e+06"),
    "rotation of 1e200": ({"rvec": [1e200, 0, 0]}, "1e+200"),
    "width of 1e21": ({"width": 10**21}, "65535"),
    "no width": ({"width": 0}, "0"),
    "negative height": ({"height": -720}, "-720"),
    "two million metres away": ({"t": [0.0, 0.0, 2e9]}, "farther than 1e+06 mm|2e+06 m"),
    "1e300 mm away": ({"t": [0.0, 0.0, 1e300]}, "farther than|inf m"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("fault", ABSURD)
@row("a calibration: {fault}", MISTAKE, lambda values: ABSURD[values["fault"]][1].replace("|", " or "))
def test_absurd_but_finite_cameras_are_refused(fault: str, name: str, tmp_path: Path) -> None:
    changes, word = ABSURD[fault]
    refused(WRITERS[name](GOOD | changes, tmp_path), name, word)


NOT_FINITE = {"NaN": float("nan"), "infinite": float("inf")}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("key", ["f", "cx", "dist", "rvec", "t"])
@row("a calibration: {value} as {key}", MISTAKE, "the file and what is wrong")
def test_what_is_not_finite_is_refused(key: str, value: str, name: str, tmp_path: Path) -> None:
    number = NOT_FINITE[value]
    changes = {key: [number] * len(GOOD[key]) if isinstance(GOOD[key], list) else number}
    path = write_as_it_is(name, GOOD | changes, tmp_path)
    refused(path, name)


def write_as_it_is(name: str, values: dict[str, Any], folder: Path) -> Path:
    """Python's own words for these numbers are TOML's; YAML has a dot before them."""
    path = WRITERS[name](values, folder)
    if name in YAMLS:
        for file in folder.iterdir():
            file.write_text(file.read_text().replace("nan", ".nan").replace("inf", ".inf").replace(".intri", "intri"))
    return path


# text that is made to hurt


def head_of(name: str) -> bytes:
    """So that the file is taken for one of the format."""
    return {
        "native": b'format = "hypothesis-stream calibration"\nversion = 1\n',
        "pose2sim": b"# matrix distortions\n",
        "caliscope": b"# [cameras.\n",
        "opencv": b"%YAML:1.0\n---\ncamera_matrix: 1\n",
        "easymocap": b"%YAML:1.0\n---\n",
        "qualisys": b"<calibration><cameras>",
        "kalibr": b"cam0:\n  intrinsics: 1\n  distortion_model: 1\n",
        "colmap": b"# cameras\n",
    }[name]


YAMLS = ("opencv", "easymocap", "kalibr")
TEXTS: dict[str, tuple[tuple[str, ...], bytes]] = {
    "nested lists": (("native", "pose2sim", "caliscope"), b"x = " + b"[" * 200_000),
    "nested lists that end": (("native", "pose2sim", "caliscope"), b"x = " + b"[" * 900 + b"]" * 900),
    "nested tables": (("native", "pose2sim", "caliscope"), b"x = " + b"{a=" * 200_000),
    "an integer of 5,000 digits": (("native", "pose2sim", "caliscope"), b"x = " + b"9" * 5000),
    "a hexadecimal integer of 5,000 digits": (("native", "pose2sim", "caliscope"), b"x = 0x" + b"f" * 5000),
    "a key of 20,000 parts": (("native", "pose2sim", "caliscope"), b"a." * 20_000 + b"a = 1"),
    "a key of 300,000 parts with blanks": (("native", "pose2sim", "caliscope"), b"a . " * 200_000 + b"a = 1"),
    "a table of 20,000 parts": (("native", "pose2sim", "caliscope"), b"[" + b"a." * 20_000 + b"a]"),
    "a quoted key of 20,000 parts": (("native", "pose2sim", "caliscope"), b'"a"."b".' * 20_000 + b"a = 1"),
    "a million values": (("native", "pose2sim", "caliscope"), b"x = [" + b"1," * 480_000 + b"1]"),
    "nested flow lists": (YAMLS, b"x: " + b"[" * 300_000),
    "nested flow lists that end": (YAMLS, b"x: " + b"[" * 900 + b"]" * 900),
    "nested maps": (YAMLS, b"x: " + b"{a: " * 100_000),
    "nested dashes": (YAMLS, b"x:\n  " + b"- " * 200_000 + b"1"),
    "nested blocks": (YAMLS, b"".join(b" " * k + b"a:\n" for k in range(1200))),
    "a matrix of negative size": (
        YAMLS,
        b"K: !!opencv-matrix\n  rows: -3\n  cols: -3\n  data: [1]",
    ),
    "a matrix of NaN size": (
        YAMLS,
        b"K_1: !!opencv-matrix\n  rows: .nan\n  cols: 3\n  data: [1]",
    ),
    "a million cameras": (("colmap",), b"1 PINHOLE 9 9 1 1 1 1\n" * 300_000),
    "a camera of a million parameters": (("colmap",), b"1 OPENCV 9 9" + b" 1" * 1_000_000),
    "a million numbers": (YAMLS, b"x: [" + b"1," * 480_000 + b"1]"),
    "an anchor that doubles itself": (YAMLS, b"a: &a [1]\nb: &b [*a, *a]\nc: [*b, *b]"),
    "nested elements": (("qualisys",), b"<a>" * 300_000),
    "entities that multiply": (("qualisys",), b"<!ENTITY a 'aaa'><!ENTITY b '&a;&a;'>"),
    "entities behind a long comment": (("qualisys",), b"<!--" + b" " * 30_000 + b"--><!ENTITY a 'aaa'>"),
    "more than a megabyte": (tuple(WRITERS), b"\n" * 1_000_001),
    "no text": (tuple(WRITERS), b"\xff\xfe\x00\x00"),
}


@pytest.mark.parametrize(("fault", "name"), [(fault, name) for fault, (names, _) in TEXTS.items() for name in names])
@row("a calibration: {fault}", MISTAKE, "the file and what is wrong, within 2 s")
def test_text_that_is_made_to_hurt_is_refused_at_once(fault: str, name: str, tmp_path: Path) -> None:
    file = {"opencv": "c.yml", "easymocap": "intri.yml", "qualisys": "c.qca.txt", "kalibr": "c.yaml",
            "colmap": "cameras.txt"}.get(name, "c.toml")  # fmt: skip
    path = tmp_path / file
    path.write_bytes(head_of(name) + TEXTS[fault][1])
    started = time.process_time()
    refused(path, name)
    assert time.process_time() - started < 2


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


SPECIAL = {"a FIFO": make_fifo, "a link to a device": lambda path: path.symlink_to("/dev/zero")}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", [None, *WRITERS])
@row("{kind} as a calibration", MISTAKE, lambda values: values["kind"].split()[-1], "it is not opened")
def test_what_is_no_file_is_not_opened(kind: str, name: str | None, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    SPECIAL[kind](path)
    refused(path, name, kind.split()[-1])


@pytest.mark.parametrize("unit", ["nan", "-1", "0", "1e308"])
@row("a calibration in units of {unit} mm", MISTAKE, "unit of")
def test_an_absurd_unit_is_refused(unit: str, tmp_path: Path) -> None:
    path = calibrations.pose2sim(GOOD, tmp_path)
    with pytest.raises(CalibrationError, match="unit of"):
        load_calibration(path, unit=float(unit))


@row("a calibration: names with control characters", MISTAKE, "printable")
def test_names_that_would_garble_a_terminal_are_refused(tmp_path: Path) -> None:
    for name in ("a\\nb", "\\u001b[2J", "x" * 101):
        path = calibrations.native(GOOD, tmp_path)
        path.write_text(path.read_text().replace('name = "a"', f'name = "{name}"'))
        refused(path, None, "printable")


@row("a calibration of a thousand cameras", MISTAKE, "1,001 cameras")
def test_more_cameras_than_there_are_are_refused(tmp_path: Path) -> None:
    path = calibrations.native(GOOD, tmp_path)
    head, camera, _ = path.read_text().split("[[camera]]\n")
    text = head + "".join("[[camera]]\n" + camera.replace('"a"', f'"{k}"') for k in range(1001))
    path.write_text(text)
    refused(path, None, "1,001 cameras")


@pytest.mark.parametrize(
    ("box", "word"), [("1e308,0,0", "1e+308"), ("1e-300,0,0", "1e-300"), ("1,1e300,0", "1e+300"), ("nan,0,0", "nan"),
                      ("1,0,-inf", "-inf"), ("-1,0,0", "-1")],
)  # fmt: skip
@row("--letterbox {box}", MISTAKE, lambda values: values["word"])
def test_an_absurd_letterbox_is_refused(box: str, word: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        parse_letterbox(box)
    assert word in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
@row("200 random mutations of a calibration, {form}", MISTAKE, "one line, or the file is read")
def test_no_mutation_of_a_calibration_raises_anything_else(form: str, tmp_path: Path) -> None:
    read, (name, write) = 0, FORMS[form]
    for seed in MUTATIONS:
        folder = tmp_path / str(seed)
        folder.mkdir()
        path = write(GOOD, folder)
        files = [path] if path.is_file() else sorted(path.iterdir())
        file = files[seed % len(files)]
        file.write_bytes(mutate(file.read_bytes(), seed))
        try:
            found = load_calibration(path, name)
        except CalibrationError as error:
            assert "\n" not in str(error) and len(str(error)) < 600, f"mutation {seed}"
            continue
        read += 1
        for camera in (*found.cameras, *found.lenses):
            image_to_ray(camera, camera_to_image(camera, np.array([[100.0, 50, 900]])))
        assert all(len(camera.name) <= 100 for camera in found.cameras)
    assert 5 < read < 150, "a mutation that never or always breaks it tests nothing"
