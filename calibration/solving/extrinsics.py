"""Where the cameras stand, from a board that two or more of them see at once.

Each view of the board gives the camera's pose from it; a board seen by two cameras at one time links them; the
strongest links carry every camera to the first one's axes; then everything is adjusted together (``bundle``). Frames
whose board does not fit are dropped and listed. Frames kept out of the adjustment are triangulated and their known
lengths measured, since a small reprojection error alone proves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import cv2
import numpy as np

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera, image_to_ray
from calibration.geometry.rotations import angle_degrees, mean_rotation, rotation_matrix, rotation_vector
from calibration.solving.board import Board, BoardView
from calibration.solving.bundle import Bundle, Observations, adjust
from calibration.solving.lengths import Lengths, measure_lengths

Frame = Mapping[str, BoardView]
"""What the cameras, by name, saw of the board at one time."""
Pose = tuple[Array, Array]
"""Rotation (3, 3) and translation (3,), mm."""

MIN_SHARED = 3
"""Two cameras that saw the board together fewer times are not linked."""
_LARGE_PX, _WRONG_PX = 1.5, 3.0
"""Reprojection errors of a camera that are remarked on (and are too large where no length was measured), and that no
calibration worth keeping has."""
_NARROW_DEGREES = 4.0
"""A camera whose lines of sight meet those of all others at less than this tells no distance."""
_ONE_PLACE = 0.05
"""Boards nearer to each other than this share of their distance to the cameras are all in one place."""


@dataclass(frozen=True, slots=True, eq=False)
class Extrinsics:
    """The result, and the evidence for it."""

    cameras: tuple[Camera, ...]
    """In the axes of the first camera."""
    rms_px: Mapping[str, float]
    """Reprojection error a camera, pixels."""
    used: tuple[int, ...]
    """Indexes of the frames used."""
    dropped: tuple[tuple[int, float], ...]
    """Index and RMS in pixels of every frame dropped as an outlier."""
    lengths: Lengths | None
    """Known lengths measured in the frames kept out, or None where there were too few to keep any out."""
    remarks: tuple[str, ...]
    """What a person should know or do better."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it should not be used; empty when it may be."""
        # Of the two poses that a flat board far away has, a wrong one may fit to 2 px; the lengths then tell.
        limit = _LARGE_PX if self.lengths is None else _WRONG_PX
        out = [f"camera {name} fits to {e:.1f} px only" for name, e in self.rms_px.items() if not e <= limit]
        if self.lengths is not None and not self.lengths.passed:
            out.append("known lengths do not come out")
        return tuple(out)


def board_poses(camera: Camera, board: Board, view: BoardView) -> list[Pose]:
    """The board's pose(s) in the camera's axes, best first: a flat board far away has two that fit about as well."""
    points, xy, K, dist = board.points[view.ids], view.xy, camera.K, camera.dist
    if camera.fisheye:
        rays = image_to_ray(camera, xy)[:, :2]
        seen = np.isfinite(rays).all(1)
        points, xy, K, dist = points[seen], rays[seen], np.eye(3), np.zeros(4)
        if len(points) < 4:
            return []
    ok, rs, ts, _ = cv2.solvePnPGeneric(points, xy, K, dist, flags=cv2.SOLVEPNP_IPPE)
    if not ok:
        return []
    return [
        (rotation_matrix(np.ravel(r).astype(float)), np.asarray(t, float).ravel())
        for r, t in zip(rs, ts, strict=True)
        if t[2] > 0
    ]


