"""People as messages of ROS 2: right-handed, z up, metres; a body's axes are x forward, y left, z up (REP 103)."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from calibration.arrays import Array
from engines.articulation import Articulation, Articulator
from engines.articulation.kinematics import chained, matrices_of, quaternions_of
from engines.skeleton import EDGES, JOINTS
from stream.sinks._people import Someone
from stream.sinks._ros_types import ros_types

_FORWARD_LEFT_UP: Final = np.eye(3)[:, [2, 0, 1]]
"""From a body's axes to those of the rest pose, x left, y up, z forward."""
_TO_CAMERA: Final = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
"""From live axes of one camera, y forward, to x forward, y left, z up."""
_SPHERE, _LINES, _TEXT = 2, 5, 9
_SMALLEST: Final = 0.02
_LIFETIME_NS: Final = 500_000_000
_COLOUR: Final = (0.25, 0.7, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A person in the axes of a frame of ROS."""

    someone: Someone
    """Who."""
    joints: Array
    """(17, 3) m."""
    cov: Array
    """(17, 3, 3) m2."""
    rotations: Array
    """(17, 4) quaternions x, y, z, w: of the bone that ends in each joint, the body's axes in those of the frame."""
    sigma: Array
    """(17,) radians, one standard deviation an axis; NaN where it is not known."""


class Messages:
    """Makes the messages of a run.

    Args:
        space: ``Space.name`` of the run: which is also the frame's name.
    """

    def __init__(self, space: str) -> None:
        self._types = ros_types()
        self.frame = space
        self._turn = _TO_CAMERA if space == "camera" else np.eye(3)
        self._articulators: dict[int, Articulator] = {}

    def place(self, someone: Someone, t: float) -> Placed:
        """A person in the frame, with the rotations of their bones."""
        joints, cov = someone.joints @ self._turn.T, self._turn @ someone.cov @ self._turn.T
        articulator = self._articulators.setdefault(someone.person_id, Articulator(np.array([0.0, 0, 1])))
        made = articulator(t, joints, cov)
        return Placed(someone, joints, cov, _of_bodies(made), np.full(17, np.nan) if made.sigma is None else made.sigma)

    def forget(self, person_id: int) -> None:
        """Let go of a person who is gone."""
        self._articulators.pop(person_id, None)

    def header(self, seconds: float) -> Any:
        """The time of the capture, and the frame."""
        whole = math.floor(seconds)
        return self._types.Header(self._types.Time(whole, min(int((seconds - whole) * 1e9), 999_999_999)), self.frame)

    def joints(self, people: list[Placed], header: Any) -> Any:
        """``geometry_msgs/PoseArray``: the 17 joints of one person in their order."""
        (placed,) = people
        return self._types.PoseArray(header, [self._pose(*one) for one in self._known(placed)])

    def pelvis(self, people: list[Placed], header: Any) -> Any:
        """``geometry_msgs/PoseWithCovarianceStamped``: pelvis and hips of one person."""
        (placed,) = people
        cov = np.zeros((6, 6))
        cov[:3, :3] = placed.cov[0]
        cov[3:, 3:] = np.eye(3) * (math.pi**2 if np.isnan(placed.sigma[0]) else placed.sigma[0] ** 2)
        pose = self._pose(*self._known(placed)[0])
        return self._types.PoseWithCovarianceStamped(
            header, self._types.PoseWithCovariance(pose, np.nan_to_num(cov).ravel().tolist())
        )

    def transforms(self, people: list[Placed], header: Any) -> Any:
        """``tf2_msgs/TFMessage``: a frame ``person_ID/JOINT`` for every joint that is known."""
        types = self._types
        found = []
        for placed in people:
            for name, (point, rotation) in zip(JOINTS, self._known(placed), strict=True):
                if np.isfinite(point).all():
                    transform = types.Transform(types.Vector3(*point), types.Quaternion(*rotation))
                    found.append(types.TransformStamped(header, f"person_{placed.someone.person_id}/{name}", transform))
        return types.TFMessage(found)

    def markers(self, people: list[Placed], header: Any) -> Any:
        """``visualization_msgs/MarkerArray``: bones, a sphere of one sigma at every joint, and who it is."""
        found: list[Any] = []
        for placed in people:
            whose, someone = f"person_{placed.someone.person_id}", placed.someone
            alpha = 1.0 if np.isnan(someone.probability) else max(float(someone.probability), 0.2)
            found.append(self._lines(header, whose, 0, placed.joints, alpha, 0.03))
            for k, guess in enumerate(someone.guesses):
                points = guess.joints @ self._turn.T
                found.append(self._lines(header, whose, 100 + k, points, 0.5 * float(guess.probability), 0.01))
            for joint, (point, sigma) in enumerate(zip(placed.joints, someone.sigma, strict=True)):
                if np.isfinite(point).all():
                    size = max(2 * float(np.nan_to_num(sigma)), _SMALLEST)
                    found.append(self._marker(header, whose, 1 + joint, _SPHERE, point, (size, size, size), 0.4))
            if np.isfinite(placed.joints[10]).all():
                above = placed.joints[10] + [0, 0, 0.25]
                label = self._marker(header, whose, 50, _TEXT, above, (0.0, 0.0, 0.15), 1.0)
                known = "" if np.isnan(someone.probability) else f", p = {someone.probability:.2f}"
                label.text = f"{someone.person_id}{known}"
                found.append(label)
        return self._types.MarkerArray(found)

    def _known(self, placed: Placed) -> list[tuple[list[float], list[float]]]:
        """(position, rotation) of each joint; no rotation where it is not known."""
        rotations = np.where(np.isfinite(placed.rotations), placed.rotations, [0.0, 0, 0, 1])
        return list(zip(placed.joints.tolist(), rotations.tolist(), strict=True))

    def _pose(self, point: list[float], rotation: list[float]) -> Any:
        return self._types.Pose(self._types.Point(*point), self._types.Quaternion(*rotation))

    def _lines(self, header: Any, whose: str, number: int, joints: Array, alpha: float, width: float) -> Any:
        marker = self._marker(header, whose, number, _LINES, np.zeros(3), (width, 0.0, 0.0), alpha)
        known = np.asarray(np.isfinite(joints).all(1))
        ends = [joints[j].tolist() for edge in EDGES if known[list(edge)].all() for j in edge]
        marker.points = [self._types.Point(*end) for end in ends]
        return marker

    def _marker(
        self,
        header: Any,
        whose: str,
        number: int,
        kind: int,
        at: Array,
        scale: tuple[float, float, float],
        alpha: float,
    ) -> Any:
        types = self._types
        return types.Marker(
            header=header, ns=whose, id=number, type=kind, pose=types.Pose(types.Point(*at.tolist())),
            scale=types.Vector3(*scale), color=types.ColorRGBA(*_COLOUR, alpha),
            lifetime=types.Duration(0, _LIFETIME_NS),
        )  # fmt: skip


def _of_bodies(made: Articulation) -> Array:
    return quaternions_of(chained(matrices_of(made.rotations)) @ _FORWARD_LEFT_UP)
