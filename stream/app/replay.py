"""``python -m stream replay``: a take, a line a frame set."""

import argparse
import sys
from pathlib import Path

from calibration.errors import UserError
from stream.app.signals import EXIT_NOW
from stream.recordings.replay import replay
from stream.recordings.takes import open_take


def main(arguments: list[str] | None = None) -> int:
    """List a take: one line a frame set."""
    parser = argparse.ArgumentParser(prog="python -m stream replay", description=main.__doc__)
    parser.add_argument("take", type=Path, metavar="DIR", help="the take, or the folder given to --record")
    options = parser.parse_args(arguments)
    try:
        take = open_take(options.take)
        for estimate in replay(take, lambda span: print(f"unreadable: {span}", file=sys.stderr)):
            parts = []
            for camera, view in zip(take.run_info.cameras, estimate.views, strict=True):
                if view is None:
                    parts.append(f"{camera.name}: no frame")
                elif not view.detection.person:
                    parts.append(f"{camera.name}: frame {view.frame_index}, nobody")
                else:
                    best = max((track.probability for track in view.tracks), default=float("nan"))
                    parts.append(f"{camera.name}: frame {view.frame_index}, {view.detection.origin}, answer {best:.0%}")
            fused = f"; fused by {estimate.pose.method} from {len(estimate.pose.cameras)}" if estimate.pose else ""
            print(f"{estimate.index:6d} {estimate.t:10.3f} s  {'; '.join(parts)}{fused}")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output (head, less) has seen enough
    except OSError as error:
        print(f"cannot go on: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return EXIT_NOW
    return 0
