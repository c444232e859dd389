"""Upright is not assumed: who lies or stands on their hands is shown to the network upright, by quarter turns.

Networks know few people upside down: of the four-camera demo turned by 180 degrees a quarter of the limb joints was
found. Within 45 degrees of upright they are good, so quarter turns do, cost nothing, and leave who is upright alone.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from calibration.arrays import Array, Image
from engines.preprocess import Box
from engines.skeleton import (
    L_ANKLE,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    LIMBS,
    R_ANKLE,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
)  # fmt: skip
from engines.types import Detection, ExtraJoints

See = Callable[[Image, Box], Detection]
"""A top-down network: image and square box in, the person in it out."""

_SEEN = 0.15
_SURE = 0.4
"""Cosines by which another quarter must be nearer to upright: a turn at 61 degrees, and back at 29."""
_LONG = 0.35
"""Of the body's size in the image: what is shorter (somebody seen from above, or crouching) tells no axis."""
_CERTAIN = 0.6
"""Mean score of somebody who is upright, for no other way up to be tried."""


def see_turned(see: See, image: Image, box: Box, quarter: int) -> Detection:
    """What a network sees in a box after ``quarter`` counter-clockwise quarter turns, in pixels of the full image."""
    if quarter % 4 == 0:
        return see(image, box)
    height, width = image.shape[:2]
    x0, y0 = np.clip((box.left, box.top), 0, (width, height))
    x1, y1 = np.clip((box.left + box.width, box.top + box.height), 0, (width, height))
    if x1 <= x0 or y1 <= y0:
        return see(image, box)
    part = image[y0:y1, x0:x1]
    w, h = int(x1 - x0), int(y1 - y0)
    left, top = box.left - int(x0), box.top - int(y0)
    right, bottom = w - left - box.width, h - top - box.height
    left, top = {1: (top, right), 2: (right, bottom), 3: (bottom, left)}[quarter % 4]
    found = see(np.ascontiguousarray(np.rot90(part, quarter)), Box(left, top, box.width, box.height))
    return turned_clockwise(found, quarter % 4, (w, h), np.array([x0, y0], np.float32))


def turned_clockwise(found: Detection, quarter: int, size: tuple[int, int], corner: Array | None = None) -> Detection:
    """Joints of a picture in the picture turned clockwise.

    Args:
        found: in the picture as it is.
        quarter: 1 to 3 quarter turns.
        size: width and height of the turned picture.
        corner: (2,) pixels of a larger picture at which the turned one begins; None for 0.
    """
    corner = np.zeros(2, np.float32) if corner is None else corner
    xy = np.where(found.score[:, None] > 0, _points(found.xy, quarter, size) + corner, 0).astype(np.float32)
    cov = None if found.cov is None else _covariances(found.cov, quarter)
    extra = found.extra
    if extra is not None:
        there = _points(extra.xy, quarter, size) + corner
        there = np.where(extra.score[:, None] > 0, there, 0).astype(np.float32)
        extra = ExtraJoints(extra.names, there, extra.score, _covariances(extra.cov, quarter))
    return replace(found, xy=xy, cov=cov, extra=extra)


def _points(xy: Array, quarter: int, size: tuple[int, int]) -> Array:
    """Pixels (..., 2) of a picture to those of the picture turned clockwise, (width, height) large."""
    x, y = xy[..., 0], xy[..., 1]
    w, h = size
    back = {1: (w - 1 - y, x), 2: (w - 1 - x, h - 1 - y), 3: (y, h - 1 - x)}[quarter]
    return np.stack(back, -1)


def _covariances(cov: Array, quarter: int) -> Array:
    """(..., 2, 2): a half turn changes nothing."""
    if quarter == 2:
        return cov
    swapped = cov[..., ::-1, ::-1].copy()
    swapped[..., 0, 1] *= -1
    swapped[..., 1, 0] *= -1
    return swapped


def quarter_of(pose: Detection, now: int = 0) -> int:
    """By how many quarter turns the person is to be turned to be upright, by the axis from feet to shoulders.

    Args:
        pose: where they were last.
        now: the turns in use, which stay where the axis tells nothing or little.
    """
    shoulders = _middle(pose, R_SHOULDER, L_SHOULDER)
    lower = (_middle(pose, *pair) for pair in ((R_ANKLE, L_ANKLE), (R_KNEE, L_KNEE), (R_HIP, L_HIP)))
    feet = next((point for point in lower if point is not None), None)
    if shoulders is None or feet is None:
        return now
    axis = shoulders - feet
    limbs = pose.xy[list(LIMBS)][pose.score[list(LIMBS)] >= _SEEN]
    long = float(np.linalg.norm(axis))
    if long < _LONG * float(np.linalg.norm(np.ptp(limbs, axis=0))) or long < 1:
        return now
    x, y = axis / long
    upright = np.array([-y, x, y, -x])
    best = int(upright.argmax())
    return best if upright[best] - upright[now % 4] > _SURE else now


def _middle(pose: Detection, right: int, left: int) -> Array | None:
    return pose.xy[[right, left]].mean(0) if pose.score[[right, left]].min() >= _SEEN else None


def see_any_way_up(
    see: See, image: Image, box: Box, strength_of: Callable[[Detection], float], better: float, first: int = 0
) -> tuple[Detection, int]:
    """What a network sees in a box, turned in the way in which it sees best.

    Args:
        see: the network.
        image: BGR.
        box: where somebody is.
        strength_of: how sure a pose is, 0..1.
        better: by how much a turned picture must be surer to be believed.
        first: quarter turns that are tried first, and that another must be clearly better than.

    Returns:
        The pose and its quarter turns.
    """
    plain = see_turned(see, image, box, first)
    if strength_of(plain) >= _CERTAIN and quarter_of(plain, first) == first:
        return plain, first
    best, turns, strength = plain, first, strength_of(plain) + better
    for quarter in range(4):
        if quarter == first % 4:
            continue
        pose = see_turned(see, image, box, quarter)
        # Who is then not upright in the turned picture was not seen better, only otherwise.
        if strength_of(pose) > strength and quarter_of(pose, quarter) == quarter:
            best, turns, strength = pose, quarter, strength_of(pose)
    return best, turns
