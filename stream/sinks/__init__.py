"""Where estimates go: one file a sink, all of them behind the same protocol.

Which thread calls what:

- The constructor runs in the main thread, before anything is captured. It checks what a user can have got wrong
  (a folder that cannot be written, no display) and raises ``StreamError`` then.
- ``open``, every ``write`` and ``close`` run in *one* thread that belongs to this sink alone, in that order. The
  pipeline feeds it from a ``Channel`` of the sink's own ``policy``, so a slow sink never holds up the cameras or
  another sink. The window is the exception: toolkits want the main thread, so its three calls all come from there.
- ``close`` is called exactly once after ``open`` returned, also after ``write`` raised; not if ``open`` raised.

What an exception means: ``SinkStoppedError`` from ``write`` (a full disk, an unplugged stick) stops this sink and
nothing else: the pipeline calls ``close``, shows the message from then on, goes on with the other sinks and ends
with a non-zero exit code. ``QuitRequest`` asks that the whole run end well (q, a closed window). Anything else ends the
run and is raised again in the main thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from calibration.camera import Camera
from engines.skeleton import JOINTS
from stream.channel import Policy
from stream.types import Estimate, Image, StreamError

UNITS = {"length": "mm", "time": "s", "image": "px", "covariance": "mm2"}
AXES = {
    "camera": "OpenCV: x right, y down, z forward",
    "world": "the calibration's own; X_camera = R X_world + t; up as stated with each camera",
    "image": "pixel (0, 0) at the centre of the top left pixel; x right, y down",
}


class SinkStoppedError(StreamError):
    """This sink cannot go on; the rest of the run can."""


class QuitRequest(Exception):  # noqa: N818 - a wish of the user, not an error
    """The user asked, through a sink, that the run end now and well."""


@dataclass(frozen=True, slots=True)
class CameraHeader:
    """What is known of one camera when the run starts."""

    name: str
    """Name of the camera, as in ``View.camera``."""
    source: str
    """What the user gave for it, without any password."""
    kind: str
    """"device", "file", "network", "images" or "synthetic"."""
    size: tuple[int, int] | None = None
    """Width and height, pixels; None where only the first frame will tell."""
    calibration: Camera | None = None
    """The calibrated camera; None where there is no calibration and a field of view is assumed."""
    fov_degrees: float | None = None
    """Field of view along the long side that was assumed, degrees; None with a calibration."""
    device: str | None = None
    """Path of the device, where the system tells."""
    serial: str | None = None
    """Serial number of the device, where the system tells."""

    @property
    def fov_assumed(self) -> bool:
        """Whether the lens is a guess."""
        return self.calibration is None


@dataclass(frozen=True, slots=True)
class Header:
    """What every sink, and a recording for good, knows of the run."""

    cameras: tuple[CameraHeader, ...]
    """In the fixed order of ``Estimate.views``."""
    kernels: int
    """M, the number of hypotheses of the lifter."""
    start_utc: datetime
    """Time of day (UTC, aware) at which the monotonic clock showed ``start_monotonic``."""
    start_monotonic: float
    """Seconds. A live frame's time of day is ``start_utc + (Frame.t - start_monotonic)``; a file's time is its own."""
    fps: float | None = None
    """Moments a second that are expected, or None."""
    detectors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """``Detector.describe()`` by name of the detector, in the fallback order: model, sha256, runtime."""
    lifter: Mapping[str, str] = field(default_factory=dict)
    """``Lifter.describe()``: model, sha256, runtime, device."""
    runtime: str = ""
    """Name of the runtime that the lifter really runs on."""
    software: str = ""
    """Name and version of this program."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of detection, tracks, filter and fusion; plain JSON values, shown and recorded, never interpreted."""
    joints: tuple[str, ...] = JOINTS
    """(17,) names of the joints, in order."""
    units: Mapping[str, str] = field(default_factory=lambda: dict(UNITS))
    """Unit of each kind of value."""
    axes: Mapping[str, str] = field(default_factory=lambda: dict(AXES))
    """What the axes of each frame of reference are."""


class Sink(Protocol):
    """Something that takes estimates. See the module's docstring for threads and exceptions."""

    policy: Policy
    """A class attribute. "latest": takes the newest, drops are counted. "every": keeps all; for files the pipeline
    waits for it, and what of a live source does not fit its bounded channel is dropped, counted and seen here as a
    jump of ``Estimate.index``."""
    wants_images: bool
    """Whether ``write`` gets images; without, its channel holds none and may be long."""

    def open(self, header: Header) -> None:
        """Begin. Raises StreamError when it cannot."""
        ...

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Take one moment.

        Args:
            estimate: the result of the moment.
            images: camera name -> (H, W, 3) uint8 BGR, read-only and shared with other sinks: copy before drawing on
                it. None for a camera without a frame in this moment; empty when ``wants_images`` is False.

        Raises:
            SinkStoppedError: this sink cannot go on, the run can.
            QuitRequest: the user wants the run to end.
        """
        ...

    def close(self) -> str | None:
        """Finish and free everything; one line for the run's summary (what was written, and where), or None.

        Raises:
            SinkStoppedError: the end of it could not be written, and ``write`` had not said so before.
        """
        ...
