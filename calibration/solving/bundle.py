"""Bundle adjustment: all cameras and all boards (or points) at once, with a robust loss.

Levenberg-Marquardt on sparse normal equations, factorised by SciPy's ``splu``, each observation reweighted for a
soft-L1 loss. Not OpenCV 5's ``calibrateMultiview``: it has no robust loss and takes boards only, while a walking
person's joints need the same adjustment over free points. Not ``scipy.optimize.least_squares`` either: for sparse
problems it has only LSMR, which took 38 s for 16 cameras and 40 boards and stalled on bad starts; this takes about a
second. Triggs et al., *Bundle Adjustment: A Modern Synthesis*, 2000.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags_array
from scipy.sparse.linalg import splu

from calibration.arrays import Array, Ints
from calibration.errors import CalibrationError
from calibration.geometry import fisheye
from calibration.geometry.camera import Camera, camera_to_image, image_to_ray
from calibration.geometry.rotations import rotation_matrix, rotation_vector

# Parameters of a camera: rotation vector, translation, log focal length, centre, k1, k2.
_POSE, _LENS = 6, 5
# The normal matrix is symmetric and positive: without pivoting the factors stay sparse.
_SYMMETRIC = {"SymmetricMode": True}


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """What was seen, one row a corner or joint in one camera's image."""

    camera: Ints
    """(O,) index of the camera."""
    item: Ints
    """(O,) index of the board placement or of the point."""
    xy: Array
    """(O, 2) distorted pixels."""
    local: Array | None = None
    """(O, 3) mm, the corner in the board's axes; None where an item is a free point."""
    weight: Array | None = None
    """(O,) factor on the residual, 1 for None."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """The adjusted set-up."""

    cameras: tuple[Camera, ...]
    """With R, t (and where asked for K, dist) adjusted."""
    items: Array
    """(I, 6) rotation vector and translation of each board in the world, mm; or (I, 3) points, mm."""
    error: Array
    """(O,) reprojection error of every observation, pixels."""
    converged: bool
    """Whether it stopped because nothing improved, not because it was out of steps."""


def adjust(
    cameras: Sequence[Camera],
    items: Array,
    seen: Observations,
    *,
    fixed: int = 0,
    lens: bool = False,
    loss_px: float = 1.0,
    steps: int = 60,
) -> Bundle:
    """Minimise the soft-L1 loss of all reprojection errors.

    Args:
        cameras: initial cameras.
        items: (I, 6) initial boards or (I, 3) initial points, world, mm.
        seen: the observations.
        fixed: index of the camera whose pose is kept (the world's freedom).
        lens: also adjust focal length, centre, k1 and k2 of every camera.
        loss_px: the residual in pixels at which the loss turns from square to linear.
        steps: most steps tried.

    Returns:
        Bundle.

    Raises:
        CalibrationError: if something is not determined by what was seen.
    """
    problem = _Problem(cameras, np.asarray(items, np.float64), seen, fixed, lens)
    x, converged = _minimise(problem, problem.pack(), loss_px, steps)
    adjusted, moved = problem.unpack(x)
    return Bundle(adjusted, moved, errors(adjusted, moved, seen), converged)


def _minimise(problem: "_Problem", x: Array, loss_px: float, steps: int) -> tuple[Array, bool]:
    """Levenberg-Marquardt; whether it converged."""
    r = problem.residual(x)
    cost, damping = _soft_l1(r, loss_px), 1e-3
    A, g = _normal(problem, x, r, loss_px)
    for _ in range(steps):
        damped = A + diags_array(damping * np.maximum(A.diagonal(), 1e-12), format="csc")
        try:
            step = splu(damped, "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=_SYMMETRIC).solve(-g)
        except RuntimeError as error:
            raise CalibrationError("the views leave a camera or a board undetermined; film more positions") from error
        r_new = problem.residual(x + step)
        cost_new = _soft_l1(r_new, loss_px)
        if cost_new < cost:
            gained = (cost - cost_new) / cost
            x, r, cost, damping = x + step, r_new, cost_new, max(damping / 8, 1e-12)
            if gained < 1e-7:
                return x, True
            A, g = _normal(problem, x, r, loss_px)
        else:
            damping *= 6
            # No step however short goes down any more: this is the bottom, to rounding.
            if damping > 1e9:
                return x, True
    return x, False


def _normal(problem: "_Problem", x: Array, r: Array, loss_px: float) -> tuple[csc_matrix, Array]:
    """Normal matrix and gradient, each observation weighted by the loss's derivative (Triggs, 4.3)."""
    J = problem.jacobian(x)
    weight = np.repeat(1 / np.sqrt(1 + (r.reshape(-1, 2) ** 2).sum(1) / loss_px**2), 2)
    JW = J.T.multiply(weight).tocsr()
    return csc_matrix(JW @ J), np.asarray(JW @ r)


def _soft_l1(r: Array, scale: float) -> float:
    square = (r.reshape(-1, 2) ** 2).sum(1) / scale**2
    return float(2 * scale**2 * (np.sqrt(1 + square) - 1).sum())


def errors(cameras: Sequence[Camera], items: Array, seen: Observations) -> Array:
    """(O,) distance in pixels between every observation and its projection; NaN behind the camera."""
    world = _world(items[seen.item], seen.local)
    out = np.full(len(seen.xy), np.nan)
    for c, camera in enumerate(cameras):
        mine = seen.camera == c
        out[mine] = np.linalg.norm(camera_to_image(camera, world[mine] @ camera.R.T + camera.t) - seen.xy[mine], axis=1)
    return out


def _world(items: Array, local: Array | None) -> Array:
    if local is None:
        return items
    return np.einsum("oij,oj->oi", rotation_matrix(items[:, :3]), local) + items[:, 3:]


class _Problem:
    """Parameters in one vector: every free camera's, then every item's."""

    def __init__(self, cameras: Sequence[Camera], items: Array, seen: Observations, fixed: int, lens: bool) -> None:
        self.cameras, self.items, self.seen, self.fixed, self.lens = tuple(cameras), items, seen, fixed, lens
        self.width = _POSE + (_LENS if lens else 0)
        weight = np.ones(len(seen.xy)) if seen.weight is None else seen.weight
        self.weight = weight[:, None]
        # Lenses with more than five coefficients are straightened first and then have none; they cannot be adjusted.
        self.xy = seen.xy.copy()
        self.rich = [camera.dist.size > 5 for camera in cameras]
        for c, camera in enumerate(cameras):
            if self.rich[c]:
                mine = seen.camera == c
                self.xy[mine] = (image_to_ray(camera, seen.xy[mine]) @ camera.K.T)[:, :2]
        self.start = np.array([self._camera_row(camera) for camera in cameras])
        self.lens0 = np.array([[*camera.K[[0, 1], [0, 1]], *camera.K[:2, 2]] for camera in cameras])
        self.dist0 = np.array(
            [np.zeros(5) if rich else np.pad(camera.dist, (0, 5 - camera.dist.size))
             for camera, rich in zip(cameras, self.rich, strict=True)]
        )  # fmt: skip
        self.fisheye = np.array([camera.fisheye for camera in cameras])[seen.camera]
        self.free = np.ones((len(cameras), self.width), bool)
        self.free[fixed, :_POSE] = False
        self.free[self.rich, _POSE:] = False

    def _camera_row(self, camera: Camera) -> Array:
        return np.concatenate([rotation_vector(camera.R), camera.t, np.zeros(self.width - _POSE)])

    def pack(self) -> Array:
        return np.concatenate([self.start[self.free], self.items.ravel()])

    def split(self, x: Array) -> tuple[Array, Array]:
        rows = self.start.copy()
        count = int(self.free.sum())
        rows[self.free] = x[:count]
        return rows, x[count:].reshape(self.items.shape)

    def project(self, rows: Array, items: Array) -> Array:
        """Projection (O, 2) with one row of camera parameters and one of item parameters an observation."""
        world = _world(items, self.seen.local)
        local = np.einsum("oij,oj->oi", rotation_matrix(rows[:, :3]), world) + rows[:, 3:6]
        # A point that wanders behind a camera during a step must give a large residual, not a NaN.
        uv = local[:, :2] / np.maximum(local[:, 2:], 1.0)
        lens, dist = self.lens0[self.seen.camera], self.dist0[self.seen.camera]
        f, c = lens[:, :2], lens[:, 2:]
        if self.lens:
            f, c = f * np.exp(rows[:, 6:7]), c + 1000 * rows[:, 7:9]
            dist = dist + np.pad(rows[:, 9:11], ((0, 0), (0, 3)))
        k1, k2, p1, p2, k3 = dist.T
        r2 = (uv**2).sum(1)
        cross = uv[:, 0] * uv[:, 1]
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        tangential = np.stack(
            [2 * p1 * cross + p2 * (r2 + 2 * uv[:, 0] ** 2), p1 * (r2 + 2 * uv[:, 1] ** 2) + 2 * p2 * cross], 1
        )
        shown = uv * radial[:, None] + tangential
        if self.fisheye.any():
            wide, round_ = uv[self.fisheye], dist[self.fisheye].T[:4]
            tangent = np.maximum(np.linalg.norm(wide, axis=1), 1e-12)
            shown[self.fisheye] = wide * (fisheye.shown_at(np.arctan(tangent), round_) / tangent)[:, None]
        return f * shown + c

    def residual(self, x: Array) -> Array:
        rows, items = self.split(x)
        return (self.weight * (self.project(rows[self.seen.camera], items[self.seen.item]) - self.xy)).ravel()

    def jacobian(self, x: Array) -> csr_matrix:
        """By central differences, one parameter of all observations at a time.

        So the number of projections does not grow with the number of cameras or boards.
        """
        rows, items = self.split(x)
        rows, items = rows[self.seen.camera], items[self.seen.item]
        count, observations = int(self.free.sum()), len(self.xy)
        column_of = np.full(self.free.shape, -1)
        column_of[self.free] = np.arange(count)
        data, columns = [], []
        for k in range(self.width + items.shape[1]):
            own = k < self.width
            step = 1e-6 if self._is_angle(k) else 1e-3
            delta = np.zeros(rows.shape[1] if own else items.shape[1])
            delta[k if own else k - self.width] = step
            ahead = self.project(rows + delta, items) if own else self.project(rows, items + delta)
            behind = self.project(rows - delta, items) if own else self.project(rows, items - delta)
            data.append(self.weight * (ahead - behind) / (2 * step))
            if own:
                columns.append(column_of[self.seen.camera, k])
            else:
                columns.append(count + self.seen.item * items.shape[1] + k - self.width)
        value = np.stack(data, -1)
        column = np.broadcast_to(np.stack(columns, -1)[:, None], value.shape)
        row = np.broadcast_to(np.arange(2 * observations).reshape(observations, 2, 1), value.shape)
        kept = column >= 0
        shape = (2 * observations, count + self.items.size)
        return csr_matrix((value[kept], (row[kept], column[kept])), shape)

    def _is_angle(self, k: int) -> bool:
        """Whether parameter k is of order 1 (angles, logarithms, distortion) and not millimetres."""
        if k < self.width:
            return k < 3 or k >= _POSE
        return self.seen.local is not None and k - self.width < 3

    def unpack(self, x: Array) -> tuple[tuple[Camera, ...], Array]:
        rows, items = self.split(x)
        out = []
        for c, camera in enumerate(self.cameras):
            K, dist = camera.K, camera.dist
            if self.lens and not self.rich[c]:
                K = camera.K.copy()
                K[[0, 1], [0, 1]] *= np.exp(rows[c, 6])
                K[:2, 2] += 1000 * rows[c, 7:9]
                dist = (self.dist0[c] + np.pad(rows[c, 9:11], (0, 3)))[: 4 if camera.fisheye else 5]
            out.append(replace(camera, K=K, dist=dist, R=rotation_matrix(rows[c, :3]), t=rows[c, 3:6]))
        return tuple(out), items
