"""Why a camera contradicts the others: which single change makes its detections fit them.

Tried are: its picture is mirrored (also top to bottom) or upside down, it bears another camera's name, it was moved
since the calibration, it is late; and, where none of these explains anything, moved and late at once. The change that
explains the detections best is the cause, if it explains them; of two that explain them alike the one that could
explain less: a moved camera has six numbers to fit with, a late one a single one. Detections that nothing explains are
another person's, or something's that looks like one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera, image_to_ray, scale_camera, world_to_image
from calibration.geometry.triangulation import triangulate_linear
from engines.skeleton import LIMBS, MIRROR

_LIMBS: Final[list[int]] = list(LIMBS)
_EXPLAINED: Final = 0.05
"""Median distance of the joints, in sizes of the person, below which a change explains them: twice the bias that the
good views of a real recording have."""
_PAIR_EXPLAINED: Final = 0.02
"""The same of two views, whose rays nearly meet by chance."""
_MOVED_EXPLAINED: Final = 0.02
"""The same of a camera that was moved, which has six numbers to take up any bias with."""
_BETTER: Final = 0.5
"""A change must halve what is off without it."""
_MOVED_COSTS: Final = 3.0
"""It must explain so much better than anything else, too."""
_LATE_S: Final = 1.5
"""The latest that is tried, either way."""
_LEAST_MOMENTS: Final = 5
_BOTH_TRIED: Final = 24
"""About so many delays are tried together with a move, which costs more than either alone."""
_MOVES: Final = 0.05
"""A person who moves by less, in their sizes, does not tell when."""


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """One person over some time."""

    t: Array
    """(F,) seconds, increasing."""
    xy: Array
    """(V, F, 17, 2) pixels, NaN where not seen."""
    joints: Array
    """(F, 17, 3) mm, world: the pose of the views that agree; NaN where there is none."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What explains the detections of a camera."""

    kind: str
    """"mirrored", "mirrored top to bottom", "upside down", "exchanged", "moved", "late", "moved and late", "another
    person", or "unknown"."""
    text: str
    """In words, to be put after the camera's name and "contradicts the other cameras: "."""
    misfit: float
    """Median distance of its joints from where they should be, in sizes of the person, with that change."""
    value: float = 0.0
    """Of "late" the seconds, negative for early; of "moved" (and late) the degrees by which it was turned."""
    other: int | None = None
    """Of "exchanged" the camera whose picture it is."""


def explain(seen: Watched, cameras: Sequence[Camera], which: int) -> Cause:
    """Find out why a camera contradicts a pose that the others agree on.

    Args:
        seen: the person.
        cameras: V of them.
        which: index of the camera that contradicts.
    """
    xy, camera = _limbs_of(seen.xy[which]), cameras[which]
    joints = seen.joints[:, _LIMBS]
    now = _misfit(xy, world_to_image(camera, joints))
    found = [*_turned(xy, camera, joints), *_exchanged(xy, cameras, which, joints)]
    found += _late(seen.t, xy, camera, joints) + _moved(xy, camera, joints)
    best = _best(found, now) or _best(_moved_and_late(seen.t, xy, camera, joints), now)
    return best or Cause("another person", "it sees another person, or what looks like one", now)


def explain_pair(seen: Watched, cameras: Sequence[Camera], a: int, b: int) -> Cause:
    """Find out why two cameras contradict each other, where no third one says who is right.

    Args:
        seen: the person; its ``joints`` are not used.
        cameras: V of them.
        a: index of one.
        b: index of the other.

    Returns:
        As ``explain``; the text names the camera where that can be told.
    """
    pair, xa, xb = (cameras[a], cameras[b]), _limbs_of(seen.xy[a]), _limbs_of(seen.xy[b])
    now = _disagreement(pair, xa, xb)
    found = []
    for name, change in _FLIPS.items():
        for k, cause in ((0, a), (1, b)):
            changed = [xa, xb]
            changed[k] = change(changed[k], pair[k].size)
            text = f"the picture of {cameras[cause].name} is {name}"
            found.append(Cause(name, text, _disagreement(pair, *changed)))
    if pair[0].size == pair[1].size:
        text = f"the names of {pair[0].name} and {pair[1].name} are exchanged"
        found.append(Cause("exchanged", text, _disagreement(pair[::-1], xa, xb), other=b))
    if _moves(xa) or _moves(xb):
        for late in _delays(seen.t):
            text = f"{pair[1].name} is {_timed(late)} against {pair[0].name}"
            misfit = _disagreement(pair, xa, _at(seen.t, xb, seen.t + late))
            found.append(Cause("late", text, misfit, late))
    text = "one of them sees another person, was moved since the calibration, or bears another camera's name"
    return _best([c for c in found if c.misfit < _PAIR_EXPLAINED], now) or Cause("unknown", text, now)


