"""A capture at work: it waits for its start, watches the disk, and ends well before that is full."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from calibration.arrays import Image
from calibration.errors import CalibrationError
from calibration.geometry.turning import turn_camera
from stream.channel import Policy
from stream.config import CaptureConfig, SourceConfig
from stream.control import Control
from stream.live.timed_start import LOOK_S, Told, span_of, wait_for
from stream.packed import Captured, Packed, Tap
from stream.recordings.camera_writer import Progress
from stream.recordings.capture import CaptureWriter
from stream.recordings.captured import ENDED
from stream.recordings.losses import losses
from stream.recordings.run_info import CameraInfo, RunInfo
from stream.recordings.segments import load_arrow
from stream.recordings.space import free_bytes, writing_speed
from stream.recordings.takes import new_take
from stream.recordings.video_files import coded_bytes
from stream.sources import Source, SourceInfo, kind_of, make_source, turned
from stream.types import ClockReading, Estimate, Event, Note, StreamError
from stream.words import own_fault

_log = logging.getLogger(__name__)

DISK_S: Final = 1.0
"""The disk is looked at this often."""
_RATE_S: Final = 10.0
"""Bytes a second are those of the last so many seconds."""
_LATE_S: Final = 2.0
"""So long is waited at the end for frames that are under way."""
_AFTER_S: Final = 0.35
"""So long frames are looked at after the end: what was held up before it has come by then, and is not missing."""
_SLOW: Final = 1.5
"""A disk that is not so many times as fast as the cameras need it is said to be slow."""
_MB: Final = 1e6


@runtime_checkable
class _Tapped(Protocol):
    def tap(self, tap: Tap, seen: str) -> None: ...
    def look_after(self) -> None: ...


class CaptureRun:
    """The capture of some cameras: ``source`` each, ``ready``, ``start``, ``close``.

    Args:
        config: what is wanted.
        names: of the cameras, in their order.
        seen: which frames the sources hand out besides, as in ``LiveSource.tap``.
        told: called with each line of the countdown, and with "" at the start.
        free: bytes free in a folder.
    """

    def __init__(
        self, config: CaptureConfig, names: tuple[str, ...], seen: str, told: Told = lambda line: None,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:  # fmt: skip
        self.config = config
        self.writer = CaptureWriter(names, config.codec)
        self.take: Path | None = None
        """The folder, once it has begun."""
        self.problem = ""
        """Why it ended before it was asked to; empty otherwise."""
        self._seen, self._told, self._free = seen, told, free
        self._control = Control()
        self._tapped: list[_Tapped] = []
        self._rotate: dict[str, int] = {}
        """Degrees by which the user wants the images turned, which are stored as they come."""
        self._run_info: RunInfo | None = None
        self._start: float | None = None
        self._until = float("inf")
        self._need = 0.0
        """Bytes a second, as the cameras were looked at before the start."""
        self._written: deque[tuple[float, int]] = deque()
        self._left: tuple[int, float] | None = None
        """Bytes free, and minutes until the capture has to end."""
        self._warned = float("inf")
        self._begin_too: Callable[[float, float], None] = lambda start, until: None
        self._estimated: Callable[[], float] = lambda: float("inf")
        self._thread = threading.Thread(target=self._watch, name="capture-watch", daemon=True)

    def source(self, config: SourceConfig) -> Source:
        """The source of a camera, whose frames are captured once it is open.

        Raises:
            StreamError: for what is on disk already, and no camera.
        """
        source = make_source(replace(config, rotate=None))
        if not isinstance(source, _Tapped):
            kind = kind_of(config.source)
            if kind == "node":
                raise StreamError(
                    f"--capture is for cameras of this computer, and {config.shown} is on another one; give it there, "
                    "beside --publish, and leave it out here"
                )
            what = "is drawn as it is asked for" if kind == "synthetic" else "is on disk already"
            raise StreamError(f"--capture is for live cameras, and {config.shown} {what}; leave out --capture")
        source.tap(self._tap_of(config.name), self._seen)
        self._tapped.append(source)
        self._rotate[config.name] = config.rotate or 0
        return turned(source, config.rotate or 0)

    def _tap_of(self, camera: str) -> Tap:
        return self.writer.tap(camera)

    def ready(
        self, run_info: RunInfo, infos: Sequence[SourceInfo], turns: Mapping[str, int] | None = None
    ) -> list[str]:
        """Look at what the cameras send and at the disk, before anything is begun; lines for the user.

        Args:
            run_info: of the take, but for what is captured.
            infos: of the sources, which are open.
            turns: degrees clockwise by which its cameras are turned besides what the user wants; they are stored as
                they come.

        Raises:
            StreamError: for a folder that cannot be written or that has no room for a minute, and for a recording on a
                web server.
        """
        for info in infos:
            if not info.live:
                raise StreamError(
                    f"--capture is for live cameras, and {info.source} is a recording; download it instead"
                )
        load_arrow()
        folder = self.config.folder
        speed = writing_speed(folder)
        rates = self._rates()
        self._need = need = sum(rates.values())
        room = self._free(folder) - self.config.reserve_bytes
        if room < self.config.least_s * need:
            raise StreamError(
                f"{folder} has room for {max(room, 0) / max(need, 1.0):.0f} s of these cameras ({need / _MB:.1f} MB a "
                f"second, and {self.config.reserve_bytes / _MB:.0f} MB are left free); free some space, or give "
                "another folder"
            )
        settings = {
            "codec": self.config.codec,
            "coding": {name: _coding(c.newest) for name, c in self.writer.cameras.items()},
            "rotate": dict(self._rotate),
            "controls": {info.name: dict(info.controls) for info in infos if info.controls},
        }
        cameras = tuple(self._stored(camera, (turns or {}).get(camera.name, 0)) for camera in run_info.cameras)
        self._run_info = replace(run_info, cameras=cameras, settings={**run_info.settings, "capture": settings})
        each = ", ".join(f"{name} {rate / _MB:.1f}" for name, rate in rates.items())
        lines = [
            f"disk: {speed / _MB:.0f} MB a second, the cameras send {need / _MB:.1f} ({each}); "
            f"{room / 1e9:.1f} GB can be used, {_duration(room / max(need, 1.0))}"
        ]
        automatic = [info.name for info in infos if info.exposure_automatic]
        if automatic and len(infos) > 1:
            lines.append(
                f"{', '.join(automatic)}: exposure is automatic: in dim light such cameras slow down, each by itself, "
                "and are no longer in step; --control exposure=VALUE holds it (--list-cameras shows the range)"
            )
        if speed < _SLOW * need:
            lines.append(f"the disk of {folder} is hardly fast enough for these cameras: frames may be lost")
        return lines

    def _stored(self, camera: CameraInfo, turned: int) -> CameraInfo:
        """What the take says of a camera: of its images as they are stored, before any turn."""
        newest = self.writer.cameras[camera.name].newest
        size = camera.size if newest is None else newest.size
        known = camera.calibration
        if known is not None:
            try:
                known = turn_camera(known, -(turned + self._rotate.get(camera.name, 0)) % 360)
            except CalibrationError:
                known = None  # a lens that cannot be turned back
        return replace(camera, size=size, calibration=known if known is not None and known.size == size else None)

    def _rates(self) -> dict[str, float]:
        """Bytes a second on disk of each camera."""
        before = self.writer.progress
        began = time.monotonic()
        time.sleep(self.config.probe_s)
        after, seconds = self.writer.progress, max(time.monotonic() - began, 1e-3)
        rates = {}
        for name, camera in self.writer.cameras.items():
            newest = camera.newest
            if newest is not None and not isinstance(newest.content, Packed):
                frames = after[name].seen_frames - before[name].seen_frames
                rates[name] = frames * coded_bytes(newest.content, self.config.codec) / seconds
            else:
                rates[name] = (after[name].seen_bytes - before[name].seen_bytes) / seconds
        return rates

    def begins(self, begin: Callable[[float, float], None]) -> None:
        """Name what is to begin with it; see ``TimedStart.begins``."""
        self._begin_too = begin

    def start(self, control: Control, newest: Callable[[], float] = lambda: float("inf")) -> None:
        """Begin when it is time; asks the control to stop at the end.

        Args:
            control: of the run.
            newest: time of the newest estimate beside it, monotonic seconds; those up to the end are waited for.

        Raises:
            StreamError: if the time of day of its start went by while cameras were opened.
        """
        self._control, self._estimated = control, newest
        self._set_span()
        self._thread.start()

    def _set_span(self) -> None:
        self._start, self._until = span_of(self.config.start, time.monotonic())

    def close(self) -> None:
        """Write what waits. The sources are closed."""
        self._control.stop()
        if self._thread.ident is not None:
            self._thread.join()
        if self.take is not None:
            self.writer.event(Event(time.monotonic(), *ENDED))
            self.writer.close()
            with suppress(OSError):  # not empty, but where nothing could be begun in it
                self.take.rmdir()
        self.problem = self.problem or self.writer.fault

    def event(self, source: str, text: str, t: float | None = None) -> None:
        """Note in the take that something happened, at ``t`` monotonic seconds or now; also before the start."""
        self.keep(Event(time.monotonic() if t is None else t, source, text))

    def keep(self, note: Note) -> None:
        """Keep an event or a reading of a clock in the take; also before the start."""
        if isinstance(note, Event):
            self.writer.event(note)
        else:
            self.writer.clock(note)

    def recording(self) -> tuple[bool, Path | None]:
        """Whether a take is being written, and the folder of the newest; None before there is one."""
        return self.take is not None and not self._control.stopping, self.take

    # what is told

    @property
    def note(self) -> str:
        """What the user should know: frames that are lost, and a disk that is nearly full; empty when all is well."""
        if self.writer.fault:
            return self.writer.fault
        lost = {name: p.lost for name, p in self.writer.progress.items() if p.lost}
        notes = [f"{name} lost {losses(counts)}" for name, counts in lost.items()]
        if self._left is not None and self._left[1] < self.config.warn_minutes:
            notes.append(f"room for {self._left[1]:.0f} minutes")
        return "; ".join(notes)

    def line(self) -> str:
        """How it goes on, in one line."""
        if self._start is None or time.monotonic() < self._start:
            return (
                "waiting for the start" if self._start is None else f"starts in {self._start - time.monotonic():.0f} s"
            )
        progress = self.writer.progress
        words = [f"captured {_duration(time.monotonic() - self._start)}"]
        words += [f"{name} {p.frames}{_rate(p)}" for name, p in progress.items()]
        lost = {name: p.lost for name, p in progress.items() if p.lost}
        words.append("lost " + ("; ".join(f"{name} {losses(c)}" for name, c in lost.items()) if lost else "0"))
        if self._left is not None:
            words.append(f"{self._left[0] / 1e9:.1f} GB free, {_duration(60 * self._left[1])} left")
        return ", ".join(words)

    def summary(self) -> list[str]:
        """What was captured, a line each."""
        return ["capture: it had not begun"] if self.take is None else self._summary_of(self.writer, self.take)

    @staticmethod
    def _summary_of(writer: CaptureWriter, take: Path | None) -> list[str]:
        lines = [f"capture: {take}"]
        for name, p in writer.progress.items():
            long = 0.0 if p.first is None or p.last is None else p.last - p.first
            sizes = " and ".join("{}x{}".format(*size) for size in p.sizes)
            lines.append(
                f"  {name}: {p.frames} frames{f' of {sizes}' if sizes else ''} in {long:.3f} s{_rate(p)}, "
                f"{p.bytes / _MB:.1f} MB, lost {losses(p.lost)}"
            )
        return lines

    # the watching thread

    def _watch(self) -> None:
        try:
            self._follow()
        except StreamError as error:
            self.problem = str(error)
        except Exception as error:  # of this thread nobody else would hear
            _log.debug("the capture stopped", exc_info=True)
            self.problem = own_fault("the capture", error)
        finally:
            self._control.stop()

    def _follow(self) -> None:
        if not self._begin():
            return
        start, until, looked = self._start or 0.0, self._until, 0.0
        while not self._control.stopping and not self.writer.fault:
            now = time.monotonic()
            for source in self._tapped:
                source.look_after()
            if now >= until and (self._all_ended(until) or now >= until + _LATE_S):
                break
            if now - looked >= DISK_S and now > start:
                looked = now
                self._look_at_disk(now)
            time.sleep(LOOK_S)

    def _begin(self) -> bool:
        """Wait for the start; whether there is one."""
        if self._run_info is None:
            raise RuntimeError("a capture was started that is not ready")
        start, until = self._start or 0.0, self._until
        self.writer.expect(start, until)
        if not wait_for(start, self.config.start.countdown, self._control, self._told, self._make):
            return False
        self.writer.event(Event(start, "capture", "start"))
        return True

    def _make(self) -> None:
        info = self._run_info
        if info is None:
            raise RuntimeError("a capture without a header")
        self.take = new_take(self.config.folder)
        info = replace(info, start_utc=datetime.now(UTC), start_monotonic=time.monotonic())
        self.writer.begin(self.take, info)
        self._begin_too(self._start or 0.0, self._until)

    def _all_ended(self, until: float) -> bool:
        newest = [camera.newest for camera in self.writer.cameras.values()]
        after = until + _AFTER_S
        return self._estimated() >= until and all(frame is not None and frame.t >= after for frame in newest)

    def _look_at_disk(self, now: float) -> None:
        self._written.append((now, sum(p.bytes for p in self.writer.progress.values())))
        while now - self._written[0][0] > _RATE_S:
            self._written.popleft()
        (first, before), (last, bytes_now) = self._written[0], self._written[-1]
        # Clusters come twice a second: what is seen over less than a few seconds is chance.
        rate = (bytes_now - before) / (last - first) if last - first >= _RATE_S / 2 else self._need
        free = self._free(self.config.folder)
        room = free - self.config.reserve_bytes
        minutes = room / max(rate, self._need / 10, 1.0) / 60
        self._left = free, max(minutes, 0.0)
        if minutes < self.config.warn_minutes and minutes < self._warned / 2:
            self._warned = minutes
            _log.warning(f"{self.config.folder}: room for {max(minutes, 0.0):.1f} minutes of capture")
        if room <= 2 * DISK_S * max(rate, self._need):
            self.problem = (
                f"capture ended because the disk is nearly full: {free / _MB:.0f} MB are free; all of it is written: "
                "free some space and capture again"
            )
            self._full()

    def _full(self) -> None:
        """Nothing more has room."""
        self._control.stop()


class CaptureEvents:
    """A sink that keeps no estimates: what a run notes besides goes into the take of its capture, too.

    Args:
        run: gets them.
    """

    policy: Policy = "every"
    wants_images = False

    def __init__(self, run: CaptureRun) -> None:
        self._run = run

    def open(self, run_info: RunInfo) -> None:
        """Nothing is to be opened."""

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Nothing is kept of it."""

    def event(self, event: Event) -> None:
        """Keep it."""
        self._run.keep(event)

    def clock(self, reading: ClockReading) -> None:
        """Keep it."""
        self._run.keep(reading)

    def close(self) -> None:
        """Nothing is to be closed."""


def _coding(newest: Captured | None) -> str:
    if newest is None:
        return "not known"
    return newest.content.coding.codec if isinstance(newest.content, Packed) else "images"


def _rate(progress: Progress) -> str:
    first, last = progress.first, progress.last
    if first is None or last is None or last <= first:
        return ""
    return f" ({(progress.frames - 1) / (last - first):.1f} a second)"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
