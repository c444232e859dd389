"""--control: at the boundary of the system's ioctl, by a camera that is none. No camera was at hand."""

import errno
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream.app import command_line
from stream.app.command_line import main
from stream.config import SourceConfig
from stream.packed import Packed
from stream.recordings.replay import read_frames
from stream.sources import parse_control
from stream.sources._controls import Controls
from stream.sources.camera import CameraSource
from stream.types import StreamError
from tests.captures import write_capture
from tests.faults.fault import row
from tests.mistakes import refused
from tests.reading import FAST, WEBCAM, CaptureDouble, wait_until
from tests.servers import coded, decode

EXPOSURE, EXPOSURE_AUTO, GAIN, LINE = 0x9A0902, 0x9A0901, 0x980913, 0x980918


class Ioctl:
    """A UVC camera as its driver shows it: struct v4l2_queryctrl, v4l2_querymenu and v4l2_control."""

    def __init__(self):
        # id: type, name, least, most, step, default, flags
        self.known = {
            0x980001: (6, b"User Controls", 0, 0, 0, 0, 4),
            GAIN: (1, b"Gain", 0, 255, 1, 64, 0),
            LINE: (3, b"Power Line Frequency", 0, 2, 1, 1, 0),
            EXPOSURE_AUTO: (3, b"Auto Exposure", 0, 3, 1, 3, 0),
            EXPOSURE: (1, b"Exposure Time, Absolute", 3, 2047, 1, 250, 0),
        }
        self.values = {GAIN: 64, LINE: 1, EXPOSURE_AUTO: 3, EXPOSURE: 250}
        self.menus = {LINE: {0: "Disabled", 1: "50 Hz", 2: "60 Hz"},
                      EXPOSURE_AUTO: {1: "Manual Mode", 3: "Aperture Priority Mode"}}  # fmt: skip
        self.order = []

    def __call__(self, descriptor, request, buffer):
        (number,) = struct.unpack_from("I", buffer)
        if request == 0xC0445624:  # VIDIOC_QUERYCTRL with V4L2_CTRL_FLAG_NEXT_CTRL
            later = [k for k in sorted(self.known) if k > number & 0x7FFFFFFF]
            if not later:
                raise OSError(errno.EINVAL, "Invalid argument")
            kind, name, least, most, step, default, flags = self.known[later[0]]
            struct.pack_into("II32siiiiI", buffer, 0, later[0], kind, name, least, most, step, default, flags)
        elif request == 0xC02C5625:  # VIDIOC_QUERYMENU
            index = struct.unpack_from("I", buffer, 4)[0]
            if index not in self.menus.get(number, {}):
                raise OSError(errno.EINVAL, "Invalid argument")
            struct.pack_into("32s", buffer, 8, self.menus[number][index].encode())
        elif number not in self.values:
            raise OSError(errno.EINVAL, "Invalid argument")
        elif request == 0xC008561B:  # VIDIOC_G_CTRL
            struct.pack_into("i", buffer, 4, self.values[number])
        else:
            assert request == 0xC008561C  # VIDIOC_S_CTRL
            value = struct.unpack_from("i", buffer, 4)[0]
            if number == EXPOSURE and self.values[EXPOSURE_AUTO] != 1:
                raise OSError(errno.EACCES, "Permission denied")
            self.order.append((number, value))
            self.values[number] = value // 2 * 2 if number == GAIN else value  # gain in steps that it does not tell


@pytest.fixture
def device(tmp_path: Path) -> tuple[Controls, Ioctl]:
    node = tmp_path / "video0"
    node.write_bytes(b"")
    ioctl = Ioctl()
    return Controls(str(node), ioctl), ioctl


def test_controls_are_listed_with_ranges_menus_and_values(device: tuple[Controls, Ioctl]):
    controls, _ = device
    assert [str(control) for control in controls.all()] == [
        "gain: 0 to 255, default 64, now 64",
        "power_line_frequency: 0 Disabled, 1 50 Hz, 2 60 Hz; now 1",
        "auto_exposure: 1 Manual Mode, 3 Aperture Priority Mode; now 3",
        "exposure_time_absolute (exposure): 3 to 2047, default 250, now 250",
    ]


