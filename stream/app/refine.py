"""``python -m stream refine``: the best of a whole take, as a new take."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from calibration.errors import UserError
from calibration.formats import save_calibration
from calibration.geometry.camera import Camera
from calibration.types import Calibration
from engines.argument_types import DONE, MISTAKE, Parser, positive
from engines.refinement import RefineOptions
from engines.refinement.cameras import CameraChange
from stream.app.console import ended, say, tell
from stream.app.take_arguments import add_take
from stream.bars import Bar
from stream.recordings.captured import must_hold_estimates
from stream.recordings.reading import fault_line
from stream.recordings.refined import RefinedPerson, Refinery, filled_share
from stream.recordings.segments import Span
from stream.recordings.takes import CALIBRATION, Take, new_folder, open_take
from stream.types import StreamError
from stream.words import number_of


def ids(text: str) -> tuple[int, ...]:
    """Ids joined by commas, two at least. The type of a flag."""
    parts = [part.strip() for part in text.split(",")]
    valid = all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts)
    if not valid or len({int(part) for part in parts}) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} joins nobody; give two ids or more, such as 0,3")
    return tuple(int(part) for part in parts)


def whose(groups: Sequence[Sequence[int]]) -> dict[int, int]:
    """For each id that is joined to another, whose it becomes: the first of the first group that leads to it."""
    found: dict[int, int] = {}
    for group in groups:
        first, *others = (found.get(one, one) for one in group)
        for other in others:
            found |= dict.fromkeys((other, *(i for i, into in found.items() if into == other)), first)
    return {one: into for one, into in found.items() if one != into}


def main(arguments: list[str] | None = None) -> int:
    """Refine a take: every moment by those before and after it, with bones that keep their lengths."""
    parser = Parser(prog="python -m stream refine", description=main.__doc__)
    add_take(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="new folder to write (default: DIR-refined)")
    parser.add_argument("--fill", type=positive, default=RefineOptions().fill_s, metavar="SECONDS",
                        help="longest gap to fill in (default: %(default)g)")  # fmt: skip
    parser.add_argument("--join", type=ids, action="append", default=[], metavar="ID,ID",
                        help="these ids are one person, who keeps the first")  # fmt: skip
    parser.add_argument("--refine-cameras", action="store_true",
                        help="also correct where the cameras stand; FOLDER/calibration.toml has it")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        take = open_take(options.take)
        must_hold_estimates(take)
        out = options.out or take.folder.with_name(f"{take.folder.name}-refined")
        faults: dict[tuple[str, int], Span] = {}
        try:
            lines = _refine(take, out, options, faults)
        finally:
            for fault in faults.values():
                say(fault_line(fault))
    except (UserError, KeyboardInterrupt) as error:
        return ended(error, "stopped; nothing was written")
    except OSError as error:
        say(f"the refined take cannot be written: {error.strerror or error}; nothing is left of it")
        return MISTAKE
    tell(lines)
    return DONE


def _refine(take: Take, out: Path, options: argparse.Namespace, faults: dict[tuple[str, int], Span]) -> list[str]:
    def fault(span: Span) -> None:
        faults[span.segment, span.offset] = span

    chosen = replace(RefineOptions(), fill_s=options.fill)
    joined = whose(options.join)
    lines: list[str] = []
    if take.folder.resolve() in out.resolve().parents:
        raise StreamError(f"{out} lies in the take that is read; give another --out")
    with new_folder(out) as folder:
        refinery = Refinery(take, chosen, joined, on_fault=fault)
        cameras: tuple[Camera, ...] = ()
        changes: tuple[CameraChange, ...] = ()
        if options.refine_cameras:
            cameras, changes = refinery.corrected(_solved(refinery, "cameras"))
            refinery = Refinery(take, chosen, joined, {camera.name: camera for camera in cameras}, on_fault=fault)
            lines += [_change(change) for change in changes]
        solved = _solved(refinery, "refine")
        said: dict[str, object] = asdict(chosen)
        said |= {"take": take.folder.name, "cameras": [asdict(change) for change in changes]}
        if (before := take.run_info.settings.get("refine")) is not None:
            said["before"] = before
        moments = refinery.write(folder, solved, said)
        if cameras:
            made = {"by": "python -m stream refine --refine-cameras", "take": take.folder.name}
            save_calibration(Calibration(cameras, made=made), folder / CALIBRATION)
    lines += [_person(one) for one in solved]
    filled = filled_share(solved)
    lines.append(f"{number_of(moments, 'moment')}, {100 * filled:.1f} % of the joints filled in: {out}")
    if cameras:
        late = " ".join(f"--sync-offset {one.name}={-one.late_s:.3f}" for one in changes if abs(one.late_s) >= 0.001)
        lines.append(
            f"the corrected calibration: {out / CALIBRATION}"
            + (f"; times are as they were: a new run takes {late}" if late else "")
        )
    return lines


def _solved(refinery: Refinery, what: str) -> list[RefinedPerson]:
    with Bar(total=refinery.moments, unit="moments", desc=what, disable=None, leave=False) as bar:
        solved = []
        for one in refinery.solve():
            solved.append(one)
            bar.update(len(one.refined.joints))
        return solved


def _change(change: CameraChange) -> str:
    late = "late" if change.late_s >= 0 else "early"
    before, after = change.bias_px
    return (
        f"{change.name} moved {change.moved_mm:.0f} mm, {change.turned_degrees:.1f} degrees; {late} by "
        f"{1000 * abs(change.late_s):.0f} ms; its joints lie {after:.0f} px from where the other cameras put them, "
        f"not {before:.0f}"
    )


def _person(one: RefinedPerson) -> str:
    where = "" if one.camera is None else f" in {one.camera}"
    there = int(np.isfinite(one.refined.joints).all((1, 2)).sum())
    gaps = number_of(len(one.refined.joints) - there, "moment")
    empty = "" if there == len(one.refined.joints) else f", {gaps} not refined (in longer gaps, or alone)"
    before, after = one.refined.slid_mm
    feet = "" if before != before else f"; standing feet slid {before:.1f} mm a moment, now {after:.1f}"
    return f"person {one.person_id}{where}: {number_of(there, 'moment')}{empty}{feet}"
