"""How far two recordings of one person are apart in time, from the joints' movement alone.

A joint moving in 3D moves in every image; for a camera far enough away the 2D velocity is a linear map of the 3D one.
So at the right offset the velocities of all joints in two views share what both cameras see of the movement, whatever
their directions and roll, and at a wrong one they do not: the measure over the offset is the mutual information of the
two 2D velocities, pooled over joints (the affine rank constraint of Tresadern and Reid, *Video synchronization from
human motion using rank constraints*, 2009, in the form of a canonical correlation). Every joint is compared
with itself, so a walk's two steps, which swap the legs, are told apart; its full period shows as a second peak.

Offsets are *added* to the times of the second camera to give those of the first, as ``--sync-offset`` is.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from calibration.arrays import Array
from calibration.solving.motion import clean, follow, kernel_width, person_size

STEP_S = 1 / 120
"""Seconds between the offsets that are tried; the peak is many times wider, and is interpolated."""
MIN_OVERLAP_S = 0.8
"""Seconds both must see the person at an offset for it to be tried."""
MIN_CONFIDENCE = 0.99
"""An offset that is less sure is refused."""
MAX_SIGMA_S = 0.017
"""And so is one that is less precise: half a frame at 30 fps. Several pairs together are held to more."""
# Samples of one joint nearer than this many kernel widths repeat each other, and joints of one body move together:
# chosen so that errors on known recordings are as large as the stated sigma.
_REPEATED = 3.5
_JOINTS_ALIKE = 3.0
_UNRELATED = 20.0
"""Log-likelihood that the best of all offsets hardly ever reaches between recordings of two different movements."""
_MIN_CORRELATION = 0.6
"""One jump in each of two unrelated recordings is much evidence, but then nothing else agrees."""
_CAUTION = 0.5
"""Weight of the evidence between peaks: a body is no cloud of independent points, and with 1 a wrong peak passed."""
_TOO_FAST = 20.0
"""Person sizes (RMS radius) a second; a wrist at 8 m/s makes 16."""


@dataclass(frozen=True, slots=True)
class Offset:
    """How far a camera's clock is behind another's."""

    seconds: float
    """Added to the second camera's times it gives the first's."""
    sigma: float
    """One standard deviation of it, seconds."""
    confidence: float
    """0..1: probability of this offset against every other one tried and against unrelated recordings."""
    second: float
    """The next best offset, seconds; NaN where there is none."""
    correlation: float
    """0..1: canonical correlation of the velocities, or NaN where it was not used."""
    overlap_s: float
    """Seconds both see the person at this offset."""
    reason: str = ""
    """Why it is not to be trusted, empty where it is."""

    @property
    def trusted(self) -> bool:
        """Whether it is sure and precise enough to be used."""
        return self.confidence >= MIN_CONFIDENCE and self.sigma <= MAX_SIGMA_S


def _velocities(times: Array, xy: Array, score: Array, width: float, start: float) -> Array:
    """(G, J, 2) person sizes a second, on the grid of STEP_S from ``start``."""
    joints = clean(times, xy, score)
    at = np.arange(start, times[-1] + STEP_S, STEP_S)
    _, velocity = follow(times, joints, at, width)
    velocity = velocity / np.interp(at, times, person_size(times, joints))[:, None, None]
    velocity[np.linalg.norm(velocity, axis=-1) > _TOO_FAST] = np.nan
    return velocity


def _information(a: Array, b: Array, most: int) -> tuple[Array, Array, Array]:
    """Mutual information of two velocity signals over the lag.

    Args:
        a: (G, J, 2), NaN where not known.
        b: (H, J, 2), on the same grid's step.
        most: largest lag, steps.

    Returns:
        Of lags -most..most (b later by so many steps): nats a sample (L,), the first canonical correlation (L,), and
        the number of samples (L,), joints counted.
    """
    n = int(next_fast_len(len(a) + len(b)) or 0)

    def signals(v: Array) -> list[Array]:
        seen = np.asarray(np.isfinite(v).all(-1))
        x, y = np.where(seen[..., None], v, 0).transpose(2, 0, 1)
        return [np.asarray(rfft(s, n, axis=0)) for s in (seen.astype(float), x, y, x * x, x * y, y * y)]

    A, B = signals(a), signals(b)
    lags = np.arange(-most, most + 1)

    def correlate(i: int, j: int) -> Array:
        return np.asarray(irfft((np.conj(A[i]) * B[j]).sum(1), n))[lags % n]

    # Beyond the ends the transform wraps around.
    apart = (lags <= -len(a)) | (lags >= len(b))
    count = np.where(apart, 1e-9, np.maximum(np.round(correlate(0, 0)), 1e-9))
    mean = np.stack([correlate(1, 0), correlate(2, 0), correlate(0, 1), correlate(0, 2)], -1) / count[:, None]
    S = np.empty((len(lags), 4, 4))
    products = {(0, 0): (3, 0), (0, 1): (4, 0), (1, 1): (5, 0), (2, 2): (0, 3), (2, 3): (0, 4), (3, 3): (0, 5),
                (0, 2): (1, 1), (0, 3): (1, 2), (1, 2): (2, 1), (1, 3): (2, 2)}  # fmt: skip
    for (i, j), (k, m) in products.items():
        S[:, i, j] = S[:, j, i] = correlate(k, m) / count - mean[:, i] * mean[:, j]
    # A person who does not move at all has no covariance; a hair's breadth of noise keeps the determinants positive.
    S += 1e-6 * np.eye(4)
    own_a, own_b, cross = S[:, :2, :2], S[:, 2:, 2:], S[:, :2, 2:]
    M = np.linalg.solve(own_a, cross) @ np.linalg.solve(own_b, cross.transpose(0, 2, 1))
    square = np.clip(np.sort(np.linalg.eigvals(M).real, axis=-1), 0, 1 - 1e-9)
    return -0.5 * np.log1p(-square).sum(-1), np.sqrt(square[:, 1]), count


def estimate_offset(
    times_a: Array, joints_a: Array, score_a: Array, times_b: Array, joints_b: Array, score_b: Array,
    max_offset_s: float = 2.0,
) -> Offset:  # fmt: skip
    """The offset between two cameras that see one person, without any calibration.

    Args:
        times_a: (F,) seconds, increasing; any rate, also irregular.
        joints_a: (F, J, 2) pixels.
        score_a: (F, J) 0..1, 0 = not seen.
        times_b: (H,) seconds, of the second camera.
        joints_b: (H, J, 2) pixels.
        score_b: (H, J) 0..1.
        max_offset_s: largest offset tried, seconds, either way.

    Returns:
        Offset; its confidence is 0 where there is too little to compare, and its reason says what.
    """
    if min(len(times_a), len(times_b)) < 5:
        return refused("too few frames")
    width = kernel_width(times_a, times_b)
    a = _velocities(times_a, joints_a, score_a, width, times_a[0])
    b = _velocities(times_b, joints_b, score_b, width, times_b[0])
    # Lags count from the two starts, so the whole steps between them are made good by shifting one grid.
    apart = float(times_b[0] - times_a[0])
    shift = round(apart / STEP_S)
    most = round(max_offset_s / STEP_S)
    nats, correlation, count = _information(a, b, most + abs(shift))
    # b's grid point m is at times_b[0] + m STEP_S: lag l means t_a = t_b - apart - l STEP_S.
    lags = np.arange(-most - abs(shift), most + abs(shift) + 1)
    offsets = -apart - lags * STEP_S
    keep = np.abs(offsets) <= max_offset_s + STEP_S
    order = np.argsort(offsets[keep])
    nats, correlation, count, offsets = (v[keep][order] for v in (nats, correlation, count, offsets))
    joints = np.maximum(np.isfinite(a).all(-1).sum(1).max(), 1)
    overlap = count * STEP_S / joints
    independent = count * STEP_S / (_REPEATED * width) / _JOINTS_ALIKE
    return judge(offsets, nats, np.where(overlap >= MIN_OVERLAP_S, independent, 0.0), correlation, overlap)


def judge(offsets: Array, nats: Array, count: Array, correlation: Array, overlap: Array) -> Offset:
    """The best offset of a curve, and how sure it is.

    Two peaks are compared over the overlap that both have: that less of a walk is seen a period off is no evidence.

    Args:
        offsets: (L,) seconds, evenly spaced.
        nats: (L,) log-likelihood an independent sample, 0 = as for unrelated recordings.
        count: (L,) independent samples; 0 where the offset was not tried.
        correlation: (L,) reported.
        overlap: (L,) seconds, reported.
    """
    evidence = np.where(count > 0, count * nats, -np.inf)
    if not np.isfinite(evidence).any():
        return refused(f"the person is seen by both for less than {MIN_OVERLAP_S:g} s")
    k = int(np.argmax(evidence))
    at_edge = k in (0, len(offsets) - 1) or not np.isfinite(evidence[[k - 1, k + 1]]).all()
    seconds, sigma = float(offsets[k]), float("nan")
    if not at_edge:
        low, top, high = evidence[k - 1 : k + 2]
        bend = 2 * top - low - high
        step = float(offsets[1] - offsets[0])
        seconds += 0.5 * step * (high - low) / bend
        sigma = step / np.sqrt(bend)
    padded = np.concatenate([[-np.inf], evidence, [-np.inf]])
    peaks = np.flatnonzero((padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:]))
    others = peaks[peaks != k]
    against = np.append(np.minimum(count[others], count[k]) * (nats[others] - nats[k]), _UNRELATED - evidence[k])
    confidence = float(1 / (1 + np.exp(np.clip(_CAUTION * against, -700, 700)).sum()))
    second = float(offsets[others[np.argmax(against[:-1])]]) if len(others) else float("nan")
    reason = ""
    if at_edge:
        confidence, reason = 0.0, "the best offset is at the edge of those tried; it may be larger"
    elif evidence[k] < _UNRELATED + 10 or correlation[k] < _MIN_CORRELATION:
        confidence = min(confidence, 0.5)
        reason = "too little movement that both cameras see"
    elif confidence < MIN_CONFIDENCE:
        reason = f"{second:+.3f} s fits about as well, as when a movement repeats itself"
    elif sigma > MAX_SIGMA_S:
        reason = f"only known to {1e3 * sigma:.0f} ms: too little quick movement"
    return Offset(seconds, sigma, confidence, second, float(correlation[k]), float(overlap[k]), reason)


def refused(reason: str) -> Offset:
    """An offset that could not be found."""
    nan = float("nan")
    return Offset(nan, nan, 0.0, nan, nan, 0.0, reason)
