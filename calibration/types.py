"""A calibration: the cameras of one set-up, what they are attached to, and how it was made."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from calibration.text import shown

MOST_CAMERAS: Final = 1000
LONGEST_NAME: Final = 100
"""Characters."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Cameras in one world frame (mm), or only their intrinsics.

    Raises:
        CalibrationError: without cameras, with a name twice, or when the per-camera fields differ in length.
    """

    cameras: tuple[Camera, ...]
    """In the order of the file; every name occurs once."""
    placed: bool = True
    """Whether R and t are known. False: intrinsics only, and every R is 1, every t 0."""
    devices: tuple[str | None, ...] = ()
    """One a camera: the device path or URL it was calibrated on, None when unknown; () for none known."""
    serials: tuple[str | None, ...] = ()
    """One a camera: serial number, None when unknown; () for none known."""
    made: Mapping[str, str | int | float] = field(default_factory=dict)
    """How it was made: free text and numbers, kept in the native file."""
    remarks: tuple[str, ...] = ()
    """Lines for the user: what the file leaves open, and how it was read."""
    lenses: tuple[Camera, ...] = ()
    """Of a placed calibration, the cameras that have no place: R is 1, t is 0. Their names are no other camera's."""

    def __post_init__(self) -> None:
        """Check names and lengths."""
        if not self.cameras:
            raise CalibrationError("a calibration without cameras")
        if len(self.cameras) > MOST_CAMERAS:
            raise CalibrationError(f"a calibration of {len(self.cameras):,} cameras; at most {MOST_CAMERAS:,} are read")
        if self.lenses and not self.placed:
            raise CalibrationError("lenses beside cameras that are not placed either")
        names = [camera.name for camera in (*self.cameras, *self.lenses)]
        for name in names:
            if not name.isprintable() or len(name) > LONGEST_NAME:
                raise CalibrationError(
                    f"camera name {shown(name)} of {len(name):,} characters; give one of up to {LONGEST_NAME}, "
                    "all of them printable"
                )
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CalibrationError(
                f"camera {twice[0]!r} occurs more than once in the calibration; give each its own name"
            )
        ups = {None if camera.up is None else tuple(camera.up) for camera in self.cameras}
        if len(ups) > 1:
            raise CalibrationError("the cameras of a calibration must agree on up: they share one world")
        for key in ("devices", "serials"):
            value = tuple(getattr(self, key)) or (None,) * len(self.cameras)
            if len(value) != len(self.cameras):
                raise CalibrationError(f"{len(value)} {key} for {len(self.cameras)} cameras")
            object.__setattr__(self, key, value)
        object.__setattr__(self, "made", MappingProxyType(dict(self.made)))

    @property
    def names(self) -> tuple[str, ...]:
        """The cameras' names, in order."""
        return tuple(camera.name for camera in self.cameras)

    @property
    def up(self) -> Array | None:
        """(3,) unit vector against gravity in the world, or None where it is not known (it is one for all cameras)."""
        return self.cameras[0].up

    def __getitem__(self, name: str) -> Camera:
        """The camera of that name.

        Raises:
            CalibrationError: naming those there are.
        """
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise CalibrationError(f"no camera {name!r} in the calibration; it has {', '.join(self.names)}")


def as_lenses(calibration: Calibration) -> Calibration:
    """The same cameras, and those that had no place, all without one: to place them anew."""
    cameras = (*calibration.cameras, *calibration.lenses)
    none = (None,) * len(calibration.lenses)
    return replace(
        calibration, cameras=tuple(replace(c, R=np.eye(3), t=np.zeros(3), up=None) for c in cameras), placed=False,
        devices=(*calibration.devices, *none), serials=(*calibration.serials, *none), lenses=(),
    )  # fmt: skip


def with_up(calibration: Calibration, up: Array | None) -> Calibration:
    """The same calibration with gravity stated.

    Args:
        calibration: any.
        up: (3,) direction against gravity in world axes, of any length, or None for unknown.

    Raises:
        CalibrationError: if up is zero or not finite.
    """
    if up is not None:
        up = np.asarray(up, np.float64).reshape(-1)
        if up.shape != (3,) or not np.isfinite(up).all() or np.abs(up).max() < 1e-9:
            raise CalibrationError(f"up is {up}; give a direction of three numbers such as 0,0,1")
        direction = up / np.abs(up).max()  # or the square of 1e200 is none
        up = direction / np.linalg.norm(direction)
    return replace(calibration, cameras=tuple(replace(camera, up=up) for camera in calibration.cameras))
