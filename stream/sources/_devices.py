"""Which local cameras there are, and what tells two alike apart."""

import contextlib
import os
import re
import struct
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from stream.sources._picture_kind import formats_of, kind_of_picture

_QUERYCAP = 0x80685600  # VIDIOC_QUERYCAP; struct v4l2_capability below
_CAPABILITY = struct.Struct("16s32s32sII I3I")
_VIDEO_CAPTURE = 0x1 | 0x1000  # single- and multi-planar
_PROBED = 6
"""Indices tried where the system has no list of its cameras; each takes up to a second."""
_opencv_log = threading.Lock()


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """One local camera."""

    index: int
    """What ``--camera`` takes; not the same after a reboot."""
    path: str
    """The device as it is called now."""
    stable: str
    """A path that stays the same: by serial where there is one of its own, else by the socket it is plugged into."""
    serial: str | None
    """USB serial number. Cheap cameras often share one."""
    name: str
    """What the camera calls itself."""
    bus: str = ""
    """The USB bus it shares with others, such as "usb1"; empty where that is not known."""
    unit: str = ""
    """The USB device that it is a part of; empty where that is not known."""
    picture: str = ""
    """What it shows instead of a colour picture, as ``kind_of_picture`` has it; empty for one in colour."""

    def __str__(self) -> str:
        serial = f", serial {self.serial}" if self.serial else ""
        kind = f", {self.picture}: no colour picture" if self.picture else ""
        return f"{self.index}: {self.name} ({self.stable}{serial}{kind})"


def list_cameras(root: Path = Path("/")) -> list[CameraDevice]:
    """The cameras of this machine, by index. Nothing is opened on Linux; elsewhere the first indices are tried.

    Args:
        root: where ``dev`` and ``sys`` are.
    """
    if sys.platform.startswith("linux"):
        return _linux_cameras(root)
    return _probed_cameras()


def describe(cameras: Sequence[CameraDevice]) -> str:
    """The cameras there are, for the end of an error message."""
    return "there are: " + "; ".join(map(str, cameras)) if cameras else "there is no camera on this machine"


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """OpenCV writes warnings of its own to stderr when a camera does not open; the error says it better."""
    log = cv2.utils.logging
    with _opencv_log:
        level = log.getLogLevel()
        log.setLogLevel(log.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            log.setLogLevel(level)


def _linux_cameras(root: Path) -> list[CameraDevice]:
    by_id, by_path = (_links(root / "dev/v4l" / kind) for kind in ("by-id", "by-path"))
    entries = {}
    for entry in (root / "sys/class/video4linux").glob("video*"):
        node = root / "dev" / entry.name
        if entry.name[5:].isdecimal() and node.exists() and _captures(node, entry):
            entries[int(entry.name[5:])] = (entry, node, _text(entry.resolve() / "device/../serial"))
    serials = Counter(serial for _, _, serial in entries.values())
    found = []
    for index, (entry, node, serial) in sorted(entries.items()):
        # Two alike with one serial fight over one by-id link, and which of them wins changes from boot to boot.
        own = by_id.get(node.resolve()) if serial and serials[serial] == 1 else None
        stable = own or by_path.get(node.resolve()) or str(node)
        name, place = _text(entry / "name") or "camera", (entry / "device").resolve()
        bus = next((part for part in place.parts if re.fullmatch(r"usb\d+", part)), "")
        picture = kind_of_picture(formats_of(node), name)
        found.append(
            CameraDevice(index, str(node), stable, serial, name, bus, str(place.parent) if bus else "", picture)
        )
    return found


def beside(device: CameraDevice, cameras: Sequence[CameraDevice]) -> list[CameraDevice]:
    """The other cameras that share its USB bus, and so its bandwidth."""
    return [other for other in cameras if device.bus and other.bus == device.bus and other.unit != device.unit]


def _links(folder: Path) -> dict[Path, str]:
    return {link.resolve(): str(link) for link in sorted(folder.iterdir())} if folder.is_dir() else {}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None


def _captures(node: Path, entry: Path) -> bool:
    """Whether it gives images: a USB camera has a second node that gives metadata only."""
    import fcntl  # not on Windows

    buffer = bytearray(_CAPABILITY.size)
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK)
        try:
            fcntl.ioctl(descriptor, _QUERYCAP, buffer)
        finally:
            os.close(descriptor)
    except OSError:  # not ours to open: the first node of a device is the one with the images
        return (_text(entry / "index") or "0") == "0"
    return bool(_CAPABILITY.unpack(buffer)[5] & _VIDEO_CAPTURE)


def _probed_cameras() -> list[CameraDevice]:
    found = []
    for index in range(_PROBED):
        with quiet_opencv():
            capture = cv2.VideoCapture(index)
        if capture.isOpened():
            found.append(CameraDevice(index, str(index), str(index), None, f"camera {index}"))
        capture.release()
    return found
