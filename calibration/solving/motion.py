"""Movement of joints in one image: mistakes taken out, and position and velocity at any time."""

import numpy as np
from scipy import sparse
from scipy.ndimage import maximum_filter1d, median_filter

from calibration.arrays import Array

# Seconds: below it, at 60 fps, the velocity would be mostly the detector's noise.
_MIN_WIDTH_S = 0.035
_CLEANINGS = 4
# Person sizes a second squared: what the quickest turn of a wrist (30 m/s2) bends a path, and is no mistake.
_BEND = 60.0
_MIN_FRAMES = 7


def clean(times: Array, xy: Array, score: Array, min_score: float = 0.2) -> Array:
    """Joints (F, J, 2) with NaN where they are not seen or jump away from their neighbours in time and back.

    A jump is a detector's mistake (a left/right swap for a frame or two) and would be the fastest movement of all.
    """
    seen = (score >= min_score) & np.isfinite(xy).all(-1)
    out = np.where(seen[..., None], xy, np.nan)
    size = person_size(times, out)
    for j in range(xy.shape[1]):
        rows = np.flatnonzero(seen[:, j])
        for _ in range(_CLEANINGS):
            if len(rows) < _MIN_FRAMES:
                break
            t, track = times[rows], out[rows, j]
            away = np.linalg.norm(track - _expected(t, track), axis=-1)
            step = np.median(np.diff(t))
            limit = 6 * median_filter(away, size=25, mode="mirror") + (0.03 + 0.5 * _BEND * step**2) * size[rows]
            # A wrong point spoils what is expected of its neighbours: only the worst of five goes, and then again.
            wrong = (away > limit) & (away >= maximum_filter1d(away, 5, mode="nearest"))
            if not wrong.any():
                break
            rows = rows[~wrong]
        kept = np.zeros(len(times), bool)
        kept[rows if len(rows) >= _MIN_FRAMES else []] = True
        out[~kept, j] = np.nan
    return out


def _expected(t: Array, x: Array) -> Array:
    """(F, 2) where each point (F, 2) of a track should be: the median of six lines through its four neighbours."""
    n = len(t)
    guesses = np.full((6, *x.shape), np.nan)
    for guess, (p, q) in zip(guesses, ((-1, 1), (-2, 2), (-2, -1), (1, 2), (-2, 1), (-1, 2)), strict=True):
        i = np.arange(max(0, -p), n - max(0, q))
        share = (t[i] - t[i + p]) / (t[i + q] - t[i + p])
        guess[i] = x[i + p] + share[:, None] * (x[i + q] - x[i + p])
    return np.nanmedian(guesses, axis=0)


def person_size(times: Array, xy: Array) -> Array:
    """(F,) RMS radius of the person in pixels, the running median over two seconds."""
    seen = np.asarray(np.isfinite(xy).all(-1))
    n = np.maximum(seen.sum(-1), 1)[:, None, None]
    x = np.where(seen[..., None], xy, 0)
    x = np.where(seen[..., None], x - x.sum(1, keepdims=True) / n, 0)
    radius = np.sqrt((x**2).sum((1, 2)) / n[:, 0, 0])
    rows = np.flatnonzero(seen.sum(-1) >= 4)
    if not len(rows):
        return np.full(len(times), np.nan)
    step = np.median(np.diff(times)) if len(times) > 1 else 1.0
    smooth = median_filter(radius[rows], size=max(1, min(len(rows), round(2 / step))), mode="mirror")
    return np.maximum(np.interp(times, times[rows], smooth), 1.0)


def follow(times: Array, xy: Array, at: Array, width: float) -> tuple[Array, Array]:
    """Position and velocity of joints at other times: a local line with a Gaussian kernel.

    Two views smoothed with one kernel stay projections of one smoothed movement, whatever their frame rates.

    Args:
        times: (F,) seconds, increasing, however irregular.
        xy: (F, J, 2) joints, NaN where not seen.
        at: (G,) seconds.
        width: standard deviation of the kernel, seconds.

    Returns:
        position (G, J, 2) and velocity (G, J, 2) per second; NaN where there are too few frames around.
    """
    first, last = np.searchsorted(times, at - 3 * width), np.searchsorted(times, at + 3 * width)
    count = last - first
    rows = np.repeat(np.arange(len(at)), count)
    columns = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    tau = (times[columns] - at[rows]) / width
    kernel = np.exp(-0.5 * tau**2)
    seen = np.asarray(np.isfinite(xy).all(-1))
    flat = np.where(seen[..., None], xy, 0).reshape(len(times), -1)
    mask = seen.astype(float)

    def frame_set(power: int, of: Array) -> Array:
        W = sparse.csr_matrix((kernel * tau**power, (rows, columns)), shape=(len(at), len(times)))
        return W @ of

    s0, s1, s2 = (frame_set(k, mask) for k in range(3))
    m0, m1 = (frame_set(k, flat).reshape(len(at), -1, 2) for k in range(2))
    det = s0 * s2 - s1**2
    # Frames on one side only, or all at one time, say nothing of a velocity.
    sound = (s0 > 0.5) & (det > 0.15 * s0**2) & (np.abs(s1) < 0.8 * s0)
    with np.errstate(divide="ignore", invalid="ignore"):
        position = (s2[..., None] * m0 - s1[..., None] * m1) / det[..., None]
        velocity = (s0[..., None] * m1 - s1[..., None] * m0) / (det[..., None] * width)
    return np.where(sound[..., None], position, np.nan), np.where(sound[..., None], velocity, np.nan)


def kernel_width(*times: Array) -> float:
    """Seconds: one frame of the slowest camera, and never so little that the detector's noise is all there is."""
    return max(_MIN_WIDTH_S, *(float(np.median(np.diff(t))) for t in times))
