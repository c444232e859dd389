"""One camera's lens from views of a board (Zhang 2000, through ``cv2.calibrateCamera``); doubtful views are dropped.

A small RMS is no proof: a few views of a board held flat fit almost any focal length. So the focal length's own
standard deviation decides, and views kept out of the fit are measured against it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera, camera_to_image, check_plausible
from calibration.geometry.rotations import rotation_matrix
from calibration.solving.board import Board, BoardView
from calibration.solving.fisheye_lens import fit_fisheye, pose_of

MIN_VIEWS = 5
"""Fewer views than this give no focal length worth having."""
# A third of the views may be dropped as outliers; more means that something else is wrong.
_MAX_DROPPED = 0.34
# Views tilted against the image by less than this, degrees, say nothing of the focal length; so many must be more.
_TILT, _TILTED = 12.0, 3
# Reprojection error in pixels of an image 1920 pixels long (in proportion for longer ones) above which the board cannot
# be the one that is named.
_WRONG_PX = 2.0
# Beyond so many focal lengths along the long side (80 degrees) the fisheye model is tried; it must fit so much better.
_WIDE, _BETTER = 1.68, 0.85
# Relative standard deviation of the focal length above which the result is refused, and above which it is remarked on.
_REFUSED, _DOUBTFUL = 0.03, 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Intrinsics:
    """The result, and the evidence for it."""

    camera: Camera
    """Placed at the origin."""
    rms_px: float
    """Reprojection error of the views used, pixels."""
    held_out_px: float
    """The same of the views kept out of the fit, pixels; NaN where there were too few to keep any out."""
    focal_sigma: float
    """Standard deviation of the focal length as a fraction of it."""
    coverage: float
    """Part of the image that the boards covered, 0..1."""
    used: tuple[int, ...]
    """Indexes of the views used."""
    dropped: tuple[tuple[int, float], ...]
    """Index and RMS in pixels of every view dropped as an outlier."""
    remarks: tuple[str, ...]
    """What a person should know or do better."""

    def line(self) -> str:
        """In words."""
        K, kept_out = self.camera.K, ""
        if np.isfinite(self.held_out_px):
            kept_out = f" (in views kept out {self.held_out_px:.2f} px)"
        return (
            f"f {K[0, 0]:.1f} {K[1, 1]:.1f} (+- {100 * self.focal_sigma:.2f} %), centre {K[0, 2]:.1f} {K[1, 2]:.1f}, "
            f"error {self.rms_px:.2f} px{kept_out}, coverage {100 * self.coverage:.0f} %"
        )


def coverage(views: Sequence[BoardView], size: tuple[int, int], cells: int = 8) -> NDArray[np.integer]:
    """How many corners fell into each cell of a (cells, cells) grid over the image, row by row."""
    count = np.zeros((cells, cells), int)
    for view in views:
        place = np.clip((view.xy / size * cells).astype(int), 0, cells - 1)
        np.add.at(count, (place[:, 1], place[:, 0]), 1)
    return count


def look_of(board: Board, view: BoardView, size: tuple[int, int]) -> Array:
    """(6,) where, how large and how tilted a board appears: what views should differ in.

    Position and scale of the board in units of the image's diagonal, and the two perspective terms of its homography.
    """
    H = cv2.findHomography(board.points[view.ids, :2], view.xy)[0]
    if H is None:
        return np.full(6, np.nan)
    middle = np.append(board.points[:, :2].mean(0), 1)
    extent = np.ptp(board.points[:, :2], axis=0)
    p = H @ middle
    xy = p[:2] / p[2]
    J = (H[:2, :2] - np.outer(xy, H[2, :2])) / p[2] * extent
    diagonal = np.hypot(*size)
    tilt = H[2, :2] / p[2] * extent
    return np.array(
        [*(xy / diagonal), np.sqrt(abs(np.linalg.det(J))) / diagonal, np.arctan2(J[1, 0], J[0, 0]) / 4, *tilt]
    )


def pick(board: Board, views: Sequence[BoardView], size: tuple[int, int], count: int = 40) -> list[int]:
    """Choose sharp views that differ from each other.

    The blurred third is left out where there are more than enough; then the view farthest from all chosen ones is
    taken, again and again.

    Returns:
        Indexes into views, at most ``count``.
    """
    looks = np.array([look_of(board, view, size) for view in views]).reshape(-1, 6)
    width = np.array([view.sharpness for view in views])
    usable = np.flatnonzero(np.isfinite(looks).all(1) & np.isfinite(width))
    if len(usable) > 1.5 * count:
        usable = usable[np.argsort(width[usable], kind="stable")[: max(count, int(len(usable) * 0.67))]]
    if len(usable) <= count:
        return sorted(usable.tolist())
    chosen = [int(usable[np.argmin(width[usable])])]
    distance = np.full(len(usable), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(looks[usable] - looks[chosen[-1]], axis=1))
        chosen.append(int(usable[np.argmax(distance)]))
    return sorted(chosen)


def solve_intrinsics(
    name: str, size: tuple[int, int], board: Board, views: Sequence[BoardView], *, k3: bool = False,
    fisheye: bool = False,
) -> Intrinsics:  # fmt: skip
    """Focal length, centre and distortion from views of one board.

    Args:
        name: the camera's name.
        size: image width and height, pixels.
        board: the board.
        views: what was seen of it.
        k3: also fit the third radial coefficient, which only wide lenses need and few views determine.
        fisheye: fit OpenCV's fisheye model, for action cameras and others of more than about 100 degrees.

    Raises:
        CalibrationError: with too few views, views that do not determine the focal length, or views that no lens fits.
    """
    if not views:
        raise CalibrationError(f"camera {name}: the board was never found")
    if len(views) < MIN_VIEWS:
        raise CalibrationError(
            f"camera {name}: the board was found in {len(views)} images; at least {MIN_VIEWS}, better 20, are needed, "
            "at different distances and tilts"
        )
    # Every sixth view is kept out of the fit where there are enough.
    held = list(range(3, len(views), 6)) if len(views) >= 12 else []
    used = [i for i in range(len(views)) if i not in held]
    dropped: list[tuple[int, float]] = []
    limit = int(len(used) * _MAX_DROPPED)
    while True:
        rms, K, dist, sigma, errors, tilt = _fit(board, [views[i] for i in used], size, k3, fisheye)
        bad = np.argsort(errors)[::-1][: max(1, limit // 3)]
        bad = bad[errors[bad] > max(3 * np.median(errors), 0.8)][: limit - len(dropped)]
        if not len(bad) or len(used) - len(bad) < MIN_VIEWS:
            break
        dropped += [(used[i], float(errors[i])) for i in bad]
        used = [index for i, index in enumerate(used) if i not in bad]
    if not rms <= _WRONG_PX * max(1.0, max(size) / 1920):
        wide = "" if fisheye else " A lens of more than about 100 degrees needs --fisheye."
        raise CalibrationError(
            f"camera {name}: the views fit no lens (error {rms:.1f} px): the board bends, focus or zoom changed, or "
            f"its squares are not those that are named.{wide}"
        )
    focal_sigma = float(max(sigma[0] / K[0, 0], sigma[1] / K[1, 1]))
    seen = float((coverage([views[i] for i in used], size) > 0).mean())
    # OpenCV's sigma leaves directions out that nothing determines, so flat views are counted besides.
    flat = (tilt > _TILT).sum() < _TILTED
    if flat or not (np.isfinite(K).all() and np.isfinite(dist).all() and focal_sigma < _REFUSED):
        why = "almost all of the board held flat" if flat else f"uncertain by {100 * focal_sigma:.0f} %"
        raise CalibrationError(
            f"camera {name}: the {len(used)} views do not determine the focal length ({why}); show the board tilted by "
            "30 to 45 degrees to either side, up and down, near and far"
        )
    camera = Camera(name, size, K, dist, np.eye(3), np.zeros(3), None, fisheye)
    if fisheye:
        check_plausible(camera)
    remarks = _remarks(name, K, size, focal_sigma, seen, len(used))
    if not fisheye and max(size) > _WIDE * K[0, 0]:
        other = fit_fisheye(board, [views[i] for i in used], size).rms_px
        if other < _BETTER * rms:
            remarks += (f"camera {name}: --fisheye describes this wide lens better ({other:.2f} px, not {rms:.2f})",)
    return Intrinsics(
        camera, rms, _held_out(camera, board, [views[i] for i in held]), focal_sigma, seen, tuple(used), tuple(dropped),
        remarks,
    )  # fmt: skip


def _fit(
    board: Board, views: Sequence[BoardView], size: tuple[int, int], k3: bool, fisheye: bool = False
) -> tuple[float, Array, Array, Array, Array, Array]:
    """RMS, K, distortion, standard deviations of fx fy cx cy ..., RMS a view, tilt a view in degrees."""
    if fisheye:
        fit = fit_fisheye(board, views, size)
        return fit.rms_px, fit.K, fit.dist, fit.sigma, fit.errors, _tilt(fit.R)
    objects = [board.points[view.ids].astype(np.float32) for view in views]
    images = [view.xy.astype(np.float32) for view in views]
    flags = 0 if k3 else cv2.CALIB_FIX_K3
    try:
        rms, K, dist, rs, _, sigma, _, errors = cv2.calibrateCameraExtended(
            objects, images, size, np.eye(3), np.zeros(5), flags=flags
        )
    except cv2.error as error:
        raise CalibrationError("the board's views are degenerate: all of them flat, or of one place") from error
    tilt = _tilt(rotation_matrix(np.reshape(rs, (-1, 3))))
    K, dist, sigma, errors = (np.asarray(v, np.float64) for v in (K, dist, sigma, errors))
    return float(rms), K, dist.ravel()[:5], sigma.ravel(), errors.ravel(), tilt


def _tilt(R: Array) -> Array:
    """(V,) degrees of boards R (V, 3, 3) against the image."""
    return np.degrees(np.arccos(np.clip(np.abs(R[:, 2, 2]), 0, 1)))


def _held_out(camera: Camera, board: Board, views: Sequence[BoardView]) -> float:
    """RMS in pixels in views the fit never saw: pose from every other corner, error on the rest."""
    squares = []
    for view in views:
        fit, test = np.arange(len(view.ids)) % 2 == 0, np.arange(len(view.ids)) % 2 == 1
        if fit.sum() < 6 or not test.any():
            continue
        if camera.fisheye:
            pose = pose_of(board.points[view.ids[fit]], view.xy[fit], camera.K, camera.dist)
            if pose is not None:
                xy = camera_to_image(camera, board.points[view.ids[test]] @ pose[0].T + pose[1])
                squares.append(((xy - view.xy[test]) ** 2).sum(1))
            continue
        ok, r, t = cv2.solvePnP(board.points[view.ids[fit]], view.xy[fit], camera.K, camera.dist)
        if ok:
            xy = cv2.projectPoints(board.points[view.ids[test]], r, t, camera.K, camera.dist)[0][:, 0]
            squares.append(((xy - view.xy[test]) ** 2).sum(1))
    return float(np.sqrt(np.concatenate(squares).mean())) if squares else float("nan")


def _remarks(name: str, K: Array, size: tuple[int, int], focal_sigma: float, seen: float, used: int) -> tuple[str, ...]:
    out = []
    if used < 12:
        out.append(f"camera {name}: only {used} views; 20 to 40 are better")
    if focal_sigma > _DOUBTFUL:
        out.append(f"camera {name}: the focal length is uncertain by {100 * focal_sigma:.1f} %; add more tilted views")
    if seen < 0.5:
        out.append(f"camera {name}: the boards covered {100 * seen:.0f} % of the image; also hold it into the corners")
    if abs(K[0, 0] / K[1, 1] - 1) > 0.02:
        out.append(
            f"camera {name}: fx and fy differ by {100 * abs(K[0, 0] / K[1, 1] - 1):.1f} %; is the picture stretched?"
        )
    if np.abs(K[:2, 2] / size - 0.5).max() > 0.1:
        out.append(
            f"camera {name}: the centre ({K[0, 2]:.0f}, {K[1, 2]:.0f}) is far from the middle; is the picture cropped?"
        )
    return tuple(out)
