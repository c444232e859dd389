"""Which camera is which, and whether its pictures have the size it was calibrated for.

Two identical webcams change places when a computer starts. So a source is bound to its entry of the calibration by
the name the user gave, else by serial number or device path, and only then by order, which is said aloud.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.errors import CalibrationError
from calibration.geometry.camera import LARGEST, Camera, scale_camera
from calibration.types import Calibration


@dataclass(frozen=True, slots=True)
class SourceId:
    """What is known of a source before it is bound."""

    source: str
    """As the user gave it, without passwords: index, path, URL."""
    name: str | None = None
    """The name the user gave (``NAME=SOURCE``), or None. Never a name made up from a device number."""
    device: str | None = None
    """Device path, when it is a local camera and the system tells."""
    serial: str | None = None
    """Serial number, when the system tells."""


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """The calibration's cameras in the order of the sources."""

    cameras: tuple[Camera, ...]
    """One a source, named as in the calibration."""
    by: tuple[str, ...]
    """One a source: "name", "serial", "device" or "order"."""
    warnings: tuple[str, ...]
    """Lines to show to the user."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A picture scaled and shifted inside another: ``x' = scale x + dx``, ``y' = scale y + dy``, pixels."""

    scale: float
    """Factor from the calibration's pixels to the frame's."""
    dx: float
    """Pixels to the right."""
    dy: float
    """Pixels down."""


def bind(calibration: Calibration, sources: Sequence[SourceId]) -> Binding:
    """Find the calibration of every source.

    Raises:
        CalibrationError: for a device given twice, a name that has no entry, two sources with one entry, a source left
            without an entry, entries left over that make the order ambiguous, or an order that serials contradict.
    """
    _no_source_twice(sources)
    entry: list[int | None] = [None] * len(sources)
    by = ["order"] * len(sources)
    warnings: list[str] = []
    free = set(range(len(calibration.cameras)))
    for how in ("name", "serial", "device"):
        for i, source in enumerate(sources):
            if entry[i] is not None:
                continue
            match = _match(calibration, source, how, sources)
            if match is None:
                continue
            if match not in free:
                other = sources[entry.index(match)].source
                raise CalibrationError(
                    f"cameras {other} and {source.source} are both {calibration.names[match]!r} in the calibration; "
                    "give each its own name: --camera NAME=SOURCE"
                )
            free.remove(match)
            entry[i], by[i] = match, how
            warnings += _doubts(calibration, source, match, how)
    rest = [i for i, found in enumerate(entry) if found is None]
    left = sorted(free)
    if len(rest) > len(left):
        raise CalibrationError(
            f"no calibration for camera {sources[rest[len(left)]].source}: {len(sources)} cameras are given and the "
            f"calibration has {len(calibration.names)} ({', '.join(calibration.names)})"
        )
    names_left = ", ".join(calibration.names[k] for k in left)
    if rest and len(left) > len(rest):
        raise CalibrationError(
            f"the calibration has more cameras left ({names_left}) than were given without a name; "
            "say which is which: --camera NAME=SOURCE"
        )
    for i, k in zip(rest, left, strict=False):
        entry[i] = k
        _same_device(calibration, sources[i], k)
        warnings.append(
            f"camera {sources[i].source} is taken to be {calibration.names[k]!r} by its order alone; "
            f"make sure with --camera {calibration.names[k]}={sources[i].source}"
        )
    if not rest and left:
        warnings.append(f"the calibration also has {names_left}, not given with --camera and left out")
    cameras = tuple(calibration.cameras[k] for k in entry if k is not None)
    return Binding(cameras, tuple(by), tuple(warnings))


def _no_source_twice(sources: Sequence[SourceId]) -> None:
    for i, source in enumerate(sources):
        for other in sources[:i]:
            # Not by their texts: without its passwords, one recorder's address is the same for all its channels.
            if source.device is not None and source.device == other.device:
                raise CalibrationError(f"camera {source.source} is given twice; leave one out")
            if source.name is not None and source.name == other.name:
                raise CalibrationError(f"two cameras are named {source.name!r}; give each its own name")


