"""Where the cameras stand, from the joints of one person walking about, for when there is no board.

Each pair of cameras that sees the person gives its relative pose up to scale (essential matrix, RANSAC over the joints
of all frames); the size of the person's own limbs gives every pair the same scale; the best pairs carry all cameras
into one frame; then all is adjusted together. Puwein et al., *Joint Camera Pose Estimation and 3D Human Pose
Estimation in a Multi-camera Setup*, 2014; Takahashi et al., *Human Pose as Calibration Pattern*, 2018.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera, image_to_ray
from calibration.geometry.triangulation import reprojection_error, triangulate_robust
from calibration.solving.beside import at_times, tell
from calibration.solving.body import Body, bone_lengths, bone_spread, height_of, walk_up
from calibration.solving.bundle import Observations, adjust

_MIN_JOINTS = 120
"""Two cameras that see fewer joints at the same times than this are not linked."""
_ADJUSTED_FRAMES = 100
_SPREAD = 0.25
"""Bones that change their length by more than this do not belong to one body seen by these cameras."""
_STEPS = 40
"""Most steps of an adjustment."""
_UNSURE_DEGREES = 1.5
# Beyond them a correction is none: the recordings are not in step, or the lenses are others.
_LATE_S, _OTHER_LENS = 0.25, 0.3
_BELIEVED: Final = 5.0
"""Degrees to which each camera must be known to every other one, in 95 of 100 cases: 35 cm in 4 m. The error itself is
a quarter of it in the median."""


@dataclass(frozen=True, slots=True, eq=False)
class FromPerson:
    """The result, and the evidence for it."""

    cameras: tuple[Camera, ...]
    """In the axes of the first camera, mm."""
    joints: Array
    """(F, J, 3) mm, the person in the same axes; NaN where not located."""
    up: Array | None
    """(3,) as ``walk_up``: against gravity; None where the person leaned too much to tell."""
    rms_px: Mapping[str, float]
    """Reprojection error a camera (of joints that are no outliers), pixels."""
    remarks: tuple[str, ...]
    """What a person should know or do better."""
    problems: tuple[str, ...] = ()
    """Why it should not be used; empty when it may be."""
    up_degrees: float = float("nan")
    """Standard deviation of ``up``."""
    late_s: Mapping[str, float] = field(default_factory=dict)
    """Cameras later than the first, and by how many seconds; the others are in step, as far as can be told."""
    focal: float = 1.0
    """Factor by which all focal lengths were corrected."""
    pair_degrees: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """(V, V) what the error of each pair's relative rotation stays below in 95 of 100 such walks, degrees."""
    too_short: bool = False
    """Whether all that speaks against it is that the walk tells too little."""


