"""Cameras of this machine, by a stand-in that can be unplugged, hang and repeat itself."""

import os
import re
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from stream.config import SourceConfig
from stream.sources import list_cameras, make_source
from stream.sources._devices import CameraDevice, beside
from stream.sources._picture_kind import kind_of_picture
from stream.sources.camera import CameraSource
from stream.types import StreamError
from tests.reading import (
    FAST,
    WEBCAM,
    CaptureDouble,
    ReadingThread,
    camera_source,
    following,
    opened,
    wait_until,
)


def test_no_such_camera_lists_those_that_exist():
    with pytest.raises(StreamError, match=r"no camera 5; there are: 0: Webcam \(/dev/video0, serial A1\)"):
        camera_source([], SourceConfig("5", "cam")).open()
    with pytest.raises(StreamError, match="no camera /dev/video7; there is no camera on this machine"):
        camera_source([], SourceConfig("/dev/video7", "cam"), list).open()


def test_this_machine_s_opencv_fails_in_one_line(capfd):
    source = CameraSource(
        SourceConfig("63", "cam"), cameras=lambda: [CameraDevice(63, "/dev/video63", "/dev/video63", None, "ghost")]
    )
    with pytest.raises(StreamError, match="camera 63 does not open.*ghost"):
        source.open()
    with pytest.raises(StreamError, match="no camera 62"):
        make_source(SourceConfig("62", "cam")).open()
    assert capfd.readouterr() == ("", ""), "OpenCV's own warnings"


def test_camera_settings_are_verified_and_both_values_said():
    capture = CaptureDouble(size=(64, 48))
    source = camera_source([capture], SourceConfig("0", "cam", size=(1280, 720), fps=300.0, **FAST))
    info = source.open()
    source.close()
    assert capture.settings[cv2.CAP_PROP_FRAME_WIDTH] == 1280 and capture.settings[cv2.CAP_PROP_FPS] == 300
    assert (info.size, info.device, info.serial) == ((64, 48), "/dev/video0", "A1")
    assert "asked for 1280x720, it gives 64x48" in info.messages[0]
    assert re.search(r"asked for 300 fps, it gives \d+\.\d \(and says 300\)", info.messages[1])
    assert info.fps is not None and 10 < info.fps < 110, "measured"


def test_a_camera_that_opens_but_gives_nothing():
    capture = CaptureDouble()
    capture.plugged.clear()
    with pytest.raises(StreamError, match="gives no image"):
        camera_source([capture]).open()
    assert capture.released


ON_A_BUS = [
    CameraDevice(k, f"/dev/video{k}", f"/dev/video{k}", None, f"Cam {k}", bus=bus, unit=f"/sys/{k}")
    for k, bus in enumerate(("usb1", "usb1", "usb1", "usb2"))
]


@pytest.mark.parametrize(
    ("cameras", "says"),
    [
        (ON_A_BUS, "the bandwidth of its USB bus (usb1) may be used up by 1: Cam 1, 2: Cam 2; plug it into a port of"),
        ([WEBCAM], "another port, or less of all of them (--size 640x480, which is asked for as MJPEG, --fps 15)"),
    ],
)
def test_a_camera_that_has_no_bandwidth_names_it_and_what_helps(cameras, says):
    capture = CaptureDouble()
    capture.plugged.clear()
    with pytest.raises(StreamError) as caught:
        camera_source([capture], cameras=lambda: cameras).open()
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("formats", "name", "kind"),
    [
        (["YUYV", "MJPG"], "HD Webcam", ""),
        (["Z16 "], "Intel(R) RealSense(TM) Depth Camera 435", "depth"),
        (["GREY", "Y8I ", "Y12I"], "Intel(R) RealSense(TM) Depth Camera 435", "infrared or monochrome"),
        (["YUYV", "BYR2"], "Intel(R) RealSense(TM) Depth Camera 435", ""),
        (["GREY"], "Integrated IR Camera", "infrared"),
        (["GREY", "Y16 "], "OV9281 global shutter", "infrared or monochrome"),
        ([], "Integrated IR Camera", "infrared"),
        ([], "Firewire", ""),
    ],
)
def test_what_a_node_shows(formats, name, kind):
    assert kind_of_picture(formats, name) == kind


def test_a_node_without_colour_is_marked_and_names_the_one_with_it():
    depth = replace(WEBCAM, picture="depth", unit="/sys/a")
    colour = replace(WEBCAM, index=2, path="/dev/video2", stable="/dev/video2", unit="/sys/a")
    assert str(depth).endswith("depth: no colour picture)") and "no colour" not in str(colour)
    source = camera_source([CaptureDouble()], cameras=lambda: [depth, colour])
    info = source.open()
    source.close()
    assert info.messages == ("camera 0 is depth, no colour picture; its colour picture is --camera 2",)


def test_a_camera_that_is_unplugged_comes_back_under_another_index():
    first, second = CaptureDouble(), CaptureDouble()
    present = [replace(WEBCAM, stable="/dev/by-id/webcam")]
    source = camera_source([first, second], cameras=lambda: list(present))
    with opened(source):
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        present.clear()
        first.plugged.clear()
        wait_until(lambda: "no camera" in source.status().note)
        wait_until(lambda: source.status().stalled)
        count = len(reading.frames)
        present.append(replace(WEBCAM, index=4, path="/dev/video4", stable="/dev/by-id/webcam"))
        wait_until(lambda: len(reading.frames) > count + 3)
        status = source.status()
        assert status.reconnects == 1 and not status.stalled and status.note == ""
        assert first.released
    reading.thread.join(20)
    assert second.released
    assert (np.diff([index for index, *_ in reading.frames]) > 0).all()


