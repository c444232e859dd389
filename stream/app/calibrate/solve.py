"""The commands that calibrate: ``intrinsics``, ``extrinsics``, ``from-person`` and ``floor``."""

import argparse
import logging
import re
from dataclasses import replace

import numpy as np

from calibration.errors import CalibrationError
from calibration.formats import save_calibration
from calibration.geometry.camera import camera_from_fov
from calibration.geometry.triangulation import triangulate_robust
from calibration.solving.board import Board
from calibration.solving.body import walk_up
from calibration.solving.check import check_board, check_person, picture
from calibration.solving.extrinsics import solve_extrinsics
from calibration.solving.floor import floor_from_ankles, floor_from_board, move_world
from calibration.solving.intrinsics import MIN_VIEWS, pick, solve_intrinsics
from calibration.solving.person import solve_from_person
from calibration.solving.person_seen import person_seen
from calibration.types import Calibration
from engines.argument_types import FAILED
from stream.app.calibrate.arguments import ASSUMED_FOV, board_of
from stream.app.calibrate.capture import collect_lens
from stream.app.calibrate.collect import overlay
from stream.app.calibrate.reasons import blind, told, too_few
from stream.app.calibrate.results import check_outputs, how_made, keep_picture, save_placed, warn
from stream.app.calibrate.session import (
    BOARD_EVERY_S,
    PERSON_EVERY_S,
    boards_seen,
    bound,
    calibration_of,
    joints_seen,
    needed,
    open_cameras,
)
from stream.app.calibrate.show import beside
from stream.live.plausibility import BODY

_log = logging.getLogger(__name__)

# Live, a person with the board in hand has shown enough views of the lens by then.
_LIVE_VIEWS = 30
# Two readings of one ruler on one print: 35 and 35.02 mm are the same.
_SAME_SQUARE = 0.001


def intrinsics(args: argparse.Namespace) -> int:
    """Each camera's lens."""
    made = board_of(args)
    check_outputs(args)
    if args.fisheye and args.k3:
        raise CalibrationError("--k3 is of the ordinary lens model, --fisheye is another one; give one of them")
    results, pictures = [], []
    with open_cameras(args) as opened:
        for one in opened:
            name, size = one.info.name, one.info.size
            wanted = min(args.count, _LIVE_VIEWS) if one.info.live else args.count
            every = args.every or BOARD_EVERY_S
            collector, last = collect_lens(one.feed(name), made, every, wanted, not args.no_window)
            chosen = pick(made, collector.views, size, args.count)
            views = [collector.views[i] for i in chosen]
            print(f"{name}: board found in {collector.found} of {collector.looked} images, {len(views)} used")
            if few := too_few(collector, name, made, MIN_VIEWS):
                raise CalibrationError(few)
            result = solve_intrinsics(name, size, made, views, k3=args.k3, fisheye=args.fisheye)
            print(f"  {result.line()}")
            for i, rms in result.dropped:
                print(f"  dropped {collector.labels[chosen[i]]}: {rms:.1f} px")
            warn(result.remarks)
            results.append(result)
            if last is not None:
                used = [views[i] for i in result.used]
                pictures.append(overlay(last, used, None, f"{name}: {len(used)} views"))
    keep_picture(args, beside(pictures))
    made_of = how_made(args, made) | {f"rms_px_{r.camera.name}": round(r.rms_px, 3) for r in results}
    lenses = Calibration(
        tuple(r.camera for r in results), False, tuple(o.given.device for o in opened),
        tuple(o.given.serial for o in opened), made_of,
    )  # fmt: skip
    save_calibration(lenses, args.out)
    print(f"wrote {args.out}")
    return 0


def extrinsics(args: argparse.Namespace) -> int:
    """Where the cameras stand."""
    made = board_of(args)
    check_outputs(args)
    lenses = needed(args)
    if not args.anyway:
        _check_square(args, made, lenses)
    with open_cameras(args, several=True) as opened:
        calibration, cameras = bound(args, opened, lenses)
        seen = boards_seen(args, opened, cameras, made, args.count, least=2)
    result = solve_extrinsics(cameras, made, seen.frames, lens=args.lens)
    for name, rms in result.rms_px.items():
        print(f"{name}: {sum(name in f for f in seen.frames)} views, error {rms:.2f} px")
    for i, rms in result.dropped:
        print(f"dropped the board at {seen.times[i]:.2f} s: {rms:.1f} px")
    if result.lengths is not None:
        print(f"in frames kept out: {result.lengths.line()}")
    warn(result.remarks)
    keep_picture(args, picture(check_board(result.cameras, made, seen.frames), result.cameras))
    if result.problems and not args.anyway:
        _log.error(
            f"calibration {args.command}: not written: {'; '.join(result.problems)}. Are the cameras in step, the "
            "lenses theirs, and the board the one that is named? (--anyway writes it all the same)"
        )
        return FAILED
    made_of = how_made(args, made) | {f"rms_px_{name}": round(rms, 3) for name, rms in result.rms_px.items()}
    made_of |= {"lengths": result.lengths.line()} if result.lengths else {}
    save_placed(args, calibration, result.cameras, made_of)
    return 0


