"""``python -m stream replay``: a take, a line a frame set."""

from pathlib import Path

from calibration.errors import UserError
from engines.argument_types import DONE, INTERRUPTED, MISTAKE, Parser
from stream.app.console import say, shown
from stream.recordings.replay import replay
from stream.recordings.segments import Span
from stream.recordings.takes import open_take
from stream.types import View


def _answer(view: View) -> str:
    best = view.best_track
    return f"{float('nan') if best is None else best.probability:.0%}"


def main(arguments: list[str] | None = None) -> int:
    """List a take: one line a frame set."""
    parser = Parser(prog="python -m stream replay", description=main.__doc__)
    parser.add_argument("take", type=Path, metavar="DIR", help="the take, or the folder given to --record")
    options = parser.parse_args(arguments)
    try:
        take = open_take(options.take)
        unverified: list[Span] = []
        for estimate in replay(take, lambda span: say(f"unreadable: {span}"), unverified.append):
            parts = []
            for k, (camera, frame) in enumerate(zip(take.run_info.cameras, estimate.frames, strict=True)):
                if frame is None:
                    parts.append(f"{camera.name}: no frame")
                elif views := estimate.views_of(k):
                    answers = " and ".join(_answer(view) for view in views)
                    parts.append(f"{camera.name}: frame {frame.frame_index}, {frame.detector}, answer {answers}")
                else:
                    parts.append(f"{camera.name}: frame {frame.frame_index}, nobody")
            poses = [person.pose for person in estimate.people if person.pose is not None]
            parts += [f"fused by {pose.method} from {len(pose.cameras)}" for pose in poses]
            print(shown(f"{estimate.index:6d} {estimate.t:10.3f} s  {'; '.join(parts)}"))
        if unverified:
            say(f"{sum(span.rows for span in unverified)} rows have no line in the journal: read, but not verified")
    except UserError as error:
        say(str(error))
        return MISTAKE
    except BrokenPipeError:
        pass  # the reader of our output (head, less) has seen enough
    except KeyboardInterrupt:
        return INTERRUPTED
    return DONE