def solve_extrinsics(
    cameras: Sequence[Camera], board: Board, frames: Sequence[Frame], *, lens: bool = False
) -> Extrinsics:
    """Place all cameras.

    Args:
        cameras: their intrinsics; R and t are ignored.
        board: the board.
        frames: what was seen of it at each time.
        lens: also adjust the intrinsics (only with many views all over every image).

    Raises:
        CalibrationError: naming a camera with too few views or without a link to the others; for a board that looks
            the same after half a turn; when too many views contradict the others.
    """
    if len(cameras) < 2:
        raise CalibrationError("extrinsics need at least two cameras")
    if board.turnable:
        raise CalibrationError(
            f"a chessboard of {board.corners[0]}x{board.corners[1]} corners looks the same after half a turn, so two "
            "cameras may disagree on it; use a ChArUco board, or one with an even and an odd number of squares"
        )
    poses = [{c.name: board_poses(c, board, frame[c.name]) for c in cameras if c.name in frame} for frame in frames]
    shared = [i for i, frame in enumerate(poses) if len(frame) >= 2]
    _enough(cameras, poses, shared)
    held = shared[3::6] if len(shared) >= 12 else []
    used = [i for i in shared if i not in held]
    placed = _chain(cameras, [poses[i] for i in used])
    bundle, per_frame = _adjust(placed, board, [frames[i] for i in used], [poses[i] for i in used], lens)
    bad = [i for i, e in zip(used, per_frame, strict=True) if not e <= max(3 * np.median(per_frame), 1.0)]
    dropped = tuple((i, float(per_frame[used.index(i)])) for i in bad)
    if bad:
        if len(bad) > 0.4 * len(used):
            raise CalibrationError(
                f"{len(bad)} of {len(used)} views of the board contradict the others; are the cameras in step, and did "
                "none move or change its focus?"
            )
        used = [i for i in used if i not in bad]
        _enough(cameras, poses, used)
        bundle, _ = _adjust(bundle.cameras, board, [frames[i] for i in used], [poses[i] for i in used], lens)
    seen = _observations(cameras, board, [frames[i] for i in used])
    rms = {c.name: float(np.sqrt(np.nanmean(bundle.error[seen.camera == k] ** 2))) for k, c in enumerate(cameras)}
    lengths = measure_lengths(bundle.cameras, board, [frames[i] for i in held]) if held else None
    return Extrinsics(bundle.cameras, rms, tuple(used), dropped, lengths, _remarks(rms, lengths, bundle))


def _enough(cameras: Sequence[Camera], poses: Sequence[Mapping[str, list[Pose]]], used: Sequence[int]) -> None:
    for camera in cameras:
        count = sum(camera.name in poses[i] for i in used)
        if count < MIN_SHARED:
            alone = sum(camera.name in frame for frame in poses)
            raise CalibrationError(
                f"camera {camera.name} saw the board {alone} times, {count} of them together with another camera; "
                f"at least {MIN_SHARED}, better 10, are needed"
            )


def _relative(a: Pose, b: Pose) -> Pose:
    """From the axes of camera a to those of camera b, given the board's pose in both."""
    R = b[0] @ a[0].T
    return R, b[1] - R @ a[1]


def _agreed(candidates: Sequence[Pose]) -> Pose:
    """The candidate with most company: the wrong twins of flat boards are scattered, the right ones agree."""
    R = np.stack([r for r, _ in candidates])
    t = np.stack([t for _, t in candidates])
    turn = angle_degrees(R[:, None], R[None]) / 5
    shift = np.linalg.norm(t[:, None] - t[None], axis=-1) / (
        0.05 * max(float(np.median(np.linalg.norm(t, axis=1))), 1.0)
    )
    company = np.exp(-(turn**2) - shift**2)
    best = np.argmax(company.sum(1))
    near = company[best] > np.exp(-2)
    return mean_rotation(R[near]), np.median(t[near], axis=0)


def _chain(cameras: Sequence[Camera], frames: Sequence[Mapping[str, list[Pose]]]) -> tuple[Camera, ...]:
    """Place every camera in the first one's axes along the strongest links."""
    names = [camera.name for camera in cameras]
    link: dict[tuple[str, str], list[Pose]] = {}
    count: dict[tuple[str, str], int] = {}
    for frame in frames:
        for a, b in combinations([name for name in names if frame.get(name)], 2):
            count[a, b] = count.get((a, b), 0) + 1
            link.setdefault((a, b), []).extend(_relative(p, q) for p in frame[a] for q in frame[b])
    place: dict[str, Pose] = {names[0]: (np.eye(3), np.zeros(3))}
    while len(place) < len(names):
        reach = [(n, pair) for pair, n in count.items() if n >= MIN_SHARED and (pair[0] in place) != (pair[1] in place)]
        if not reach:
            lost = ", ".join(name for name in names if name not in place)
            raise CalibrationError(
                f"not linked to camera {names[0]}: {lost}; show the board where one of them and one of "
                f"{', '.join(place)} see it together at least {MIN_SHARED} times"
            )
        a, b = max(reach)[1]
        R, t = _agreed(link[a, b])
        if b in place:
            a, b, R, t = b, a, R.T, -R.T @ t
        place[b] = (R @ place[a][0], R @ place[a][1] + t)
    return tuple(replace(camera, R=place[camera.name][0], t=place[camera.name][1], up=None) for camera in cameras)


