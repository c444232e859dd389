"""What cameras saw of a person, in words: the likely cause where they cannot be placed by it."""

from collections.abc import Sequence

import numpy as np

from calibration.arrays import Array
from calibration.geometry.camera import Camera

_SMALL_PX = 170.0
"""Height in pixels below which detectors begin to lose people."""
_SURE = 0.5
"""Scores of joints below it are those of a blurred or dark picture."""


def person_seen(cameras: Sequence[Camera], xy: Array, score: Array, min_score: float = 0.3) -> str:
    """Every camera's view of a person.

    Args:
        cameras: V of them.
        xy: (V, F, J, 2) pixels.
        score: (V, F, J) 0 to 1.
        min_score: joints below it are not seen.
    """
    return "; ".join(_one(camera, xy[v], score[v], min_score) for v, camera in enumerate(cameras))


def _one(camera: Camera, xy: Array, score: Array, min_score: float) -> str:
    good = (score >= min_score) & np.isfinite(xy).all(-1)
    frames = good.sum(1) >= 4
    if not frames.any():
        best = float(np.nanmax(score)) if score.size else 0.0
        unsure = f", the surest joint {best:.2f} of {min_score:g}" if best > 0 else ""
        return f"{camera.name}: nobody in {len(xy)} moments{unsure}"
    y = np.where(good[frames], xy[frames][..., 1], np.nan)
    tall = float(np.nanmedian(np.nanmax(y, axis=1) - np.nanmin(y, axis=1)))
    said = f"{camera.name}: a person in {int(frames.sum())} of {len(xy)} moments, {tall:.0f} pixels tall"
    doubts = []
    if tall < _SMALL_PX:
        doubts.append("small: come nearer or film larger pictures")
    edge = 0.02 * np.array(camera.size)
    cut = good[frames] & ((xy[frames] < edge) | (xy[frames] > np.array(camera.size) - edge)).any(-1)
    if cut.any(1).mean() > 0.3:
        doubts.append("cut off by the edge of the picture: step back")
    if float(np.median(score[frames][good[frames]])) < _SURE:
        doubts.append("joints unsure: more light, less blur")
    return said + (f" ({', '.join(doubts)})" if doubts else "")
