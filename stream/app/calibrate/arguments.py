"""The flags of ``python -m calibration``."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from calibration.binding import BINDINGS
from calibration.errors import CalibrationError
from calibration.formats import formats
from calibration.solving.board import DICTIONARIES, Board
from calibration.solving.extrinsics import MIN_SHARED
from calibration.solving.intrinsics import MIN_VIEWS
from calibration.solving.print_board import PAPERS
from engines.argument_types import Parser, at_least, finite, positive

STEPS = """\
from a box of webcams to a verified calibration (CAMS: --camera left=0 --camera right=1; BOARD: --square 35.1):
  1. python -m calibration board --out board.pdf       print at 100 %, glue it on a flat plate, measure a square
  2. python -m calibration intrinsics CAMS BOARD --out lens.toml
  3. python -m calibration extrinsics CAMS BOARD --intrinsics lens.toml --out rig.toml
  4. python -m calibration floor      CAMS BOARD --calibration rig.toml --out lab.toml
  5. python -m calibration check      CAMS BOARD --calibration lab.toml --picture check.png
No board? from-person takes the place of step 3, and floor --person that of step 4.
"""


def size(text: str) -> tuple[int, int]:
    """``640x480`` as (640, 480)."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}; give two whole numbers such as 8x5") from error
    if min(width, height) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; both must be above 0")
    return width, height


def direction(text: str) -> tuple[float, ...]:
    """``0,0,1`` as (0, 0, 1)."""
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}; give three numbers such as 0,0,1") from error
    return x, y, z


def unit(text: str) -> float:
    """``mm``, ``cm`` or ``m`` (or a number) as millimetres."""
    known = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
    try:
        return known[text] if text in known else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}; give mm, cm, m or the number of mm in a unit") from error


