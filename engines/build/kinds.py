"""Which build a checkpoint or a weights file needs."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.errors import UserError
from engines import cards, preprocess
from engines.build import covariance, cut_movenet, hourglass, int8_detector, int8_finder, int8_lifter, lifter, temporal
from engines.build.reading import reading
from engines.detectors.hourglass import WEIGHTS
from engines.lifter import SHIPPED
from engines.temporal import JOINTS, SHIPPED_TEMPORAL
from engines.training.checkpoints import load_checkpoint
from engines.training.data.lspet import Photographs
from engines.training.data.where import needed

Report = dict[str, float]


def build(
    checkpoint: Path,
    out: Path | None,
    precision: str,
    data: Path | None = None,
    images: Path | None = None,
    joints: Path | None = None,
) -> tuple[Path, Report]:
    """A checkpoint to ONNX.

    Args:
        checkpoint: of a training of the lifter, of the temporal one, or of the hourglass.
        out: the file to write; None for the shipped one of its kind.
        precision: "fp32" or "fp16".
        data: of a lifter, which needs it: folder of the motion capture.
        images: of a detector, which needs them: photographs.
        joints: their labels.

    Returns:
        The file that was written, and the report.

    Raises:
        UserError: if something cannot be read or written, or the build was refused.
    """
    settings = load_checkpoint(checkpoint).get("settings", {})
    if "stacks" in settings:
        out = _checked(out or cards.WEIGHTS / WEIGHTS["hourglass"])
        return out, hourglass.build_hourglass(checkpoint, _photographs(images, joints), out, precision)
    if "near" in settings:
        out = _checked(out or SHIPPED_TEMPORAL)
        if precision != "fp32":
            raise UserError("--precision fp16 is not for the temporal lifter")
        return out, temporal.build_temporal(checkpoint, needed(data, "--data"), out)
    if "kernels" not in settings:
        raise UserError(f"{checkpoint} is not a checkpoint of a training of the lifter or of the hourglass")
    out = _checked(out or SHIPPED)
    return out, lifter.build_lifter(checkpoint, needed(data, "--data"), out, precision)


def build_cut(whole: Path, out: Path, images: Path | None = None, joints: Path | None = None) -> tuple[Path, Report]:
    """A whole MoveNet to the file that runs; the arguments are those of ``build``.

    Args:
        whole: the ONNX file as converted from Google's, its card beside it.
        out: the file to write.
        images: see ``build``.
        joints: see ``build``.

    Returns:
        The file that was written, and the report.

    Raises:
        UserError: if something cannot be read or written, or the build was refused.
    """
    out = _checked(out)
    if out.absolute() == whole.absolute():
        raise UserError(f"{out} is the file to cut; give another --out")
    return out, cut_movenet.build_cut(whole, _photographs(images, joints), out)


def calibrate_covariance(weights: Path, images: Path | None = None, joints: Path | None = None) -> tuple[Path, Report]:
    """Say in the card of a detector's weights how unsure its joints are; the arguments are those of ``build``.

    Args:
        weights: the file, its card beside it.
        images: see ``build``.
        joints: see ``build``.

    Returns:
        The card that was written, and the report.

    Raises:
        UserError: if something cannot be read or written, or the calibration was refused.
    """
    return weights.with_suffix(".toml"), covariance.calibrate(weights, _photographs(images, joints))


def build_int8(
    source: Path,
    out: Path | None,
    data: Path | None = None,
    images: Path | None = None,
    joints: Path | None = None,
    calibration: Path | None = None,
) -> tuple[Path, Report]:
    """A weights file to int8; the arguments are those of ``build``.

    Args:
        source: the ONNX file, its card beside it.
        out: None for ``NAME.int8.onnx`` beside ``NAME.onnx``, where it is found.
        data: see ``build``.
        images: see ``build``.
        joints: see ``build``.
        calibration: folder of pictures to find a detector's ranges on, instead of ``images``.

    Returns:
        The file that was written, and the report.

    Raises:
        UserError: if something cannot be read or written, or the build was refused.
    """
    known = cards.verify(source)
    out = _checked(out or source.with_suffix(".int8.onnx"))
    if out.absolute() == source.absolute():
        raise UserError(f"{out} is the file to quantise; give another --out")
    if not out.name.endswith(".int8.onnx"):
        raise UserError(f"--out {out}: the name must end in .int8.onnx, by which the precision of a file is known")
    if known.joints == JOINTS:
        raise UserError(f"{source} is a temporal lifter, which runs as it is: there is no int8 of it")
    if "kernels" in known.values:
        if calibration:
            raise UserError(f"{source} is a lifter, which needs no pictures: leave out --calibration")
        return out, int8_lifter.build_int8_lifter(source, needed(data, "--data"), out)
    if int8_finder.finds_several(known):
        if calibration:
            raise UserError(f"{source} finds people in whole photographs: leave out --calibration")
        return out, int8_finder.build_int8_finder(source, _photographs(images, joints), out)
    side = reading(known).side
    pictures = _pictures(calibration, side) if calibration else None
    return out, int8_detector.build_int8_detector(source, _photographs(images, joints), out, pictures)


def _photographs(images: Path | None, joints: Path | None) -> Photographs:
    return Photographs(needed(images, "--images"), needed(joints, "--joints"))


def _checked(out: Path) -> Path:
    """Found out now, not after the minutes that a build takes."""
    if out.suffix != ".onnx":
        raise UserError(f"--out {out}: the name must end in .onnx")
    if not out.absolute().parent.is_dir():
        raise UserError(f"cannot write {out}: there is no folder {out.parent}")
    return out


def _pictures(folder: Path, side: int) -> NDArray[np.uint8]:
    """The middle square of every picture in a folder, (N, side, side, 3) RGB.

    Raises:
        UserError: if there is none.
    """
    found = []
    for path in sorted(folder.glob("*")):
        image = cv2.imread(str(path)) if path.suffix.lower() in (".jpg", ".jpeg", ".png") else None
        if image is not None:
            height, width = image.shape[:2]
            box = preprocess.square(np.array([width / 2, height / 2]) - 0.5, min(height, width))
            found.append(preprocess.cut(np.asarray(image, np.uint8), box, (side, side)))
    if not found:
        raise UserError(f"--calibration {folder}: there is no picture (.jpg or .png) in this folder")
    return np.stack(found)
