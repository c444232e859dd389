"""Real pictures of people for the tests: the demo's video and Leeds Sports Pose Extended."""

import tarfile
from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream.app.demo import SINGLE, fetch
from stream.types import StreamError


def walker_video() -> Path:
    """The demo's video (230 frames, 1768x994, 30 fps), fetched once; skips the test where that is not possible.

    A man on a wall waves (frames 0-165), jumps and comes back running (195-226); a woman walks by (35-203).
    """
    try:
        return fetch(SINGLE) / "demo.mp4"
    except StreamError as error:
        pytest.skip(str(error))


def walker_frames(indexes: Iterable[int]) -> list[np.ndarray]:
    """Frames (994, 1768, 3) BGR of the demo's video, in increasing order of index."""
    wanted = set(indexes)
    with av.open(str(walker_video())) as container:
        found = []
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                found.append(frame.to_ndarray(format="bgr24"))
            if index >= max(wanted):
                return found
    raise AssertionError(f"the video has no frame {max(wanted)}")


def lspet(folder: Path, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Photographs (BGR) with labels (14, 3) x, y, visible: the first upright people of whom everything is visible."""
    with np.load(folder / "joints.npz") as data:
        joints, ids = data["joints"], data["image_id"]
    upright = (joints[:, 13, 1] < joints[:, 2:4, 1].min(1)) & (joints[:, 2:4, 1].max(1) < joints[:, [0, 5], 1].min(1))
    chosen = np.flatnonzero(upright & (joints[:, :, 2] > 0).all(1))[:count]
    with tarfile.open(folder / "images.tar") as tar:
        images = [np.frombuffer(tar.extractfile(f"im{ids[i]:05d}.jpg").read(), np.uint8) for i in chosen]
    return [
        (np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8), joints[i])
        for data, i in zip(images, chosen, strict=True)
    ]
