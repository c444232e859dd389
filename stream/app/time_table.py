"""A table of the times of every camera's frames, as caliscope and skellycam write it beside videos of one rate."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from calibration.text import decode
from calibration.writing import special
from stream.config import SourceConfig
from stream.types import StreamError

Times = dict[str, list[float | None]]
"""By camera as the table calls it: the time of each frame in order, seconds; None where the table has none."""

_CAMERA = ("camera", "camera_name", "camera_id", "cam", "cam_id", "port")
_TIME = ("time", "frame_time", "time_s", "timestamp", "timestamp_s", "time_seconds", "seconds", "timestamp_unix",
         "timestamp_utc", "timestamp_unix_s", "timestamp_seconds")  # fmt: skip
_SCALED = {
    "timestamp_us": 1e-6, "time_us": 1e-6, "timestamp_unix_ms": 1e-3, "timestamp_ns": 1e-9, "time_ns": 1e-9,
    "timestamp_unix_ns": 1e-9, "timestamp_ms": 1e-3, "time_ms": 1e-3,
}  # fmt: skip
_FRAME = ("frame_index", "frame", "frame_number", "frame_id")
_SYNC = "sync_index"
_CLOCK = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:[.,]\d+)?)")
_UNIT = re.compile(r"\s*[(\[](\w+)[)\]]$")
_MOST_BYTES = 1 << 28
_MOST_FRAMES = 10_000_000


def read_times(path: Path) -> Times:
    """Read a table: ``camera`` (also ``port``, ``cam_id``), ``time`` (also ``frame_time``, ``timestamp_ns`` ...).

    With a column ``frame_index`` that is the frame's number in its video, counted from a camera's first row; without,
    the rows of a camera are its frames in order. Rows without a time are moments without a frame of it.

    Raises:
        StreamError: if it cannot be read, lacks a column or holds times that do not increase.
    """
    rows = _rows(path)
    head = [_UNIT.sub(r"_\1", cell.strip().lower()).replace(" ", "_") for cell in (rows[0] if rows else [])]
    camera, frame = _column(head, _CAMERA), _column(head, _FRAME)
    time, factor = _column(head, _TIME), 1.0
    if time is None:
        time, factor = next(((head.index(name), by) for name, by in _SCALED.items() if name in head), (None, 1.0))
    if camera is None or time is None:
        raise StreamError(
            f"--times {path}: needs columns camera and time (sync_index and frame_index are used, too); it has "
            f"{', '.join(head)[:200] or 'none'}"
        )
    if _SYNC in head and frame is None:
        at = head.index(_SYNC)
        rows = [rows[0], *sorted(rows[1:], key=lambda row: _number(row, at, path) or 0.0)]
    found: dict[str, dict[int, float | None]] = {}
    for row in rows[1:]:
        t = _moment(row, time, path)
        if t is None:
            continue
        if len(row) <= camera:
            raise StreamError(f"--times {path}: a row has no camera: {','.join(row)[:40]!r}")
        mine = found.setdefault(row[camera].strip(), {})
        number = len(mine) if frame is None else _number(row, frame, path)
        index = len(mine) if number is None else _index(number, row[camera], path)
        if index in mine:
            raise StreamError(f"--times {path}: frame {index} of {row[camera].strip()} has two times")
        mine[index] = t * factor
    times: Times = {}
    for name, mine in found.items():
        first, last = min(mine), max(mine)
        if last - first >= _MOST_FRAMES:
            raise StreamError(f"--times {path}: frames {first} to {last} of {name}: at most {_MOST_FRAMES} are read")
        times[name] = [mine.get(number) for number in range(first, last + 1)]
        _check(name, times[name], path)
    if not times:
        raise StreamError(f"--times {path}: there is not one time in it")
    return times


def times_of(table: Mapping[str, Sequence[float | None]], source: SourceConfig, path: Path) -> tuple[float | None, ...]:
    """The times of one camera: by its name, by the name of its file, or by the number that either ends in.

    Raises:
        StreamError: if the table has none for it.
    """
    stem = Path(source.source).stem
    for name in ([source.name] if source.named else []) + [stem, source.name]:
        if name in table:
            return tuple(table[name])
    for text in ([source.name] if source.named else []) + [stem]:
        number = re.search(r"(?<!\d)0*(\d+)$", text)
        same = [name for name in table if number and re.fullmatch(rf"(?:.*\D)?0*{number[1]}", name)]
        if len(same) == 1:
            return tuple(table[same[0]])
    raise StreamError(
        f"--times {path}: it has no times of {source.name}; it has those of {', '.join(sorted(table))[:200]}; "
        "name the camera so: --camera NAME=SOURCE"
    )


def _rows(path: Path) -> list[list[str]]:
    try:
        if kind := special(path):
            raise StreamError(f"--times {path}: it is {kind}; give a table of comma-separated values")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise StreamError(f"--times {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > _MOST_BYTES:
        raise StreamError(f"--times {path}: too large for a table of times")
    try:
        lines = decode(data).splitlines()
        # What programs and people write before the names of the columns.
        while lines and (not lines[0].strip() or lines[0].lstrip().startswith("#") or lines[0].startswith("sep=")):
            del lines[0]
        comma = max(",;\t|", key=lines[0].count) if lines else ","
        rows = [row for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=comma) if row]
        return rows if comma == "," else [[_point(cell) for cell in row] for row in rows]
    except (ValueError, csv.Error) as error:
        problem = " ".join(str(error).split())[:100]
    raise StreamError(f"--times {path}: not a table of comma-separated values ({problem})")


def _column(head: Sequence[str], names: Sequence[str]) -> int | None:
    return next((head.index(name) for name in names if name in head), None)


def _point(cell: str) -> str:
    """A number with a decimal comma, as tables of other separators have it, with a point."""
    return cell.replace(",", ".") if re.fullmatch(r"\s*-?\d+,\d+\s*", cell) else cell


def _moment(row: Sequence[str], at: int, path: Path) -> float | None:
    """A time, in the column's unit; of a date or a time of day in seconds, of UTC where it names no zone."""
    text = row[at].strip() if at < len(row) else ""
    if clock := _CLOCK.fullmatch(text):
        return 3600.0 * int(clock[1]) + 60 * int(clock[2]) + float(clock[3].replace(",", "."))
    if text[4:5] == "-":
        try:
            date = datetime.fromisoformat(text)
        except ValueError:
            return _number(row, at, path)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    return _number(row, at, path)


def _number(row: Sequence[str], at: int, path: Path) -> float | None:
    text = row[at].strip() if at < len(row) else ""
    if text.lower() in ("", "nan", "none", "null"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value) or abs(value) > 1e19:
        raise StreamError(f"--times {path}: {text[:40]!r} is not a number")
    return value


def _index(number: float, camera: str, path: Path) -> int:
    if number < 0 or number != int(number):
        raise StreamError(f"--times {path}: {number:g} is no number of a frame of {camera}")
    return int(number)


def _check(name: str, times: Sequence[float | None], path: Path) -> None:
    known = [t for t in times if t is not None]
    for number, (before, after) in enumerate(zip(known, known[1:], strict=False)):
        if after <= before:
            raise StreamError(
                f"--times {path}: the times of {name} do not increase: {before:.6f}, then {after:.6f} at its "
                f"{number + 2}th frame"
            )
