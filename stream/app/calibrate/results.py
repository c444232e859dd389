"""What the commands write and say."""

import argparse
import datetime
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.errors import CalibrationError
from calibration.formats import save_calibration
from calibration.geometry.camera import Camera
from calibration.solving.board import Board
from calibration.types import Calibration
from calibration.writing import check_target
from stream.app.calibrate.show import PICTURES, write_picture

_log = logging.getLogger(__name__)


def check_writable(*paths: Path | None, force: bool = False) -> None:
    """Find out before anything is filmed what could not be written afterwards.

    Raises:
        CalibrationError: for a file that is there already (without ``force``).
        WriteError: for what is no regular file, and a folder that cannot be written.
    """
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise CalibrationError(f"{path} exists already and is a folder; give the name of a file")
        if path.exists() and not force:
            raise CalibrationError(f"{path} exists already; give another name, or --force to overwrite it")
        check_target(path)


def check_outputs(args: argparse.Namespace) -> None:
    """``check_writable`` for --out and --picture.

    Raises:
        CalibrationError: as there, and for a kind of picture that is not written.
    """
    check_writable(getattr(args, "out", None), force=getattr(args, "force", False))
    picture = getattr(args, "picture", None)
    if picture is not None and picture.suffix.lower() not in PICTURES:
        raise CalibrationError(f"--picture {picture}: pictures are written as {' or '.join(PICTURES)}")
    check_writable(picture, force=True)


def keep_picture(args: argparse.Namespace, image: NDArray[np.uint8]) -> None:
    """Write --picture where it was asked for."""
    if args.picture is not None:
        write_picture(args.picture, image)
        print(f"wrote {args.picture}")


def how_made(args: argparse.Namespace, board: Board | None) -> dict[str, str | int | float]:
    """What the file says of how it was made."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    out: dict[str, str | int | float] = {"by": f"python -m calibration {args.command}", "at": now}
    if board is not None:
        out["board"] = board.describe()
    return out


def save_placed(
    args: argparse.Namespace, lenses: Calibration, cameras: Sequence[Camera], made: Mapping[str, str | int | float]
) -> None:
    """Write the placed cameras, with the devices and serials of the file the lenses came from."""
    order = [lenses.names.index(camera.name) for camera in cameras]
    devices = tuple(lenses.devices[k] for k in order)
    serials = tuple(lenses.serials[k] for k in order)
    save_calibration(Calibration(tuple(cameras), True, devices, serials, made), args.out)
    print(f"wrote {args.out}")


def warn(lines: Sequence[str]) -> None:
    """Say what a person should know."""
    for line in lines:
        _log.warning(f"warning: {line}")