def _best(found: Sequence[Cause], now: float) -> Cause | None:
    """The change that explains best, the first of several alike."""
    most = {"moved": _MOVED_EXPLAINED, "moved and late": _MOVED_EXPLAINED}
    fits = [c for c in found if c.misfit < min(most.get(c.kind, _EXPLAINED), _BETTER * now)]
    return min(fits, key=lambda c: c.misfit * (_MOVED_COSTS if c.kind == "moved" else 1.0), default=None)


def _limbs_of(xy: Array) -> Array:
    return np.asarray(xy, np.float64)[:, _LIMBS]


def _misfit(xy: Array, shown: Array) -> float:
    """Median distance (F, J, 2) of what is seen and what should be, in sizes of the person."""
    size = np.linalg.norm(np.nanmax(xy, 1, initial=-np.inf, where=np.isfinite(xy))
                          - np.nanmin(xy, 1, initial=np.inf, where=np.isfinite(xy)), axis=-1)  # fmt: skip
    away = np.linalg.norm(xy - shown, axis=-1) / np.maximum(size, 1.0)[:, None]
    away = away[np.isfinite(away)]
    return float(np.median(away)) if len(away) >= _LEAST_MOMENTS * 4 else np.inf


_MIRROR_LIMBS: Final = [_LIMBS.index(int(MIRROR[j])) for j in _LIMBS]


def _mirrored(xy: Array, size: tuple[int, int]) -> Array:
    # What is left in the world is right in the mirror, and a detector calls it so.
    return ((size[0] - 1, 0) + xy * (-1, 1))[:, _MIRROR_LIMBS]


def _upside_down(xy: Array, size: tuple[int, int]) -> Array:
    return (size[0] - 1, size[1] - 1) - xy


def _top_to_bottom(xy: Array, size: tuple[int, int]) -> Array:
    return _upside_down(_mirrored(xy, size), size)


_FLIPS: Final[dict[str, Callable[[Array, tuple[int, int]], Array]]] = {
    "mirrored": _mirrored,
    "upside down": _upside_down,
    "mirrored top to bottom": _top_to_bottom,
}


def _turned(xy: Array, camera: Camera, joints: Array) -> list[Cause]:
    shown = world_to_image(camera, joints)
    return [
        Cause(name, f"its picture is {name}", _misfit(flip(xy, camera.size), shown)) for name, flip in _FLIPS.items()
    ]


def _exchanged(xy: Array, cameras: Sequence[Camera], which: int, joints: Array) -> list[Cause]:
    found = []
    for k, other in enumerate(cameras):
        if k != which:
            fitted = scale_camera(other, cameras[which].size)
            text = f"it shows what {other.name} should: the names of two cameras are exchanged"
            found.append(Cause("exchanged", text, _misfit(xy, world_to_image(fitted, joints)), other=k))
    return found


def _delays(t: Array) -> Array:
    """Seconds (N,) that may be tried in a recording of this length, both ways, a frame apart at most."""
    most = min(_LATE_S, 0.6 * float(t[-1] - t[0])) if len(t) > 1 else 0.0
    step = float(np.median(np.diff(t))) if len(t) > 1 else 1.0
    count = int(most / max(step, 1 / 120))
    return np.arange(-count, count + 1) * (most / max(count, 1))


def _at(t: Array, values: Array, when: Array) -> Array:
    """Values (F, ...) of times t (F,) at other times (N,), NaN outside, linear between."""
    after = np.clip(np.searchsorted(t, when), 1, len(t) - 1)
    share = (when - t[after - 1]) / np.maximum(t[after] - t[after - 1], 1e-9)
    inside = (share >= -1e-6) & (share <= 1 + 1e-6) & (t[after] - t[after - 1] < 0.3)
    shape = (-1,) + (1,) * (values.ndim - 1)
    between = values[after - 1] + share.reshape(shape) * (values[after] - values[after - 1])
    return np.where(inside.reshape(shape), between, np.nan)


