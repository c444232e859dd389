"""An estimate as a picture: ``draw``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import index
from typing import Any, Final

import cv2
import numpy as np

from calibration.arrays import Image
from stream.api.checks import finite
from stream.drawing.compose import Status, compose
from stream.drawing.scene import PITCH, YAW, ViewState
from stream.live.frame_checks import check_image
from stream.recordings.run_info import CameraInfo
from stream.types import Estimate, StreamError

_LEAST: Final = (640, 360)
_MOST: Final = 8192


class Picture(np.ndarray):
    """(H, W, 3) uint8 BGR, as OpenCV writes it; IPython and Jupyter show it. ``picture[..., ::-1]`` is RGB."""

    def _repr_png_(self) -> bytes | None:
        """The picture as PNG; None for what is a part of one and none itself."""
        if self.ndim != 3 or self.shape[2] != 3 or self.dtype != np.uint8 or not self.size:
            return None
        return cv2.imencode(".png", np.asarray(self))[1].tobytes()


def draw(
    estimate: Estimate,
    images: Image | Mapping[str, Image | None] | None = None,
    *,
    cameras: Sequence[CameraInfo] = (),
    size: tuple[int, int] = (1280, 720),
    yaw: float = YAW,
    pitch: float = PITCH,
    zoom: float = 1.0,
) -> Picture:
    """The picture that the window shows: images with their 2D joints, and the people in 3D with their hypotheses.

    Args:
        estimate: of whom.
        images: (H, W, 3) uint8 BGR of the only camera, or camera name -> image. Not written on.
        cameras: what is known of the cameras, such as ``Estimator.cameras`` or ``run_info.cameras``: with it fused
            people stand among their cameras.
        size: width and height of the picture, pixels, 640x360 at least.
        yaw: degrees that the eye is turned around the people, to the right of the first camera.
        pitch: degrees that it looks down, -85..85.
        zoom: 1 shows a whole person; 2 is twice as large.

    Raises:
        StreamError: for what is no image, or of another size than the estimate was made of, and for such a size, angle
            or zoom as has no picture.
    """
    if not isinstance(estimate, Estimate):
        raise StreamError(f"{type(estimate).__name__} is no estimate; draw(estimate, image)")
    try:
        width, height = map(index, size)
    except (TypeError, ValueError):
        raise StreamError(f"size is {size!r}; give width and height in pixels, such as (1280, 720)") from None
    if not (_LEAST[0] <= width <= _MOST and _LEAST[1] <= height <= _MOST):
        raise StreamError(f"a picture of {width}x{height}; give a size from {_LEAST[0]}x{_LEAST[1]} to {_MOST}x{_MOST}")
    if not (all(map(finite, (yaw, pitch, zoom))) and -85 <= pitch <= 85 and 0.05 <= zoom <= 20):
        raise StreamError(f"yaw {yaw}, pitch {pitch}, zoom {zoom}: pitch lies in -85..85, zoom in 0.05..20")
    if any(not isinstance(camera, CameraInfo) for camera in cameras):
        raise StreamError("cameras: give those of Estimator.cameras or run_info.cameras")
    if cameras and len(cameras) != len(estimate.frames):
        raise StreamError(f"{len(cameras)} cameras for an estimate of {len(estimate.frames)}")
    named = _named(estimate, images, [camera.name for camera in cameras])
    detectors = [frame.detector for frame in estimate.frames if frame is not None]
    state = replace(ViewState(tuple(cameras), (width, height), pitch=pitch, zoom=zoom), yaw=(yaw + 180) % 360 - 180)
    picture: Any = compose(named, estimate, Status(detector=detectors[0] if detectors else ""), state)
    return picture.view(Picture)


def _named(
    estimate: Estimate, images: Image | Mapping[str, Image | None] | None, known: Sequence[str]
) -> Mapping[str, Image | None]:
    frames = {frame.camera: frame for frame in estimate.frames if frame is not None}
    if images is None:
        return {}
    if not isinstance(images, Mapping):
        if len(frames) != 1:
            raise StreamError(f"one image, and the estimate is of {len(frames)}: give camera name -> image")
        images = {next(iter(frames)): images}
    names = known or list(frames)
    for name, image in images.items():
        # A camera without a frame in this moment is named by nobody but the cameras.
        if name not in names and (known or len(frames) == len(estimate.frames)):
            raise StreamError(f"there is no camera {name!r} in this estimate; there are {', '.join(names)}")
        if image is None:
            continue
        check_image(image, name)
        if name in frames and (image.shape[1], image.shape[0]) != tuple(frames[name].size):
            raise StreamError(
                f"camera {name}: an image of {image.shape[1]}x{image.shape[0]}, but the estimate was made of one of "
                f"{frames[name].size[0]}x{frames[name].size[1]}"
            )
    return images
