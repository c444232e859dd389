"""``python -m stream gather``: the takes of several computers as one, on one clock."""

import argparse
from pathlib import Path
from typing import Final

from calibration.errors import UserError
from engines.argument_types import DONE, MISTAKE, Parser, finite
from stream.app.console import ended, say, tell
from stream.bars import Bar
from stream.recordings.gather import Plan, plan
from stream.recordings.gathered import Gatherer
from stream.recordings.space import free_bytes
from stream.recordings.takes import Take, new_folder, open_take
from stream.types import StreamError

_ROOM: Final = 64 << 20
"""Bytes beside the videos."""


def offset(text: str) -> tuple[str, float]:
    """``NAME=SECONDS``. The type of a flag."""
    name, mark, seconds = text.rpartition("=")
    if not mark or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no offset such as left=0.120")
    return name, finite(seconds)


def main(arguments: list[str] | None = None) -> int:
    """Put the takes of several computers into one: images of all cameras, estimates of the one that fused, events."""
    parser = Parser(
        prog="python -m stream gather",
        description=main.__doc__,
        epilog="Takes are copied, never changed. What of them is damaged is left out and said. docs/scale.md tells how "
        "they get to one computer.",
    )
    parser.add_argument("takes", type=Path, nargs="+", metavar="TAKE",
                        help="two takes or more, or folders given to --record or --capture with one take in "
                             "each")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder to write")
    parser.add_argument("--offset", type=offset, action="append", default=[], metavar="NAME=SECONDS",
                        help="added to the times of the take that has this camera; needed where no common clock is "
                             "recorded; repeatable")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        lines = _gather([open_take(path) for path in options.takes], options.out, dict(options.offset))
    except (UserError, KeyboardInterrupt) as error:
        return ended(error, "stopped; nothing was written")
    except OSError as error:
        say(f"the takes cannot be gathered: {error.strerror or error}; nothing is left of it")
        return MISTAKE
    tell(lines)
    return DONE


def _gather(takes: list[Take], out: Path, offsets: dict[str, float]) -> list[str]:
    for take in takes:
        if take.folder.resolve() in (out.resolve(), *out.resolve().parents):
            raise StreamError(f"{out} lies in a take that is read; give another --out")
    planned = plan(takes, offsets)
    gatherer = Gatherer(planned)
    with new_folder(out) as folder:
        _check_room(gatherer, folder)
        with Bar(total=gatherer.bytes, unit="B", unit_scale=True, desc="copy", disable=None, leave=False) as bar:
            gatherer.write(folder, bar.update)
    for line in (*planned.fault_lines(), *gatherer.missing):
        say(line)
    return [*planned.lines(gatherer.images), _next(planned, out)]


def _check_room(gatherer: Gatherer, folder: Path) -> None:
    need, free = gatherer.bytes + _ROOM, free_bytes(folder)
    if need > free:
        raise StreamError(
            f"the gathered take needs {need / 1e9:.2f} GB and {free / 1e9:.2f} GB are free there; give --out on "
            "another disk"
        )


def _next(planned: Plan, out: Path) -> str:
    if planned.fusing is not None:
        return f"gathered: {out}"
    return f"gathered: {out} (python run_stream.py --from-take {out} --record DIR makes estimates of it)"
