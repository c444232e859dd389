"""A take as a page: served to a browser, or written into one file."""

import logging
import threading
from pathlib import Path

from calibration.errors import UserError
from calibration.writing import aside, check_target
from engines.argument_types import DONE
from stream.app.console import say, tell
from stream.app.take_page import TakePage
from stream.bars import Bar
from stream.recordings.export import FORMATS, export
from stream.recordings.reading import fault_line
from stream.recordings.segments import Span
from stream.recordings.takes import Take, belongs_to
from stream.selection import Selection
from stream.sinks._address import Address
from stream.sinks._token import Token
from stream.sinks.web import NEEDS
from stream.types import StreamError
from stream.web.film import Film
from stream.web.snapshot import snapshot
from stream.words import number_of, own_fault, people

_log = logging.getLogger(__name__)


def serve(take: Take, on: Address, select: Selection, start: float | None, end: float | None) -> int:
    """Show a take to browsers until Ctrl-C.

    Args:
        take: from ``open_take``.
        on: where to listen.
        select: whom to show.
        start: seconds after the take's first moment from which on it is shown.
        end: seconds after it from which on it is not.

    Returns:
        The exit code.

    Raises:
        UserError: if it cannot be shown or served there.
    """
    film = Film(take, select, start, end, _told)
    token = Token()
    token.prepare()

    def part(to: str, out: Path, begin: float, finish: float) -> None:
        export(take, to, out, start=begin, end=finish, select=select)

    try:
        page = TakePage(on, token, film, FORMATS, part)
    except ImportError as error:
        raise StreamError(NEEDS) from error
    loading = threading.Thread(target=_load, args=(film,), name="film", daemon=True)
    page.server.start()
    try:
        loading.start()
        say(f"{take.folder} is shown until Ctrl-C{'' if on.loopback else ', not encrypted'}")
        token.tell_link("page", page.server.link)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        page.stop()
        loading.join()
    return DONE


def write_snapshot(
    take: Take, out: Path, select: Selection, start: float | None, end: float | None, *, pictures: bool, force: bool
) -> None:
    """Write a take as one file that a browser shows by itself; tells what was written.

    Args:
        take: from ``open_take``.
        out: the file.
        select: whom to show.
        start: seconds after the take's first moment from which on it is shown.
        end: seconds after it from which on it is not.
        pictures: whether the cameras' pictures go in.
        force: write over an existing file.

    Raises:
        UserError: if it cannot be written, or the take is too long for a page.
    """
    check_target(out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise StreamError(f"--snapshot {out}: a browser shows what is called .html; give {out.with_suffix('.html')}")
    if belongs_to(take.folder, out):
        raise StreamError(f"{out} is part of the take that is read; give another --snapshot")
    if out.exists() and not force:
        raise StreamError(f"{out} exists; give another --snapshot, or --force to write over it")
    film = Film(take, select, start, end, _told)
    with Bar(unit="moments", disable=None, leave=False) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        made = snapshot(film, pictures=pictures, progress=progress)
    with aside(out) as part:
        part.write_text(made, encoding="utf-8")
    seen = "with what the cameras saw" if pictures and film.pictured else "without pictures"
    size = len(made) / 1e6
    tell([f"wrote {out}: {number_of(film.count, 'moment')}, {people(len(film.people))}, {seen}, {size:.1f} MB"])


def _load(film: Film) -> None:
    try:
        film.load()
    except UserError as error:
        say(str(error))
    except Exception as error:  # the thread's outermost frame
        _log.debug("the take cannot be made ready", exc_info=True)
        say(own_fault("replay", error))


def _told(span: Span) -> None:
    say(fault_line(span))
