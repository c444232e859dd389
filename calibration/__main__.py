"""``python -m calibration``: boards, intrinsics, extrinsics, floor, check, sync, convert. See docs/calibration.md."""

import argparse
import datetime
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arguments import board_of, parser
from calibration.bind import SourceId, bind, centred_letterbox, fit_camera, parse_letterbox
from calibration.board import Board, BoardView
from calibration.camera import Camera, camera_from_fov
from calibration.capture import Feed, collect_joints, collect_lens, collect_together
from calibration.check import check_board, check_person, picture
from calibration.collect import overlay
from calibration.errors import CalibrationError, UserError
from calibration.extrinsics import solve_extrinsics
from calibration.floor import floor_from_ankles, floor_from_board
from calibration.formats import load_calibration, save_calibration
from calibration.intrinsics import pick, solve_intrinsics
from calibration.person import Body, body_up, solve_from_person
from calibration.print_board import lay_out, write_pdf, write_png
from calibration.show import beside, has_display, write_picture
from calibration.synchronise import collect_tracks, flags, synchronise, write_offsets
from calibration.triangulate import triangulate_robust
from calibration.types import Calibration, with_up
from engines import skeleton
from engines.detectors import load as load_detector
from stream.sources import Source, SourceInfo, make_source, parse_sources

Array = NDArray[np.floating]
Image = NDArray[np.uint8]

