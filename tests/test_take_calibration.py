"""The calibration that a take was captured with, as its source: used where none is given, and said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.errors import UserError
from calibration.formats import save_calibration
from calibration.geometry.camera import camera_from_fov
from calibration.types import Calibration
from engines.argument_types import DONE
from stream.app import camera_setup
from stream.app.command_line import config_of, main
from stream.app.flags import parser
from stream.recordings.takes import open_take
from stream.sources.take import calibration_of_take
from tests.captures import coded_frames, write_capture
from tests.servers import MjpegServer, write_video

LEFT = camera_from_fov("left", (160, 120), 60.0)
RIGHT = replace(camera_from_fov("right", (160, 120), 50.0), R=np.diag([-1.0, 1, -1]), t=np.ones(3))


def alike(one, other):
    assert one.size == other.size
    for part in ("K", "dist", "R", "t"):
        np.testing.assert_allclose(getattr(one, part), getattr(other, part), atol=1e-6)


def of_take(take, *flags):
    """The sources of a take, and the calibration that they bring."""
    sources = config_of(parser().parse_args(["--from-take", str(take), *flags])).sources
    return sources, calibration_of_take(sources)


@pytest.mark.parametrize("turn", [0, 90, 180], ids=lambda turn: f"turned by {turn}")
def test_a_take_brings_the_calibration_it_was_captured_with(tmp_path: Path, turn: int, capsys):
    size = (120, 160) if turn == 90 else (160, 120)
    cameras = [replace(camera_from_fov(name, size, 60.0), t=np.array([0, 0, 1000.0 + 100 * len(name)]))
               for name in ("left", "right")]  # fmt: skip
    save_calibration(Calibration(tuple(cameras)), tmp_path / "lab.toml")
    with MjpegServer() as left, MjpegServer() as right:
        flags = ["--camera", f"left={left.url()}", "--camera", f"right={right.url()}", "--view", "none"]
        flags += ["--rotate", str(turn)] if turn else []
        timed = ["--seconds", "0.5", "--calibration", str(tmp_path / "lab.toml")]
        assert main([*flags, "--capture", str(tmp_path / "takes"), *timed]) == DONE
    take = open_take(tmp_path / "takes")
    assert {info.size for info in take.run_info.cameras} == {(160, 120)}, "images are stored as they come"
    sources, stored = of_take(take.folder)
    assert stored is not None and stored.placed and stored.names == ("left", "right")
    for used, known in zip(stored.cameras, cameras, strict=True):
        alike(used, known)
    setup = camera_setup.load(config_of(parser().parse_args(["--from-take", str(take.folder)])).setup, sources)
    assert setup.method == "map" and "was captured with is used" in setup.calibration.remarks[0]
    if turn == 90:
        capsys.readouterr()
        flags = ["--detector", "movenet-lightning", "--runtime", "onnx", "--precision", "fp32", "--view", "none"]
        assert main(["--from-take", str(take.folder), *flags]) == DONE
        assert f"the calibration that {take.folder} was captured with is used" in capsys.readouterr().err


def test_one_camera_of_a_take_brings_its_own_and_another_file_goes_first(tmp_path: Path):
    frames = coded_frames(tmp_path, count=3) + coded_frames(tmp_path, "right", count=3)
    info = {"left": LEFT, "right": RIGHT}
    take = write_capture(tmp_path / "takes", frames, ("left", "right"), cameras=info)
    (source,) = config_of(parser().parse_args(["--camera", f"one={take.folder / 'right'}"])).sources
    alone = calibration_of_take([source])
    assert alone is not None and alone.placed and alone.names == ("one",)
    alike(alone.cameras[0], RIGHT)
    save_calibration(Calibration((camera_from_fov("left", (160, 120), 80.0), RIGHT)), tmp_path / "lab.toml")
    config = config_of(
        parser().parse_args(["--from-take", str(take.folder), "--calibration", str(tmp_path / "lab.toml")])
    )
    with pytest.raises(UserError, match="--fov is for lenses that are not known, and the take has their calibration"):
        of_take(take.folder, "--fov", "60")
    given = camera_setup.load(config.setup, config.sources).calibration
    assert given is not None and given["left"].K[0, 0] != LEFT.K[0, 0]


def test_what_is_no_take_or_not_calibrated_brings_nothing(tmp_path: Path):
    take = write_capture(tmp_path / "a", coded_frames(tmp_path, count=3))
    assert of_take(take.folder)[1] is None
    frames = coded_frames(tmp_path, count=3) + coded_frames(tmp_path, "right", count=3)
    half = write_capture(tmp_path / "b", frames, ("left", "right"), cameras={"left": LEFT})
    assert of_take(half.folder)[1] is None
    other = write_capture(tmp_path / "c", coded_frames(tmp_path, count=3), cameras={"left": LEFT})
    file = write_video(tmp_path / "walk.mkv", count=3)
    for cameras in ((f"left={file}",), (f"a={other.folder / 'left'}", f"b={half.folder / 'left'}")):
        flags = [flag for camera in cameras for flag in ("--camera", camera)]
        assert calibration_of_take(config_of(parser().parse_args(flags)).sources) is None
