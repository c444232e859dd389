"""A moment in, an estimate out: detect, lift, fuse, track. No threads, no queues; live and offline it is this code."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.camera import Camera
from engines.mdn import locate, see
from engines.skeleton import LIMBS
from engines.types import Detection, Detector, DetectorSession, Lifter, Mixture, Pose, TimedSession
from stream.config import DetectConfig
from stream.tracks import TrackConfig, Tracker
from stream.types import Estimate, Frame, Moment, View

Array = NDArray[np.floating]

# 2D joints are interpolated between two frames only when these are near: a joint's path over 0.1 s is no line.
_MAX_INTERPOLATED_S = 0.1


Each = Callable[..., Iterable[Any]]
"""``map``, or something that gives the same in the same order."""


class Fuser(Protocol):
    """Fuses the views of one moment; may keep what it needs to start warm."""

    def __call__(
        self, detections: Sequence[Detection | None], mixtures: Sequence[Mixture | None], t: float
    ) -> Pose | None:
        """The person in the world, or None where no view has one."""
        ...


@dataclass(slots=True)
class _Eye:
    """What the estimator keeps of one camera."""

    session: DetectorSession
    tracker: Tracker
    frame_index: int = -1
    t: float = -np.inf
    detection: Detection | None = None
    before: tuple[float, Detection] | None = None


class Estimator:
    """Estimates moments of a fixed set of cameras.

    Args:
        cameras: one a view, in the order of ``Moment.frames``; only the calibrated have a known place.
        detector: 2D joints; a session is opened a camera.
        lifter: 3D hypotheses.
        detect: thresholds of the detection.
        tracks: parameters of the tracks.
        fuse: fuses the views in the world; None where the cameras are not calibrated.
        each: applies a function to every view, like ``map``; that of a pool detects views side by side.
        clock: seconds; only to measure stages, nothing depends on it.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        detector: Detector,
        lifter: Lifter,
        detect: DetectConfig | None = None,
        tracks: TrackConfig | None = None,
        fuse: Fuser | None = None,
        each: Each = map,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._cameras = tuple(cameras)
        self._lifter = lifter
        self._detect = detect or DetectConfig()
        self._fuse = fuse
        self._each = each
        self._clock = clock
        self._eyes = [_Eye(detector.session(), Tracker(tracks)) for _ in cameras]

    def __call__(self, moment: Moment) -> Estimate:
        """Estimate one moment. The images are not kept."""
        start = self._clock()
        fresh = [self._is_fresh(eye, frame) for eye, frame in zip(self._eyes, moment.frames, strict=True)]
        detections = list(self._each(self._look, self._eyes, moment.frames, fresh, repeat(moment.t)))
        detected = self._clock()
        for eye, looked in zip(self._eyes, fresh, strict=True):
            if looked and isinstance(eye.session, TimedSession):
                eye.session.report((detected - start) / sum(fresh))
        mixtures = self._lift(detections)
        lifted = self._clock()
        pose = self._fuse(detections, mixtures, moment.t) if self._fuse else None
        fused = self._clock()
        views = tuple(
            None if frame is None or detection is None else self._view(k, moment.t, frame, detection, mixtures[k])
            for k, (frame, detection) in enumerate(zip(moment.frames, detections, strict=True))
        )
        stages = {"detect": detected - start, "lift": lifted - detected, "track": self._clock() - fused}
        if self._fuse:
            stages["fuse"] = fused - lifted
        return Estimate(moment.index, moment.t, views, pose, moment.spread_s, stages)

    @staticmethod
    def _is_fresh(eye: _Eye, frame: Frame | None) -> bool:
        """Whether the frame has not been looked at: a slow camera's is in several moments."""
        return frame is not None and (frame.index != eye.frame_index or eye.detection is None)

    @staticmethod
    def _look(eye: _Eye, frame: Frame | None, fresh: bool, target: float) -> Detection | None:
        """Detect, once a frame, and interpolate to the target time where a frame before it is known."""
        if frame is None:
            return None
        if fresh:
            if eye.detection is not None:
                eye.before = (eye.t, eye.detection)
            if frame.t <= eye.t:
                # A file that begins again, or a reconnected camera: nothing of before is of use.
                eye.session.reset()
                eye.tracker.reset()
                eye.before = None
            eye.detection = eye.session(frame.image, frame.t)
            eye.frame_index, eye.t = frame.index, frame.t
        before, now = eye.before, eye.detection
        if (
            now is None
            or before is None
            or not before[0] < target < eye.t - 1e-6
            or eye.t - before[0] > _MAX_INTERPOLATED_S
        ):
            return now
        return interpolate(before[1], now, (target - before[0]) / (eye.t - before[0]))

    def _lift(self, detections: Sequence[Detection | None]) -> list[Mixture | None]:
        """All views in one batch; None for a view in which there is too little of a person to lift."""
        mixtures: list[Mixture | None] = [None] * len(detections)
        chosen, inputs = [], []
        for k, detection in enumerate(detections):
            if detection is None or self._seen_limbs(detection) < self._detect.min_joints:
                continue
            chosen.append(k)
            inputs.append(see(detection, self._cameras[k], self._detect.min_score))
        for k, mixture in zip(chosen, self._lifter(inputs), strict=True):
            mixtures[k] = mixture
        return mixtures

    def _seen_limbs(self, detection: Detection) -> int:
        return int((detection.score[list(LIMBS)] >= self._detect.min_score).sum())

    def _view(self, k: int, t: float, frame: Frame, detection: Detection, mixture: Mixture | None) -> View:
        height, width = frame.image.shape[:2]
        empty = View(frame.camera, frame.index, frame.t, (width, height), detection, None, (), None, None, None)
        if mixture is None:
            return empty
        # At the moment's time: a slow camera's frame is in several moments, and its joints are brought to each.
        tracks, raw, answer = self._eyes[k].tracker(mixture, t)
        root = locate(raw, detection, self._cameras[k], self._detect.min_score)
        return replace(empty, mixture=mixture, tracks=tracks, answer_raw=raw, answer=answer, root=root)


def interpolate(a: Detection, b: Detection, share: float) -> Detection:
    """The detection a share of the way from a to b; a joint that one of them does not see is not seen.

    Linear in pixels: at 30 fps a wrist at 5 m/s is then 5 mm off its path, against 18 mm unmatched.
    """
    if a.origin != b.origin or not (a.person and b.person):
        return b if share >= 0.5 else a
    score = np.where((a.score > 0) & (b.score > 0), (1 - share) * a.score + share * b.score, 0).astype(np.float32)
    xy = np.where(score[:, None] > 0, (1 - share) * a.xy + share * b.xy, 0).astype(np.float32)
    return Detection(xy, score, b.derived, b.origin)
