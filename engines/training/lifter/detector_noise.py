"""What a real detector makes of exact 2D joints: heavy-tailed errors, and joints that it does not give.

Fitted to MoveNet Thunder and Lightning on the second person of Pose2Sim's two-person recording (four cameras, 50 frame
sets; not the frames and person of the four-camera demo): each view's joints against their robust triangulation from
all four, less the median of each view's joints, which a calibration that is a little off moves and which the lifter
does not see. A joint's error is a bivariate Student t with few degrees of freedom: 1 % of the joints is somewhere else
altogether. Errors of left and right were found uncorrelated (-0.3 to 0.3). How errors grow as people become small is
not fitted: it is assumed.
"""

from typing import Final

import numpy as np

from calibration.arrays import Array, Bools
from engines import skeleton as sk

FREEDOM: Final = 1.4
"""Degrees of freedom of the t."""
_FARTHEST: Final = 0.6
"""Errors are at most about this, in diagonals of the box of the limb joints."""
_PAIRS: Final = {
    (sk.R_HIP, sk.L_HIP): (0.0075, 0.003), (sk.R_KNEE, sk.L_KNEE): (0.0055, 0.014),
    (sk.R_ANKLE, sk.L_ANKLE): (0.0050, 0.022), (sk.R_SHOULDER, sk.L_SHOULDER): (0.0055, 0.012),
    (sk.R_ELBOW, sk.L_ELBOW): (0.0075, 0.035), (sk.R_WRIST, sk.L_WRIST): (0.0085, 0.09),
}  # fmt: skip
"""Scale of the t in diagonals of the box, for Thunder, and share of the joints that are missing."""
_OTHERS: Final = (0.007, 0.01)
_SCALE, _MISSING = np.full(17, _OTHERS[0]), np.full(17, _OTHERS[1])
for _joints, (_scale, _missing) in _PAIRS.items():
    _SCALE[list(_joints)], _MISSING[list(_joints)] = _scale, _missing


def quality(distance: Array, rng: np.random.Generator) -> Array:
    """(N,) factor on the errors of each view: of detectors, blur, light, and with the distance (N,) in mm.

    The median is 1 (Thunder) near 5 m; Lightning is near 1.6.
    """
    return np.exp(rng.normal(0.1, 0.4, len(distance))) * (0.7 + 0.3 * distance / 5000)


def displace(xy: Array, factor: Array, rng: np.random.Generator) -> Array:
    """Joints (N, 17, 2) where a detector would see them.

    Args:
        xy: exact joints.
        factor: (N,) on all errors of a view, see ``quality``.
        rng: source of randomness.
    """
    size = _sizes(xy, rng.chisquare(FREEDOM, xy.shape[:2]), factor)
    return xy + rng.normal(size=xy.shape) * size[..., None]


def lasting_errors(xy: Array, factor: Array, rng: np.random.Generator, t: Array, lasting: Array) -> Array:
    """Errors of motions' frames, which last a while: of each joint those of the frame before, or new ones.

    Args:
        xy: (N * L, 17, 2) exact joints of N motions of L frames.
        factor: (N * L,) see ``displace``.
        rng: source of randomness.
        t: (N, L) seconds.
        lasting: (N,) seconds after which 1/e of the errors is still the same.

    Returns:
        (N, L, 17, 2)
    """
    n, frames = t.shape
    error = (displace(xy, factor, rng) - xy).reshape(n, frames, 17, 2)
    kept = rng.random((n, frames - 1, 17)) < np.exp(-np.diff(t, axis=1) / lasting[:, None])[..., None]
    for k in range(1, frames):
        error[:, k] = np.where(kept[:, k - 1, :, None], error[:, k - 1], error[:, k])
    return error


def _sizes(xy: Array, chi2: Array, factor: Array) -> Array:
    """(N, 17) standard deviations of the joints' errors."""
    limbs = xy[:, sk.LIMBS]
    diagonal = np.linalg.norm(limbs.max(1) - limbs.min(1), axis=-1)
    size = _SCALE * np.sqrt(FREEDOM / chi2) * factor[:, None]
    # tanh keeps small errors as they are and the largest in the picture.
    return _FARTHEST * np.tanh(size / _FARTHEST) * diagonal[:, None]


def missing(factor: Array, rng: np.random.Generator) -> Bools:
    """(N, 17) joints that are not given; more of them where errors are large."""
    return rng.random((len(factor), 17)) < np.minimum(_MISSING * factor[:, None], 0.5)
