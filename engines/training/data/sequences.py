"""The one interface to recorded people: whoever captured them, and in whatever file."""

from collections.abc import Sequence as Several
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Bools
from calibration.geometry.camera import Camera
from engines import skeleton as sk
from engines.types import EngineError


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One person doing one thing, seen by fixed cameras, frame by frame.

    Raises:
        EngineError: if the arrays do not fit each other or hold values that are not finite.
    """

    subject: str
    """Name of the person."""
    action: str
    """What the person does; "all" where it is not said."""
    name: str
    """Name of the take."""
    joints: Array | None
    """(F, 17, 3) mm, world axes of the cameras; None for 2D only."""
    cameras: tuple[Camera, ...] = ()
    """C cameras; none for motion capture alone."""
    xy: Array | None = None
    """(C, F, 17, 2) pixels of detections; None where the joints are to be projected. 0 where not seen."""
    seen: Bools | None = None
    """(C, F, 17) which of them there are."""
    scene: str = ""
    """Where it was recorded, where the data set says so."""

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        where = f"{self.subject} {self.name}"
        if self.joints is None and self.xy is None:
            raise EngineError(f"{where} has neither 3D joints nor 2D detections")
        if self.joints is not None:
            expect(self.joints, (None, 17, 3), where)
        if self.xy is not None:
            views = len(self.cameras) if self.cameras else None
            expect(self.xy, (views, len(self) if self.joints is not None else None, 17, 2), f"2D of {where}")
            if self.seen is None or self.seen.shape != self.xy.shape[:-1]:
                raise EngineError(f"2D of {where} does not say which joints are seen")

    def __len__(self) -> int:
        """How many frames."""
        if self.joints is not None:
            return len(self.joints)
        return 0 if self.xy is None else self.xy.shape[1]


def expect(array: Any, shape: tuple[int | None, ...], what: str) -> NDArray:
    """The array, if it is numeric, finite and of this shape; None stands for any length.

    Raises:
        EngineError: saying what it is and what was expected.
    """
    got = np.asarray(array)
    wanted = "(" + ", ".join("N" if n is None else str(n) for n in shape) + ")"
    fits = got.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, got.shape, strict=True))
    if got.dtype.kind not in "fiub" or not fits:
        raise EngineError(f"{what} has shape {got.shape} of {got.dtype}; expected {wanted} numbers")
    if not np.isfinite(got).all():
        raise EngineError(f"{what} holds values that are not finite")
    return got


def key(table: Any, name: Any, where: str) -> Any:
    """The entry of a dictionary or HDF5 group.

    Raises:
        EngineError: naming the key that is missing and those that are there.
    """
    try:
        return table[name]
    except (KeyError, TypeError, ValueError):
        there = ", ".join(sorted(map(str, table))[:12]) if hasattr(table, "__iter__") else type(table).__name__
        raise EngineError(f"{where} has no {name!r}; it has {there or 'nothing'}") from None


def pick(joint_map: sk.JointMap, points: Array) -> tuple[NDArray[np.float32], Bools]:
    """Another joint set's points (..., K, D) in the order of the 17, and which of the 17 (17,) it has.

    Unlike ``skeleton.to_h36m`` nothing is derived: data sets are compared by their own pelvis and thorax.
    """
    index = np.array(joint_map.source)
    return np.where(index[:, None] >= 0, points[..., index, :], 0).astype(np.float32), index >= 0


def total(sequences: Several[Sequence]) -> int:
    """Frames of all sequences."""
    return sum(map(len, sequences))
