"""``python -m stream recover``: what of a take is readable, and a clean copy."""

from pathlib import Path

from calibration.errors import UserError
from engines.argument_types import DONE, FAILED, INTERRUPTED, MISTAKE, Parser
from stream.app.console import say, tell
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
    parser.add_argument("take", type=Path, metavar="DIR", help="the take, or the folder given to --record")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write a clean copy to this new folder")
    options = parser.parse_args(arguments)
    try:
        lines, whole = recover(open_take(options.take), options.out)
    except UserError as error:
        say(str(error))
        return MISTAKE
    except KeyboardInterrupt:
        say("stopped; a copy is not complete" if options.out else "stopped")
        return INTERRUPTED
    return DONE if tell(lines) and whole else FAILED
