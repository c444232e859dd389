"""What a report tells, as numbers of a take."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from calibration.geometry.camera import Camera, world_to_image
from engines.articulation.lengths import bone_lengths
from engines.skeleton import JOINTS, LIMBS
from stream.recordings.columns import Read
from stream.recordings.rows import decode_events
from stream.recordings.schema import ESTIMATES, EVENTS, MOMENTS, array_of
from stream.types import Event, StreamError

_SEEN = 0.2
"""Score from which a joint counts as seen, as the lifter has it."""
_MOST_BINS = 160
"""Of time, in pictures of all of it; no more than there are moments."""
_AGREED = ("hypotheses", "map", "triangulate")
"""Poses that several views agree on."""
_MOST_PEOPLE = 12


@dataclass(frozen=True, slots=True, eq=False)
class CameraHealth:
    """One camera over the take."""

    name: str
    frames: int
    """That were looked at."""
    moments: float
    """Share of the moments in which it had a frame."""
    fps: float
    """Frames a second, by the median step; NaN below two frames."""
    lost: int
    """Frames that its own numbering lacks."""
    longest_s: float
    """Longest time without a frame; NaN below two frames."""
    people: float
    """Share of its frames in which somebody is seen."""
    detectors: Mapping[str, int]
    """Frames by the detector that answered."""
    probability: Array
    """(B,) median probability of the answer by time; NaN where there is none."""
    reprojection: tuple[float, float, float, float] | None
    """Pixels between joints that several views agree on and the 2D joints: median, 95th percentile, and the median of x
    and of y, which is 0 where the calibration is right; None where nothing is fused so, or it is not calibrated."""


@dataclass(frozen=True, slots=True, eq=False)
class PersonNumbers:
    """One person over the take."""

    person_id: int
    fused: int
    """Moments in which they are fused."""
    cameras: Array
    """(B,) how many cameras see them by time."""
    lengths: Array
    """(17,) mm, median length of each bone; NaN where they are never placed."""
    spread: Array
    """(17,) from the 5th to the 95th percentile, a share of it."""
    sigma: float
    """mm, median one standard deviation an axis of their joints; NaN where it is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """All of it."""

    start: float
    """Seconds: time of the first moment."""
    seconds: float
    """From the first to the last."""
    moments: int
    missed: int
    """Moments that were not recorded, because the recorder had fallen behind."""
    methods: Mapping[str, int]
    """Fused poses by how they were made."""
    skew: Array
    """(4,) ms between the earliest and the latest frame of a moment: median, 95, 99, most; NaN where there is none."""
    stages: Mapping[str, float]
    """Median ms that each stage took."""
    cameras: tuple[CameraHealth, ...]
    people: tuple[PersonNumbers, ...]
    """Those who are there longest, no more than twelve."""
    others: int
    """How many more there are."""
    coverage: Array
    """(17, B) share of views in which a joint is seen by time; NaN where nobody is."""
    events: tuple[Event, ...]
    peopled: Array
    """(K,) seconds: the moments in which somebody is there."""


def numbers_of(reading: Read) -> Numbers:
    """Go through a take.

    Raises:
        StreamError: if there is not one moment in it.
    """
    columns = ("moment", "moment_time", "camera", "frame_index", "time", "person", "person_id", "detector", "score",
               "xy", "track_probabilities", "answer")  # fmt: skip
    e = _all(reading, ESTIMATES, columns)
    m = _all(reading, MOMENTS, ("moment", "time", "spread_s", "missed_before", "fused", "person_id", "pose_method",
                                "pose_world", "pose_cov"))  # fmt: skip
    times = np.concatenate([e["moment_time"], m["time"]])
    if not len(times):
        raise StreamError("there is not one moment in this take: nothing to report")
    start, seconds = float(times.min()), float(times.max() - times.min())
    first = np.concatenate([[True], m["moment"][1:] != m["moment"][:-1]]) if len(m["moment"]) else np.zeros(0, bool)
    moments = len(np.unique(np.concatenate([e["moment"], m["moment"]])))
    share = (e["moment_time"] - start) / (seconds or 1)
    count = max(min(_MOST_BINS, moments), 1)
    bins = Bins(np.clip((share * count).astype(int), 0, count - 1), count)
    placed = {c.name: c.calibration for c in reading.take.run_info.cameras}
    cameras = tuple(_camera(name, e, m, bins, moments, placed[name]) for name in placed)
    people, others = _people(e, m, bins)
    skew = 1000 * m["spread_s"][first]
    return Numbers(
        start, seconds, moments, int(m["missed_before"][first].clip(0).sum()),
        Counter(m["pose_method"][m["fused"]].tolist()),
        np.percentile(skew, [50, 95, 99, 100]) if len(skew) else np.full(4, np.nan), _stages(reading),
        cameras, people, others, _coverage(e, bins),
        tuple(event for batch in reading(EVENTS) for event in decode_events(batch)),
        np.unique(np.concatenate([e["moment_time"][e["person"]], m["time"][m["fused"]]])),
    )  # fmt: skip


class Bins(NamedTuple):
    """Stretches of time."""

    of: NDArray[np.intp]
    """(R,) the one that a row of the views is in."""
    count: int  # pyright: ignore[reportIncompatibleMethodOverride] - a tuple's method, which nobody asks here
    """B, how many there are."""


