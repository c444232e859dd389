"""From decoded images to BGR as it is shown: upright, and high dynamic range brought down to what a screen has."""

import struct
from functools import cache
from typing import Final

import cv2
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import ColorTrc, VideoReformatter

from calibration.arrays import Array, Image

_ROTATE: Final = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
HDR: Final = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}
"""Transfer characteristics of high dynamic range, by FFmpeg's number."""
_WHITE_NITS: Final = 203.0
"""What is white on a screen is shown so bright in HDR (ITU-R BT.2408)."""
_KNEE: Final = 0.6
"""Brightness, of white, above which highlights are pressed together."""
_GAMMA: Final = 2.4
"""Of a screen (ITU-R BT.1886)."""


class ToBGR:
    """Converts images; kept, as it would set up a new converter for each."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._rotation: float | None = None
        self._mark = 0, False

    def __call__(self, frame: VideoFrame, of: VideoFrame) -> Image:
        """(H, W, 3) uint8 BGR, turned by the mark of the image that it is of."""
        image = np.asarray(self._reformatter.reformat(frame, format="bgr24", threads=1).to_ndarray(), np.uint8)
        kind = HDR.get(int(of.color_trc))
        if kind is not None:
            image = np.asarray(cv2.LUT(image, tone_table(kind)), np.uint8)
        if of.rotation != self._rotation:
            # Not of every image: PyAV's side data and the image hold each other, so that images by the hundred would
            # stay in memory until the garbage is collected.
            self._rotation, self._mark = of.rotation, mark_of(of)
        turn, mirrored = self._mark
        if mirrored:
            image = np.asarray(cv2.flip(image, 1), np.uint8)
        return np.asarray(cv2.rotate(image, _ROTATE[turn]), np.uint8) if turn else image


def mark_of(frame: VideoFrame) -> tuple[int, bool]:
    """By how many degrees, counter-clockwise, an image is to be turned by its display matrix, and whether it is to be
    mirrored, right for left, before that.
    """
    turn = round(frame.rotation / 90) % 4 * 90
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return turn, False
    a, b, _, c, d = struct.unpack("5i", bytes(matrix)[:20])
    # FFmpeg's rotation is that of the first column, which a mirror turns round.
    return ((turn + 180) % 360, True) if a * d - b * c < 0 else (turn, False)


@cache
def tone_table(kind: str) -> Image:
    """(256,) uint8: what a value of an HDR signal is on a screen of standard range.

    Colours stay in their wider gamut and so look a little pale, which no detector minds.

    Args:
        kind: "PQ" (SMPTE ST 2084) or "HLG" (ARIB STD-B67, on a screen of 1000 nits).
    """
    signal = np.linspace(0, 1, 256)
    light = (_pq_nits(signal) if kind == "PQ" else _hlg_nits(signal)) / _WHITE_NITS
    over = light > _KNEE
    light[over] = _KNEE + (1 - _KNEE) * (1 - np.exp(-(light[over] - _KNEE) / (1 - _KNEE)))
    return np.round(255 * light ** (1 / _GAMMA)).astype(np.uint8)


def _pq_nits(signal: Array) -> Array:
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = signal ** (1 / m2)
    return 1e4 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def _hlg_nits(signal: Array) -> Array:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return 1e3 * scene**1.2
