"""What a camera sees between two of its frames: every joint of everybody, linearly in time."""

from collections.abc import Sequence

import numpy as np

from calibration.arrays import Array
from engines.types import Detection, ExtraJoints, Seen, Sighting


def interpolate_all(a: Seen, b: Seen, share: float) -> Seen:
    """Everybody the share of the way from a to b; somebody who is in one of them only, as they are in the nearer."""
    nearer = b if share >= 0.5 else a
    before = {sighting.track: sighting for sighting in a.people}
    after = {sighting.track for sighting in b.people}
    people = [
        Sighting(sighting.track, interpolate(before[sighting.track].detection, sighting.detection, share))
        if sighting.track in before
        else sighting
        for sighting in b.people
        if sighting.track in before or nearer is b
    ]
    if nearer is a:
        people += [sighting for sighting in a.people if sighting.track not in after]
    return Seen(nearer.origin, tuple(people), nearer.left_out)


def interpolate(a: Detection, b: Detection, share: float) -> Detection:
    """The detection a share of the way from a to b; a joint that one of them does not see is not seen.

    Linear in pixels: at 30 fps a wrist at 5 m/s is then 5 mm off its path, against 18 mm unmatched. Covariances are
    linear too: the errors of frames that follow each other are much the same, so they do not average out.
    """
    if a.origin != b.origin or not (a.person and b.person):
        return b if share >= 0.5 else a
    xy, score = _between(a, b, share)
    cov = None if a.cov is None or b.cov is None else _between_cov(a.cov, b.cov, score, share)
    return Detection(xy, score, b.derived, b.origin, cov=cov, extra=_between_extra(a.extra, b.extra, share))


def _between_extra(a: ExtraJoints | None, b: ExtraJoints | None, share: float) -> ExtraJoints | None:
    if a is None or b is None:
        return None
    shared = [name for name in b.names if name in a.names]
    a, b = (_named(joints, shared) for joints in (a, b))
    xy, score = _between(a, b, share)
    return ExtraJoints(tuple(shared), xy, score, _between_cov(a.cov, b.cov, score, share))


def _named(joints: ExtraJoints, names: Sequence[str]) -> ExtraJoints:
    rows = [joints.names.index(name) for name in names]
    return ExtraJoints(tuple(names), joints.xy[rows], joints.score[rows], joints.cov[rows])


def _between(a: Detection | ExtraJoints, b: Detection | ExtraJoints, share: float) -> tuple[Array, Array]:
    score = np.where((a.score > 0) & (b.score > 0), (1 - share) * a.score + share * b.score, 0).astype(np.float32)
    xy = np.where(score[:, None] > 0, (1 - share) * a.xy + share * b.xy, 0).astype(np.float32)
    return xy, score


def _between_cov(a: Array, b: Array, score: Array, share: float) -> Array:
    return np.where(score[:, None, None] > 0, (1 - share) * a + share * b, np.nan).astype(np.float32)