def solve_from_person(
    cameras: Sequence[Camera],
    xy: Array,
    score: Array,
    body: Body,
    height_mm: float,
    *,
    min_score: float = 0.3,
    step_s: float = 0.1,
) -> FromPerson:
    """Place all cameras by a person seen in all of them at the same times.

    Args:
        cameras: their intrinsics; R and t are ignored.
        xy: (V, F, J, 2) joints, pixels, of the same F moments.
        score: (V, F, J) confidence 0..1, 0 = not seen.
        body: which joints are which.
        height_mm: how tall the person is. The scale is as good as the person's proportions are average (about 3 %).
        min_score: joints below it are not used.
        step_s: seconds between moments.

    Raises:
        CalibrationError: naming cameras that are not linked; for a height that no person has.
    """
    if len(cameras) < 2:
        raise CalibrationError("extrinsics from a person need at least two cameras")
    if not 500 <= height_mm <= 2500:
        raise CalibrationError(f"a person {height_mm:g} mm tall; give the height in mm, such as --height 1750")
    seen = (score >= min_score) & np.isfinite(xy).all(-1)
    seen &= np.isin(np.arange(xy.shape[2]), body.limbs)
    if any(camera.fisheye for camera in cameras):  # which also shows what is beside it, where there is no ray
        seen &= np.stack([np.isfinite(image_to_ray(c, view)).all(-1) for c, view in zip(cameras, xy, strict=True)])
    masked = np.where(seen[..., None], xy, np.nan)
    weight = np.where(seen, score, 0.0)
    placed = _chain(cameras, masked, seen, body, height_mm)
    placed, settled = _refine(placed, masked, weight)
    limbs = body.limbs
    placed, beside = tell(placed, masked[:, :, limbs], weight[:, :, limbs], step_s, body.tied(height_mm))
    masked = at_times(masked, beside.late_s, step_s)
    joints = triangulate_robust(placed, masked, weight).points
    scale = height_mm / height_of(joints, body)
    placed = tuple(replace(c, t=c.t * scale) for c in placed)
    result = triangulate_robust(placed, masked, weight)
    error = reprojection_error(placed, result.points, masked)
    rms: dict[str, float] = {}
    remarks, problems = [], []
    for v, camera in enumerate(placed):
        mine = error[v][np.isfinite(error[v])]
        typical = np.median(mine) if len(mine) else np.nan
        good = mine[mine <= 4 * typical]
        rms[camera.name] = float(np.sqrt(np.mean(good**2))) if len(good) else float("nan")
        if not len(good) or rms[camera.name] > 0.01 * max(camera.size):
            remarks.append(f"camera {camera.name}: reprojection error of {rms[camera.name]:.1f} px is large")
            problems.append(f"camera {camera.name} fits to {rms[camera.name]:.1f} px only")
    spread = bone_spread(result.points, body)
    if not spread <= _SPREAD:
        problems.append(f"limbs change their length by {100 * spread:.0f} % from moment to moment")
    for camera, late in zip(placed, beside.late_s, strict=True):
        if abs(late) > _LATE_S:
            problems.append(f"camera {camera.name} seems {1e3 * abs(late):.0f} ms {'late' if late > 0 else 'early'}")
    if abs(np.log(beside.focal)) > _OTHER_LENS:
        problems.append(f"the walk wants focal lengths {beside.focal:.2f} times those that were given")
    if unsure := _unsure(placed, beside.pair_degrees):
        problems.append(unsure)
    if not settled:
        remarks.append("the adjustment had not settled when it ran out of steps; let the person walk all over the room")
    remarks.append(f"the scale comes from a height of {height_mm:g} mm and average proportions: check a known length")
    up, up_degrees = None, float("nan")
    try:
        told = walk_up(result.points, body)
    except CalibrationError as error:
        remarks.append(f"{error}; or find the floor with `floor` and a board")
    else:
        up, up_degrees = told.up, told.sigma_degrees
        if up_degrees > _UNSURE_DEGREES:
            remarks.append(f"up is known to {up_degrees:.1f} degrees only; let the person walk longer, to and fro")
    late = {camera.name: float(s) for camera, s in zip(placed, beside.late_s, strict=True) if s}
    return FromPerson(
        placed, result.points, up, rms, tuple(remarks), tuple(problems), up_degrees, late, beside.focal,
        beside.pair_degrees, too_short=problems == [unsure],
    )  # fmt: skip


