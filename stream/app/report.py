"""``python -m stream report``: a take as one page to read."""

from pathlib import Path

import numpy as np

from calibration import writing
from calibration.arrays import Image
from calibration.errors import UserError
from engines.argument_types import DONE, Parser
from stream.app.console import ended, tell
from stream.app.take_arguments import add_part, add_take
from stream.drawing.compose import Status, compose
from stream.drawing.scene import ViewState
from stream.recordings.captured import must_hold_estimates
from stream.recordings.export import check_suffix, told_faults
from stream.recordings.inspect import inspect_take
from stream.recordings.reading import Reading, fault_line
from stream.recordings.replay import read_frames, replay
from stream.recordings.takes import Take, belongs_to, open_take
from stream.report.numbers import Numbers, numbers_of
from stream.report.page import page
from stream.types import Estimate, StreamError

_SIZE = (1280, 720)
_PICTURES = (0.1, 0.5, 0.9)
"""When, as shares of the moments with people."""
_MOST_DECODED_S = 120.0
"""Of recorded images: beyond, pictures are without them, as every image before must be decoded."""


def main(arguments: list[str] | None = None) -> int:
    """Write a page about a take: cameras and their health, people, bones, joints over time, pictures."""
    parser = Parser(prog="python -m stream report", description=main.__doc__)
    add_take(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.html", help="file to write")
    add_part(parser)
    parser.add_argument("--force", action="store_true", help="write over an existing file")
    options = parser.parse_args(arguments)
    try:
        take = open_take(options.take)
        must_hold_estimates(take)
        writing.check_target(options.out)
        check_suffix("html", options.out)
        if belongs_to(take.folder, options.out):
            raise StreamError(f"{options.out} is part of the take that is read; give another --out")
        if options.out.exists() and not options.force:
            raise StreamError(f"{options.out} exists; give another --out, or --force to write over it")
        if not options.out.parent.is_dir():
            raise StreamError(f"cannot write {options.out}: there is no folder {options.out.parent}")
        reading = Reading(take, options.start, options.end, options.select)
        with told_faults(reading):
            numbers = numbers_of(reading)
        said = list(inspect_take(take.folder))
        pictures = _pictures(take, reading, numbers)
        writing.write_text(options.out, page(f"Take {take.folder.name}", said, take.run_info, numbers, pictures))
    except (UserError, KeyboardInterrupt) as error:
        return ended(error, "stopped; nothing was written")
    notes = [f"{fault_line(fault)} (see python -m stream recover)" for fault in reading.faults]
    tell([*notes, f"wrote {options.out}"])
    return DONE


def _pictures(take: Take, reading: Reading, numbers: Numbers) -> list[tuple[float, Image]]:
    """What the window would have shown, at three moments."""
    there = numbers.peopled
    if not len(there):
        return []
    wanted = {float(there[int(share * (len(there) - 1))]) for share in _PICTURES}
    estimates: list[Estimate] = []
    for estimate in replay(take, ids=reading.ids):
        if estimate.t in wanted and estimate.people:
            estimates.append(estimate)
        if estimate.t >= max(wanted):
            break
    if not estimates:
        return []
    images = _images(take, estimates) if estimates[-1].t - numbers.start < _MOST_DECODED_S else {}
    made = []
    for estimate in estimates:
        # Without images, 2D joints are drawn on black.
        mine = {
            f.camera: images.get((f.camera, f.frame_index), np.zeros((f.size[1], f.size[0], 3), np.uint8))
            for f in estimate.frames
            if f is not None
        }
        detectors = [frame.detector for frame in estimate.frames if frame is not None]
        status = Status(detector=detectors[0] if detectors else "")
        made.append(
            (estimate.t - numbers.start, compose(mine, estimate, status, ViewState(take.run_info.cameras, _SIZE)))
        )
    return made


def _images(take: Take, estimates: list[Estimate]) -> dict[tuple[str, int], Image]:
    """The recorded images of some moments, by camera and frame; those that there are."""
    found: dict[tuple[str, int], Image] = {}
    wanted = {(f.camera, f.frame_index) for e in estimates for f in e.frames if f is not None}
    for camera in take.run_info.cameras:
        mine = {index for name, index in wanted if name == camera.name}
        try:
            for frame in read_frames(take, camera.name):
                if frame.index in mine:
                    found[camera.name, frame.index] = np.array(frame.image)
                if not mine or frame.index >= max(mine):
                    break
        except StreamError:
            continue  # recorded without images, or they cannot be read
    return found
