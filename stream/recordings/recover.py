"""Check a take, and save what can be saved: ``python -m stream recover DIR [--out FOLDER]``.

The take itself is never changed. Export and replay read a damaged take as it is; a clean copy is for other programs.
"""

import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError

from calibration.text import one_line
from calibration.writing import scratch
from stream.recordings.schema import FRAMES, STREAMS
from stream.recordings.segments import SegmentWriter, Span, is_ended, read_stream, segments
from stream.recordings.takes import CALIBRATION, Take, calibration_file, video_of
from stream.types import StreamError
from stream.words import number_of


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What one stream of a take is like."""

    stream: str
    """"estimates", "moments", "events", "frames" or "clocks"."""
    rows: int
    """Rows that can be read, those without a journal line included."""
    unverified: int
    """Rows of these that no journal line vouches for."""
    faults: tuple[Span, ...]
    """What cannot be read, or is missing."""
    closed: bool
    """Whether the recorder ended it; False after a kill or a full disk."""


def check(take: Take, stream: str, copy: Path | None = None) -> StreamReport:
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
    for span, batch in read_stream(take.folder, stream, schema):
        if batch is None:
            faults.append(span)
            continue
        rows[span.state] += span.rows
        if writer is not None:
            # What nothing vouches for is not vouched for by being copied.
            writer.append(batch, verified=span.state != "unverified")
    ended = is_ended(paths[-1])
    if writer is not None:
        # A copy says the same of itself as the take: whether it was closed, too.
        writer.close() if ended else writer.leave()
    return StreamReport(stream, rows.total(), rows["unverified"], tuple(faults), ended)


def describe(report: StreamReport) -> list[str]:
    """What to tell the user of a stream, a line each."""
    lines = [
        f"{report.stream}: {number_of(report.rows, 'row')} readable" + ("" if report.closed else "; it was not closed")
    ]
    if report.unverified:
        lines.append(f"  {report.unverified} of them without a line in the journal: read, but not verified")
    for span in report.faults:
        lost = number_of(span.rows, "row") if span.rows else "an unknown number of rows"
        if span.offset == 0 and span.state == "corrupt":
            lost = "the header of this segment"
        where = "" if span.state == "missing" else f" ({span.length} bytes at {span.offset})"
        lines.append(f"  {span.segment}: {span.state}, {lost} lost{where}")
    return lines


def image_times(path: Path) -> list[int]:
    """The times of a video's images, ms; raises FFmpegError, OSError, ValueError or IndexError."""
    # As what it is said to be: a playlist of that name would open its neighbours.
    with av.open(str(path), format="matroska") as container:
        packets = (packet for packet in container.demux(video=0) if packet.size)
        return [round(1000 * p.pts * p.time_base) for p in packets if p.pts is not None and p.time_base is not None]


def _check_videos(take: Take) -> tuple[list[str], bool]:
    """Compare every video with the rows of ``frames`` that name it; (what to tell the user, whether all is there)."""
    lines, whole, parts = [], True, segments(take.folder, FRAMES)
    closed = not parts or is_ended(parts[-1])
    named: dict[str, list[int]] = {path.name: [] for path in take.folder.glob(f"{FRAMES}-*.mkv")}
    newest: dict[str, str] = {}
    for batch in take.batches(FRAMES):
        for row in batch.select(["camera", "file", "video_time"]).to_pylist():
            named.setdefault(row["file"], []).append(round(row["video_time"] * 1000))
            newest[row["camera"]] = row["file"]
    for name, rows in sorted(named.items()):
        try:
            found = image_times(video_of(take.folder, name))
        except FileNotFoundError:
            lines.append(f"{name}: missing, {number_of(len(rows), 'image')} lost")
            whole = False
            continue
        except (OSError, FFmpegError, ValueError, IndexError) as error:
            why = getattr(error, "strerror", None) or error
            lines.append(f"{one_line(name, 100)}: cannot be read ({why}), {number_of(len(rows), 'image')} lost")
            whole = False
            continue
        line, there = f"{name}: {number_of(len(found), 'image')}", set(found)
        absent = [t for t in rows if t not in there]
        if absent and not closed and name in newest.values() and _unwritten(absent, found):
            line += f"; {len(absent)} more were not on the disk yet when the recorder was stopped"
        elif absent:
            line += f"; {len(absent)} that the table names are lost"
            whole = False
        lines.append(line)
    return lines, whole


def _unwritten(absent: list[int], found: list[int]) -> bool:
    """Whether these images (ms) are the end that FFmpeg still held, a second or a single image, when it was killed."""
    last = max(found, default=min(absent))
    return min(absent) >= last and (len(absent) == 1 or max(absent) - last <= 1000)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise StreamError(f"cannot copy {source} to {target}: {error.strerror or error}") from None


def recover(take: Take, out: Path | None) -> tuple[list[str], bool]:
    """Check all of a take; (what to tell the user, whether nothing is lost).

    Raises:
        StreamError: if ``out`` exists, lies in the take or cannot be written, or the take cannot be read.
    """
    if out is None:
        return _recover(take, None)
    if out.exists() or out.is_symlink():
        raise StreamError(f"{out} already exists; give --out a folder that does not")
    if take.folder.resolve() in out.resolve().parents:
        raise StreamError(f"--out {out} lies in the take, which is never changed; give a folder outside of it")
    try:
        # Made aside: a copy that has its name is whole.
        with scratch(out.resolve().parent) as folder:
            copy = folder / out.name
            copy.mkdir()
            lines, whole = _recover(take, copy)
            copy.rename(out)
    except OSError as error:
        raise StreamError(f"cannot write {out}: {error.strerror or error}") from None
    return [*lines, f"clean copy: {out}"], whole


def _recover(take: Take, out: Path | None) -> tuple[list[str], bool]:
    folder = take.folder
    lines, whole = [f"take {folder}"], True
    try:
        videos = sorted(folder.glob(f"{FRAMES}-*.mkv"))
        for stream in STREAMS:
            if not segments(folder, stream):
                if stream in take.streams or (stream == FRAMES and videos):
                    lines.append(f"{stream}: missing")
                    whole = False
                continue
            report = check(take, stream, out)
            lines += describe(report)
            whole &= not report.faults
        refined = take.run_info.settings.get("refine")
        if isinstance(refined, dict) and refined.get("cameras") and calibration_file(folder) is None:
            lines.append(f"{CALIBRATION}: missing; the header has its cameras")
            whole = False
        said, all_there = _check_videos(take)
        lines += said
        whole &= all_there
        if out is not None:
            for video in videos:
                with suppress(ValueError, FileNotFoundError):  # said above
                    _copy(video_of(folder, video.name), out / video.name)
            if calibration_file(folder) is not None:
                _copy(folder / CALIBRATION, out / CALIBRATION)
    except OSError as error:
        if out is not None:
            raise
        raise StreamError(f"cannot read {folder}: {error.strerror or error}") from None
    lines.append("nothing is lost" if whole else "what is listed above is lost, the rest is readable")
    return lines, whole
