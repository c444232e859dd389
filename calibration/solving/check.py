"""Is a calibration any good? Reprojection a camera, known lengths, epipolar error, and a picture of it all."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from calibration.geometry.camera import (
    Camera,
    camera_to_image,
    image_to_ray,
    ray_scale,
    world_to_camera,
    world_to_image,
)
from calibration.geometry.rotations import skew
from calibration.geometry.triangulation import reprojection_error, triangulate_linear, triangulate_robust
from calibration.geometry.upright import up_of
from calibration.solving.board import Board, BoardView
from calibration.solving.body import Body
from calibration.solving.lengths import Lengths, corner_pixels, measure_lengths
from calibration.solving.size import UP_PROBLEM, bone_ratio, in_a_room, size_problem, upside_down

# What passes: a board's corners within so many pixels, a person's joints within so much of the image's long side.
_BOARD_PX, _PERSON_PART = 1.5, 0.0075
_AXIS_MM = 500.0
_AXES = ((40, 40, 220), (40, 160, 40), (220, 110, 30))
"""Colours (BGR) of the x, y and z axes in pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """The evidence, and the verdict."""

    subject: str
    """"board" or "person"."""
    error_px: Mapping[str, float]
    """Median reprojection error a camera, pixels; NaN where it saw nothing together with another."""
    epipolar_px: Mapping[tuple[str, str], float]
    """Median distance to the epipolar line a pair, pixels; pairs that saw nothing together are left out."""
    lengths: Lengths | None
    """Known lengths (boards only)."""
    scatter: Mapping[str, tuple[Array, Array]]
    """A camera: where (N, 2) and how large (N, 2) the residuals are, pixels: seen minus projected."""
    limit_px: Mapping[str, float]
    """The largest reprojection error a camera that passes."""
    doubts: tuple[str, ...] = ()
    """What the person's own body says against it: its unit, its up."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it does not pass; empty when it does."""
        out = []
        for name, error in self.error_px.items():
            if np.isnan(error):
                out.append(f"camera {name} saw the {self.subject} never together with another camera")
            elif error > self.limit_px[name]:
                out.append(f"camera {name}: reprojection error {error:.1f} px, more than {self.limit_px[name]:.1f}")
        if self.lengths is not None and not self.lengths.passed:
            out.append(
                f"known lengths are wrong by {100 * self.lengths.bias:+.1f} % on average (95 % of them within "
                f"{100 * self.lengths.p95:.1f} %); is --square what this board measures, and did no camera move since?"
                if self.lengths.count
                else self.lengths.line()
            )
        return (*out, *self.doubts)

    def lines(self) -> list[str]:
        """The table for a person."""
        out = ["camera            reprojection px   (limit)"]
        for name, error in self.error_px.items():
            out.append(f"{name:16} {'-' if np.isnan(error) else f'{error:.2f}':>15}   ({self.limit_px[name]:.1f})")
        if self.epipolar_px:
            out.append("pair                          epipolar px")
        out += [f"{a + ' - ' + b:28} {error:10.2f}" for (a, b), error in self.epipolar_px.items()]
        if self.lengths is not None:
            out.append(self.lengths.line())
        return out


def epipolar_error(a: Camera, b: Camera, xa: Array, xb: Array) -> Array:
    """Distance of what b sees from the epipolar line of what a sees, undistorted pixels of b.

    Args:
        a: placed camera.
        b: placed camera, elsewhere.
        xa: (..., 2) pixels in a, NaN where not seen.
        xb: (..., 2) pixels in b, NaN where not seen.

    Returns:
        (...,) pixels, NaN where one of the two does not see it.
    """
    R = b.R @ a.R.T
    t = b.t - R @ a.t
    line = image_to_ray(a, xa) @ (skew(t) @ R).T
    rays = image_to_ray(b, xb)
    away = np.abs((rays * line).sum(-1)) / np.linalg.norm(line[..., :2], axis=-1)
    # Of a fisheye, its own pixels: its undistorted ones grow without end.
    return away * b.K[0, 0] / ray_scale(b, rays[..., :2])