def _observations(cameras: Sequence[Camera], board: Board, frames: Sequence[Frame]) -> Observations:
    rows = [
        (np.full(len(view.ids), c), np.full(len(view.ids), i), view.xy, board.points[view.ids])
        for i, frame in enumerate(frames)
        for c, view in ((c, frame[camera.name]) for c, camera in enumerate(cameras) if camera.name in frame)
    ]
    return Observations(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def _adjust(
    cameras: Sequence[Camera],
    board: Board,
    frames: Sequence[Frame],
    poses: Sequence[Mapping[str, list[Pose]]],
    lens: bool,
) -> tuple[Bundle, Array]:
    """Adjust; also the RMS (frames,) of every frame in pixels."""
    seen = _observations(cameras, board, frames)
    start = np.array([_start(cameras, board, frame, pose) for frame, pose in zip(frames, poses, strict=True)])
    bundle = adjust(cameras, start, seen, lens=lens)
    # The median, so that one camera that saw the board wrongly does not hide behind those that saw it well, and a
    # single wrong corner does not condemn the frame.
    square = np.nan_to_num(bundle.error, nan=1e3) ** 2
    worst = np.zeros(len(frames))
    for i in range(len(frames)):
        for c in np.unique(seen.camera[seen.item == i]):
            worst[i] = max(worst[i], np.sqrt(np.median(square[(seen.item == i) & (seen.camera == c)])))
    return bundle, worst


def _start(cameras: Sequence[Camera], board: Board, frame: Frame, poses: Mapping[str, list[Pose]]) -> Array:
    """(6,) the board's pose in the world: of all cameras' opinions the one that fits all views best."""
    best, least = np.zeros(6), np.inf
    for camera in cameras:
        for R, t in poses.get(camera.name, []):
            item = np.concatenate([rotation_vector(camera.R.T @ R), camera.R.T @ (t - camera.t)])
            cost = 0.0
            world = board.points @ rotation_matrix(item[:3]).T + item[3:]
            for other in cameras:
                if other.name in frame:
                    view = frame[other.name]
                    local = world[view.ids] @ other.R.T + other.t
                    xy = local[:, :2] / np.maximum(local[:, 2:], 1.0)
                    off = np.linalg.norm(xy - image_to_ray(other, view.xy)[:, :2], axis=1)
                    cost += float(np.fmin(off, 0.2).sum())
            if cost < least:
                best, least = item, cost
    return best


def _remarks(rms: Mapping[str, float], lengths: Lengths | None, bundle: Bundle) -> tuple[str, ...]:
    out = [f"camera {name}: reprojection error of {e:.2f} px is large" for name, e in rms.items() if e > _LARGE_PX]
    if not bundle.converged:
        out.append("the adjustment had not settled when it ran out of steps; film more positions all over the room")
    places = bundle.items[:, 3:]
    if len(places) < 12:
        out.append(f"only {len(places)} positions of the board; 20 to 60 all over the room are better")
    away = np.linalg.norm(places[:, None] - np.stack([c.centre for c in bundle.cameras]), axis=-1).min(1)
    if np.linalg.norm(places.std(0)) < _ONE_PLACE * np.median(away):
        out.append(
            "the board stayed in one place; carry it about where people will be, or lengths are only right there"
        )
    sight = np.median(places, axis=0) - np.stack([c.centre for c in bundle.cameras])
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    apart = np.degrees(np.arccos(np.clip(np.abs(sight @ sight.T), 0, 1)))
    out += [
        f"camera {camera.name} looks from nearly the same direction as every other (or the opposite one): no distances"
        for camera, angle in zip(bundle.cameras, apart.max(1), strict=True)
        if angle < _NARROW_DEGREES
    ]
    if lengths is None:
        out.append(
            "too few frames to keep some out and measure known lengths in them: run `check` on another recording"
        )
    elif not lengths.passed:
        out.append(f"known lengths do not come out: {lengths.line()}")
    return tuple(out)
