"""Check a take, and save what can be saved: ``python -m stream.recover DIR [--out FOLDER]``.

The take itself is never changed. Export and replay read a damaged take as it is; a clean copy is for other programs.
"""

import argparse
import os
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError

from calibration.errors import UserError
from stream.interrupt import EXIT_NOW
from stream.recording import ESTIMATES, FRAMES, MOMENTS
from stream.segments import END, SegmentWriter, Span, read_segment, segments
from stream.takes import Take, open_take
from stream.types import StreamError


@dataclass(frozen=True, slots=True)
class Report:
    """What one stream of a take is like."""

    stream: str
    """"estimates", "moments" or "frames"."""
    rows: int
    """Rows that can be read, those without a journal line included."""
    unverified: int
    """Rows of these that no journal line vouches for."""
    faults: tuple[Span, ...]
    """What cannot be read."""
    closed: bool
    """Whether the recorder ended it; False after a kill or a full disk."""


def check(take: Take, stream: str, copy: Path | None = None) -> Report:
    """Read every batch of a stream against its journal.

    Args:
        take: from ``open_take``.
        stream: which.
        copy: a folder to write all good batches to, with a journal of its own.

    Raises:
        StreamError: if the stream cannot be read.
        OSError: if the copy cannot be written.
    """
    paths = segments(take.folder, stream)
    schema = take.schema(stream)
    rows: Counter[str] = Counter()
    faults: list[Span] = []
    writer = None if copy is None else SegmentWriter(copy, stream, schema, max_s=float("inf"))
    for path in paths:
        for span, batch in read_segment(path, schema):
            if batch is None:
                faults.append(span)
                continue
            rows[span.state] += span.rows
            if writer is not None:
                writer.append(batch)
    if writer is not None:
        writer.close()
    with paths[-1].open("rb") as file:
        file.seek(-min(len(END), paths[-1].stat().st_size), os.SEEK_END)
        closed = file.read() == END
    return Report(stream, rows.total(), rows["unverified"], tuple(faults), closed)


def describe(report: Report) -> list[str]:
    """What to tell the user of a stream, a line each."""
    lines = [f"{report.stream}: {report.rows} rows readable" + ("" if report.closed else "; it was not closed")]
    if report.unverified:
        lines.append(f"  {report.unverified} of them have no line in the journal: read, but not verified")
    for span in report.faults:
        lost = f"{span.rows} rows" if span.rows else "an unknown number of rows"
        if span.offset == 0:
            lost = "the header of this segment"
        lines.append(f"  {span.segment}: {span.state}, {lost} lost ({span.length} bytes at {span.offset})")
    return lines


def _count_images(path: Path) -> int:
    with av.open(str(path.resolve())) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise StreamError(f"cannot copy {source} to {target}: {error.strerror or error}") from None


def recover(take: Take, out: Path | None) -> tuple[list[str], bool]:
    """Check all of a take; (what to tell the user, whether nothing is lost).

    Raises:
        StreamError: if ``out`` exists or cannot be written, or the take cannot be read.
    """
    folder = take.folder
    lines, whole = [f"take {folder}"], True
    try:
        if out is not None:
            out.mkdir(parents=True)
        for stream in (ESTIMATES, MOMENTS, FRAMES):
            if not segments(folder, stream):
                if stream != FRAMES:
                    lines.append(f"{stream}: missing")
                    whole = False
                continue
            report = check(take, stream, out)
            lines += describe(report)
            whole &= not report.faults
        for video in sorted(folder.glob(f"{FRAMES}-*.mkv")):
            try:
                lines.append(f"{video.name}: {_count_images(video)} images")
            except (OSError, FFmpegError) as error:
                lines.append(f"{video.name}: cannot be read ({getattr(error, 'strerror', None) or error})")
                whole = False
            if out is not None:
                _copy(video, out / video.name)
    except FileExistsError:
        raise StreamError(f"{out} already exists; give --out a folder that does not") from None
    except OSError as error:
        what = f"read {folder}" if out is None else f"write {out}"
        raise StreamError(f"cannot {what}: {error.strerror or error}") from None
    lines.append("nothing is lost" if whole else "what is listed above is lost, the rest is readable")
    if out is not None:
        lines.append(f"clean copy: {out}")
    return lines, whole


def main(arguments: list[str] | None = None) -> int:
    """Verify a take against its journals and say what is readable, lost or corrupt."""
    parser = argparse.ArgumentParser(
        prog="python -m stream.recover",
        description=main.__doc__,
        epilog="Exit code 0: nothing written is lost; 1: something is. The take itself is never changed.",
    )
    parser.add_argument("take", type=Path, metavar="DIR", help="the take, or the folder given to --record")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write a clean copy to this new folder")
    options = parser.parse_args(arguments)
    try:
        lines, whole = recover(open_take(options.take), options.out)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; a copy is not complete" if options.out else "stopped", file=sys.stderr)
        return EXIT_NOW
    print("\n".join(lines))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
