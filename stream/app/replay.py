"""``python -m stream replay``: a take, a line a frame set, or as a page in the browser."""

from collections.abc import Sequence
from pathlib import Path

from calibration.errors import UserError
from engines.argument_types import DONE, Parser
from engines.types import Pose
from stream.app.console import ended, say, shown
from stream.app.page import serve, write_snapshot
from stream.app.take_arguments import add_part, add_take
from stream.recordings.captured import frame_lines, must_hold_estimates
from stream.recordings.reading import Reading
from stream.recordings.replay import replay
from stream.recordings.segments import Span
from stream.recordings.takes import open_take
from stream.selection import ALL, MEASURES
from stream.sinks import web
from stream.types import Estimate, StreamError, View
from stream.words import number_of


def _line(estimate: Estimate, cameras: Sequence[str]) -> str:
    parts = []
    several = len(estimate.people) > 1
    for k, (camera, frame) in enumerate(zip(cameras, estimate.frames, strict=True)):
        if frame is None:
            parts.append(f"{camera}: no frame")
            continue
        seen = [(p.person_id, view) for p in estimate.people if (view := p.views[k]) is not None]
        answers = " and ".join(f"{_who(i) if several else 'answer'} {_answer(view)}" for i, view in seen)
        said = f"{frame.detector}, {answers}" if answers else "nobody"
        parts.append(f"{camera}: frame {frame.frame_index}, {said}")
    alike: dict[str, list[str]] = {}
    for person in estimate.people:
        if person.pose is not None:
            alike.setdefault(_how(person.pose), []).append(_who(person.person_id))
    parts += [f"{', '.join(whom)} {how}" if several else how for how, whom in alike.items()]
    return f"{estimate.index:6d} {estimate.t:10.3f} s  {'; '.join(parts)}"


def _who(person_id: int) -> str:
    return f"person {person_id}" if person_id >= 0 else "somebody"


def _how(pose: Pose) -> str:
    used = number_of(len(pose.cameras), "camera")
    named = {"single": "in a single view", "disputed": "in views that contradict each other"}
    return named.get(pose.method, f"fused by {pose.method} from {used}")


def _answer(view: View) -> str:
    best = view.best_track
    return "too little seen" if best is None else f"{best.probability:.0%}"


def main(arguments: list[str] | None = None) -> int:
    """List a take, a line a frame set, or a line a frame of a capture; or show it in the browser, or write its page."""
    parser = Parser(prog="python -m stream replay", description=main.__doc__)
    add_take(parser)
    show = parser.add_mutually_exclusive_group()
    show.add_argument("--web", nargs="?", const=web.parse(web.PORT), type=web.parse, metavar=web.METAVAR,
                      help=f"show it in the browser, with a time line; at port {web.PORT} if not said")  # fmt: skip
    show.add_argument("--snapshot", type=Path, metavar="HTML", help="write one file that any browser shows by itself")
    add_part(parser)
    parser.add_argument("--no-pictures", action="store_true", help="of --snapshot: without what the cameras saw")
    parser.add_argument("--force", action="store_true", help="of --snapshot: write over an existing file")
    options = parser.parse_args(arguments)
    try:
        take = open_take(options.take)
        if take.captured and not (options.web or options.snapshot or options.select.rule != ALL):
            if options.start is not None or options.end is not None:
                raise StreamError("--start and --end are for takes with estimates; of a capture all frames are listed")
            for line in frame_lines(take):
                print(shown(line))
            return DONE
        must_hold_estimates(take)
        if options.web:
            return serve(take, options.web, options.select, options.start, options.end)
        if options.snapshot:
            write_snapshot(take, options.snapshot, options.select, options.start, options.end,
                           pictures=not options.no_pictures, force=options.force)  # fmt: skip
            return DONE
        if options.no_pictures or options.force:
            raise StreamError("--no-pictures and --force are for --snapshot; drop them")
        if options.start is not None and options.end is not None and options.start >= options.end:
            raise StreamError(f"--end {options.end:g} is not after --start {options.start:g}")
        unverified: list[Span] = []
        part = Reading(take, options.start, options.end, options.select, bar=False)
        ids = part.ids
        if options.select.rule in MEASURES:
            say(f"--select {options.select}: " + (f"person {ids[0]}" if ids else "nobody is there"))
        names = [camera.name for camera in take.run_info.cameras]
        for estimate in replay(take, lambda span: say(f"unreadable: {span}"), unverified.append, ids):
            if part.holds(estimate.t):
                print(shown(_line(estimate, names)))
        if unverified:
            rows = number_of(sum(span.rows for span in unverified), "row has", "rows have")
            say(f"{rows} no line in the journal: read, but not verified")
    except (UserError, KeyboardInterrupt) as error:
        return ended(error)
    except BrokenPipeError:
        pass  # the reader of our output (head, less) has seen enough
    return DONE
