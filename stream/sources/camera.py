"""Local cameras, through OpenCV."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from cv2.typing import MatLike

from calibration.arrays import Image
from stream.config import SourceConfig
from stream.packed import Coding, Packed
from stream.sources._controls import CameraControl, Controls, exposure_is_automatic
from stream.sources._devices import CameraDevice, beside, describe, list_cameras, quiet_opencv
from stream.sources._live import Capture, LiveSource
from stream.sources._packets import jpeg_coding, jpeg_size
from stream.sources._source import SourceInfo
from stream.types import StreamError

_MEASURED = 8
"""Frames that are timed at the start to know the real rate: drivers report what they were asked for."""

_LOOK_S = 2.0
"""After so long with one and the same image, and again after that, it is looked whether the device is still there."""


_BUFFERED_S = 2.0
"""A time of the driver that is further back is of another clock."""


class CaptureDevice(Protocol):
    """The part of cv2.VideoCapture that is used."""

    def isOpened(self) -> bool: ...  # noqa: D102
    def grab(self) -> bool: ...  # noqa: D102
    def retrieve(self) -> tuple[bool, MatLike]: ...  # noqa: D102
    def get(self, propId: int, /) -> float: ...  # noqa: D102
    def set(self, propId: int, value: float, /) -> bool: ...  # noqa: D102
    def release(self) -> None: ...  # noqa: D102


def claims(source: str) -> bool:
    """Whether it is an index or the path of a device."""
    return (source.isascii() and source.isdecimal()) or source.startswith("/dev/")


def make(config: SourceConfig) -> "CameraSource":
    """The source of one local camera."""
    return CameraSource(config)


def open_capture(target: int | str) -> CaptureDevice:
    """OpenCV's capture of a device path (Linux) or an index (elsewhere)."""
    # Only V4L2 for a path: OpenCV would else hand it to FFmpeg, which opens anything.
    with quiet_opencv():
        return cv2.VideoCapture(target, cv2.CAP_V4L2) if isinstance(target, str) else cv2.VideoCapture(target)


class CameraSource(LiveSource):
    """A local camera.

    Args:
        config: with an index or a device path.
        opener: makes a capture of a path or index.
        cameras: lists the cameras of this machine.
        controls: opens the controls of a device.
    """

    kind = "camera"

    def __init__(
        self,
        config: SourceConfig,
        opener: Callable[[int | str], CaptureDevice] = open_capture,
        cameras: Callable[[], Sequence[CameraDevice]] = list_cameras,
        controls: Callable[[str], Controls] = Controls,
    ) -> None:
        super().__init__(config)
        self._opener = opener
        self._cameras = cameras
        self._controls = controls
        self._device: CameraDevice | None = None
        """Kept over reconnects: a camera plugged in again may get another index, but keeps its stable path."""

    def _connect(self) -> "_CameraConnection":
        cameras = self._cameras()
        device = self._find(cameras)
        if device is None:
            raise StreamError(f"there is no camera {self.config.shown}; {describe(cameras)}")
        target = str(Path(device.stable).resolve()) if sys.platform.startswith("linux") else device.index
        # Set anew at each connection: a camera forgets them when it is unplugged.
        remarks, controls = self._set_controls(device)
        connection = _CameraConnection(
            self.config, device, self._opener(target), lambda: any(c.stable == device.stable for c in self._cameras()),
            cameras=cameras, packed=self._tap is not None, controls=controls, remarks=remarks,
        )  # fmt: skip
        self._device = device
        return connection

    def _set_controls(self, device: CameraDevice) -> tuple[list[str], list[CameraControl]]:
        """Set what is asked for, and read what there is; what came out different, and all controls.

        Raises:
            StreamError: if one cannot be set.
        """
        if not self.config.controls and self._tap is None:
            return [], []
        try:
            controls = self._controls(device.path)
            remarks = controls.set(self.config.controls)
            return [f"camera {self.config.shown}: {line}" for line in remarks], controls.all()
        except StreamError:
            if self.config.controls:
                raise
            return [], []  # nothing was asked for: what they are is not known

    def _find(self, cameras: Sequence[CameraDevice]) -> CameraDevice | None:
        if self._device is not None:
            return next((camera for camera in cameras if camera.stable == self._device.stable), None)
        source = self.config.source
        if source.isdecimal():
            return next((camera for camera in cameras if camera.index == int(source)), None)
        path = Path(source).resolve()
        return next((camera for camera in cameras if Path(camera.path).resolve() == path), None)


