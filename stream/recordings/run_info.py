"""What is known of a run when it starts; told to every sink and kept in every recording."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from calibration.geometry.camera import Camera
from calibration.geometry.upright import up_of
from engines.skeleton import JOINTS

LIVE_KINDS = ("camera", "network", "node")
"""Kinds of source whose times are those of the monotonic clock."""
NODE = "node:"
"""The source of a camera of another computer begins with it."""
UNITS = {"length": "mm", "time": "s", "image": "px", "covariance": "mm2"}
AXES = {
    "camera": "OpenCV: x right, y down, z forward",
    "world": "the calibration's own; X_camera = R X_world + t; up as stated with each camera",
    "image": "pixel (0, 0) at the centre of the top left pixel; x right, y down",
}


@dataclass(frozen=True, slots=True, eq=False)
class CameraInfo:
    """What is known of one camera when the run starts."""

    name: str
    """Name of the camera, as in ``FrameReference.camera``."""
    source: str
    """What the user gave for it, without any password."""
    kind: str
    """Kind of source: "camera", "file", "network", "images", "node" or "synthetic"."""
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


def up_in_words(cameras: Sequence[CameraInfo]) -> str:
    """How up is known in a run, in the words of console, picture, page and exports alike."""
    known = [c.calibration for c in cameras if c.calibration is not None]
    return "up by calibration" if known and up_of(known)[1] else "up assumed: the image's up"


@dataclass(frozen=True, slots=True, eq=False)
class RunInfo:
    """What every sink, and a recording for good, knows of the run."""

    cameras: tuple[CameraInfo, ...]
    """In the fixed order of ``Estimate.frames``."""
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

    @property
    def up(self) -> str:
        """How up is known: ``up_in_words`` of the cameras."""
        return up_in_words(self.cameras)

    @property
    def refined(self) -> bool:
        """Whether it is a recording that was refined afterwards."""
        return "refine" in self.settings

    @property
    def unix_offset(self) -> float:
        """What added to a time of a live take, seconds, makes it Unix time; NaN where files tell no time of day."""
        live = any(camera.kind in LIVE_KINDS for camera in self.cameras)
        return self.start_utc.timestamp() - self.start_monotonic if live else math.nan
