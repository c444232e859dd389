"""What a file of 2D joints becomes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from calibration.arrays import Array
from engines.skeleton import to_h36m
from engines.types import Detection, ExtraJoints, Seen, Sighting
from stream.sources._pose_files._joint_sets import JointSet

_NEAR = 0.6
"""Of a person's size: somebody whose joints are further from where they were is another, in the mean of all."""
_FORGET = 15
"""Frames after which somebody who was not seen is forgotten."""


@dataclass(frozen=True, slots=True, eq=False)
class OnePose:
    """One person in one frame of a file."""

    xy: Array
    """(K, 2) pixels, or shares of the image's sides."""
    score: Array
    """(K,) 0..1; 0 = not seen."""
    track: int | None = None
    """Who it is by the file; None where that does not tell."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseFile:
    """The 2D joints of one camera."""

    origin: str
    """What kind of file it is, for the recording."""
    joints: JointSet
    """Which joints they are."""
    frames: Mapping[int, tuple[OnePose, ...]]
    """By number of the frame, from 0."""
    shares: bool = False
    """Whether places are shares of the image's width and height, and not pixels."""

    def reach(self) -> tuple[float, float]:
        """The largest x and y of all joints that are seen."""
        seen = [one.xy[one.score > 0] for people in self.frames.values() for one in people]
        points = np.concatenate([np.zeros((1, 2)), *seen])
        return float(points[:, 0].max()), float(points[:, 1].max())


class Follower:
    """Numbers people from frame to frame: by the file where it does, else by whose joints are near."""

    def __init__(self, file: PoseFile, size: tuple[int, int]) -> None:
        self._file = file
        self._scale = np.array(size if file.shares else (1, 1), float)
        self._numbers: dict[object, int] = {}
        self._last: dict[int, tuple[int, Array, Array]] = {}
        """By number: the frame, joints and scores in which somebody was seen last."""

    def seen(self, index: int) -> Seen:
        """Everybody in one frame; frames are asked for in order."""
        poses = [one for one in self._file.frames.get(index, ()) if (one.score > 0).any()]
        made = [self._detection(one) for one in poses]
        self._last = {n: last for n, last in self._last.items() if index - last[0] <= _FORGET}
        tracks = self._tracks(poses, made)
        for track, detection in zip(tracks, made, strict=True):
            self._last[track] = (index, detection.xy, detection.score)
        people = tuple(Sighting(t, d) for t, d in zip(tracks, made, strict=True))
        return Seen(self._file.origin, people)

    def _detection(self, one: OnePose) -> Detection:
        joints, xy = self._file.joints, one.xy * self._scale
        own, score, derived = to_h36m(joints.map, xy, one.score)
        extra = None
        if joints.extra:
            index = [k for _, k in joints.extra]
            unknown = np.full((len(index), 2, 2), np.nan, np.float32)
            there = one.score[index] > 0
            extra = ExtraJoints(
                tuple(name for name, _ in joints.extra), np.where(there[:, None], xy[index], 0).astype(np.float32),
                one.score[index].astype(np.float32), unknown,
            )  # fmt: skip
        return Detection(own, score, derived, self._file.origin, extra=extra)

    def _new(self, key: object) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _tracks(self, poses: list[OnePose], made: list[Detection]) -> list[int]:
        said = [one.track for one in poses]
        if all(track is not None for track in said) and len(set(said)) == len(said):
            return [self._new(("file", track)) for track in said]
        known = list(self._last)
        cost = np.array([[_apart(d, *self._last[n][1:]) for n in known] for d in made]).reshape(len(made), len(known))
        found: dict[int, int] = {}
        for row, column in zip(*linear_sum_assignment(np.minimum(cost, 1e3)), strict=True):
            if cost[row, column] < _NEAR:
                found[int(row)] = known[int(column)]
        return [found[k] if k in found else self._new(("near", len(self._numbers))) for k in range(len(made))]


def _apart(detection: Detection, xy: Array, score: Array) -> float:
    """Mean distance of the joints that both have, as a share of the person's size."""
    both = (detection.score > 0) & (score > 0)
    if both.sum() < 3:
        return np.inf
    size = float(np.ptp(xy[score > 0], axis=0).max()) or 1.0
    return float(np.linalg.norm(detection.xy[both] - xy[both], axis=1).mean() / size)