BODY = Body(
    (skeleton.R_HIP, skeleton.L_HIP), (skeleton.R_KNEE, skeleton.L_KNEE), (skeleton.R_ANKLE, skeleton.L_ANKLE),
    (skeleton.R_SHOULDER, skeleton.L_SHOULDER), (skeleton.R_ELBOW, skeleton.L_ELBOW),
    (skeleton.R_WRIST, skeleton.L_WRIST),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    """An open source and what is known of it."""

    source: Source
    info: SourceInfo
    given: SourceId
    offset: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    args = parser().parse_args(argv)
    # OpenCV reports what it cannot parse or open on stderr too; our own line says it.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    commands = {"board": board, "intrinsics": intrinsics, "extrinsics": extrinsics, "from-person": from_person,
                "floor": floor, "check": check, "sync": sync, "convert": convert}  # fmt: skip
    try:
        return commands[args.command](args)
    except UserError as error:
        print(f"calibration {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def board(args: argparse.Namespace) -> int:
    """Make a board."""
    made = board_of(args)
    sheet = lay_out(made, args.paper)
    _free(args.out, args.force)
    write_pdf(sheet, args.out)
    write_png(sheet, args.out.with_suffix(".png"))
    print(f"{args.out} and {args.out.with_suffix('.png')}: {sheet.page[0]:g} x {sheet.page[1]:g} mm. Print at 100 %.")
    print(f"measure a square on the print, and name the board with: {made.describe()}")
    return 0


def intrinsics(args: argparse.Namespace) -> int:
    """Each camera's lens."""
    made = board_of(args)
    _free(args.out, args.force)
    opened = _open(args)
    results, pictures = [], []
    try:
        for one in opened:
            photographs = one.info.kind == "images"
            wanted = args.count if photographs else min(args.count, 30)
            collector, last = collect_lens(_feed(one, one.info.name), made, args.every, wanted, not args.no_window)
            chosen = pick(made, collector.views, one.info.size, args.count)
            views = [collector.views[i] for i in chosen]
            print(f"{one.info.name}: board found in {collector.found} of {collector.looked} images, {len(views)} used")
            result = solve_intrinsics(one.info.name, one.info.size, made, views, k3=args.k3)
            K = result.camera.K
            print(
                f"  f {K[0, 0]:.1f} {K[1, 1]:.1f} (+- {100 * result.focal_sigma:.2f} %), "
                f"centre {K[0, 2]:.1f} {K[1, 2]:.1f}, "
                f"error {result.rms_px:.2f} px, in views kept out {result.held_out_px:.2f} px, "
                f"coverage {100 * result.coverage:.0f} %"
            )
            for i, rms in result.dropped:
                print(f"  dropped {collector.labels[chosen[i]]}: {rms:.1f} px")
            _say(result.remarks)
            results.append(result)
            if last is not None:
                used = [views[i] for i in result.used]
                pictures.append(overlay(last, used, None, f"{one.info.name}: {len(used)} views"))
    finally:
        _close(opened)
    _picture(args, beside(pictures))
    made_of = _made(args, made) | {f"rms_px_{r.camera.name}": round(r.rms_px, 3) for r in results}
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
    _free(args.out, args.force)
    opened = _open(args)
    try:
        calibration, cameras = _bound(args, opened)
        frames, times = _seen_together(opened, cameras, made, args, args.count)
    finally:
        _close(opened)
    result = solve_extrinsics(cameras, made, frames, lens=args.lens)
    for name, rms in result.rms_px.items():
        print(f"{name}: {sum(name in f for f in frames)} views, error {rms:.2f} px")
    for i, rms in result.dropped:
        print(f"dropped the board at {times[i]:.2f} s: {rms:.1f} px")
    if result.lengths is not None:
        print(f"in frames kept out: {result.lengths.line()}")
    _say(result.remarks)
    failed = result.lengths is not None and not result.lengths.passed
    if failed and not args.force:
        raise CalibrationError("not written, because known lengths do not come out (--force writes it all the same)")
    _picture(args, picture(check_board(result.cameras, made, frames), result.cameras))
    made_of = _made(args, made) | {f"rms_px_{name}": round(rms, 3) for name, rms in result.rms_px.items()}
    made_of |= {"lengths": result.lengths.line()} if result.lengths else {}
    _save(args, calibration, result.cameras, made_of)
    return 0


def from_person(args: argparse.Namespace) -> int:
    """Where the cameras stand, from a person."""
    _free(args.out, args.force)
    opened = _open(args)
    try:
        if args.calibration is None:
            cameras = tuple(camera_from_fov(o.info.name, o.info.size, args.fov) for o in opened)
            calibration = Calibration(cameras, False)
            print(f"warning: no --intrinsics: a field of view of {args.fov:g} degrees is assumed", file=sys.stderr)
        else:
            calibration, cameras = _bound(args, opened)
        xy, score = _joints(opened, cameras, args)
    finally:
        _close(opened)
    result = solve_from_person(cameras, xy, score, BODY, args.height)
    placed, remarks = result.cameras, result.remarks
    if result.up is not None:
        ground = floor_from_ankles(placed, result.joints[:, list(BODY.ankles)], result.up)
        placed, remarks = ground.cameras, remarks + ground.remarks
    for name, rms in result.rms_px.items():
        print(f"{name}: error {rms:.1f} px")
    _say(remarks)
    _picture(args, picture(check_person(placed, xy, score), placed))
    made_of = _made(args, None) | {"height_mm": args.height}
    _save(args, calibration, placed, made_of)
    return 0


def floor(args: argparse.Namespace) -> int:
    """The world frame."""
    _free(args.out, args.force)
    made = None if args.person else board_of(args)
    opened = _open(args)
    try:
        calibration, cameras = _bound(args, opened, placed=True)
        if made is None:
            xy, score = _joints(opened, cameras, args)
            joints = triangulate_robust(cameras, np.where((score > 0.3)[..., None], xy, np.nan), score).points
            ankles = joints[:, list(BODY.ankles)]
            up = body_up(joints, BODY)
            result = floor_from_ankles(cameras, ankles, up)
        else:
            frames, _ = _seen_together(opened, cameras, made, args, 1)
            result = floor_from_board(cameras, made, frames[0] if frames else {}, args.thickness)
    finally:
        _close(opened)
    print(
        f"floor fits to {result.misfit_mm:.1f} mm; heights: "
        + ", ".join(f"{c.name} {c.centre[2]:.0f} mm" for c in result.cameras)
    )
    _say(result.remarks)
    # Cameras that were not given here move with the others.
    A = result.cameras[0].R.T @ cameras[0].R
    b = result.cameras[0].R.T @ (cameras[0].t - result.cameras[0].t)
    moved = tuple(replace(c, R=c.R @ A.T, t=c.t - c.R @ A.T @ b, up=result.cameras[0].up) for c in calibration.cameras)
    made_of = dict(calibration.made) | {"floor": "a person's ankles" if args.person else "a board on the floor"}
    save_calibration(replace(calibration, cameras=moved, made=made_of), args.out)
    print(f"wrote {args.out}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Is it good? Exit code 1 when not."""
    made = None if args.person else board_of(args)
    opened = _open(args)
    try:
        _, cameras = _bound(args, opened, placed=True)
        if made is None:
            result = check_person(cameras, *_joints(opened, cameras, args))
        else:
            frames, _ = _seen_together(opened, cameras, made, args, 60)
            if not frames:
                raise CalibrationError(
                    "the board was never seen by two cameras at once; is it the one that --board names?"
                )
            result = check_board(cameras, made, frames)
    finally:
        _close(opened)
    print("\n".join(result.lines()))
    _picture(args, picture(result, cameras))
    _say(result.problems)
    print("does not pass" if result.problems else "passes")
    return 1 if result.problems else 0


def sync(args: argparse.Namespace) -> int:
    """How far the clocks are apart."""
    if args.out is not None:
        _free(args.out, args.force)
    if len(args.camera) < 2:
        raise CalibrationError("offsets are between cameras; give --camera at least twice")
    opened = _open(args)
    try:
        cameras = _bound(args, opened, placed=True)[1] if args.calibration is not None else None
        detector = load_detector(args.detector)
        feeds = [_feed(one, one.info.name) for one in opened]
        frames = [one.info.frames for one in opened]
        tracks = collect_tracks(feeds, [detector.session() for _ in feeds], skeleton.LIMBS, args.seconds, frames)
    finally:
        _close(opened)
    names = [one.info.name for one in opened]
    result = synchronise(names, tracks, cameras, args.max_offset)
    # An offset that was given has been applied already: what is told holds without it.
    seconds = [float(s) + o.offset - opened[0].offset for s, o in zip(result.seconds, opened, strict=True)]
    for name, s, sigma, confidence in zip(names, seconds, result.sigma, result.confidence, strict=True):
        print(f"{name}: {1e3 * s:+.1f} ms (+- {1e3 * sigma:.1f}), confidence {confidence:.3f}")
    _say(result.remarks)
    if all(abs(s) <= 3 * sigma for s, sigma in zip(seconds, result.sigma, strict=True)):
        print("no camera is found to be out of step at this precision: best left as they are")
    else:
        print(flags(names, seconds))
    if args.out is not None:
        write_offsets(args.out, names, seconds, result)
        print(f"wrote {args.out}")
    return 0


def convert(args: argparse.Namespace) -> int:
    """Between formats."""
    _free(args.out, args.force)
    calibration = load_calibration(args.input, args.source, unit=args.unit, size=args.size)
    if args.up is not None:
        calibration = with_up(calibration, np.array(args.up))
    save_calibration(calibration, args.out, args.target)
    placed = "placed" if calibration.placed else "lenses only"
    print(f"wrote {args.out}: {', '.join(calibration.names)} ({placed}; {calibration.made.get('unit_of_file', 'mm')})")
    if args.target == "native" and calibration.placed and calibration.up is None:
        print("warning: up is not known; give --up X,Y,Z so that cameras are levelled", file=sys.stderr)
    return 0


def _open(args: argparse.Namespace) -> list[Opened]:
    configs = parse_sources(args.camera)
    offsets = dict(_pair(text) for text in args.sync_offset)
    unknown = set(offsets) - {config.name for config in configs}
    if unknown:
        raise CalibrationError(f"--sync-offset for {sorted(unknown)[0]!r}, but no --camera has this name")
    out: list[Opened] = []
    try:
        for text, config in zip(args.camera, configs, strict=True):
            source = make_source(replace(config, size=args.size))
            info = source.open()
            explicit = config.name if text != config.source else None
            given = SourceId(config.shown, explicit, info.device, info.serial)
            out.append(Opened(source, info, given, offsets.get(config.name, 0.0)))
            for message in info.messages:
                print(f"{config.name}: {message}", file=sys.stderr)
    except UserError:
        _close(out)
        raise
    return out


def _close(opened: Sequence[Opened]) -> None:
    for one in opened:
        one.source.close()
    if any(one.info.live for one in opened) and has_display():
        cv2.destroyAllWindows()


def _pair(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise CalibrationError(f"--sync-offset {text!r}; give NAME=SECONDS") from error


def _bound(
    args: argparse.Namespace, opened: Sequence[Opened], placed: bool = False
) -> tuple[Calibration, tuple[Camera, ...]]:
    """The calibration file, and its cameras in the order of the sources, fitted to their frames."""
    calibration = load_calibration(args.calibration)
    if placed and not calibration.placed:
        raise CalibrationError(f"{args.calibration}: holds lenses only; place the cameras with `extrinsics` first")
    binding = bind(calibration, [one.given for one in opened])
    _say(binding.warnings)
    boxes = dict(parse_letterbox(text) for text in args.letterbox)
    out = []
    for one, camera in zip(opened, binding.cameras, strict=True):
        box = None
        if camera.name in boxes or None in boxes:
            box = boxes.get(camera.name, boxes.get(None)) or centred_letterbox(camera, one.info.size)
        fitted, message = fit_camera(camera, one.info.size, box)
        out.append(fitted)
        if message:
            print(message, file=sys.stderr)
    return calibration, tuple(out)


def _feed(one: Opened, name: str) -> Feed:
    photographs = one.info.kind == "images"
    return Feed(name, one.info.size, one.source.read, one.info.live, photographs, one.info.fps, one.offset)


def _seen_together(
    opened: Sequence[Opened], cameras: Sequence[Camera], made: Board, args: argparse.Namespace, count: int
) -> tuple[list[Mapping[str, BoardView]], list[float]]:
    """Moments in which two cameras or more (for the floor: one) saw the board, and their times."""
    feeds = [_feed(one, camera.name) for one, camera in zip(opened, cameras, strict=True)]
    least = 1 if args.command == "floor" else 2
    found, times, looked = collect_together(feeds, made, args.every, count, least, not args.no_window)
    print(f"looked at {looked} moments; {len(found)} with the board in {least} or more cameras are used")
    return found, times


def _joints(opened: Sequence[Opened], cameras: Sequence[Camera], args: argparse.Namespace) -> tuple[Array, Array]:
    """A person's joints (V, F, 17, 2) and scores (V, F, 17) at the first camera's times."""
    feeds = [_feed(one, camera.name) for one, camera in zip(opened, cameras, strict=True)]
    detector = load_detector(args.detector)
    return collect_joints(feeds, [detector.session() for _ in feeds], min(args.every, 0.1), args.seconds)


def _picture(args: argparse.Namespace, image: Image) -> None:
    if args.picture is not None:
        write_picture(args.picture, image)
        print(f"wrote {args.picture}")


def _made(args: argparse.Namespace, made: Board | None) -> dict[str, str | int | float]:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    out: dict[str, str | int | float] = {"by": f"python -m calibration {args.command}", "at": now}
    if made is not None:
        out["board"] = made.describe()
    return out


def _save(
    args: argparse.Namespace, lenses: Calibration, cameras: Sequence[Camera], made: Mapping[str, str | int | float]
) -> None:
    """Write the placed cameras, with the devices and serials of the file the lenses came from."""
    order = [lenses.names.index(camera.name) for camera in cameras]
    devices = tuple(lenses.devices[k] for k in order)
    serials = tuple(lenses.serials[k] for k in order)
    save_calibration(Calibration(tuple(cameras), True, devices, serials, made), args.out)
    print(f"wrote {args.out}")


def _free(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise CalibrationError(f"{path} exists already; give another name, or --force to overwrite it")


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
