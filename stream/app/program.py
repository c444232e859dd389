"""The commands of an installed package: ``hypothesis-stream`` (run, and the verbs) and ``hypothesis-calibrate``.

What is imported here is standard library only: a package or a system library that is missing is said in one line.
"""

import difflib
import gc
import sys
from collections.abc import Callable, Sequence

from stream.version import __version__


def main() -> int:
    """Run the program, or one of its verbs where the first argument names one."""
    return _until_stopped(_main)


def _main() -> int:
    if _limited("hypothesis-stream"):
        return 2
    try:
        from stream.app import command_line, verbs
    except ImportError as error:
        return _missing("hypothesis-stream", error)
    arguments = sys.argv[1:]
    first = arguments[0] if arguments else ""
    meant = first in verbs.VERBS or difflib.get_close_matches(first, verbs.VERBS, 1)
    return verbs.main(arguments) if meant else command_line.main(arguments)


def verb(*first: str) -> int:
    """Run one of the verbs, ``python -m stream``; ``first`` stands before what was given."""
    return _until_stopped(lambda: _verb(*first))


def _verb(*first: str) -> int:
    try:
        from stream.app import verbs
    except ImportError as error:
        return _missing("stream", error)
    return verbs.main([*first, *sys.argv[1:]])


def calibrate(arguments: Sequence[str] | None = None) -> int:
    """Run one of the steps of calibration."""
    return _until_stopped(lambda: _calibrate(arguments))


def _calibrate(arguments: Sequence[str] | None) -> int:
    if _limited("hypothesis-calibrate"):
        return 2
    try:
        from stream.app.calibrate import command_line
    except ImportError as error:
        return _missing("hypothesis-calibrate", error)
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["--version"]:
        print(f"hypothesis-calibrate {__version__}")
        return 0
    return command_line.main(given)


def _until_stopped(work: Callable[[], int]) -> int:
    """Run a command. Ctrl-C while its packages are still being loaded ends it as any other."""
    try:
        return work()
    except KeyboardInterrupt:
        return 130
    finally:
        # The process ends: what its packages made need not be looked through for circles once more, for 0.15 s.
        gc.freeze()


def _limited(program: str) -> bool:
    from stream.app.install_hint import limited

    too_little = limited()
    if too_little:
        print(f"{program}: {too_little}", file=sys.stderr)
    return bool(too_little)


def _missing(program: str, error: ImportError) -> int:
    from stream.app.install_hint import hint, shadowed

    print(f"{program}: {shadowed() or hint(error)}", file=sys.stderr)
    return 2
