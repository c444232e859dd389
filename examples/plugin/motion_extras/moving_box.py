"""A detector without a network: whatever moves is a person who stands upright in its box."""

from collections.abc import Mapping

import cv2
import numpy as np

from stream import JOINTS, Detection, DetectorOptions, empty_detection

WEIGHTS = {"moving-box": None}  # the names a user asks for it by; it has no weights file
AXIAL = ()  # it does not really see the spine or the neck

# Across and down the box.
PLACES = {
    "right_hip": (0.42, 0.52), "right_knee": (0.42, 0.75), "right_ankle": (0.42, 0.97),
    "left_hip": (0.58, 0.52), "left_knee": (0.58, 0.75), "left_ankle": (0.58, 0.97),
    "left_shoulder": (0.66, 0.2), "left_elbow": (0.72, 0.37), "left_wrist": (0.74, 0.52),
    "right_shoulder": (0.34, 0.2), "right_elbow": (0.28, 0.37), "right_wrist": (0.26, 0.52),
    "pelvis": (0.5, 0.52), "thorax": (0.5, 0.2),
}  # fmt: skip
DERIVED = ("pelvis", "thorax")  # the middle of the hips and of the shoulders, always


def load(name: str, options: DetectorOptions) -> "MovingBox":
    """The detector; options.open_network(path) would open a network of it."""
    return MovingBox()


class MovingBox:
    """One a run."""

    name = "moving-box"

    def session(self) -> "Session":
        """One a camera."""
        return Session()

    def describe(self) -> Mapping[str, str]:
        """What a recording keeps of it."""
        return {"model": "", "sha256": "", "runtime": "opencv"}


class Session:
    """Looks at one camera; what it remembers of the frames before is its own."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: the file begins again."""
        self.background = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
        self.looked = 0

    def __call__(self, image: np.ndarray, t: float) -> Detection:
        """The joints in an image (H, W, 3) uint8 BGR taken at t seconds."""
        self.looked += 1
        rows, columns = np.nonzero(cv2.medianBlur(self.background.apply(image), 5))
        if self.looked < 5 or not 0.002 < len(rows) / image[..., 0].size < 0.5:
            return empty_detection(MovingBox.name)
        corner = np.array([np.percentile(columns, 2), np.percentile(rows, 2)])
        extent = np.array([np.percentile(columns, 98), np.percentile(rows, 98)]) - corner
        xy, score, derived = np.zeros((17, 2), np.float32), np.zeros(17, np.float32), np.zeros(17, bool)
        for joint, place in PLACES.items():
            at = JOINTS.index(joint)
            xy[at], score[at], derived[at] = corner + extent * place, 0.5, joint in DERIVED
        return Detection(xy, score, derived, MovingBox.name)