def check_board(cameras: Sequence[Camera], board: Board, frames: Sequence[Mapping[str, BoardView]]) -> Check:
    """Check placed cameras with what they saw of a board at the same times."""
    xy = corner_pixels(cameras, board, frames)
    lengths = measure_lengths(cameras, board, frames)
    return _check("board", cameras, xy, lengths, {c.name: _BOARD_PX for c in cameras}, 1.0)


def check_person(
    cameras: Sequence[Camera], xy: Array, score: Array, body: Body | None = None, min_score: float = 0.3
) -> Check:
    """Check placed cameras with a person's joints.

    Args:
        cameras: V of them.
        xy: (V, F, J, 2) pixels.
        score: (V, F, J).
        body: which joints are which; with it the unit of the lengths and up are looked at, too.
        min_score: a joint below it is not used.
    """
    limits = {c.name: _PERSON_PART * max(c.size) for c in cameras}
    seen = np.where((score >= min_score)[..., None], xy, np.nan)
    spread, scale = in_a_room(cameras)
    found = _check("person", spread, seen, None, limits, 4.0)
    if body is None:
        return found
    joints = triangulate_linear(spread, seen) / scale
    doubts = [size_problem(bone_ratio(joints, body))]
    doubts += [UP_PROBLEM if upside_down(joints, body, cameras[0].up) else None]
    return replace(found, doubts=tuple(filter(None, doubts)))


def _check(
    subject: str, cameras: Sequence[Camera], xy: Array, lengths: Lengths | None, limits: dict[str, float], noise: float
) -> Check:
    flat = xy.reshape(len(cameras), math.prod(xy.shape[1:-1]), 2)
    points = triangulate_robust(cameras, flat, noise_px=noise).points
    error = reprojection_error(cameras, points, flat)
    median, scatter = {}, {}
    for c, camera in enumerate(cameras):
        good = np.isfinite(error[c])
        median[camera.name] = float(np.median(error[c, good])) if good.any() else float("nan")
        scatter[camera.name] = (flat[c, good], flat[c, good] - world_to_image(camera, points[good]))
    epipolar = {}
    for (i, a), (j, b) in combinations(enumerate(cameras), 2):
        both = np.concatenate([epipolar_error(a, b, flat[i], flat[j]), epipolar_error(b, a, flat[j], flat[i])])
        if np.isfinite(both).any():
            epipolar[a.name, b.name] = float(np.nanmedian(both))
    return Check(subject, median, epipolar, lengths, scatter, limits)


def picture(check: Check, cameras: Sequence[Camera]) -> NDArray[np.uint8]:
    """The cameras and the world's axes from above, and each camera's residuals in its picture, enlarged."""
    columns = int(np.ceil(np.sqrt(len(cameras))))
    rows = int(np.ceil(len(cameras) / columns))
    tile = 320
    image = np.full((max(640, rows * tile), 640 + columns * tile, 3), 255, np.uint8)
    _map(image[:640, :640], cameras)
    for k, camera in enumerate(cameras):
        y, x = (k // columns) * tile, 640 + (k % columns) * tile
        _residuals(image[y : y + tile, x : x + tile], check, camera)
    return image


def _text(
    image: NDArray[np.uint8], text: str, at: tuple[int, int], colour: tuple[int, int, int] = (40, 40, 40)
) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)


