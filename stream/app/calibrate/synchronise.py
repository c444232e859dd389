"""From running cameras or videos to their time offsets: a person's joints a camera, all pairs, one answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from calibration.arrays import Array, Image
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera
from calibration.solving.offsets import Offsets, reconcile
from calibration.solving.timing import Offset, estimate_offset
from calibration.solving.timing_epipolar import refine_offset
from calibration.text import quoted_key, word
from calibration.writing import write_text
from stream.app.calibrate.capture import Feed
from stream.app.calibrate.show import progress
from stream.sources import DAY_S, SourceInfo, timecode_seconds


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A person's joints in one camera, at that camera's own times."""

    times: Array
    """(F,) seconds, increasing."""
    xy: Array
    """(F, J, 2) pixels."""
    score: Array
    """(F, J) 0..1, 0 = not seen."""


def collect_tracks(
    feeds: Sequence[Feed], sessions: Sequence[Callable[[Image, float], Any]], joints: Sequence[int], seconds: float,
    frames: Sequence[int | None] = (),
) -> list[Track]:  # fmt: skip
    """Detect the person in every frame of every camera, in turns, so that live cameras are looked at together.

    Args:
        feeds: the cameras.
        sessions: a detector's session a camera: image, time -> something with ``xy`` (17, 2) and ``score`` (17,).
        joints: which of them to keep; the means of others say nothing new.
        seconds: most seconds of each camera.
        frames: how many frames each will give, where known, for the progress shown.
    """
    times: list[list[float]] = [[] for _ in feeds]
    xy: list[list[Array]] = [[] for _ in feeds]
    score: list[list[Array]] = [[] for _ in feeds]
    total = sum(n for n in frames if n) if frames and all(frames) else None
    running = set(range(len(feeds)))
    while running:
        for k in sorted(running):
            frame = feeds[k].read()
            if frame is None or (times[k] and frame.t + feeds[k].offset - times[k][0] > seconds):
                running.discard(k)
                continue
            t = frame.t + feeds[k].offset
            if times[k] and t <= times[k][-1]:
                continue
            seen = sessions[k](frame.image, frame.t)
            times[k].append(t)
            xy[k].append(np.asarray(seen.xy, float)[list(joints)])
            score[k].append(np.asarray(seen.score, float)[list(joints)])
        done = sum(map(len, times))
        bar = f"{'#' * (20 * done // total):20} {done}/{total}" if total else str(done)
        progress(f"detecting: {bar} frames")
    progress(None)
    for feed, mine in zip(feeds, score, strict=True):
        if not any(s.max() > 0 for s in mine):
            raise CalibrationError(f"{feed.name}: nobody is seen in it; one person must be in view of all cameras")
    return [Track(np.array(t), np.array(x), np.array(s)) for t, x, s in zip(times, xy, score, strict=True)]


def synchronise(
    names: Sequence[str], tracks: Sequence[Track], cameras: Sequence[Camera] | None, max_offset_s: float
) -> Offsets:
    """Offsets of all cameras against the first.

    Args:
        names: of the N cameras.
        tracks: one a camera.
        cameras: their places, which make it more precise and are verified by the movement; None where not known.
        max_offset_s: largest offset between two cameras that is tried.

    Raises:
        CalibrationError: if an offset cannot be told with confidence, in one line with what to do.
    """
    pairs: dict[tuple[int, int], Offset] = {}
    remarks = []
    for i, j in combinations(range(len(names)), 2):
        a, b = tracks[i], tracks[j]
        both = (a.times, a.xy, a.score, b.times, b.xy, b.score)
        pairs[i, j] = moved = estimate_offset(*both, max_offset_s)
        if cameras is None:
            continue
        placed = refine_offset(cameras[i], cameras[j], *both, max_offset_s)
        apart = abs(placed.seconds - moved.seconds)
        if placed.trusted and moved.trusted and apart > 0.02 + 4 * np.hypot(placed.sigma, moved.sigma):
            remarks.append(f"{names[i]} - {names[j]}: calibration and movement differ by {1e3 * apart:.0f} ms; "
                           "is it still the calibration of these cameras?")  # fmt: skip
        if placed.trusted:
            pairs[i, j] = placed
    result = reconcile(names, pairs)
    return Offsets(result.seconds, result.sigma, result.confidence, (*remarks, *result.remarks))


def by_timecode(infos: Sequence[SourceInfo]) -> list[float] | None:
    """Seconds to add to the times of each file by its container's timecode, the first's as they are.

    None where not every file has one and two are needed.
    """
    begins = [timecode_seconds(i.timecode, i.fps) if i.timecode and i.fps else None for i in infos]
    starts = [info.start for info in infos]
    seconds = []
    for begin, start in zip(begins, starts, strict=True):
        if begin is None or start is None or begins[0] is None or starts[0] is None:
            return None
        apart = (begin - begins[0] + DAY_S / 2) % DAY_S - DAY_S / 2  # over midnight
        seconds.append(apart - (start.t - starts[0].t))
    return seconds if len(seconds) > 1 else None


def flags(names: Sequence[str], seconds: Sequence[float]) -> str:
    """What to paste behind ``run_stream.py``; the first camera needs none."""
    offsets = [f"{name}={s:.4f}" for name, s in zip(names, seconds, strict=True) if round(s, 4)]
    return " ".join(f"--sync-offset {word(offset)}" for offset in offsets)


def write_offsets(path: Path, names: Sequence[str], seconds: Sequence[float], result: Offsets) -> None:
    """Write offsets as TOML: a table each of seconds, sigma and confidence by camera.

    Raises:
        WriteError: if it cannot be written.
    """
    tables: Mapping[str, Sequence[float]] = {
        "offset_s": seconds, "sigma_s": result.sigma.tolist(), "confidence": result.confidence.tolist(),
    }  # fmt: skip
    text = "# Seconds to add to the times of each camera, from python -m calibration sync.\n"
    for title, values in tables.items():
        rows = (f"{quoted_key(n)} = {v:.6f}\n" for n, v in zip(names, values, strict=True))
        text += f"\n[{title}]\n" + "".join(rows)
    write_text(path, text)
