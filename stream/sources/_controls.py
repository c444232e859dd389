"""Exposure, gain, focus and the like of a local camera: listed, set, and read back. Linux only (V4L2)."""

import os
import re
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from stream.types import StreamError

Ioctl = Callable[[int, int, bytearray], Any]

# linux/videodev2.h
_QUERYCTRL, _QUERYMENU, _G_CTRL, _S_CTRL = 0xC0445624, 0xC02C5625, 0xC008561B, 0xC008561C
_CONTROL, _QUERY, _MENU = struct.Struct("Ii"), struct.Struct("II32siiiiIII"), struct.Struct("=II32sI")
_NEXT: Final = 0x80000000
_INTEGER, _BOOLEAN, _MENU_TYPE, _INTEGER_MENU = 1, 2, 3, 9
_DISABLED, _READ_ONLY = 0x1, 0x4
_EXPOSURE_AUTO, _MANUAL, _APERTURE_PRIORITY = 0x9A0901, 1, 3


@dataclass(frozen=True, slots=True)
class _Known:
    """A control under the name that people use for it."""

    id: int
    automatic: int | None
    """The control that switches the automatic on or off."""
    off: int
    """Its value for off."""
    on: int
    """Its value for on."""


_KNOWN: Final = {
    "exposure": _Known(0x9A0902, _EXPOSURE_AUTO, _MANUAL, _APERTURE_PRIORITY),
    "gain": _Known(0x980913, 0x980912, 0, 1),
    "focus": _Known(0x9A090A, 0x9A090C, 0, 1),
    "white_balance": _Known(0x98091A, 0x98090C, 0, 1),
    "power_line_frequency": _Known(0x980918, None, 0, 0),
}


@dataclass(frozen=True, slots=True)
class CameraControl:
    """One control of a camera."""

    id: int
    """V4L2's number."""
    name: str
    """As the driver calls it, lower case with underscores."""
    kind: int
    """V4L2's type."""
    least: int
    """Smallest value."""
    most: int
    """Largest value."""
    step: int
    """Between two values."""
    default: int
    """Of the driver."""
    value: int
    """As it is now."""
    choices: tuple[tuple[int, str], ...] = ()
    """Of a menu: value and what it means."""

    def __str__(self) -> str:
        alias = next((f" ({name})" for name, known in _KNOWN.items() if known.id == self.id and name != self.name), "")
        if self.kind == _BOOLEAN:
            return f"{self.name}{alias}: 0 or 1, now {self.value}"
        if self.choices:
            said = ", ".join(f"{value} {text}" for value, text in self.choices)
            return f"{self.name}{alias}: {said}; now {self.value}"
        step = f" in steps of {self.step}" if self.step > 1 else ""
        return f"{self.name}{alias}: {self.least} to {self.most}{step}, default {self.default}, now {self.value}"


def _system_ioctl(descriptor: int, request: int, buffer: bytearray) -> Any:
    import fcntl  # not on Windows

    return fcntl.ioctl(descriptor, request, buffer)


