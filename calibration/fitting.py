"""Whether pictures have the size that their camera was calibrated for, and the camera of pictures of another size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.errors import CalibrationError
from calibration.geometry.camera import LARGEST, Camera, scale_camera
from calibration.text import word


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A picture scaled and shifted inside another: ``x' = scale x + dx``, ``y' = scale y + dy``, pixels."""

    scale: float
    """Factor from the calibration's pixels to the frame's."""
    dx: float
    """Pixels to the right."""
    dy: float
    """Pixels down."""


def parse_letterbox(text: str) -> tuple[str | None, Letterbox | None]:
    """``[NAME=]SCALE,DX,DY`` or ``[NAME=]fit`` as the command line gives it.

    Returns:
        The camera's name or None for all, and the letterbox or None for "fit" (the largest centred fit).

    Raises:
        CalibrationError: if it is neither.
    """
    name, _, value = text.rpartition("=")
    if value == "fit":
        return name or None, None
    try:
        scale, dx, dy = (float(part) for part in value.split(","))
    except ValueError as error:
        raise CalibrationError(f"letterbox {text!r}; give [NAME=]SCALE,DX,DY or [NAME=]fit") from error
    if not 0.01 <= scale <= 100:
        raise CalibrationError(f"letterbox {text!r}: the scale is {scale:g}; give one between 0.01 and 100")
    if not max(abs(dx), abs(dy)) <= LARGEST:
        raise CalibrationError(
            f"letterbox {text!r}: a shift is {max(dx, dy, key=abs):g}; give at most {LARGEST} pixels"
        )
    return name or None, Letterbox(scale, dx, dy)


def parse_letterboxes(texts: Sequence[str], names: Sequence[str]) -> dict[str | None, Letterbox | None]:
    """Every ``--letterbox`` of a command line, by ``parse_letterbox``, for the cameras of a calibration.

    Raises:
        CalibrationError: if one is not understood, is given twice or is for a camera that is not there.
    """
    boxes: dict[str | None, Letterbox | None] = {}
    for text in texts:
        name, box = parse_letterbox(text)
        if name is not None and name not in names:
            raise CalibrationError(f"--letterbox for {name}, which the calibration has not; it has {', '.join(names)}")
        if name in boxes:
            raise CalibrationError(f"--letterbox {text}: a second one for {name or 'all cameras'}")
        boxes[name] = box
    return boxes


def centred_letterbox(camera: Camera, size: tuple[int, int]) -> Letterbox:
    """The largest picture of the camera's shape in the middle of a frame of ``size``, black bars around it."""
    scale = min(size[0] / camera.size[0], size[1] / camera.size[1])
    dx, dy = ((new - scale * old) / 2 + (scale - 1) / 2 for new, old in zip(size, camera.size, strict=True))
    return Letterbox(scale, dx, dy)


def fit_cameras(
    cameras: Sequence[Camera],
    sizes: Sequence[tuple[int, int]],
    letterboxes: Mapping[str | None, Letterbox | None],
    names: Sequence[str] = (),
    sources: Sequence[str] = (),
) -> tuple[list[Camera], list[str]]:
    """Every camera for its frames, by ``fit_camera``, and what was done, a line each.

    Args:
        cameras: as calibrated.
        sizes: width and height of each one's frames, pixels.
        letterboxes: by camera name, None for all others; the value None means the largest centred fit.
        names: what the user called them where that is another name: lines speak of them so, and letterboxes may.
        sources: what --rotate calls them; () as ``names``.

    Raises:
        CalibrationError: if a shape differs and there is no letterbox.
    """
    fitted, lines = [], []
    called = names or [camera.name for camera in cameras]
    for camera, size, name, source in zip(cameras, sizes, called, sources or called, strict=True):
        key = next((one for one in (name, camera.name) if one in letterboxes), None)
        box = (letterboxes[key] or centred_letterbox(camera, size)) if key in letterboxes else None
        fit, line = fit_camera(replace(camera, name=name), size, box, source)
        fitted.append(replace(fit, name=camera.name))
        lines += [line] if line else []
    return fitted, lines


def exchanged(camera: Camera, size: tuple[int, int]) -> bool:
    """Whether frames have the camera's shape with width and height exchanged."""
    width, height = camera.size
    return width != height and abs(size[0] * width / height - size[1]) <= 0.5


def fit_camera(
    camera: Camera, size: tuple[int, int], letterbox: Letterbox | None = None, source: str | None = None
) -> tuple[Camera, str | None]:
    """The camera for frames of another size.

    Args:
        camera: as calibrated.
        size: width and height of the frames, pixels.
        letterbox: how the calibrated picture lies in the frame, when it does not fill it.
        source: what --rotate calls it where that is another name.

    Returns:
        The camera for that size and a line that says what was done, or None where nothing was.

    Raises:
        CalibrationError: if the shape differs and there is no letterbox.
    """
    was = f"{camera.size[0]}x{camera.size[1]}"
    now = f"{size[0]}x{size[1]}"
    if letterbox is not None:
        S = np.array([[letterbox.scale, 0, letterbox.dx], [0, letterbox.scale, letterbox.dy], [0, 0, 1]])
        message = (
            f"camera {camera.name}: calibrated for {was}, frames are {now}: letterbox of scale {letterbox.scale:.5g}, "
            f"shifted by ({letterbox.dx:.2f}, {letterbox.dy:.2f}) px"
        )
        return replace(camera, size=size, K=S @ camera.K), message
    if size == camera.size:
        return camera, None
    if exchanged(camera, size):
        turn = word(f"{source or camera.name}=90")
        raise CalibrationError(
            f"camera {camera.name}: calibrated for {was}, but its frames are {now}: width and height are exchanged; it "
            f"was calibrated from frames turned otherwise: --rotate {turn} (or 270) turns these, "
            "or calibrate with the --rotate that is used here"
        )
    # A whole number of rows may round the exact height by half a pixel (1920x1080 to 854x480).
    if abs(size[0] * camera.size[1] / camera.size[0] - size[1]) > 0.5:
        raise CalibrationError(
            f"camera {camera.name}: calibrated for {was}, but its frames are {now}, another shape: another crop of "
            f"what the lens shows; film or photograph at {was}, calibrate again from frames like these, or say how the "
            f"picture was fitted: --letterbox {word(f'{camera.name}=SCALE,DX,DY')} (or =fit)"
        )
    message = (
        f"camera {camera.name}: calibrated for {was}, frames are {now}: K scaled by {size[0] / camera.size[0]:.4g}"
    )
    return scale_camera(camera, size), message
