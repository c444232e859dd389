"""The set-up of a run: which camera is calibrated how, and how the views are fused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from calibration.binding import Binding, SourceId, bind, without_place
from calibration.errors import CalibrationError
from calibration.fitting import Letterbox, exchanged, fit_cameras, parse_letterboxes
from calibration.formats import load_calibration
from calibration.geometry.camera import Camera, camera_from_fov
from calibration.geometry.turning import turn_camera, upright_turn
from calibration.names import names_of_source
from calibration.types import Calibration, with_up
from engines.fusion import METHODS
from stream.config import CameraSetupConfig, SourceConfig
from stream.live.pipeline import OpenSource
from stream.recordings.run_info import up_in_words
from stream.sources import SourceInfo, kind_of
from stream.sources.take import calibration_of_take
from stream.types import StreamError

_FILES: Final = ("file", "images", "chapters", "take", "detections")
"""Kinds of sources that are files and folders, whose names mean something."""


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
    rotate: tuple[int | None, ...]
    """By how many degrees the user has the images of each source turned; None where that is not said."""
    bind: str = "auto"
    """How sources without a name find their camera (``calibration.binding.BINDINGS``)."""

    def sized(self, sources: Sequence[SourceConfig]) -> tuple[SourceConfig, ...]:
        """The sources; those of 2D joints, which have no images, with the size that the calibration says."""
        kinds = [kind_of(source.source) for source in sources]
        if self.calibration is None or "detections" not in kinds:
            return tuple(sources)
        ids = [
            SourceId(s.shown, s.name if s.named else None, files=names_of_source(s.source) if kind in _FILES else ())
            for s, kind in zip(sources, kinds, strict=True)
        ]
        try:
            bound = bind(self.calibration, ids, self.bind).cameras
        except CalibrationError:
            if set(kinds) == {"detections"}:
                raise
            return tuple(sources)  # others are found by what is only known once they are open
        return tuple(
            replace(source, size=source.size or _unturned(camera.size, source.rotate))
            if kind == "detections"
            else source
            for source, kind, camera in zip(sources, kinds, bound, strict=True)
        )

    def placed_only(self, opened: Sequence[OpenSource]) -> tuple[list[int], list[str]]:
        """Which sources to use, and lines on those that are left out, as their camera has a lens but no place.

        All, where none would be left: ``cameras`` then says what is wrong.
        """
        everybody = list(range(len(opened)))
        if self.calibration is None or not self.calibration.lenses:
            return everybody, []
        ids = [source_id(o.info, named) for o, named in zip(opened, self.named, strict=True)]
        out = without_place(self.calibration, ids, self.bind)
        if len(out) == len(opened):
            return everybody, []
        return [i for i in everybody if i not in out], [
            f"warning: {opened[i].info.name} ({ids[i].source}) is left out: its camera has a lens in the calibration, "
            "but no place; place it with python -m calibration extrinsics --intrinsics and that file"
            for i in out
        ]

    def of(self, kept: Sequence[int]) -> "CameraSetup":
        """The same of some of the sources."""
        return replace(self, named=tuple(self.named[i] for i in kept), rotate=tuple(self.rotate[i] for i in kept))

    def turns(self, opened: Sequence[OpenSource]) -> dict[str, int]:
        """Degrees clockwise by which to turn images of cameras that hang on their side by the calibration's gravity.

        Not of those of which the user says it with --rotate, nor where the images have the shape of the turned
        calibration already, as a telephone's do.
        """
        if self.calibration is None:
            return {}
        turns = {}
        for camera, o, asked in zip(self._bound(opened).cameras, opened, self.rotate, strict=True):
            degrees = upright_turn(camera)
            if o.info.people_known:
                continue  # their joints are where they were found
            if asked is None and degrees and not exchanged(camera, o.info.size):
                turns[o.info.name] = degrees
        return turns

    def _bound(self, opened: Sequence[OpenSource]) -> Binding:
        if self.calibration is None:
            raise RuntimeError("nothing to bind to")
        ids = [source_id(o.info, named) for o, named in zip(opened, self.named, strict=True)]
        return bind(self.calibration, ids, self.bind)

    def cameras(
        self, opened: Sequence[OpenSource], fov_degrees: float, turns: Mapping[str, int] | None = None
    ) -> tuple[list[Fitted], list[str]]:
        """The camera of every source, and lines for the user.

        Args:
            opened: the sources; their images are turned already.
            fov_degrees: field of view along the long side where there is no calibration.
            turns: by which degrees they were turned for the sake of the calibration, which is turned along.

        Raises:
            CalibrationError: if a source has no calibration or its frames are of another shape.
        """
        if self.calibration is None:
            cameras = [camera_from_fov(o.info.name, o.info.size, fov_degrees) for o in opened]
            return [Fitted(camera, False) for camera in cameras], unfused(len(opened))
        binding = self._bound(opened)
        upright, said = [], []
        for camera, o, asked in zip(binding.cameras, opened, self.rotate, strict=True):
            turned, line = _upright(camera, o.info, (turns or {}).get(o.info.name, 0), asked)
            upright.append(turned)
            said += line
        sources = [o.info.name for o in opened]
        # A name that was made up may be another camera's in the calibration.
        names = [s if given else c.name for s, given, c in zip(sources, self.named, upright, strict=True)]
        cameras, lines = fit_cameras(upright, [o.info.size for o in opened], self.letterboxes, names, sources)
        fitted = [Fitted(replace(camera, name=o.info.name), True) for camera, o in zip(cameras, opened, strict=True)]
        bound = (*binding.warnings, *binding.notes)
        return fitted, [*self.calibration.remarks, *bound, *said, *lines, *self._lacks(len(opened))]

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
                f"{up_in_words([])}, as the calibration does not say it; give --up X,Y,Z, or python -m calibration "
                "floor finds it"
            ]
        return []


def _unturned(size: tuple[int, int], degrees: int | None) -> tuple[int, int]:
    """The size of pictures that --rotate turns to what they were calibrated as."""
    return (size[1], size[0]) if degrees in (90, 270) else size


def _upright(camera: Camera, info: SourceInfo, done: int, asked: int | None) -> tuple[Camera, list[str]]:
    """The camera of upright images, and what was done about it.

    Args:
        camera: as calibrated.
        info: of the images.
        done: degrees by which they were turned for the sake of the calibration.
        asked: degrees by which the user had them turned.
    """
    if done:
        return turn_camera(camera, done), [
            f"{info.name}: hangs turned by its calibration: its images, and what is recorded of them, are turned by "
            f"{done} degrees clockwise, the calibration along with them (--rotate {info.name}=0 leaves them)"
        ]
    degrees, was = upright_turn(camera), "{}x{}".format(*camera.size)
    if degrees in (90, 270) and exchanged(camera, info.size):
        return turn_camera(camera, degrees), [
            f"{info.name}: calibrated for {was}, its images are {info.size[0]}x{info.size[1]} and upright: the "
            f"calibration is turned by {degrees} degrees clockwise, by its gravity"
        ]
    if degrees and asked:
        return camera, [
            f"warning: {info.name}: by the gravity of its calibration its images hang turned even after --rotate "
            f"{info.name}={asked}; if it was calibrated without --rotate, leave that out here: it is done by itself"
        ]
    return camera, []


def unfused(cameras: int) -> list[str]:
    """What several cameras without a calibration cannot do, and how that is mended."""
    if cameras < 2:
        return []
    return [
        f"the {cameras} cameras are not calibrated: nothing is fused, each tells of people in axes of its own (key c: "
        "whose 3D is shown); calibrate them with python -m calibration intrinsics, then extrinsics or from-person, "
        "and give --calibration FILE (docs/calibration.md)"
    ]


def source_id(info: SourceInfo, named: bool) -> SourceId:
    """What is known of an open source.

    Args:
        info: of the source.
        named: whether the user gave it its name.
    """
    files = names_of_source(info.source) if info.kind in _FILES else ()
    return SourceId(info.source, info.name if named else None, info.device, info.serial, files)


def load(config: CameraSetupConfig, sources: Sequence[SourceConfig]) -> CameraSetup:
    """Read and check what the user says of the set-up, before any camera is opened.

    Raises:
        UserError: for a calibration that cannot be read, an unknown method, or a letterbox for no camera.
    """
    if config.fusion not in METHODS:
        raise StreamError(f"unknown fusion {config.fusion!r}; there are {', '.join(METHODS)}")
    named = tuple(source.named for source in sources)
    rotate = tuple(source.rotate for source in sources)
    if config.calibration is None and (stored := calibration_of_take(sources)) is not None:
        config = replace(config, calibration=stored)
    if config.calibration is None:
        for flag, given in (
            ("--fusion", config.fusion != "auto"),
            ("--letterbox", config.letterbox),
            ("--up", config.up),
            ("--bind", config.bind != "auto"),
        ):
            if given:
                raise StreamError(f"{flag} needs --calibration FILE; make one with python -m calibration")
        return CameraSetup(None, {}, "none", named, rotate)
    calibration = config.calibration
    if not isinstance(calibration, Calibration):
        calibration = load_calibration(calibration)
    if config.up is not None:
        calibration = with_up(calibration, np.array(config.up))
    letterboxes = parse_letterboxes(config.letterbox, (*calibration.names, *(s.name for s in sources if s.named)))
    if not calibration.placed and config.fusion != "auto":
        raise StreamError(
            f"--fusion {config.fusion} needs cameras with a place, but the calibration holds lenses only; "
            "place them with python -m calibration extrinsics"
        )
    method = config.fusion if calibration.placed else "none"
    return CameraSetup(calibration, letterboxes, "map" if method == "auto" else method, named, rotate, config.bind)


def parse_offsets(texts: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Read every ``NAME=SECONDS`` of --sync-offset.

    Raises:
        StreamError: if it is not one, or there is no such camera.
    """
    offsets = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if name not in names:
            raise StreamError(f"--sync-offset {text}: there is no camera {name!r}; there are {', '.join(names)}")
        try:
            offsets[name] = float(value)
        except ValueError:
            offsets[name] = np.nan
        if not np.isfinite(offsets[name]):
            raise StreamError(f"--sync-offset {text}; give NAME=SECONDS, as in left=-0.012")
    return offsets