def _match(calibration: Calibration, source: SourceId, how: str, sources: Sequence[SourceId]) -> int | None:
    if how == "name":
        if source.name is None:
            return None
        if source.name not in calibration.names:
            raise CalibrationError(
                f"no calibration for camera {source.name!r}; the calibration has {', '.join(calibration.names)}"
            )
        return calibration.names.index(source.name)
    mine = source.serial if how == "serial" else source.device
    theirs = calibration.serials if how == "serial" else calibration.devices
    # Cheap webcams share one serial number: one that occurs twice identifies nobody.
    if mine is None or theirs.count(mine) != 1 or (how == "serial" and sum(s.serial == mine for s in sources) > 1):
        return None
    return theirs.index(mine)


def _doubts(calibration: Calibration, source: SourceId, k: int, how: str) -> list[str]:
    name, serial = calibration.names[k], calibration.serials[k]
    if source.serial and serial and source.serial != serial:
        if how == "device":
            _same_device(calibration, source, k)
        return [f"camera {name!r} was calibrated as serial {serial}, but {source.source} has serial {source.serial}"]
    if how == "device" and str(source.device).startswith("/dev/video"):
        return [
            f"camera {source.source} is taken to be {name!r} by its device number, which may change when the computer "
            f"starts; make sure with --camera {name}={source.source}"
        ]
    return []


def _same_device(calibration: Calibration, source: SourceId, k: int) -> None:
    serial = calibration.serials[k]
    if source.serial and serial and source.serial != serial:
        raise CalibrationError(
            f"camera {source.source} has serial {source.serial}, but {calibration.names[k]!r} was calibrated as serial "
            f"{serial}; if that is right, insist with --camera {calibration.names[k]}={source.source}"
        )


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
    cameras: Sequence[Camera], sizes: Sequence[tuple[int, int]], letterboxes: Mapping[str | None, Letterbox | None]
) -> tuple[list[Camera], list[str]]:
    """Every camera for its frames, by ``fit_camera``, and what was done, a line each.

    Args:
        cameras: as calibrated.
        sizes: width and height of each one's frames, pixels.
        letterboxes: by camera name, None for all others; the value None means the largest centred fit.

    Raises:
        CalibrationError: if a shape differs and there is no letterbox.
    """
    fitted, lines = [], []
    for camera, size in zip(cameras, sizes, strict=True):
        key = camera.name if camera.name in letterboxes else None
        box = (letterboxes[key] or centred_letterbox(camera, size)) if key in letterboxes else None
        camera, line = fit_camera(camera, size, box)
        fitted.append(camera)
        lines += [line] if line else []
    return fitted, lines


def exchanged(camera: Camera, size: tuple[int, int]) -> bool:
    """Whether frames have the camera's shape with width and height exchanged."""
    width, height = camera.size
    return width != height and abs(size[0] * width / height - size[1]) <= 0.5


def fit_camera(camera: Camera, size: tuple[int, int], letterbox: Letterbox | None = None) -> tuple[Camera, str | None]:
    """The camera for frames of another size.

    Args:
        camera: as calibrated.
        size: width and height of the frames, pixels.
        letterbox: how the calibrated picture lies in the frame, when it does not fill it.

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
        raise CalibrationError(
            f"camera {camera.name}: calibrated for {was}, but its frames are {now}: width and height are exchanged; it "
            f"was calibrated from frames turned otherwise: --rotate {camera.name}=90 (or 270) turns these, or "
            "calibrate with the --rotate that is used here"
        )
    # A whole number of rows may round the exact height by half a pixel (1920x1080 to 854x480).
    if abs(size[0] * camera.size[1] / camera.size[0] - size[1]) > 0.5:
        raise CalibrationError(
            f"camera {camera.name}: calibrated for {was}, but its frames are {now}, another shape; film at {was}, "
            f"calibrate again, or say how the picture was fitted: --letterbox {camera.name}=SCALE,DX,DY (or =fit)"
        )
    message = (
        f"camera {camera.name}: calibrated for {was}, frames are {now}: K scaled by {size[0] / camera.size[0]:.4g}"
    )
    return scale_camera(camera, size), message