def test_a_camera_that_hangs_in_its_driver_is_seen_from_outside_and_can_be_closed():
    capture = CaptureDouble()
    source = camera_source([capture])
    source.open()
    reading = ReadingThread(source)
    wait_until(lambda: len(reading.frames) > 3)
    capture.hung.set()
    wait_until(lambda: source.status().stalled)
    assert "no new frame" in source.status().note
    source.close()
    reading.thread.join(20)
    assert not reading.thread.is_alive()
    capture.hung.clear()
    wait_until(lambda: capture.released)


def test_a_picture_that_does_not_change_is_said_and_used_again_when_it_moves():
    """A privacy shutter, a paused virtual camera, a test card."""
    capture = CaptureDouble()
    source = camera_source([capture])
    with opened(source):
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        capture.repeats = True
        wait_until(lambda: "the same to the last bit" in source.status().note)
        assert source.status().stalled, "what does not move is matched with nothing"
        count = len(reading.frames)
        time.sleep(1.5)  # longer than it takes to open a dead camera again
        status = source.status()
        assert (status.reconnects, len(reading.frames)) == (0, count) and not capture.released
        assert "privacy shutter" in status.note and "unplug" not in status.note
        capture.repeats = False
        wait_until(lambda: len(reading.frames) > count + 3)
        assert source.status().note == "" and source.status().reconnects == 0
        numbers = [number for _, _, number, *_ in reading.frames]
        assert all(a != b for a, b in zip(numbers, numbers[1:], strict=False)), "no image twice"
    reading.thread.join(20)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a device cannot be looked for unopened")
def test_a_camera_that_is_gone_and_repeats_its_last_image_is_opened_again(monkeypatch):
    monkeypatch.setattr("stream.sources.camera._LOOK_S", 0.3)
    first, second, there = CaptureDouble(), CaptureDouble(), [WEBCAM]
    source = camera_source([first, second], cameras=lambda: list(there))
    with opened(source):
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        first.repeats = True
        there.clear()
        wait_until(lambda: first.released)
        there.append(WEBCAM)
        wait_until(lambda: source.status().reconnects == 1)
    reading.thread.join(20)


def test_a_live_source_gives_a_slow_reader_the_newest_and_nothing_stale():
    capture = CaptureDouble()
    source = camera_source([capture])
    with opened(source):
        source.read()
        begun = time.monotonic()
        time.sleep(0.3)
        frame = following(source)
        assert frame.t > begun + 0.15, "not one that waited"
        assert source.status().dropped > 5
        capture.hung.set()
        time.sleep(1.0)  # what waits is now older than stall_s
        reading = ReadingThread(source)
        time.sleep(0.1)
        assert not reading.frames, "a dead camera must not look alive"
        capture.hung.clear()
        wait_until(lambda: reading.frames)
    reading.thread.join(20)


def test_a_camera_that_comes_back_with_another_size_is_not_handed_out():
    first, second, third = CaptureDouble(), CaptureDouble((320, 240)), CaptureDouble()
    source = camera_source([first, second, third])
    with opened(source):
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        first.plugged.clear()
        wait_until(lambda: source.status().reconnects == 2)
        count = len(reading.frames)
        wait_until(lambda: len(reading.frames) > count)
    reading.thread.join(20)
    assert {shape for *_, shape, _ in reading.frames} == {(120, 160, 3)}


def add_camera(root, number, port, serial, link=True, index=0):
    """A camera as Linux shows it: a node, its place in sysfs and udev's links."""
    usb = root / f"sys/devices/usb1/{port}"
    entry = usb / f"{port}:1.0/video4linux/video{number}"
    entry.mkdir(parents=True)
    (entry / "name").write_text(f"Cam {port}\n")
    (entry / "index").write_text(f"{index}\n")
    (entry / "device").symlink_to(usb / f"{port}:1.0")
    if serial:
        (usb / "serial").write_text(f"{serial}\n")
    (root / "dev").mkdir(exist_ok=True)
    (root / f"dev/video{number}").touch()
    (root / "sys/class/video4linux").mkdir(parents=True, exist_ok=True)
    (root / f"sys/class/video4linux/video{number}").symlink_to(entry)
    for kind, name in (("by-id", f"usb-{serial}"), ("by-path", f"pci-{port}")):
        (root / "dev/v4l" / kind).mkdir(parents=True, exist_ok=True)
        path = root / "dev/v4l" / kind / f"{name}-index{index}"
        if (kind == "by-path" or serial) and link and not path.is_symlink():
            path.symlink_to(root / f"dev/video{number}")


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="only Linux has this tree")
def test_cameras_of_linux(tmp_path):
    assert list_cameras(tmp_path) == []
    add_camera(tmp_path, 10, "1-4", None)
    add_camera(tmp_path, 0, "1-1", "A1")
    add_camera(tmp_path, 1, "1-5", "A1-meta", index=1)  # the node of the metadata
    add_camera(tmp_path, 2, "1-2", "SN1")
    add_camera(tmp_path, 4, "1-3", "SN1")
    found = list_cameras(tmp_path)
    assert [camera.index for camera in found] == [0, 2, 4, 10]
    stable = [camera.stable.removeprefix(str(tmp_path)) for camera in found]
    assert stable[0] == "/dev/v4l/by-id/usb-A1-index0"
    assert stable[1:] == [f"/dev/v4l/by-path/pci-1-{port}-index0" for port in (2, 3, 4)], (
        "a shared serial tells nothing"
    )
    assert [camera.serial for camera in found] == ["A1", "SN1", "SN1", None]
    assert found[0].name == "Cam 1-1"
    assert {camera.bus for camera in found} == {"usb1"} and beside(found[0], found) == found[1:]
