"""The set-up of a run: which camera is calibrated how, and how the views are fused."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.binding import Letterbox, SourceId, bind, fit_cameras, parse_letterboxes
from calibration.formats import load_calibration
from calibration.geometry.camera import Camera, camera_from_fov
from calibration.types import Calibration, with_up
from engines.fusion import METHODS
from stream.config import CameraSetupConfig, SourceConfig
from stream.live.pipeline import OpenSource
from stream.types import StreamError


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The camera of one source, for the frames that it gives."""

    camera: Camera
    """Named like the source."""
    calibrated: bool
    """Whether it comes from a calibration; otherwise its lens is assumed."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraSetup:
    """A calibration and how it is to be used; without one every lens is assumed."""

    calibration: Calibration | None
    letterboxes: dict[str | None, Letterbox | None]
    """By camera name; None is for all cameras, and the value None for the largest centred fit."""
    method: str
    """How views are fused; "none" where they cannot be."""
    named: tuple[bool, ...]
    """Whether the user gave each source its name."""

    def cameras(self, opened: Sequence[OpenSource], fov_degrees: float) -> tuple[list[Fitted], list[str]]:
        """The camera of every source, and lines for the user.

        Raises:
            CalibrationError: if a source has no calibration or its frames are of another shape.
        """
        if self.calibration is None:
            cameras = [camera_from_fov(o.info.name, o.info.size, fov_degrees) for o in opened]
            return [Fitted(camera, False) for camera in cameras], []
        ids = [
            SourceId(o.info.source, o.info.name if named else None, o.info.device, o.info.serial)
            for o, named in zip(opened, self.named, strict=True)
        ]
        binding = bind(self.calibration, ids)
        cameras, lines = fit_cameras(binding.cameras, [o.info.size for o in opened], self.letterboxes)
        fitted = [Fitted(replace(camera, name=o.info.name), True) for camera, o in zip(cameras, opened, strict=True)]
        return fitted, [*self.calibration.remarks, *binding.warnings, *lines, *self._lacks(len(opened))]

    def _lacks(self, views: int) -> list[str]:
        """What the calibration does not say, and what is not done for that reason."""
        calibration = self.calibration
        if calibration is None:
            return []
        if not calibration.placed:
            why = "the calibration holds lenses only: views are not fused; place the cameras with python -m calibration"
            return [f"{why} extrinsics"] if views > 1 else []
        if calibration.up is None:
            return [
                "the calibration does not say where up is: nothing is levelled and no floor is drawn; give --up X,Y,Z, "
                "or python -m calibration floor finds it"
            ]
        return []


def load(config: CameraSetupConfig, sources: Sequence[SourceConfig]) -> CameraSetup:
    """Read and check what the user says of the set-up, before any camera is opened.

    Raises:
        UserError: for a calibration that cannot be read, an unknown method, or a letterbox for no camera.
    """
    if config.fusion not in METHODS:
        raise StreamError(f"unknown fusion {config.fusion!r}; there are {', '.join(METHODS)}")
    named = tuple(source.named for source in sources)
    if config.calibration is None:
        for flag, given in (
            ("--fusion", config.fusion != "auto"),
            ("--letterbox", config.letterbox),
            ("--up", config.up),
        ):
            if given:
                raise StreamError(f"{flag} needs --calibration FILE; make one with python -m calibration")
        return CameraSetup(None, {}, "none", named)
    calibration = config.calibration
    if not isinstance(calibration, Calibration):
        calibration = load_calibration(calibration)
    if config.up is not None:
        calibration = with_up(calibration, np.array(config.up))
    letterboxes = parse_letterboxes(config.letterbox, calibration.names)
    if not calibration.placed and config.fusion != "auto":
        raise StreamError(
            f"--fusion {config.fusion} needs cameras with a place, but the calibration holds lenses only; "
            "place them with python -m calibration extrinsics"
        )
    method = config.fusion if calibration.placed else "none"
    return CameraSetup(calibration, letterboxes, "map" if method == "auto" else method, named)


def parse_offsets(texts: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Read every ``NAME=SECONDS`` of --sync-offset.

    Raises:
        StreamError: if it is not one, or there is no such camera.
    """
    offsets = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names:
            raise StreamError(f"--sync-offset {text}: there is no camera {name!r}; there are {', '.join(names)}")
        try:
            offsets[name] = float(value)
        except ValueError:
            offsets[name] = np.nan
        if not np.isfinite(offsets[name]):
            raise StreamError(f"--sync-offset {text}; give NAME=SECONDS, as in left=-0.012")
    return offsets