def _all(reading: Read, stream: str, names: Sequence[str]) -> dict[str, NDArray]:
    batches = list(reading(stream))
    return {name: np.concatenate([array_of(batch, name) for batch in batches]) for name in names}


def _stages(reading: Read) -> dict[str, float]:
    took: dict[str, list[float]] = {}
    for batch in reading(MOMENTS):
        for stages in batch.column("stages").to_pylist():
            for name, value in dict(stages or {}).items():
                took.setdefault(name, []).append(value)
    return {name: 1000 * float(np.median(values)) for name, values in took.items()}


def _binned(values: Array, bins: Bins) -> Array:
    """(B,) median of finite values by bin; NaN where there is none."""
    out = np.full(bins.count, np.nan)
    known = np.isfinite(values)
    for k in np.unique(bins.of[known]):
        out[k] = np.median(values[known & (bins.of == k)])
    return out


def _camera(
    name: str, e: Mapping[str, NDArray], m: Mapping[str, NDArray], bins: Bins, moments: int, camera: Camera | None
) -> CameraHealth:
    mine = e["camera"] == name
    index, at = np.unique(e["frame_index"][mine], return_index=True)
    time = np.sort(e["time"][mine][at])
    steps = np.diff(time)
    steps = steps[steps > 0]
    jumps = np.diff(index)
    seen = {int(k) for k in e["frame_index"][mine & e["person"]]}
    chance = np.full(len(mine), np.nan)
    there = mine & e["person"] & np.isfinite(e["track_probabilities"]).any(1)
    chance[there] = np.nanmax(e["track_probabilities"][there], axis=1)
    return CameraHealth(
        name, len(index), len(np.unique(e["moment"][mine])) / max(moments, 1),
        float(1 / np.median(steps)) if len(steps) else np.nan,
        int((jumps - 1)[jumps > 1].sum()), float(steps.max()) if len(steps) else np.nan,
        len(seen) / max(len(index), 1), Counter(e["detector"][mine][at].tolist()), _binned(chance, bins),
        None if camera is None else _reprojection(camera, mine, e, m),
    )  # fmt: skip


def _reprojection(
    camera: Camera, mine: NDArray, e: Mapping[str, NDArray], m: Mapping[str, NDArray]
) -> tuple[float, float, float, float] | None:
    agreed = m["fused"] & np.isin(m["pose_method"], _AGREED)
    rows = {(int(m["moment"][k]), int(m["person_id"][k])): int(k) for k in np.flatnonzero(agreed)}
    pairs = [
        (int(k), rows[key])
        for k in np.flatnonzero(mine & e["person"])
        if (key := (int(e["moment"][k]), int(e["person_id"][k]))) in rows
    ]
    if not pairs:
        return None
    view, pose = (np.array(side) for side in zip(*pairs, strict=True))
    limbs = list(LIMBS)
    projected = world_to_image(camera, m["pose_world"][pose][:, limbs].reshape(-1, 3).astype(float))
    off = projected.reshape(len(pairs), len(limbs), 2) - e["xy"][view][:, limbs]
    off = off[(e["score"][view][:, limbs] >= _SEEN) & np.isfinite(off).all(-1)]
    if not len(off):
        return None
    size = np.linalg.norm(off, axis=-1)
    x, y = (float(value) for value in np.median(off, axis=0))
    return float(np.median(size)), float(np.percentile(size, 95)), x, y


def _coverage(e: Mapping[str, NDArray], bins: Bins) -> Array:
    out = np.full((len(JOINTS), bins.count), np.nan)
    for k in np.unique(bins.of[e["person"]]):
        rows = e["person"] & (bins.of == k)
        out[:, k] = (e["score"][rows] >= _SEEN).mean(0)
    return out


def _people(e: Mapping[str, NDArray], m: Mapping[str, NDArray], bins: Bins) -> tuple[tuple[PersonNumbers, ...], int]:
    ids = Counter(e["person_id"][e["person"]].tolist()) | Counter(m["person_id"][m["fused"]].tolist())
    made = []
    for person_id, _ in ids.most_common(_MOST_PEOPLE):
        rows, poses = e["person"] & (e["person_id"] == person_id), m["fused"] & (m["person_id"] == person_id)
        cameras = np.zeros(bins.count)
        for k in np.unique(bins.of[rows]):
            inside = rows & (bins.of == k)
            cameras[k] = inside.sum() / max(len(np.unique(e["moment"][inside])), 1)
        points = m["pose_world"][poses] if poses.any() else e["answer"][rows & np.isfinite(e["answer"]).all((1, 2))]
        lengths = bone_lengths(points.astype(float)) if len(points) else np.full((1, len(JOINTS)), np.nan)
        median = np.median(lengths, axis=0)
        low, high = np.percentile(lengths, [5, 95], axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = (high - low) / median
        variance = np.trace(m["pose_cov"][poses].astype(float), axis1=-2, axis2=-1) / 3
        sigma = float(np.sqrt(np.median(variance))) if poses.any() else np.nan
        made.append(PersonNumbers(int(person_id), int(poses.sum()), cameras, median, spread, sigma))
    return tuple(sorted(made, key=lambda one: one.person_id)), max(len(ids) - _MOST_PEOPLE, 0)
