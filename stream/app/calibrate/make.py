"""The commands that need no camera: ``board`` and ``convert``."""

import argparse
import sys

import numpy as np

from calibration.errors import CalibrationError
from calibration.formats import load_calibration, save_calibration
from calibration.solving.print_board import back_of, lay_out, write_pdf, write_png
from calibration.types import with_up
from stream.app.calibrate.arguments import board_of
from stream.app.calibrate.results import check_outputs, check_writable, warn


def board(args: argparse.Namespace) -> int:
    """Make a board."""
    made = board_of(args)
    if args.out.suffix.lower() != ".pdf":
        raise CalibrationError(f"--out {args.out}: give a name that ends in .pdf; a .png is written beside it")
    pixels = args.out.with_suffix(".png")
    back = args.out.with_name(f"{args.out.stem}-back.png") if made.double_sided else None
    check_writable(args.out, pixels, back, force=args.force)
    sheet = lay_out(made, args.paper)
    write_pdf(args.out, sheet, *([back_of(sheet)] if back else []))
    write_png(sheet, pixels)
    if back is not None:
        write_png(back_of(sheet), back)
    pages = f"{args.out} (two pages), {pixels} and {back}" if back else f"{args.out} and {pixels}"
    print(f"{pages}: {sheet.page[0]:g} x {sheet.page[1]:g} mm. Print at 100 %.")
    if back is not None:
        print(
            "its second page is the back: print both on one sheet, turned over about its upright edge, or glue back "
            "to back, corner behind corner"
        )
    print(f"measure a square on the print, and name the board with: {made.describe()}")
    return 0


def convert(args: argparse.Namespace) -> int:
    """Between formats."""
    check_outputs(args)
    calibration = load_calibration(args.input, args.source, unit=args.unit, size=args.size, fisheye=args.fisheye)
    if args.up is not None:
        calibration = with_up(calibration, np.array(args.up))
    save_calibration(calibration, args.out, args.target)
    warn(calibration.remarks)
    unit = calibration.made.get("unit_of_file", "mm")
    placed = f"placed; lengths read as {unit}" if calibration.placed else "lenses only"
    rest = f"; lenses only: {', '.join(camera.name for camera in calibration.lenses)}" if calibration.lenses else ""
    print(f"wrote {args.out}: {', '.join(calibration.names)} ({placed}{rest})")
    if calibration.lenses and args.target != "native":
        print(f"warning: {args.target} has only placed cameras; those without a place are left out", file=sys.stderr)
    if args.target == "native" and calibration.placed and calibration.up is None:
        print("warning: up is not known; give --up X,Y,Z so that cameras are levelled", file=sys.stderr)
    return 0
