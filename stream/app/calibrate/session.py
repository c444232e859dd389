"""The cameras of a command: opened, bound to their calibration, and what they see."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import cv2

from calibration.arrays import Array
from calibration.binding import SourceId, bind
from calibration.errors import CalibrationError
from calibration.fitting import fit_cameras, parse_letterboxes
from calibration.formats import load_calibration
from calibration.geometry.camera import Camera
from calibration.solving.board import Board
from calibration.types import Calibration, as_lenses
from engines.detectors import DetectorOptions
from engines.detectors import load as load_detector
from engines.runtimes import NetworkOptions
from engines.types import Detector
from stream.app.calibrate.capture import Feed, Together, collect_joints, collect_together
from stream.app.calibrate.reasons import why
from stream.app.calibrate.results import warn
from stream.app.camera_setup import parse_offsets, source_id
from stream.app.per_camera import with_settings
from stream.config import SourceConfig
from stream.live.starts import common_starts
from stream.sinks import window
from stream.sources import Source, SourceInfo, make_source, open_all, parse_sources
from stream.sources.take import calibration_of_take, sources_of_take

_log = logging.getLogger(__name__)

PLACES = ("extrinsics", "from-person")
"""Commands that place cameras anew, of which only the lens counts."""
BOARD_EVERY_S = 0.2
"""Seconds between the frames in which a board is looked for."""
PERSON_EVERY_S = 0.1
"""Seconds between the frames in which a person is looked for."""


@dataclass(frozen=True, slots=True)
class OpenCamera:
    """An open source and what is known of it."""

    source: Source
    info: SourceInfo
    given: SourceId
    offset: float
    """Seconds to add to its times."""

    def feed(self, name: str) -> Feed:
        """Its frames, as those of the camera of that name."""
        photographs = self.info.kind == "images"
        return Feed(name, self.info.size, self.source.read, self.info.live, photographs, self.info.fps, self.offset)


def sources_of(args: argparse.Namespace) -> tuple[SourceConfig, ...]:
    """What is given to --camera or --from-take."""
    cameras = sources_of_take(args.from_take) if args.from_take else args.camera
    return with_settings(parse_sources(cameras), args.speed, args.rotate, args.times)


def calibration_of(args: argparse.Namespace) -> Calibration | None:
    """The calibration that is given, or what a take was captured with that the cameras are read from; None: neither.

    Raises:
        CalibrationError: if it cannot be read.
    """
    if args.calibration is not None:
        return load_calibration(args.calibration)
    return calibration_of_take(sources_of(args), _flag(args), whole=args.command == "floor")


def needed(args: argparse.Namespace) -> Calibration:
    """As ``calibration_of``, for a command that does nothing without.

    Raises:
        CalibrationError: if there is none.
    """
    known = calibration_of(args)
    if known is None:
        made = "intrinsics" if args.command in PLACES else "extrinsics"
        raise CalibrationError(
            f"the following arguments are required: {_flag(args)}; python -m calibration {made} makes the file, and "
            "only a take that was captured with --calibration brings its own"
        )
    return known


def _flag(args: argparse.Namespace) -> str:
    return "--intrinsics" if args.command in PLACES else "--calibration"


@contextmanager
def open_cameras(args: argparse.Namespace, several: bool = False) -> Iterator[list[OpenCamera]]:
    """The sources of every --camera, closed in the end. Sets --no-window where no window can be opened, and says why.

    Raises:
        UserError: for one camera where ``several`` are needed, or one that cannot be opened.
    """
    configs = sources_of(args)
    if several and len(configs) < 2:
        raise CalibrationError(f"{args.command} compares cameras; give --camera at least twice")
    offsets = parse_offsets(getattr(args, "sync_offset", []), [config.name for config in configs])
    out: list[OpenCamera] = []
    with ExitStack() as stack:
        sources = [make_source(replace(config, size=args.size)) for config in configs]
        for config, source, info in zip(configs, sources, open_all(sources, stack), strict=True):
            given = source_id(info, config.named)
            out.append(OpenCamera(source, info, given, offsets.get(config.name, 0.0)))
            for message in info.messages:
                _log.warning(f"{config.name}: {message}")
        shifts, lines = common_starts([one.info for one in out], offsets)
        for line in lines:
            _log.info(line)
        out = [replace(one, offset=shifts.get(one.info.name, one.offset)) for one in out]
        if any(one.info.live for one in out) and not getattr(args, "no_window", True):
            reason = window.available()
            if reason is None:
                stack.callback(cv2.destroyAllWindows)
            else:
                args.no_window = True
                _log.info(f"no window: {reason}; going on without one")
        yield out
        for one in out:
            # What was found out while reading, such as pictures that were left out.
            if not one.info.live and (note := one.source.status().note):
                _log.warning(f"{one.info.name}: {note}")


def bound(
    args: argparse.Namespace, opened: Sequence[OpenCamera], calibration: Calibration, placed: bool = False
) -> tuple[Calibration, tuple[Camera, ...]]:
    """The calibration as it is to be used, and its cameras in the order of the sources, fitted to their frames.

    Raises:
        CalibrationError: if it has no entry for a source, or only lenses where ``placed`` is asked for.
    """
    if not placed and args.command in PLACES:
        calibration = as_lenses(calibration)
    if placed and not calibration.placed:
        whose = args.calibration or "what the take was captured with"
        raise CalibrationError(f"{whose}: holds lenses only; place the cameras with `extrinsics` first")
    warn(calibration.remarks)
    binding = bind(calibration, [one.given for one in opened], args.bind)
    warn(binding.warnings)
    given = [one.given.name for one in opened]
    names = [name or camera.name for name, camera in zip(given, binding.cameras, strict=True)]
    boxes = parse_letterboxes(args.letterbox, (*calibration.names, *names))
    sizes, sources = [one.info.size for one in opened], [one.info.name for one in opened]
    cameras, lines = fit_cameras(binding.cameras, sizes, boxes, names, sources)
    for line in (*binding.notes, *lines):
        _log.info(line)
    return calibration, tuple(cameras)


def boards_seen(
    args: argparse.Namespace,
    opened: Sequence[OpenCamera],
    cameras: Sequence[Camera],
    board: Board,
    count: int,
    least: int,
) -> Together:
    """``count`` frame sets in which ``least`` cameras or more saw the board.

    Raises:
        CalibrationError: if there are none, with what each camera saw.
    """
    if board.turnable and len(opened) > 1:
        raise CalibrationError(
            f"a chessboard of {board.corners[0]}x{board.corners[1]} corners looks the same after half a turn, so "
            "cameras may disagree on which end is which; use a ChArUco board, or one with an "
            "even and an odd number of squares"
        )
    feeds = [one.feed(camera.name) for one, camera in zip(opened, cameras, strict=True)]
    seen = collect_together(feeds, board, args.every or BOARD_EVERY_S, count, least, not args.no_window)
    if not seen.frames:
        alone = ", ".join(f"{name} {n} times" for name, n in seen.seen.items())
        what = "no camera" if least == 1 else f"no {least} cameras at once"
        raise CalibrationError(f"{what} saw the board in {seen.looked} moments ({alone}); {why(seen, cameras, board)}")
    together = f"the board in {least} or more cameras" if least > 1 else "the board"
    print(f"looked at {seen.looked} moments; {len(seen.frames)} with {together} {'is' if count == 1 else 'are'} used")
    return seen


def joints_seen(
    args: argparse.Namespace, opened: Sequence[OpenCamera], cameras: Sequence[Camera]
) -> tuple[Array, Array]:
    """A person's joints (V, F, 17, 2) and scores (V, F, 17) in F frame sets."""
    feeds = [one.feed(camera.name) for one, camera in zip(opened, cameras, strict=True)]
    detector = detector_for(args.detector, feeds)
    return collect_joints(feeds, [detector.session() for _ in feeds], args.every or PERSON_EVERY_S, args.seconds)


def detector_for(name: str, feeds: Sequence[Feed]) -> Detector:
    """A detector that sees the same in the same files on every machine; live, the fastest way to run it.

    Which runtime and precision is the fastest differs between machines, and between two installations on one: what int8
    and fp32 see of the four-camera demo is up to 190 pixels apart.
    """
    if any(feed.live for feed in feeds):
        return load_detector(name)
    return load_detector(name, DetectorOptions(network=NetworkOptions(runtime="onnx", precision="fp32")))
