"""A walking stick figure whose joints are known: ``synthetic:`` or ``synthetic:frames=90,yaw=45,speed=0.5``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from calibration.arrays import Array, Image
from calibration.geometry.camera import Camera, camera_from_fov, camera_to_image
from engines.skeleton import EDGES, HEAD, LEFT, RIGHT
from stream.config import SourceConfig
from stream.sources._sequence import SequenceSource, Shot
from stream.sources._source import SourceInfo
from stream.types import StreamError

_PREFIX = "synthetic:"
_SETTINGS: Final = {"frames": 300.0, "yaw": 30.0, "speed": 0.25}
"""Number of frames; degrees the figure is turned about its vertical axis at t = 0; turns a second."""
_FPS = 30.0
_SIZE = (640, 480)
_DISTANCE_MM = 4000.0
_STEPS_HZ = 0.9
_REST: Final = np.array(
    [[0, 0, 0], [-130, 0, 0], [-130, 440, 0], [-130, 880, 0], [130, 0, 0], [130, 440, 0], [130, 880, 0],
     [0, -250, 0], [0, -500, 0], [0, -590, -50], [0, -700, 0],
     [180, -500, 0], [190, -220, 0], [200, 30, 0], [-180, -500, 0], [-190, -220, 0], [-200, 30, 0]], np.float64,
)  # fmt: skip
"""(17, 3) mm, root-relative: a person who faces the camera (along -z), arms down; y points down."""
_LIMBS: Final = (((1, 2, 3), 1.0), ((4, 5, 6), -1.0), ((11, 12, 13), 0.8), ((14, 15, 16), -0.8))
"""Each limb from its root outwards, and how it swings against the others."""


def claims(source: str) -> bool:
    """Whether it asks for the synthetic figure."""
    return source.startswith(_PREFIX)


def example(folder: Path) -> str:
    """A short one."""
    return f"{_PREFIX}frames=12"


def make(config: SourceConfig) -> "SyntheticSource":
    """The synthetic source with the settings of its text.

    Raises:
        StreamError: for a setting it does not have.
    """
    return SyntheticSource(config)


class SyntheticSource(SequenceSource):
    """The figure walks on the spot and turns; every image is the same in every run."""

    kind = "synthetic"

    def __init__(self, config: SourceConfig) -> None:
        super().__init__(config)
        self.settings = _parse(config.source)
        self.fps = config.fps or _FPS
        self.camera: Camera = camera_from_fov(config.name, config.size or _SIZE, 60.0)
        """What it is drawn through."""

    def pose(self, index: int) -> Array:
        """(17, 3) joints of a frame in the camera's axes, mm."""
        t = index / self.fps
        joints = _REST.copy()
        for (root, middle, end), sign in _LIMBS:
            swing = 0.5 * sign * np.sin(2 * np.pi * _STEPS_HZ * t)
            # Knees bend back and elbows forward, both only one way.
            bend = swing + (-1 if root in (1, 4) else 1) * 0.4 * (1 + np.sin(2 * np.pi * _STEPS_HZ * t + sign))
            joints[middle] = joints[root] + _about_x(swing) @ (_REST[middle] - _REST[root])
            joints[end] = joints[middle] + _about_x(bend) @ (_REST[end] - _REST[middle])
        yaw = np.radians(self.settings["yaw"]) + 2 * np.pi * self.settings["speed"] * t
        turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        return joints @ turn.T + (0.0, 0.0, _DISTANCE_MM)

    def joints(self, index: int) -> Array:
        """(17, 2) joints of a frame in its image, pixels."""
        return camera_to_image(self.camera, self.pose(index))

    def render(self, index: int) -> Image:
        """(H, W, 3) uint8 BGR: the figure of a frame, its right side red, its left side blue."""
        width, height = self.camera.size
        image = np.empty((height, width, 3), np.uint8)
        image[:] = np.linspace(120, 200, height).astype(np.uint8)[:, None, None]
        pose = self.pose(index)
        points = np.round(self.joints(index) * 16).astype(np.int32)  # 1/16 px, for the sub-pixel truth
        thickness = max(2, round(self.camera.K[0, 0] * 90 / _DISTANCE_MM))
        for parent, child in sorted(EDGES, key=lambda edge: -pose[edge[1], 2]):
            colour = (60, 60, 220) if child in RIGHT else (220, 60, 60) if child in LEFT else (70, 160, 70)
            cv2.line(image, points[parent].tolist(), points[child].tolist(), colour, thickness, cv2.LINE_AA, 4)
        cv2.circle(image, points[HEAD].tolist(), round(thickness * 0.9 * 16), (110, 150, 210), -1, cv2.LINE_AA, 4)
        return image

    def _begin(self) -> Iterator[Shot]:
        return (Shot(i, i / self.fps, self.render(i)) for i in range(round(self.settings["frames"])))

    def _describe(self, first: Shot) -> SourceInfo:
        frames = round(self.settings["frames"])
        shown = self.config.shown
        return SourceInfo(self.name, self.kind, shown, self.camera.size, self.fps, frames, self.live, "media")


def _parse(source: str) -> dict[str, float]:
    settings = dict(_SETTINGS)
    for part in filter(None, source.removeprefix(_PREFIX).split(",")):
        key, _, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if key not in settings or not np.isfinite(number):
            known = ",".join(f"{name}={default:g}" for name, default in _SETTINGS.items())
            raise StreamError(f"{source}: {part!r} is no setting of the synthetic figure; it has {_PREFIX}{known}")
        settings[key] = number
    return settings


def _about_x(angle: float) -> Array:
    """(3, 3) rotation about x; a positive angle swings what hangs down (+y) forward (-z)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