def test_what_is_set_is_read_back_and_automatic_is_switched_off_first(device: tuple[Controls, Ioctl]):
    controls, ioctl = device
    assert controls.set([("exposure", "157"), ("power_line_frequency", "60")]) == []
    assert ioctl.order == [(EXPOSURE_AUTO, 1), (EXPOSURE, 157), (LINE, 2)]
    assert controls.set([("gain", "33")]) == ["gain: asked for 33, it gives 32"]
    assert controls.set([("exposure", "auto"), ("Power Line Frequency", "disabled")]) == []
    assert ioctl.values[EXPOSURE_AUTO] == 3 and ioctl.values[LINE] == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("zoom", "3", "has no control 'zoom'; it has gain, power_line_frequency, auto_exposure"),
        ("gain", "256", "out of its range; it is gain: 0 to 255"),
        ("gain", "much", "no value of it; it is gain: 0 to 255"),
        ("auto_exposure", "0", "out of its range; it is auto_exposure: 1 Manual Mode"),
        ("exposure_time_absolute", "2", "out of its range"),
    ],
)
@row("a control that the camera does not have or take", 2, "has no control", "the camera as it was")
def test_what_a_camera_does_not_take_is_said(device: tuple[Controls, Ioctl], name: str, value: str, words: str):
    controls, ioctl = device
    with pytest.raises(StreamError, match=words):
        controls.set([(name, value)])
    assert ioctl.order == []


def test_a_driver_that_refuses_and_a_device_that_is_gone(device: tuple[Controls, Ioctl], tmp_path: Path):
    controls, ioctl = device
    del ioctl.known[EXPOSURE_AUTO]
    with pytest.raises(StreamError, match="refuses exposure_time_absolute=157: Permission denied"):
        controls.set([("exposure", "157")])
    with pytest.raises(StreamError, match="its controls cannot be read"):
        Controls(str(tmp_path / "gone")).all()


def test_the_flag_is_of_local_cameras(capsys: pytest.CaptureFixture[str]):
    assert parse_control("left:exposure=157") == ("left", "exposure", "157")
    assert parse_control("gain=3") == (None, "gain", "3")
    for flags, words in (
        (("--camera", "a.mp4", "--control", "gain=3"), "--control is for local cameras, and a.mp4 is none"),
        (("--camera", "0", "--control", "gain"), "give NAME=VALUE or CAMERA:NAME=VALUE"),
        (("--camera", "left=0", "--control", "right:gain=3"), "there is no camera 'right'; there are left"),
    ):
        assert words in refused(capsys, main, "run_stream", *flags, "--view", "none")


def test_the_list_of_cameras_shows_them(
    device: tuple[Controls, Ioctl], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(command_line, "list_cameras", lambda: [WEBCAM])
    monkeypatch.setattr(command_line, "controls_of", lambda camera: device[0].all())
    assert main(["--list-cameras"]) == 0
    assert "Webcam" in (said := capsys.readouterr().out) and "\n    gain: 0 to 255, default 64, now 64\n" in said


class JpegDouble(CaptureDouble):
    """A camera that hands out its JPEG images when it is told not to decode them."""

    def retrieve(self):
        image = coded(self.number % 1024, self.size)
        if self.settings.get(cv2.CAP_PROP_CONVERT_RGB) == 0:
            data = cv2.imencode(".jpg", image)[1].reshape(1, -1)
            return True, np.concatenate([data, np.zeros((1, 99), np.uint8)], axis=1)
        return True, image


@pytest.mark.parametrize("double", [JpegDouble, CaptureDouble])
def test_a_local_camera_is_captured_as_it_comes(double, device: tuple[Controls, Ioctl], tmp_path: Path):
    controls, ioctl = device
    config = SourceConfig("0", "left", controls=(("exposure", "157"),), **FAST)
    camera = replace(WEBCAM, path=controls._path)
    source = CameraSource(config, lambda target: double(), lambda: [camera], lambda path: controls)
    taken = []
    source.tap(taken.append, "all")
    info = source.open()
    wait_until(lambda: len(taken) > 10)
    assert decode(source.read().image) >= 8, "and it is seen besides"
    source.close()
    assert dict(info.controls)["exposure_time_absolute"] == 157 and not info.exposure_automatic
    assert ioctl.values[EXPOSURE] == 157 and info.size == (160, 120)
    assert all(isinstance(frame.content, Packed) == (double is JpegDouble) for frame in taken)
    take = write_capture(tmp_path / "takes", taken, start=taken[0].t, codec="mjpeg")
    numbers = [decode(frame.image) for frame in read_frames(take, "left")]
    assert numbers == list(range(numbers[0], numbers[0] + len(taken)))
