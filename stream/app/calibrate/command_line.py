"""``python -m calibration``: boards, intrinsics, extrinsics, floor, check, sync, convert. See docs/calibration.md."""

import logging
from collections.abc import Sequence

import cv2

from calibration.errors import UserError
from engines.argument_types import INTERRUPTED, MISTAKE
from stream.app.calibrate.arguments import parser
from stream.app.calibrate.judge import check, sync
from stream.app.calibrate.make import board, convert
from stream.app.calibrate.solve import extrinsics, floor, from_person, intrinsics
from stream.app.console import guarded, say, shortage
from stream.app.logs import lines_shown

_log = logging.getLogger(__name__)

COMMANDS = {
    "board": board,
    "intrinsics": intrinsics,
    "extrinsics": extrinsics,
    "from-person": from_person,
    "floor": floor,
    "check": check,
    "sync": sync,
    "convert": convert,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    return guarded("calibration", lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    # OpenCV reports what it cannot parse or open on stderr too; our own line says it.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with lines_shown():
            try:
                return COMMANDS[args.command](args)
            except UserError as error:
                _log.error(f"calibration {args.command}: {shortage(error) or error}")
                return MISTAKE
    except KeyboardInterrupt:
        say("stopped")
        return INTERRUPTED