def _unsure(cameras: Sequence[Camera], pair_degrees: Array) -> str:
    """Why cameras are not known well enough to each other; empty where they are."""
    a, b = np.unravel_index(np.argmax(pair_degrees), pair_degrees.shape)
    worst = float(pair_degrees[a, b])
    if worst <= _BELIEVED:
        return ""
    return (
        f"cameras {cameras[int(a)].name} and {cameras[int(b)].name} may be turned to each other by {worst:.1f} degrees "
        f"more or less than found, and {_BELIEVED:g} are allowed: let the person walk longer, near and far and "
        "through all of the room that both see"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    R: Array
    t: Array
    quality: float


def _pair(a: Camera, b: Camera, xa: Array, xb: Array, body: Body, height_mm: float) -> _Pair | None:
    """Relative pose from a to b at the person's scale, or None where it cannot be told. xa, xb are (F, J, 2)."""
    both = np.atleast_1d(np.isfinite(xa + xb).all(axis=-1))
    if both.sum() < _MIN_JOINTS:
        return None
    ra, rb = (np.ascontiguousarray(image_to_ray(c, x[both])[:, :2]) for c, x in ((a, xa), (b, xb)))
    focal = (a.K[0, 0] + b.K[0, 0]) / 2
    E, inlier = cv2.findEssentialMat(ra, rb, np.eye(3), cv2.USAC_MAGSAC, 0.9999, 4.0 / focal, maxIters=3000)
    if E is None or E.shape != (3, 3):
        return None
    count, R, t, front = cv2.recoverPose(E, ra, rb, np.eye(3), mask=inlier.copy())
    if count < 0.3 * both.sum():
        return None
    R, t = np.asarray(R, np.float64), np.asarray(t, np.float64).ravel()
    two = (replace(a, R=np.eye(3), t=np.zeros(3)), replace(b, R=R, t=1000 * t))
    points = triangulate_robust(two, np.stack([np.where(both[..., None], x, np.nan) for x in (xa, xb)])).points
    pairs, part = body.bones()
    ratio = part * height_mm / bone_lengths(points, pairs)
    if np.isnan(ratio).all():
        return None
    rays = np.stack([image_to_ray(a, xa[both]), image_to_ray(b, xb[both]) @ R])
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    angle = np.median(np.arccos(np.clip((rays[0] * rays[1]).sum(-1), -1, 1)))
    # Rays that cross squarely fix the depth; those of cameras side by side or face to face do not.
    return _Pair(R, 1000 * t * float(np.nanmedian(ratio)), float((front > 0).sum() * np.sin(angle)))


def _chain(
    cameras: Sequence[Camera], xy: Array, seen: NDArray[np.bool_], body: Body, height_mm: float
) -> tuple[Camera, ...]:
    pairs = {}
    for i, j in combinations(range(len(cameras)), 2):
        pair = _pair(cameras[i], cameras[j], xy[i], xy[j], body, height_mm)
        if pair is not None:
            pairs[i, j] = pair
    place = {0: (np.eye(3), np.zeros(3))}
    while len(place) < len(cameras):
        reach = [(pair.quality, key) for key, pair in pairs.items() if (key[0] in place) != (key[1] in place)]
        if not reach:
            lost = [k for k in range(len(cameras)) if k not in place]
            counts = ", ".join(f"{cameras[k].name} ({int(seen[k].any(-1).sum())} frames with a person)" for k in lost)
            raise CalibrationError(
                f"not linked to camera {cameras[0].name}: {counts}; the person must be seen by two cameras at the same "
                "time, moving about, for some seconds"
            )
        i, j = max(reach)[1]
        R, t = pairs[i, j].R, pairs[i, j].t
        if j in place:
            i, j, R, t = j, i, R.T, -R.T @ t
        place[j] = (R @ place[i][0], R @ place[i][1] + t)
    return tuple(replace(c, R=place[k][0], t=place[k][1], up=None) for k, c in enumerate(cameras))


def _refine(cameras: tuple[Camera, ...], xy: Array, weight: Array) -> tuple[tuple[Camera, ...], bool]:
    """Bundle adjustment over the frames that say most, twice: the second time without joints that do not fit.

    Returns:
        The cameras, and whether the second time ended because nothing improved.
    """
    settled = False
    count = (weight > 0).sum((0, 2))
    order = np.argsort(-count, kind="stable")
    best = np.sort(order[: 3 * _ADJUSTED_FRAMES])
    frames = best[np.linspace(0, len(best) - 1, min(len(best), _ADJUSTED_FRAMES)).astype(int)]
    xy, weight = xy[:, frames], weight[:, frames]
    for limit in (20.0, 5.0):
        points = triangulate_robust(cameras, xy, weight).points
        error = reprojection_error(cameras, points, xy)
        typical = max(float(np.nanmedian(error)), 1.0) if np.isfinite(error).any() else np.nan
        keep = error < limit * typical
        keep &= keep.sum(0) >= 2
        if keep.sum() < 50:
            raise CalibrationError("too few joints agree between the cameras; are the recordings in step?")
        number = np.full(points.shape[:-1], -1)
        good = keep.any(0)
        number[good] = np.arange(good.sum())
        v, f, j = np.nonzero(keep)
        seen = Observations(v, number[f, j], xy[v, f, j], None, np.sqrt(weight[v, f, j]))
        bundle = adjust(cameras, points[good], seen, loss_px=3.0, steps=_STEPS)
        cameras, settled = bundle.cameras, bundle.converged
    return cameras, settled