def _moves(points: Array) -> bool:
    """Whether the person (F, J, d) moves by enough to tell one time from another."""
    low, high = np.nanmin(points, 1, initial=np.inf, where=np.isfinite(points)), np.nanmax(
        points, 1, initial=-np.inf, where=np.isfinite(points)
    )  # fmt: skip
    size = np.linalg.norm(high - low, axis=-1)
    size = float(np.median(size[np.isfinite(size)])) if np.isfinite(size).any() else np.inf
    seen = np.isfinite(points).all(-1).sum(0) >= 2
    ranges = [np.linalg.norm(np.nanmax(p, 0) - np.nanmin(p, 0)) for p in points[:, seen].swapaxes(0, 1)]
    return bool(ranges) and float(np.median(ranges)) > _MOVES * size


def _timed(late: float) -> str:
    return f"{'late' if late > 0 else 'early'} by {1e3 * abs(late):.0f} ms"


def _late(t: Array, xy: Array, camera: Camera, joints: Array) -> list[Cause]:
    if len(t) < _LEAST_MOMENTS or not _moves(joints):
        return []
    shown = world_to_image(camera, joints)
    # A camera that is late shows now what was then.
    delays = _delays(t)
    late, misfit = _least(delays, lambda late: _misfit(xy, _at(t, shown, t - late)))
    if late and len(delays) > 1:  # they are up to a frame apart
        step = float(delays[1] - delays[0])
        near = np.clip(late + np.linspace(-step, step, 9), delays[0], delays[-1])
        late, misfit = _least(near, lambda late: _misfit(xy, _at(t, shown, t - late)))
    return [Cause("late", f"it is {_timed(late)}", misfit, late)] if late else []


def _least(values: Array, cost: Callable[[float], float]) -> tuple[float, float]:
    """The value of the least cost, and that cost."""
    costs = [cost(float(value)) for value in values]
    best = int(np.argmin(costs))
    return float(values[best]), float(costs[best])


def _moved(xy: Array, camera: Camera, joints: Array) -> list[Cause]:
    """Where the camera would have to stand: a pose from all joints of all moments, those that do not fit left out."""
    seen = np.isfinite(xy).all(-1) & np.isfinite(joints).all(-1)
    if seen.sum() < _LEAST_MOMENTS * 4:
        return []
    points, rays = joints[seen], image_to_ray(camera, xy[seen])[:, :2]
    near = np.median(np.linalg.norm(points - camera.centre, axis=-1))
    scale = 1 / max(float(near), 1.0)
    ok, turn, shift, inside = cv2.solvePnPRansac(
        points * scale, rays, np.eye(3), np.zeros(4), iterationsCount=200, reprojectionError=0.02,
        flags=cv2.SOLVEPNP_EPNP,
    )  # fmt: skip
    if not ok or inside is None or len(inside) < 8:
        return []
    inside = np.asarray(inside[:, 0], np.intp)
    turn, shift = cv2.solvePnPRefineLM(points[inside] * scale, rays[inside], np.eye(3), np.zeros(4), turn, shift)
    R = cv2.Rodrigues(turn)[0]
    if np.linalg.det(R) < 0 or not np.isfinite(R).all():
        return []
    moved = replace(camera, R=R, t=shift[:, 0] / scale)
    degrees = float(np.degrees(np.arccos(np.clip((np.trace(R @ camera.R.T) - 1) / 2, -1, 1))))
    by = float(np.linalg.norm(moved.centre - camera.centre))
    text = f"it was moved since the calibration: turned by {degrees:.1f} degrees and shifted by {by:.0f} mm"
    return [Cause("moved", text, _misfit(xy, world_to_image(moved, joints)), degrees)]


def _moved_and_late(t: Array, xy: Array, camera: Camera, joints: Array) -> list[Cause]:
    """Both at once: where the camera would have to stand if it were so late."""
    if len(t) < _LEAST_MOMENTS or not _moves(joints):
        return []
    delays = _delays(t)
    found = []
    for late in delays[:: max(1, len(delays) // _BOTH_TRIED)]:
        found += [(cause, float(late)) for cause in _moved(xy, camera, _at(t, joints, t - late)) if late]
    if not found:
        return []
    cause, late = min(found, key=lambda one: one[0].misfit)
    return [replace(cause, kind="moved and late", text=f"{cause.text}, and is {_timed(late)}")]


def _disagreement(cameras: Sequence[Camera], xa: Array, xb: Array) -> float:
    """How far two views are from showing one body, in sizes of the person."""
    joints = triangulate_linear(cameras, np.stack([xa, xb]))
    return max(_misfit(x, world_to_image(camera, joints)) for camera, x in zip(cameras, (xa, xb), strict=True))