class Controls:
    """The controls of a device.

    Args:
        path: of the device.
        ioctl: as ``fcntl.ioctl``.

    Raises:
        StreamError: if it cannot be opened.
    """

    def __init__(self, path: str, ioctl: Ioctl = _system_ioctl) -> None:
        if not sys.platform.startswith("linux"):
            raise StreamError("--control needs Linux; set exposure and the like with the program of the camera")
        self._path, self._ioctl = path, ioctl

    @contextmanager
    def _open(self) -> Iterator[int]:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise StreamError(f"camera {self._path}: its controls cannot be read: {error.strerror}") from None
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def all(self) -> list[CameraControl]:
        """Those that can be set.

        Raises:
            StreamError: if the device cannot be opened.
        """
        found, at = [], 0
        with self._open() as descriptor:
            while True:
                buffer = bytearray(_QUERY.pack(at | _NEXT, 0, b"", 0, 0, 0, 0, 0, 0, 0))
                try:
                    self._ioctl(descriptor, _QUERYCTRL, buffer)
                except OSError:  # there is none after it
                    return found
                number, kind, name, least, most, step, default, flags, _, _ = _QUERY.unpack(buffer)
                if number <= at:
                    return found
                at = number
                if kind not in (_INTEGER, _BOOLEAN, _MENU_TYPE, _INTEGER_MENU) or flags & (_DISABLED | _READ_ONLY):
                    continue
                try:
                    value = self._get(descriptor, number)
                except OSError:
                    continue
                choices = tuple(self._choices(descriptor, number, kind, least, most))
                found.append(CameraControl(number, _plain(name), kind, least, most, step, default, value, choices))

    def set(self, asked: Sequence[tuple[str, str]]) -> list[str]:
        """Set controls, one after another, and read each back; what came out different, a line each.

        Raises:
            StreamError: for a control or a value that the camera does not have, or that it refuses.
        """
        lines = []
        for name, text in asked:
            there = self.all()
            known = _KNOWN.get(_plain(name.encode()))
            control = _find(there, name, known)
            if control is None:
                names = ", ".join(c.name for c in there) or "none at all"
                raise StreamError(f"camera {self._path} has no control {name!r}; it has {names}")
            switch = next((c for c in there if known and c.id == known.automatic), None)
            if text == "auto" and known and switch is not None:
                on = known.on if not switch.choices or known.on in dict(switch.choices) else 0
                lines += self._verified(switch, on)
                continue
            value = _value(control, text)
            if known and switch is not None and switch.value != known.off:
                lines += self._verified(switch, known.off)
            lines += self._verified(control, value)
        return lines

    def _verified(self, control: CameraControl, value: int) -> list[str]:
        with self._open() as descriptor:
            try:
                self._ioctl(descriptor, _S_CTRL, bytearray(_CONTROL.pack(control.id, value)))
                now = self._get(descriptor, control.id)
            except OSError as error:
                raise StreamError(f"camera {self._path} refuses {control.name}={value}: {error.strerror}") from None
        return [] if now == value else [f"{control.name}: asked for {value}, it gives {now}"]

    def _get(self, descriptor: int, number: int) -> int:
        buffer = bytearray(_CONTROL.pack(number, 0))
        self._ioctl(descriptor, _G_CTRL, buffer)
        return _CONTROL.unpack(buffer)[1]

    def _choices(self, descriptor: int, number: int, kind: int, least: int, most: int) -> Iterator[tuple[int, str]]:
        if kind not in (_MENU_TYPE, _INTEGER_MENU):
            return
        for index in range(least, min(most, least + 100) + 1):
            buffer = bytearray(_MENU.pack(number, index, b"", 0))
            try:
                self._ioctl(descriptor, _QUERYMENU, buffer)
            except OSError:  # menus have holes
                continue
            said = _MENU.unpack(buffer)[2]
            whole = str(int.from_bytes(said[:8], "little", signed=True))
            yield index, whole if kind == _INTEGER_MENU else said.split(b"\0")[0].decode(errors="replace")


def exposure_is_automatic(controls: Sequence[CameraControl]) -> bool:
    """Whether the camera chooses its exposure, as far as it says."""
    return any(control.id == _EXPOSURE_AUTO and control.value != _MANUAL for control in controls)


def parse_control(text: str) -> tuple[str | None, str, str]:
    """Camera, control and value of ``[CAMERA:]NAME=VALUE``.

    Raises:
        StreamError: if it is none.
    """
    match = re.fullmatch(r"(?:([^:=]+):)?([^:=]+)=(.+)", text.strip())
    if match is None:
        raise StreamError(f"--control {text}: give NAME=VALUE or CAMERA:NAME=VALUE, as in exposure=157")
    return match[1], match[2].strip(), match[3].strip()


def _find(there: Sequence[CameraControl], name: str, known: _Known | None) -> CameraControl | None:
    plain = _plain(name.encode())
    return next((c for c in there if c.name == plain or (known and c.id == known.id)), None)


def _value(control: CameraControl, text: str) -> int:
    words = {"on": 1, "off": 0, "true": 1, "false": 0} if control.kind == _BOOLEAN else {}
    for value, label in control.choices:
        words |= {label.lower(): value, label.lower().removesuffix(" hz"): value}
    if control.choices and text.lower() in words:
        return words[text.lower()]
    try:
        value = words[text.lower()] if text.lower() in words else int(text)
    except ValueError:
        raise StreamError(f"--control {control.name}={text}: no value of it; it is {control}") from None
    allowed = value in dict(control.choices) if control.choices else control.least <= value <= control.most
    if not allowed:
        raise StreamError(f"--control {control.name}={text}: out of its range; it is {control}")
    return value


def _plain(name: bytes) -> str:
    text = name.split(b"\0")[0].decode(errors="replace").lower()
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_")
