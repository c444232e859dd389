"""The people of an estimate as live outputs tell of them: metres, right-handed, z up.

In the world of a calibration the axes are its own, turned so that up is z, as in exports to C3D. Without one they are
those of the camera, taken to be level: x right, y forward, z up, the camera at the origin.
"""

from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera
from engines.types import Pose
from stream.drawing.figures import Figure, figures
from stream.drawing.scene import ViewState, camera_to_stage, world_axes
from stream.recordings.markers import turn, world_right
from stream.recordings.run_info import RunInfo
from stream.types import Estimate, Person, View

_Z = np.array([0.0, 0, 1])


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """One of the hypotheses of one camera."""

    camera: str
    """Whose it is."""
    track: int
    """``HypothesisTrack.id``."""
    probability: float
    """Of those of one camera they sum to 1."""
    joints: Array
    """(17, 3) m."""


@dataclass(frozen=True, slots=True, eq=False)
class Someone:
    """A person of a moment."""

    person_id: int
    """``Person.person_id``."""
    joints: Array
    """(17, 3) m: the answer."""
    cov: Array
    """(17, 3, 3) m2. Of one camera's answer that of its joints relative to the pelvis: how far away the person is, one
    camera does not tell well."""
    probability: float
    """Of the hypothesis that is the answer; of a fused pose the mean over its cameras of the probability of the
    hypothesis nearest to it; NaN where there is none."""
    method: str
    """How it was fused, ``Pose.method``; "view" for the answer of one camera."""
    cameras: tuple[str, ...]
    """Which cameras it was made of."""
    guesses: tuple[Guess, ...] = ()
    """All hypotheses of all cameras, the most probable of each camera first; empty where they are not asked for."""

    @property
    def sigma(self) -> Array:
        """(17,) m: one standard deviation an axis of each joint."""
        return np.sqrt(np.trace(self.cov, axis1=1, axis2=2) / 3)


class Space:
    """Where the people of a run are.

    Args:
        run_info: of the run.
        guesses: whether all hypotheses are told of.
    """

    def __init__(self, run_info: RunInfo, *, guesses: bool = False) -> None:
        self._view = ViewState(cameras=run_info.cameras)
        self._guesses = guesses
        cameras = [info.calibration for info in run_info.cameras if info.calibration is not None]
        self.name = "world" if cameras else "camera"
        """"world" of the calibration, or "camera"."""
        self.up_known = bool(cameras) and world_axes(cameras)[1]
        """Whether gravity is known; otherwise the images' up is taken for it."""
        self._from_stage = _world_up(cameras) @ world_axes(cameras)[0].T if cameras else np.eye(3)

    def people(self, estimate: Estimate) -> list[Someone]:
        """Everybody who is somewhere, in the order of the estimate."""
        there = {person.person_id: person for person in estimate.people}
        return [self._someone(figure, there[figure.person_id], estimate) for figure in figures(estimate, self._view)]

    def _someone(self, figure: Figure, person: Person, estimate: Estimate) -> Someone:
        names = [frame.camera if frame else "" for frame in estimate.frames]
        R, view = self._from_stage, person.views[names.index(figure.camera)] if figure.camera else None
        cov = _sigma_of(view)[:, None, None] ** 2 * np.eye(3) if figure.cov is None else R @ figure.cov @ R.T
        probability = figure.probability
        if person.pose is not None and not figure.camera:
            probability = self._agreement(person, person.pose, names)
        return Someone(
            person.person_id, figure.joints @ R.T / 1e3, cov / 1e6, probability, figure.method or "view",
            figure.used or ((figure.camera,) if figure.camera else ()),
            tuple(self._all(person, names, figure)) if self._guesses else (),
        )  # fmt: skip

    def _agreement(self, person: Person, pose: Pose, names: list[str]) -> float:
        found = []
        for k, view in enumerate(person.views):
            camera = self._view.cameras[k].calibration
            if view is None or not view.tracks or camera is None or names[k] not in pose.cameras:
                continue
            relative = (pose.joints - pose.joints[0]) @ camera.R.T
            apart = [float(np.linalg.norm(track.pose - relative, axis=-1).mean()) for track in view.tracks]
            found.append(view.tracks[int(np.argmin(apart))].probability)
        return float(np.mean(found)) if found else np.nan

    def _all(self, person: Person, names: list[str], figure: Figure) -> "list[Guess]":
        made = []
        for k, view in enumerate(person.views):
            if view is None or view.root is None or not np.isfinite(view.root).all():
                continue
            if self.name == "camera" and names[k] != figure.camera:
                continue  # its axes are others
            for track in sorted(view.tracks, key=lambda track: -track.probability):
                joints = camera_to_stage(self._view, k, track.pose + view.root) @ self._from_stage.T / 1e3
                made.append(Guess(names[k], track.id, track.probability, joints))
        return made


def _sigma_of(view: View | None) -> Array:
    """(17,) mm of the kernel that the answer is made of; NaN where there is none."""
    if view is None or view.mixture is None or not view.tracks:
        return np.full(17, np.nan)
    return view.mixture.sigma[int(np.argmax([track.probability for track in view.tracks]))]


def _world_up(cameras: list[Camera]) -> Array:
    """(3, 3) rotation from the world of a calibration to its axes with z up."""
    up = world_axes(cameras)[0][2]
    return turn(up, world_right(up, _Z), _Z)
