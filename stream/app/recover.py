"""``python -m stream recover``: what of a take is readable, and a clean copy."""

from pathlib import Path

from calibration.errors import UserError
from engines.argument_types import DONE, FAILED, Parser
from stream.app.console import ended, tell
from stream.app.take_arguments import add_take
from stream.recordings.recover import recover
from stream.recordings.takes import open_take


def main(arguments: list[str] | None = None) -> int:
    """Verify a take against its journals and say what is readable, lost or corrupt."""
    parser = Parser(
        prog="python -m stream recover",
        description=main.__doc__,
        epilog="Exit code 0: nothing written is lost; 1: something is; 2: there is no such take. "
        "The take itself is never changed.",
    )
    add_take(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write a clean copy to this new folder")
    options = parser.parse_args(arguments)
    try:
        lines, whole = recover(open_take(options.take), options.out)
    except (UserError, KeyboardInterrupt) as error:
        return ended(error, "stopped; a copy is not complete" if options.out else "stopped")
    return DONE if tell(lines) and whole else FAILED
