"""Rates of a recording, whose times need not be even, and the same at even times."""

from dataclasses import replace
from typing import Final

import numpy as np

from calibration.arrays import Array
from stream.recordings.markers import Markers
from stream.types import StreamError
from stream.words import number_of

_GAP_S: Final = 0.1
_UNEVEN: Final = 0.02
_MOST_FRAMES: Final = 1_000_000
_OFF_GRID: Final = 0.25
"""Of a step: how far from even times those of a file without a column of times may lie."""


def rate_of(time: Array) -> float:
    """Moments a second: the mean of the steps that are no gaps."""
    steps = np.diff(time)
    steps = steps[steps > 0]
    if not len(steps):
        return 30.0
    return float(1 / steps[steps < 1.5 * np.median(steps)].mean())


def uneven(time: Array) -> list[str]:
    """What to say where the times are not even: the rate that a header takes is then not the mean one."""
    if len(time) < 2 or time[-1] <= time[0]:
        return []
    mean, rate = (len(time) - 1) / (time[-1] - time[0]), rate_of(time)
    if abs(mean / rate - 1) < _UNEVEN:
        return []
    return [f"its times are uneven: {rate:.6g} Hz without the gaps, {mean:.6g} Hz on the whole; --rate HZ resamples"]


def resampled(markers: Markers, rate: float) -> Markers:
    """The same at even times: joints on the line between the rows before and after, nobody where these are a gap apart.

    A gap is longer than 0.1 s, as far as the joints of two frames are interpolated in a run, or than 1.5 usual steps
    where these are slower.

    Args:
        markers: at any times.
        rate: Hz.

    Raises:
        StreamError: for more than a million frames, which would fill the memory.
    """
    time = markers.time
    if len(time) < 2:
        return markers
    steps = (time[-1] - time[0]) * rate
    if not steps < _MOST_FRAMES:
        raise StreamError(
            f"--rate {rate:g}: {time[-1] - time[0]:.6g} s would be {steps:.3g} frames, and {_MOST_FRAMES} are the "
            "most; give a lower rate, or --start and --end"
        )
    grid = time[0] + np.arange(int(steps + 1e-6) + 1) / rate
    before = np.clip(np.searchsorted(time, grid + 1e-9, side="right") - 1, 0, len(time) - 2)
    step = time[before + 1] - time[before]
    share = np.clip((grid - time[before]) / np.where(step > 0, step, 1), 0, 1)[:, None, None]
    longest = max(_GAP_S, 1.5 * float(np.median(np.diff(time)))) + 1e-6
    apart, at_first, at_second = (step > longest)[:, None, None], share < 1e-6, share > 1 - 1e-6
    moments, people, points, covs = [], [], [], []
    for person_id in markers.people:
        mine = markers.person == person_id
        values = np.concatenate([markers.points, markers.cov.reshape(*markers.points.shape[:2], 9)], -1)
        there = np.full((len(time), *values.shape[1:]), np.nan)
        there[markers.moment[mine]] = values[mine]
        a, b = there[before], there[before + 1]
        between = np.where(apart, np.nan, a + share * (b - a))
        made = np.where(at_first, a, np.where(at_second, b, between))
        kept = np.flatnonzero(np.isfinite(made[..., :3]).any((1, 2)))
        moments.append(kept)
        people.append(np.full(len(kept), person_id))
        points.append(made[kept][..., :3])
        covs.append(made[kept][..., 3:].reshape(len(kept), made.shape[1], 3, 3))
    note = f"resampled from {len(time)} to {number_of(len(grid), 'frame')} at {rate:g} Hz"
    return replace(
        markers, time=grid, moment=np.concatenate(moments), person=np.concatenate(people),
        points=np.concatenate(points), cov=np.concatenate(covs), notes=(*markers.notes, note),
    )  # fmt: skip


def evened(markers: Markers, rate: float | None) -> tuple[Markers, float]:
    """Markers at even times, for files that know a rate and no times, and that rate in Hz.

    Args:
        markers: at any times.
        rate: Hz to resample to; None for the take's own, at which nothing is changed where its times are even.
    """
    own, time = rate_of(markers.time), markers.time
    if rate is None:
        mean = (len(time) - 1) / (time[-1] - time[0]) if len(time) > 1 and time[-1] > time[0] else own
        grid = np.arange(len(time)) / mean
        if np.abs(time - time[:1] - grid).max(initial=0) * mean < _OFF_GRID:
            return markers, mean
    made = resampled(markers, own if rate is None else rate)
    if rate is None:
        made = replace(made, notes=(*made.notes[:-1], f"its times are uneven: {made.notes[-1]}"))
    return made, own if rate is None else rate
