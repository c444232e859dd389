"""Every name that a laboratory gives a camera, on the command line and in what is written."""

import tomllib
from pathlib import Path

import numpy as np
import pytest

from calibration.binding import bind
from calibration.formats import load_calibration, save_calibration
from calibration.geometry.camera import camera_from_fov
from calibration.solving.offsets import Offsets
from calibration.text import word
from calibration.types import Calibration
from stream.app.calibrate.synchronise import flags, write_offsets
from stream.app.camera_setup import parse_offsets, source_id
from stream.app.command_line import main
from stream.app.per_camera import with_settings
from stream.sources import make_source, parse_source, parse_sources
from stream.types import StreamError
from tests.grid import Case, write

NAMES = ["10", "26578", "007", "Miqus 3", "cam.1", "cam-10", "left_front", "Küche", "カメラ1", "a'b", "Cam (2)"]


@pytest.mark.parametrize("name", NAMES)
def test_a_camera_can_be_called_so(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = parse_source(f"{name}=port_10.mp4", 0)
    assert (config.name, config.source, config.named) == (name, "port_10.mp4", True)
    # Flags of one camera, and what is printed to be typed again.
    (settled,) = with_settings([config], [f"{name}=8"], [f"{name}=90"], None)
    assert (settled.speed, settled.rotate) == (8, 90)
    assert parse_offsets([f"{name}=-0.5"], [name]) == {name: -0.5}
    names, seconds = ("first", name), [0.0, -0.25]
    result = Offsets(np.array(seconds), np.array([0.0, 0.001]), np.array([1.0, 0.9]), ())
    write_offsets(tmp_path / "offsets.toml", names, seconds, result)
    assert tomllib.loads((tmp_path / "offsets.toml").read_text("utf-8"))["offset_s"] == {"first": 0.0, name: -0.25}
    assert flags(names, seconds) == f"--sync-offset {word(f'{name}=-0.2500')}"
    lab = Calibration((camera_from_fov(name, (640, 480), 60),), placed=False)
    for kind in ("native", "pose2sim"):
        save_calibration(lab, tmp_path / "lab.toml", kind)
        assert load_calibration(tmp_path / "lab.toml").names == (name,)


def test_what_a_command_line_would_split_is_shown_in_quotes():
    assert word("left=0") == "left=0" and word("Miqus 3=a.mp4") == '"Miqus 3=a.mp4"'
    assert word('a"b$c') == '"a\\"b\\$c"'


@pytest.mark.parametrize(
    "text",
    ["a,b=x.mp4", "a+b=x.mp4", "a/b=x.mp4", "-a=x.mp4", ".a=x.mp4", "a =x.mp4", "a.=x.mp4", "a:b=x.mp4", "=x.mp4",
     "a\nb=x.mp4", f"{'x' * 101}=x.mp4", "http://h/v?a=b", "rtsp://h/user=a"],
)  # fmt: skip
def test_what_is_no_name_is_a_part_of_the_source(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not parse_source(text, 0).named


def test_a_file_that_is_called_so_is_that_file_and_one_that_is_missing_says_what_a_name_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("take 1=left.mp4").touch()
    assert parse_source("take 1=left.mp4", 0).source == "take 1=left.mp4"
    with pytest.raises(StreamError, match="'a,b' is no name of a camera either: a name is letters, digits, spaces"):
        make_source(parse_source("a,b=gone.mp4", 0)).open()
    with pytest.raises(StreamError, match="two cameras are called KÜCHE"):
        parse_sources(["Küche=0", "KÜCHE=1"])


def test_a_run_goes_on_without_a_camera_that_has_no_place(tmp_path, capsys):
    size = (640, 480)
    camera, lens = camera_from_fov("1", size, 60), camera_from_fov("Miqus 3", size, 60)
    save_calibration(Calibration((camera,), lenses=(lens,)), tmp_path / "lab.toml")
    flags = ["--calibration", str(tmp_path / "lab.toml"), "--view", "none", "--detector", "movenet-lightning"]
    sources = ["--camera", "1=synthetic:frames=2", "--camera", "Miqus 3=synthetic:frames=3", "--rotate", "Miqus 3=90"]
    assert main([*sources, *flags, "--runtime", "onnx"]) == 0
    said = capsys.readouterr()
    assert "Miqus 3 (synthetic:frames=3) is left out: its camera has a lens" in said.err and " of 2 views" in said.out


def test_files_find_their_cameras_by_what_they_are_called(tmp_path):
    lab = Calibration(tuple(camera_from_fov(str(n), (64, 48), 60) for n in (1, 2, 10)))
    infos = []
    for number in (1, 10, 2):
        path = tmp_path / f"port_{number}.mp4"
        write(path, Case("mp4", "h264"), 3)
        source = make_source(parse_source(str(path), len(infos)))
        infos.append(source.open())
        source.close()
    bound = bind(lab, [source_id(info, False) for info in infos])
    assert [camera.name for camera in bound.cameras] == ["1", "10", "2"] and not bound.warnings