class _CameraConnection:
    def __init__(
        self, config: SourceConfig, device: CameraDevice, capture: CaptureDevice, there: Callable[[], bool],
        *, cameras: Sequence[CameraDevice], packed: bool, controls: Sequence[CameraControl], remarks: Sequence[str],
    ) -> None:  # fmt: skip
        self._capture = capture
        self._there = there
        self._shown = shown = config.shown
        self._last: Image | None = None
        self._coding: Coding | None = None
        """Of a camera that gives JPEG images, where they are wanted as they are."""
        try:
            if not capture.isOpened():
                raise StreamError(
                    f"camera {shown} does not open: in use by another program, or no permission (group video)? "
                    f"It is {device}"
                )
            _configure(capture, config, packed)
            times = [time.monotonic() for _ in range(_MEASURED) if capture.grab()]
            ok, image = capture.retrieve() if times else (False, None)
            if not ok or image is None:
                raise StreamError(f"camera {shown} opens but gives no image{_no_image(device, cameras)}")
            # Without the first: it waits for the camera to start.
            fps = (len(times) - 2) / (times[-1] - times[1]) if len(times) > 2 and times[-1] > times[1] else None
            if packed and (image := self._first_coded(image)) is None:
                raise StreamError(f"camera {shown} gives images that are not understood; give it another --size")
            size = self._coding.size if self._coding else (image.shape[1], image.shape[0])
            self.info = SourceInfo(
                name=config.name,
                kind=CameraSource.kind,
                source=shown,
                size=size,
                fps=fps,
                frames=None,
                live=True,
                clock="monotonic",
                device=device.stable,
                serial=device.serial,
                controls=tuple((control.name, control.value) for control in controls),
                exposure_automatic=exposure_is_automatic(controls),
                messages=(
                    *_no_colour(device, cameras),
                    *remarks,
                    *_differences(config, size, fps, capture.get(cv2.CAP_PROP_FPS)),
                ),
            )
        except BaseException:
            capture.release()
            raise

    def captures(self) -> Iterator[Capture]:
        """See ``Connection.captures``. An image that repeats the last one bit by bit is not new: sensors have noise,
        and drivers go on giving the last image of a camera that is gone.
        """
        looked = time.monotonic()
        while True:
            grabbed = self._capture.grab()
            t = time.monotonic()
            if not grabbed:
                raise StreamError(f"camera {self._shown} gives no more images; unplugged? Opening it again")
            ok, image = self._capture.retrieve()
            if not ok or image is None:
                yield Capture(t, None, "corrupt")
            elif self._last is not None and np.array_equal(image, self._last):
                yield Capture(t, None, "same")
                if t - looked > _LOOK_S:
                    looked = t
                    self._check_there()
            else:
                looked = t
                self._last = image = np.ascontiguousarray(image, np.uint8)
                device_t = self._device_time(t)
                if self._coding is None:
                    yield Capture(t, image, device_t=device_t)
                    continue
                packed = self._packed(image)
                taken = t if device_t is None else device_t
                lost = "corrupt" if packed is None else ""
                yield Capture(taken, None, lost, packed, t, device_t)

    def _first_coded(self, image: MatLike) -> MatLike | None:
        """Find out whether the device hands out JPEG images; else have it hand out BGR again."""
        data = _jpeg(image)
        self._coding = None if data is None else jpeg_coding(data)
        if self._coding is not None:
            return image
        self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 1)
        ok, image = self._capture.retrieve() if self._capture.grab() else (False, image)
        return image if ok and image is not None and image.ndim == 3 and image.shape[2] == 3 else None

    def _packed(self, image: MatLike) -> Packed | None:
        """The JPEG image of a device that gives them, None where it is damaged."""
        data = _jpeg(image)
        size = None if data is None else jpeg_size(data)
        if data is None or size is None or self._coding is None:
            return None
        if size != self._coding.size:
            self._coding = jpeg_coding(data) or self._coding
        return Packed(data, True, self._coding)

    def _device_time(self, t: float) -> float | None:
        """When the driver says that it took the image (V4L2: on the monotonic clock), None where it does not."""
        said = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return said if 0 < said <= t and t - said < _BUFFERED_S else None

    def _check_there(self) -> None:
        """Raise if the system has no such device any more; only Linux can be asked without opening it."""
        if sys.platform.startswith("linux") and not self._there():
            raise StreamError(f"camera {self._shown} is gone; was it unplugged? Opening it again")

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


def _jpeg(image: MatLike) -> bytes | None:
    """The JPEG image in a buffer of a driver, which may be longer; None where it holds none."""
    if image.ndim == 3 and image.shape[2] != 1:
        return None
    data = np.ascontiguousarray(image, np.uint8).tobytes()
    end = data.rfind(b"\xff\xd9")
    return data[: end + 2] if data.startswith(b"\xff\xd8") and end > 0 else None


def _no_image(device: CameraDevice, cameras: Sequence[CameraDevice]) -> str:
    """Why a camera that opens gives nothing, as far as one can tell, and what helps."""
    others = beside(device, cameras)
    if not others:
        return (
            "; if others of the same USB bus are in use, their bandwidth is used up (errno 28): another port, or less "
            "of all of them (--size 640x480, which is asked for as MJPEG, --fps 15). If it is alone, plug it in again"
        )
    names = ", ".join(f"{other.index}: {other.name}" for other in others)
    return (
        f": the bandwidth of its USB bus ({device.bus}) may be used up by {names}; plug it into a port of another "
        "controller, or ask all of them for less (--size 640x480, which is asked for as MJPEG, --fps 15)"
    )


def _no_colour(device: CameraDevice, cameras: Sequence[CameraDevice]) -> Iterator[str]:
    """A line for a node that shows no colour picture, with the one that does."""
    if device.picture:
        same = [c for c in cameras if c.unit and c.unit == device.unit and not c.picture]
        instead = f"; its colour picture is --camera {same[0].index}" if same else ""
        yield f"camera {device.index} is {device.picture}, no colour picture{instead}"


def _configure(capture: CaptureDevice, config: SourceConfig, packed: bool) -> None:
    if config.size is not None or packed:
        # First: over USB 2, uncompressed images above 640x480 come at 10 a second or fewer.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    if packed:
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    if config.size is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.size[1])
    if config.fps is not None:
        capture.set(cv2.CAP_PROP_FPS, config.fps)


def _differences(config: SourceConfig, size: tuple[int, int], fps: float | None, reported: float) -> Iterator[str]:
    """What was asked for and not given, both values in the message."""
    if config.size is not None and size != config.size:
        asked = f"asked for {config.size[0]}x{config.size[1]}"
        yield f"camera {config.shown}: {asked}, it gives {size[0]}x{size[1]}"
    if config.fps is not None and fps is not None and abs(fps - config.fps) > 0.1 * config.fps:
        says = f" (and says {reported:g})" if reported > 0 else ""
        yield f"camera {config.shown}: asked for {config.fps:g} fps, it gives {fps:.1f}{says}; more light may help"