def _check_square(args: argparse.Namespace, board: Board, lenses: Calibration) -> None:
    """Whether a square measures what it did for the lenses, before anything is filmed: it is the scale of everything.

    Raises:
        CalibrationError: if it is another length.
    """
    recorded = lenses.made.get("board")
    found = re.search(r"--square (\d+(?:\.\d*)?)(?: |$)", str(recorded))
    if found is None or abs(board.square_mm / float(found[1]) - 1) <= _SAME_SQUARE:
        return
    raise CalibrationError(
        f"--square {board.square_mm:g}, but the lenses of {args.calibration} were made with --square {found[1]}: every "
        "distance comes out in proportion to it; measure a square of the print, give --square so, or, if this is "
        "another board, say so with --anyway"
    )


def from_person(args: argparse.Namespace) -> int:
    """Where the cameras stand, from a person."""
    check_outputs(args)
    lenses = calibration_of(args)
    if lenses is None and args.letterbox:
        raise CalibrationError("--letterbox fits calibrated lenses to frames of another shape; give --intrinsics too")
    if lenses is not None and args.fov is not None:
        out = "leave out it or --intrinsics" if args.calibration else "the take has their calibration; leave it out"
        raise CalibrationError(f"--fov is for lenses that are not known; {out}")
    with open_cameras(args, several=True) as opened:
        if lenses is None:
            fov = ASSUMED_FOV if args.fov is None else args.fov
            cameras = tuple(camera_from_fov(o.info.name, o.info.size, fov) for o in opened)
            calibration = Calibration(
                cameras, False, tuple(o.given.device for o in opened), tuple(o.given.serial for o in opened)
            )
            warn([f"no --intrinsics: a field of view of {fov:g} degrees is assumed"])
        else:
            calibration, cameras = bound(args, opened, lenses)
        xy, score = joints_seen(args, opened, cameras)
    with told(cameras, xy, score):
        result = solve_from_person(cameras, xy, score, BODY, args.height, step_s=args.every or PERSON_EVERY_S)
    placed, remarks = result.cameras, result.remarks
    if result.up is not None:
        try:
            ground = floor_from_ankles(placed, result.joints[:, list(BODY.ankles)], result.up, up_degrees=0.0)
        except CalibrationError as error:
            placed = tuple(replace(camera, up=result.up) for camera in placed)
            remarks = (*remarks, f"up is the body's and no floor was found: {error}")
        else:
            placed, remarks = ground.cameras, remarks + ground.remarks
            print(ground.origin)
        print(f"up: known to {result.up_degrees:.1f} degrees")
    print(f"cameras: turned to each other as found to within {result.pair_degrees.max():.1f} degrees (95 %)")
    for name, rms in result.rms_px.items():
        print(f"{name}: error {rms:.1f} px")
    for name, late in result.late_s.items():
        when = "late" if late > 0 else "early"
        print(f"{name}: {1e3 * abs(late):.0f} ms {when}: run with --sync-offset {name}={-late:.3f}")
    if result.focal != 1:
        print(f"lenses: focal lengths corrected by {100 * (result.focal - 1):+.1f} %, as the walk tells them")
    warn(remarks)
    keep_picture(args, picture(check_person(placed, xy, score), placed))
    if result.problems and not args.anyway:
        doubts = " Are the recordings in step (`sync`), the lenses theirs, and is it one person?"
        doubts = "" if result.too_short else doubts
        _log.error(
            f"calibration {args.command}: not written: {'; '.join(result.problems)}.{doubts} Seen: "
            f"{person_seen(cameras, xy, score)} (--anyway writes it all the same)"
        )
        return FAILED
    made_of = how_made(args, None) | {
        "height_mm": args.height,
        "turned_degrees_95": round(float(result.pair_degrees.max()), 2),
    }
    save_placed(args, calibration, placed, made_of)
    return 0


def floor(args: argparse.Namespace) -> int:
    """The world frame."""
    check_outputs(args)
    made = None if args.person else board_of(args)
    known = needed(args)
    with open_cameras(args, several=args.person) as opened:
        calibration, cameras = bound(args, opened, known, placed=True)
        if made is None:
            xy, score = joints_seen(args, opened, cameras)
            joints = triangulate_robust(cameras, np.where((score > 0.3)[..., None], xy, np.nan), score).points
            with told(cameras, xy, score):
                up = walk_up(joints, BODY).up
                result = floor_from_ankles(cameras, joints[:, list(BODY.ankles)], up, up_degrees=0.0)
        else:
            seen = boards_seen(args, opened, cameras, made, count=1, least=1)
            result = floor_from_board(cameras, made, seen.frames[0], args.thickness)
            warn(blind(seen, cameras, made))
    print(
        f"floor fits to {result.misfit_mm:.1f} mm; heights: "
        + ", ".join(f"{c.name} {c.centre[2]:.0f} mm" for c in result.cameras)
    )
    print(result.origin)
    warn(result.remarks)
    # Cameras that were not given here move with the others.
    old, new = cameras[0], result.cameras[0]
    moved = move_world(calibration.cameras, new.R.T @ old.R, new.R.T @ (old.t - new.t), new.up)
    made_of = dict(calibration.made) | {"floor": "a person's ankles" if args.person else "a board on the floor"}
    save_calibration(replace(calibration, cameras=moved, made=made_of), args.out)
    print(f"wrote {args.out}")
    return 0
