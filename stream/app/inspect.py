"""``python -m stream inspect``: what is made of a source or a take, without running anything."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from calibration.errors import UserError
from engines.argument_types import DONE, INTERRUPTED, MISTAKE, Parser
from stream.app.console import shown
from stream.app.logs import lines_shown
from stream.recordings.inspect import inspect_take, is_take
from stream.sources import container_lines, files_of, kind_of, make_source, parse_source

_log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Say what is made of files, cameras and takes: sizes, rates, tracks, times; people, networks and faults."""
    parser = Parser(prog="python -m stream inspect", description=main.__doc__, addresses=("--camera",))
    parser.add_argument("paths", nargs="*", metavar="FILE|TAKE", help="video, folder of images, or take; repeatable")
    parser.add_argument("--camera", action="append", default=[], metavar="[NAME=]SOURCE",
                        help="any source of run_stream.py; repeatable")  # fmt: skip
    options = parser.parse_args(arguments)
    if not options.paths and not options.camera:
        parser.error("give a file, a take, or --camera SOURCE")
    code = DONE
    try:
        with lines_shown():
            for text in (*options.paths, *options.camera):
                try:
                    take = text in options.paths and is_take(Path(text))
                    for line in inspect_take(Path(text)) if take else source_lines(text):
                        print(shown(line))
                except UserError as error:
                    # The others are looked at all the same.
                    _log.error(f"stream inspect: {error}")
                    code = MISTAKE
    except BrokenPipeError:
        pass  # the reader of our output (head, less) has seen enough
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def source_lines(text: str) -> Iterator[str]:
    """What is made of one source.

    Raises:
        StreamError: if it cannot be opened or has no image.
    """
    config = parse_source(text, 0)
    with closing(make_source(config)) as source:
        info = source.open()
    yield f"{config.shown}: {info.kind}, {'live' if info.live else 'a recording'}"
    rate = "a rate that is not known" if info.fps is None else f"{info.fps:.4g} frames a second"
    count = "" if info.frames is None else f", about {info.frames} frames"
    long = f", {info.frames / info.fps:.2f} s" if info.frames and info.fps else ""
    yield f"  images: {info.size[0]}x{info.size[1]} upright, {rate}{count}{long}"
    if info.start is not None or info.timecode:
        begin = "" if info.start is None else f"the first image at {info.start.t:.3f} s"
        begin += f", {info.start.habit:.3f} s of it a habit of the container" if info.start and info.start.habit else ""
        code = f"timecode {info.timecode}" if info.timecode else ""
        yield f"  times: {', '.join(filter(None, (begin, code)))}"
    if info.device or info.serial:
        yield f"  device: {info.device or 'not known'}, serial {info.serial or 'not known'}"
    if kind_of(config.source) in ("file", "chapters"):
        paths = files_of(config.source)
        for path in paths:
            if len(paths) > 1:
                yield f"  {path}:"
            yield from (f"{'  ' if len(paths) > 1 else ''}  {line}" for line in container_lines(Path(path)))
    yield from (f"  remark: {message}" for message in info.messages)