def _map(image: NDArray[np.uint8], cameras: Sequence[Camera]) -> None:
    top, known = up_of(cameras)
    x = cameras[0].R[0] - (cameras[0].R[0] @ top) * top
    x /= np.linalg.norm(x)
    plane = np.stack([x, np.cross(top, x)])
    centres = np.stack([plane @ c.centre for c in cameras])
    axes = np.stack([plane @ end for end in np.vstack([np.zeros(3), _AXIS_MM * np.eye(3)])])
    # What each camera sees across, as two rays of 1.5 m.
    sides = [np.array([[-w, 0, 1], [w, 0, 1]]) @ c.R for c in cameras for w in [c.size[0] / 2 / c.K[0, 0]]]
    ends = np.stack([c + 1500 * side @ plane.T for c, side in zip(centres, sides, strict=True)])
    every = np.concatenate([centres, ends.reshape(-1, 2), axes])
    middle, span = (every.max(0) + every.min(0)) / 2, max(float(np.ptp(every, axis=0).max()), 1000.0)

    def place(p: Array) -> tuple[int, int]:
        q = (p - middle) / span * 480
        return round(320 + q[0]), round(330 - q[1])

    metre = round(480 * 1000 / span)
    cv2.line(image, (20, 620), (20 + metre, 620), (0, 0, 0), 2)
    _text(image, "1 m", (24 + metre, 624))
    _text(image, "from above" + ("" if known else " (gravity unknown: by the images' tops)"), (16, 24))
    _axes(image, [place(end) for end in axes])
    _text(image, "origin: x red, y green, z blue, half a metre each", (16, 44))
    for camera, centre, pair in zip(cameras, centres, ends, strict=True):
        for end in pair:
            cv2.line(image, place(centre), place(end), (200, 160, 90), 1, cv2.LINE_AA)
        cv2.circle(image, place(centre), 6, (180, 90, 20), -1, cv2.LINE_AA)
        px, py = place(centre)
        _text(image, camera.name, (px + 9, py - 7))


def _axes(image: NDArray[np.uint8], ends: Sequence[tuple[int, int]]) -> None:
    """The world's axes from the place of the origin to those of their ends."""
    for end, colour, name in zip(ends[1:], _AXES, "xyz", strict=True):
        # Seen along it, an axis is a point.
        if np.hypot(end[0] - ends[0][0], end[1] - ends[0][1]) > 4:
            cv2.arrowedLine(image, ends[0], end, colour, 2, cv2.LINE_AA, tipLength=0.2)
            _text(image, name, (end[0] + 4, end[1] + 4), colour)
    cv2.circle(image, ends[0], 4, (0, 0, 0), -1, cv2.LINE_AA)


def _axes_in(image: NDArray[np.uint8], camera: Camera, scale: float) -> None:
    """The world's axes where the camera sees them; nothing where the origin is not in its picture."""
    points = np.vstack([np.zeros(3), _AXIS_MM * np.eye(3)])
    local = world_to_camera(camera, points)
    if (local[:, 2] < 100).any():
        return
    xy = camera_to_image(camera, local)
    if (xy[0] < 0).any() or (xy[0] >= camera.size).any():
        return
    _axes(image, [(round(8 + x * scale), round(30 + y * scale)) for x, y in xy.tolist()])


def _residuals(image: NDArray[np.uint8], check: Check, camera: Camera) -> None:
    xy, residual = check.scatter[camera.name]
    scale = min(300 / camera.size[0], 270 / camera.size[1])
    w, h = round(camera.size[0] * scale), round(camera.size[1] * scale)
    cv2.rectangle(image, (8, 30), (8 + w, 30 + h), (160, 160, 160), 1)
    bad = not check.error_px[camera.name] <= check.limit_px[camera.name]
    colour = (30, 30, 200) if bad else (60, 130, 30)
    # The largest that leaves a residual at the limit 15 pixels long here.
    gain = max((g for g in (1, 2, 5, 10, 20) if g * scale * check.limit_px[camera.name] <= 15), default=1)
    _text(image, f"{camera.name}: {check.error_px[camera.name]:.2f} px (lines x {gain})", (8, 20), colour)
    _axes_in(image, camera, scale)
    for p, r in list(zip(xy, residual, strict=True))[:: max(1, len(xy) // 600)]:
        a = (round(8 + p[0] * scale), round(30 + p[1] * scale))
        b = (round(a[0] + gain * r[0] * scale), round(a[1] + gain * r[1] * scale))
        cv2.line(image, a, b, colour, 1, cv2.LINE_AA)
