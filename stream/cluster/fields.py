"""The parts of a message as they were unpacked, each held to its kind and bounds; what does not fit is refused."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from calibration.arrays import Array

MOST_TEXT: Final = 200
"""Characters."""
MOST_WHOLE: Final = 1 << 53
FAR_PX, FAR_S = 1e6, 1e12

T = TypeVar("T")


class WireError(Exception):
    """What came is no message of this program."""


def parts(value: object, count: int) -> Sequence[Any]:
    """A list of so many fields."""
    if not isinstance(value, list) or len(value) != count:
        raise WireError(f"not {count} fields")
    return value


def items(value: object, most: int) -> list[Any]:
    """A list that is not longer than ``most``."""
    if not isinstance(value, list) or len(value) > most:
        raise WireError(f"no list of {most} at most")
    return value


def text(value: object, most: int = MOST_TEXT) -> str:
    """Text of one line."""
    if not isinstance(value, str) or len(value) > most or not (value.isprintable() or not value):
        raise WireError("no text")
    return value


def printable(line: str) -> str:
    """What is sent of a line so that ``text`` takes it."""
    return "".join(c for c in line if c.isprintable())


def whole(value: object, least: int = 0, most: int = MOST_WHOLE) -> int:
    """A whole number from ``least`` to ``most``."""
    if type(value) is not int or not least <= value <= most:
        raise WireError("no whole number in its bounds")
    return value


def flag(value: object) -> bool:
    """Yes or no."""
    if type(value) is not bool:
        raise WireError("no yes or no")
    return value


def number(value: object, least: float = -FAR_S, most: float = FAR_S) -> float:
    """A number from ``least`` to ``most``, finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError("no number in its bounds")
    if not (math.isfinite(value) and least <= value <= most):
        raise WireError("no number in its bounds")
    return float(value)


def or_none(value: object, read: Callable[[object], T]) -> T | None:
    """None, or what ``read`` makes of it."""
    return None if value is None else read(value)


def floats(value: object, *shape: int) -> Array:
    """Float32 of a shape."""
    if not isinstance(value, bytes) or len(value) != 4 * math.prod(shape):
        raise WireError("no array of its size")
    return np.frombuffer(value, "<f4").astype(np.float32, copy=False).reshape(shape)


def places(value: object, count: int) -> Array:
    """(count, 2) pixels."""
    xy = floats(value, count, 2)
    if not (np.abs(xy) <= FAR_PX).all():  # NaN neither
        raise WireError("no places in an image")
    return xy


def scores(value: object, count: int) -> Array:
    """(count,) of 0 to 1."""
    score = floats(value, count)
    if not ((score >= 0) & (score <= 1)).all():
        raise WireError("no scores")
    return score


def covariances(value: object, count: int) -> Array:
    """(count, 2, 2) px2, each of NaN or one that can be."""
    cov = floats(value, count, 2, 2)
    # What is NaN is not known, and compares as what is right.
    if (np.abs(cov) > FAR_PX**2).any():
        raise WireError("no covariances")
    (a, b), (c, d) = cov.transpose(1, 2, 0)
    across = a * d
    if ((a < 0) | (d < 0) | (across - b * c < -1e-3 * (1 + across))).any():
        raise WireError("no covariances")
    return cov
