"""Is the person as large as people are, and the right way up? What else a calibration gets wrong without a word.

A pure state machine on estimates. Rays meet whatever the unit is, so the person is triangulated anew for this, in the
calibration's own unit: a fused pose holds to what people measure.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera, world_to_image
from calibration.geometry.triangulation import triangulate_linear
from calibration.solving.body import Body
from calibration.solving.size import PLAUSIBLE, UP_PROBLEM, bone_ratio, in_a_room, size_problem
from engines import skeleton
from engines.skeleton import LIMBS
from stream.types import Estimate, View

BODY: Final = Body(
    (skeleton.R_HIP, skeleton.L_HIP), (skeleton.R_KNEE, skeleton.L_KNEE), (skeleton.R_ANKLE, skeleton.L_ANKLE),
    (skeleton.R_SHOULDER, skeleton.L_SHOULDER), (skeleton.R_ELBOW, skeleton.L_ELBOW),
    (skeleton.R_WRIST, skeleton.L_WRIST),
)  # fmt: skip
"""Which joints of ours make a body."""
_SURE_S: Final = 3.0
_EVERY_S: Final = 0.1
_LEAST: Final = 8
"""Moments that are judged."""
_MEET: Final = 0.04
"""Rays meet when the typical joint is within this share of the person's size of where it was seen."""
_UP_SHARE: Final = 0.95


class Plausibility:
    """Watches the estimates of calibrated cameras.

    Args:
        cameras: in the order of the estimates' views, with their place in the world.
        min_score: a joint below it counts as not seen.
    """

    def __init__(self, cameras: Sequence[Camera], min_score: float = 0.2) -> None:
        self._cameras, self._min_score = tuple(cameras), min_score
        self._spread, self._scale = in_a_room(cameras)
        self._bodies: deque[tuple[float, Array]] = deque()
        self._looked = -np.inf
        self._stood = self._below = 0
        self._begun: float | None = None
        self._t = -np.inf
        self.size_problem = ""
        """What is wrong with the unit of the calibration; empty while nothing is known."""

    @property
    def up_problem(self) -> str:
        """What is wrong with up; a take of somebody who stands on their hands all the time says so, too."""
        lasts = self._begun is not None and self._t - self._begun >= _SURE_S
        return UP_PROBLEM if lasts and self._stood >= _LEAST and self._below >= _UP_SHARE * self._stood else ""

    def __call__(self, estimate: Estimate) -> list[str]:
        """Take the next estimate; what is to be said now, a line each."""
        t = estimate.t
        if 0 <= t - self._looked < _EVERY_S - 1e-6:
            return []
        self._looked, before = t, self.up_problem
        self._t = max(t, self._t)
        joints = self._body(estimate)
        if joints is None:
            return []
        self._stand(joints, t)
        said = [self.up_problem] if self.up_problem and not before else []
        self._bodies.append((t, joints))
        while not 0 <= t - self._bodies[0][0] <= 2 * _SURE_S:
            self._bodies.popleft()
        if not self.size_problem and t - self._bodies[0][0] >= _SURE_S and len(self._bodies) >= _LEAST:
            ratio = bone_ratio(np.stack([body for _, body in self._bodies]), BODY)
            if ratio is not None and not PLAUSIBLE[0] <= ratio <= PLAUSIBLE[1]:
                self.size_problem = f"the person's {size_problem(ratio)}"
                said.append(self.size_problem)
        return said

    def lines(self) -> list[str]:
        """What there was in all, a line each."""
        return [f"warning: {line}" for line in (self.size_problem, self.up_problem) if line]

    def _stand(self, joints: Array, t: float) -> None:
        up = self._cameras[0].up
        if up is None:
            return
        height = float((joints[list(BODY.shoulders)].mean(0) - joints[list(BODY.ankles)].mean(0)) @ up)
        if np.isfinite(height):
            self._begun = t if self._begun is None else self._begun
            self._stood += 1
            self._below += height < 0

    def _body(self, estimate: Estimate) -> Array | None:
        """(17, 3) of somebody whose rays meet, in the calibration's unit; None where nobody's do."""
        seen = [list(person.views) for person in estimate.people if sum(v is not None for v in person.views) > 1]
        if not seen:
            # In a wrong unit nobody is found to be the same person in two cameras: take the only one each sees.
            only = [estimate.views_of(k) for k in range(len(self._cameras))]
            seen = [[views[0] if len(views) == 1 else None for views in only]]
        for views in seen:
            xy = np.stack([np.full((17, 2), np.nan) if view is None else self._shown(view) for view in views])
            if np.isfinite(xy[:, list(LIMBS)]).all(-1).any(-1).sum() < 2:
                continue
            joints = triangulate_linear(self._spread, xy)
            shown = np.stack([world_to_image(camera, joints) for camera in self._spread])
            if _apart(xy[:, list(LIMBS)], shown[:, list(LIMBS)]) < _MEET:
                return joints / self._scale
        return None

    def _shown(self, view: View) -> Array:
        seen = (view.detection.score >= self._min_score) & ~view.detection.derived
        return np.where(seen[:, None], view.detection.xy, np.nan)


def _apart(xy: Array, shown: Array) -> float:
    """Median distance (V, J, 2) in sizes of the person, of the worst view; infinite where too little is seen."""
    worst = 0.0
    for seen, there in zip(xy, shown, strict=True):
        both = np.isfinite(seen + there).all(-1)
        if both.sum() >= 4:
            size = float(np.linalg.norm(np.ptp(seen[both], axis=0)))
            worst = max(worst, float(np.median(np.linalg.norm(seen - there, axis=-1)[both])) / max(size, 1.0))
    return worst or np.inf
