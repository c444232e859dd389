"""Small corrections of where cameras stand, how they are turned and how late they are, from the people they saw.

Bundle adjustment (``calibration/solving/moving.py``) over the joints of many moments, each a free point that moves at
its refined speed, with a prior that says that the given calibration is nearly right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array, Bools, Ints
from calibration.errors import CalibrationError
from calibration.geometry.camera import Camera, image_to_ray
from calibration.solving.moving import OWN, adjust_moving
from engines.skeleton import LIMBS

_GAUGE = 7
"""Of all cameras together nothing tells the place, the turn, and the size."""


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """What is believed of a calibration, and what is asked of a recording that is to correct it."""

    turned_degrees: float = 1.5
    """Standard deviation of how a camera is turned, an axis."""
    moved_mm: float = 30.0
    """The same of its place."""
    late_s: float = 0.01
    """The same of its time."""
    noise_px: float = 6.0
    """Of a joint in the image: what a detector calls a hip is no point of the body."""
    least_moments: int = 24
    """Of which at least two cameras see the same joints."""
    most_moments: int = 200
    """More are thinned out evenly."""
    least_spread_mm: float = 80.0
    """Standard deviation of the joints along the thinnest direction: below it they lie in a plane."""
    least_told: float = 1.0
    """How much more the pictures must tell of every number than the prior does, in variances."""
    steps: int = 15
    """Gauss-Newton steps at most."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraChange:
    """How one camera was corrected."""

    name: str
    """Of the camera."""
    moved_mm: float
    """How far."""
    turned_degrees: float
    """By how much."""
    late_s: float
    """By how much it is later than the others: it shows what was then; negative: earlier."""
    bias_px: tuple[float, float]
    """How far from where the others put them the joints were, in the mean, before and after."""


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What the cameras saw of people whose motion is known."""

    joints: Array
    """(P, 3) mm, world."""
    speed: Array
    """(P, 3) mm/s."""
    moment: Ints
    """(P,) number of the moment of each."""
    xy: Array
    """(V, P, 2) pixels, NaN where not seen."""


def refine_cameras(
    cameras: Sequence[Camera], seen: Observed, options: CameraOptions = CameraOptions()
) -> tuple[tuple[Camera, ...], tuple[CameraChange, ...]]:
    """Correct a calibration by what its cameras saw.

    Args:
        cameras: V of them, with their place in the world.
        seen: the joints of people and where they were seen.
        options: every threshold.

    Returns:
        The corrected cameras, and what was done to each.

    Raises:
        CalibrationError: if the recording cannot tell: too short, joints in a plane, cameras that share no joints, or a
            correction that does not hold in moments that it was not made of.
    """
    seen = _usable(seen, options)
    _check_spread(seen, options)
    moments = np.unique(seen.moment)
    # In two blocks, not every second one: neighbours are nearly the same picture.
    early = seen.moment <= moments[int(0.7 * (len(moments) - 1))]
    tried, _, _ = _adjust(cameras, _select(seen, early), options)
    late = _select(seen, ~early)
    before, after = _held_out(cameras, late), _held_out(tried, late)
    if not after < before:
        raise CalibrationError(
            f"the corrected cameras do not hold: in moments that they were not made of joints are {after:.1f} px off, "
            f"{before:.1f} with the given ones; record people who move through the whole room, or keep the calibration"
        )
    corrected, late_s, told = _adjust(cameras, seen, options)
    if told < options.least_told:
        raise CalibrationError(
            "the recording does not tell how the cameras stand: people must move through the whole room, seen by "
            "several cameras at once"
        )
    return corrected, _changes(cameras, corrected, late_s, seen)


def _usable(seen: Observed, options: CameraOptions) -> Observed:
    """Joints that two cameras see, of moments thinned out."""
    there = np.isfinite(seen.joints).all(-1) & np.isfinite(seen.speed).all(-1)
    there &= (np.isfinite(seen.xy).all(-1)).sum(0) >= 2
    seen = _select(seen, there)
    moments = np.unique(seen.moment)
    if len(moments) < options.least_moments:
        raise CalibrationError(
            f"in {len(moments)} moments two cameras see the same joints; {options.least_moments} are needed to correct "
            "cameras: record for longer"
        )
    kept = moments[np.linspace(0, len(moments) - 1, min(len(moments), options.most_moments)).round().astype(int)]
    return _select(seen, np.isin(seen.moment, kept))


def _select(seen: Observed, which: Bools) -> Observed:
    return Observed(seen.joints[which], seen.speed[which], seen.moment[which], seen.xy[:, which])


def _check_spread(seen: Observed, options: CameraOptions) -> None:
    spread = np.linalg.svd(seen.joints - seen.joints.mean(0), compute_uv=False) / np.sqrt(len(seen.joints))
    if spread[-1] < options.least_spread_mm:
        raise CalibrationError(
            f"all joints lie within {spread[-1]:.0f} mm of a plane, which tells too little of where cameras stand; "
            "record people who turn and move through the room"
        )


def _adjust(
    cameras: Sequence[Camera], seen: Observed, options: CameraOptions
) -> tuple[tuple[Camera, ...], Array, float]:
    """The corrected cameras, (V,) seconds that each is late, and how much the least known number is told."""
    prior = np.tile([np.radians(options.turned_degrees)] * 3 + [options.moved_mm] * 3 + [options.late_s], len(cameras))
    found = adjust_moving(
        cameras, seen.joints, seen.speed, seen.xy, prior, noise_px=options.noise_px, steps=options.steps, settled=1e-3
    )
    # A time that nothing tells stays what it was, and does no harm; a place would bend the room.
    place = np.arange(len(prior)) % OWN != OWN - 1
    scaled = (found.normal * prior[:, None] * prior)[np.ix_(place, place)]
    told = np.sort(np.linalg.eigvalsh(scaled))[_GAUGE]
    late = found.change[OWN - 1 :: OWN]
    return found.cameras, late - late.mean(), float(told)


def _rays(camera: Camera, xy: Array) -> Array:
    seen = np.isfinite(xy).all(-1)
    out = np.full(xy.shape, np.nan)
    out[seen] = image_to_ray(camera, xy[seen])[:, :2]
    return out


def _off(cameras: Sequence[Camera], seen: Observed) -> Array:
    """(V, P, 2) pixels from where two or more other cameras put a joint to where this one saw it, else NaN."""
    rays = np.stack([_rays(camera, xy) for camera, xy in zip(cameras, seen.xy, strict=True)])
    there = np.asarray(np.isfinite(rays).all(-1))
    A, b = [], []
    for camera, ray in zip(cameras, rays, strict=True):
        # Squared distance from the ray, of the point: I - d d^T, about the camera's centre.
        d = np.concatenate([np.nan_to_num(ray), np.ones((len(ray), 1))], -1) @ camera.R
        d /= np.linalg.norm(d, axis=-1, keepdims=True)
        M = np.eye(3) - d[:, :, None] * d[:, None]
        A.append(M)
        b.append(M @ camera.centre)
    A, b = np.stack(A) * there[..., None, None], np.stack(b) * there[..., None]
    out = np.full(rays.shape, np.nan)
    for v, camera in enumerate(cameras):
        others = there.sum(0) - there[v] >= 2
        use = others & there[v]
        if not use.any():
            continue
        X = np.linalg.solve((A.sum(0) - A[v])[use], (b.sum(0) - b[v])[use][..., None])[..., 0]
        local = X @ camera.R.T + camera.t
        f = (camera.K[0, 0] + camera.K[1, 1]) / 2
        out[v, use] = f * (rays[v, use] - local[:, :2] / local[:, 2:])
    return out


def _held_out(cameras: Sequence[Camera], seen: Observed) -> float:
    """Median over all joints of the distance, px, between where the others put it and where each camera saw it."""
    distance = np.linalg.norm(_off(cameras, seen), axis=-1)
    if np.isfinite(distance).any():
        return float(np.nanmedian(distance))
    # Two cameras: nothing is left over to check with but how far their rays pass each other.
    return _passing(cameras, seen)


def _passing(cameras: Sequence[Camera], seen: Observed) -> float:
    a, b = cameras[0], cameras[1]
    d = []
    for camera, xy in zip((a, b), seen.xy, strict=True):
        ray = _rays(camera, xy)
        d.append(np.concatenate([ray, np.ones((len(ray), 1))], -1) @ camera.R)
    normal = np.cross(d[0], d[1])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    gap = np.abs(normal @ (b.centre - a.centre))
    far = np.linalg.norm(seen.joints - a.centre, axis=-1)
    return float(np.nanmedian(gap / far) * a.K[0, 0])


def _changes(
    given: Sequence[Camera], corrected: Sequence[Camera], late_s: Array, seen: Observed
) -> tuple[CameraChange, ...]:
    before, after = _off(given, seen), _off(corrected, seen)
    out = []
    for v, (old, new) in enumerate(zip(given, corrected, strict=True)):
        cosine = np.clip((np.trace(new.R @ old.R.T) - 1) / 2, -1, 1)
        bias = tuple(
            float(np.linalg.norm(np.nanmedian(one[v], axis=0))) if np.isfinite(one[v]).any() else float("nan")
            for one in (before, after)
        )
        moved, turned = np.linalg.norm(new.centre - old.centre), np.degrees(np.arccos(cosine))
        out.append(CameraChange(old.name, float(moved), float(turned), float(late_s[v]), (bias[0], bias[1])))
    return tuple(out)


def observed(
    times: Array, joints: Array | Sequence[Array], xy: Sequence[Mapping[str, Array]], cameras: Sequence[Camera]
) -> Observed:
    """What cameras saw of one person, limb joint by limb joint.

    Args:
        times: (T,) seconds.
        joints: T of (17, 3) mm, NaN where not known.
        xy: one a moment: (17, 2) pixels by camera, NaN where not seen.
        cameras: whose order is taken.
    """
    x = np.asarray(joints)[:, LIMBS]
    speed = np.gradient(x, times, axis=0) if len(times) > 1 else np.zeros_like(x)
    nothing = np.full((17, 2), np.nan)
    seen = np.stack([np.stack([one.get(camera.name, nothing)[list(LIMBS)] for one in xy]) for camera in cameras])
    moment = np.arange(len(times)).repeat(len(LIMBS))
    return Observed(x.reshape(-1, 3), speed.reshape(-1, 3), moment, seen.reshape(len(cameras), -1, 2))
