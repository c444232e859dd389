"""``python -m stream replay``: a take, a line a frame set."""

from collections.abc import Sequence
from pathlib import Path

from calibration.errors import UserError
from engines.argument_types import DONE, INTERRUPTED, MISTAKE, Parser
from engines.types import Pose
from stream.app.console import say, shown
from stream.recordings.captured import must_hold_estimates
from stream.recordings.reading import Reading
from stream.recordings.replay import replay
from stream.recordings.segments import Span
from stream.recordings.takes import open_take
from stream.selection import ALL, MEASURES, METAVAR, Selection, selection
from stream.types import Estimate, View
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
    """List a take: one line a frame set."""
    parser = Parser(prog="python -m stream replay", description=main.__doc__)
    parser.add_argument("take", type=Path, metavar="DIR", help="the take, or the folder given to --record")
    parser.add_argument("--select", type=selection, metavar=METAVAR, default=Selection(), help="whom (default all)")
    options = parser.parse_args(arguments)
    try:
        take = open_take(options.take)
        must_hold_estimates(take)
        unverified: list[Span] = []
        ids = None if options.select.rule == ALL else Reading(take, select=options.select, bar=False).ids
        if options.select.rule in MEASURES:
            say(f"--select {options.select}: " + (f"person {ids[0]}" if ids else "nobody is there"))
        names = [camera.name for camera in take.run_info.cameras]
        for estimate in replay(take, lambda span: say(f"unreadable: {span}"), unverified.append, ids):
            print(shown(_line(estimate, names)))
        if unverified:
            rows = number_of(sum(span.rows for span in unverified), "row has", "rows have")
            say(f"{rows} no line in the journal: read, but not verified")
    except UserError as error:
        say(str(error))
        return MISTAKE
    except BrokenPipeError:
        pass  # the reader of our output (head, less) has seen enough
    except KeyboardInterrupt:
        return INTERRUPTED
    return DONE