ASSUMED_FOV: Final = 60.0
"""Degrees along the long side of a camera whose lens is not known."""
_TAKE: Final = "(of a take: what it was captured with)"
_SEVERAL = ("--sync-offset", "--letterbox", "--bind")
_SOURCE_FLAGS: Mapping[str, Mapping[str, Any]] = {
    "--every": {"type": positive, "metavar": "S",
                "help": "seconds between the frames looked at (0.1 for a person; 0.2 for a board, live always 0.1)"},
    "--sync-offset": {"action": "append", "default": [], "metavar": "NAME=SECONDS",
                      "help": "added to the times of a recording that started earlier or later"},
    "--letterbox": {"action": "append", "default": [], "metavar": "[NAME=]SCALE,DX,DY",
                    "help": "how the calibrated picture lies in frames of another shape, or [NAME=]fit"},
    "--bind": {"choices": BINDINGS, "default": "auto",
               "help": "how cameras without a name find theirs in the file: by serial number, device and the names of "
                       "files (auto), or in the order given"},
    "--speed": {"action": "append", "default": [], "metavar": "[NAME=]N",
                "help": "a file plays N times slower than life: 8 for 240 fps stored as 30"},
    "--rotate": {"action": "append", "default": [], "metavar": "[NAME=]90|180|270",
                 "help": "degrees clockwise to turn the pictures of a camera that hangs on its side, as in runs"},
    "--times": {"type": Path, "metavar": "CSV",
                "help": "sync_index, camera, time of the frames of videos, in place of their own times"},
    "--picture": {"type": Path, "metavar": "FILE.png", "help": "write a picture of coverage or errors"},
    "--no-window": {"action": "store_true", "help": "no window with the coverage of live cameras"},
}  # fmt: skip
"""Flags of cameras that not every command uses."""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``command`` names the one that was given."""
    top = Parser(prog="python -m calibration", description="Calibrate cameras.", epilog=STEPS,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    board = _command(commands, "board", "make a board to print: a PDF in exact size, and a PNG")
    _board(board)
    board.add_argument(
        "--paper", default="auto", help=f"auto, {', '.join(PAPERS)} (default: the smallest that holds it)"
    )
    _out(board, "FILE.pdf", "the PDF; a PNG is written beside it")

    lens = _command(commands, "intrinsics", "each camera's lens, from a board held in front of it")
    _sources(lens, "--every", "--picture", "--no-window")
    _board(lens)
    lens.add_argument("--count", type=at_least(MIN_VIEWS), default=40, help="views to use of each camera (default 40)")
    lens.add_argument("--k3", action="store_true", help="also fit the third radial term (wide lenses)")
    lens.add_argument(
        "--fisheye", action="store_true", help="action cameras and other lenses beyond about 100 degrees across"
    )
    _out(lens, "LENS.toml", "the result")

    rig = _command(commands, "extrinsics", "where the cameras stand, from a board that several see at once")
    _sources(rig, *_SEVERAL, "--every", "--picture", "--no-window")
    _calibration(rig, "--intrinsics", f"the lenses, from `intrinsics` or any format read by `convert` {_TAKE}")
    _board(rig)
    rig.add_argument(
        "--count", type=at_least(MIN_SHARED), default=60, help="positions of the board to use (default 60)"
    )
    rig.add_argument(
        "--lens",
        action="store_true",
        help="also adjust the lenses; in our trials that was worse, so only with boards all over every image",
    )
    rig.add_argument(
        "--anyway", action="store_true", help="even if --square is not that of the lenses, or it does not pass"
    )
    _out(rig, "RIG.toml", "the result")

    person = _command(commands, "from-person", "where the cameras stand, from one person walking about")
    _sources(person, *_SEVERAL, "--every", "--picture")
    _calibration(person, "--intrinsics", f"the lenses; without, --fov is assumed {_TAKE}")
    person.add_argument(
        "--fov", type=positive, metavar="DEGREES",
        help=f"field of view along the long side, without --intrinsics (default {ASSUMED_FOV:g})",
    )  # fmt: skip
    person.add_argument("--height", type=positive, required=True, metavar="MM", help="how tall the person is, mm")
    _person(person)
    person.add_argument("--anyway", action="store_true", help="write it even if it is not to be believed")
    _out(person, "RIG.toml", "the result, with the floor at z = 0 under the person's feet")

    floor = _command(
        commands, "floor", "up and the floor, from a board lying on it (face up) or from a person's ankles"
    )
    _sources(floor, *_SEVERAL, "--every", "--no-window")
    _calibration(floor, "--calibration", f"placed cameras {_TAKE}")
    _board(floor)
    floor.add_argument("--thickness", type=finite, default=0.0, metavar="MM", help="of the plate under the board")
    floor.add_argument("--person", action="store_true", help="use a person walking about instead of a board")
    _person(floor)
    _out(floor, "LAB.toml", "the result")

    check = _command(commands, "check", "is a calibration still good? exit code 1 when it is not")
    _sources(check, *_SEVERAL, "--every", "--picture", "--no-window")
    _calibration(check, "--calibration", f"placed cameras {_TAKE}")
    _board(check)
    check.add_argument(
        "--count", type=at_least(MIN_SHARED), help="positions of the board to use (10 live, 60 of recordings)"
    )
    check.add_argument("--person", action="store_true", help="look at a person instead of a board (no lengths)")
    _person(check)

    sync = _command(commands, "sync", "how far cameras' clocks are apart, from a person who moves in all of them")
    _sources(sync, *_SEVERAL)
    _calibration(sync, "--calibration", f"placed cameras make it more precise {_TAKE}")
    sync.add_argument("--max-offset", type=positive, default=2.0, metavar="S", help="largest offset tried (2 seconds)")
    _person(sync, "movenet-lightning")
    _out(sync, "OFFSETS.toml", "also write the offsets to a file", required=False)

    convert = _command(commands, "convert", "between calibration formats")
    convert.add_argument("input", type=Path, help="the file (or folder) to read")
    convert.add_argument("out", type=Path, help="the file to write")
    titles = "; ".join(f"{name}: {module.TITLE}" for name, module in formats().items())
    convert.add_argument("--from", dest="source", metavar="FORMAT", help=f"found out by itself, else one of: {titles}")
    writable = [name for name, module in formats().items() if hasattr(module, "write")]
    convert.add_argument("--to", dest="target", default="native", choices=writable, help="default native")
    convert.add_argument(
        "--unit", type=unit, help="of lengths in the file: mm, cm, m (where the format leaves it open)"
    )
    convert.add_argument("--size", type=size, metavar="WxH", help="of the images, where the file has none")
    convert.add_argument(
        "--fisheye", action="store_true", help="the coefficients are OpenCV's fisheye's, and the file does not say so"
    )
    convert.add_argument(
        "--up", type=direction, metavar="X,Y,Z", help="against gravity in the file's world, e.g. 0,0,1"
    )
    convert.add_argument("--force", action="store_true", help="overwrite the output")
    return top


def board_of(args: argparse.Namespace) -> Board:
    """The board the flags name.

    Raises:
        CalibrationError: for numbers that make no board.
    """
    if args.board == "chessboard":
        if args.corners is None and args.squares is None:
            raise CalibrationError(
                "a chessboard needs --corners, the inner corners across and down, such as --corners 8x5"
            )
        squares = (args.corners[0] + 1, args.corners[1] + 1) if args.corners is not None else args.squares
        if args.legacy or args.first_id or args.double_sided or args.marker is not None:
            raise CalibrationError(
                "--marker, --legacy, --first-id and --double-sided are for ChArUco boards; a chessboard has no markers"
            )
        return Board("chessboard", squares, args.square)
    if args.corners is not None:
        raise CalibrationError("--corners is for chessboards; a ChArUco board is given by --squares")
    marker = args.marker if args.marker is not None else round(args.square * 26 / 35, 2)
    return Board(
        "charuco", args.squares or (7, 5), args.square, marker, _dictionary(args.dictionary), args.legacy,
        args.first_id, args.double_sided,
    )  # fmt: skip


def _dictionary(text: str) -> str:
    """The name as OpenCV has it: ``5x5_100`` and ``apriltag_36H11`` are understood too."""
    plain = text.upper().removeprefix("DICT_")
    return next((name for name in DICTIONARIES if name.upper() == f"DICT_{plain}"), text)


def _command(commands: "argparse._SubParsersAction[Parser]", name: str, text: str) -> Parser:
    return commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", addresses=("--camera",))


def _board(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the board")
    group.add_argument("--board", choices=("charuco", "chessboard"), default="charuco", help="default charuco")
    group.add_argument("--squares", type=size, metavar="CxR", help="squares across and down (default 7x5)")
    group.add_argument(
        "--corners", type=size, metavar="CxR", help="inner corners of a chessboard, instead of --squares"
    )
    group.add_argument(
        "--square", type=positive, default=35.0, metavar="MM", help="side of a square, measured on the print"
    )
    group.add_argument("--marker", type=positive, metavar="MM", help="side of a marker (default 26/35 of a square)")
    group.add_argument("--dictionary", default="DICT_5X5_100", metavar="DICT", help=f"one of {', '.join(DICTIONARIES)}")
    group.add_argument(
        "--legacy", action="store_true", help="a ChArUco board from before OpenCV 4.6, white corner first"
    )
    group.add_argument("--first-id", type=at_least(0), default=0, metavar="N", help="number of its first marker (0)")
    group.add_argument(
        "--double-sided", action="store_true", help="the back is printed as the front's mirror image, corner on corner"
    )


def _sources(parser: argparse.ArgumentParser, *flags: str) -> None:
    """--camera and --size, and those of ``_SOURCE_FLAGS`` that the command uses."""
    group = parser.add_argument_group("cameras")
    where = group.add_mutually_exclusive_group(required=True)
    about = "device number or path, video, folder of images, URL, or TAKE/NAME; once a camera"
    where.add_argument("--camera", action="append", default=[], metavar="[NAME=]SOURCE", help=about)
    where.add_argument("--from-take", type=Path, metavar="TAKE", help="every camera of a take")
    group.add_argument("--size", type=size, metavar="WxH", help="size to ask of local cameras")
    for flag in (*flags, "--speed", "--rotate", "--times"):
        group.add_argument(flag, **_SOURCE_FLAGS[flag])


def _calibration(parser: argparse.ArgumentParser, flag: str, text: str) -> None:
    parser.add_argument(flag, dest="calibration", type=Path, metavar="FILE", help=text)


def _person(parser: argparse.ArgumentParser, detector: str = "movenet-thunder") -> None:
    parser.add_argument("--detector", default=detector, metavar="NAME", help=f"2D detector ({detector})")
    parser.add_argument("--seconds", type=positive, default=60.0, metavar="S", help="most seconds to look (60)")


def _out(parser: argparse.ArgumentParser, name: str, text: str, required: bool = True) -> None:
    parser.add_argument("--out", type=Path, required=required, metavar=name, help=text)
    parser.add_argument("--force", action="store_true", help="overwrite it")
