"""The commands that look at cameras as they are: ``check`` and ``sync``."""

import argparse
from collections.abc import Sequence

import numpy as np

from calibration.arrays import Array
from calibration.solving.check import check_board, check_person, picture
from calibration.solving.person_seen import person_seen
from engines import skeleton
from engines.argument_types import DONE, FAILED
from stream.app.calibrate.arguments import board_of
from stream.app.calibrate.reasons import blind
from stream.app.calibrate.results import check_outputs, keep_picture, warn
from stream.app.calibrate.session import (
    boards_seen,
    bound,
    calibration_of,
    detector_for,
    joints_seen,
    needed,
    open_cameras,
)
from stream.app.calibrate.synchronise import by_timecode, collect_tracks, flags, synchronise, write_offsets
from stream.live.plausibility import BODY

# Positions of the board. Live, somebody stands there and holds it still in each, before every session.
_LIVE_COUNT, _COUNT = 10, 60
_AGREE_S = 0.02
"""Timecodes count whole frames."""


def check(args: argparse.Namespace) -> int:
    """Is it good? Exit code 1 when not."""
    made = None if args.person else board_of(args)
    check_outputs(args)
    known = needed(args)
    with open_cameras(args, several=True) as opened:
        _, cameras = bound(args, opened, known, placed=True)
        if made is None:
            xy, score = joints_seen(args, opened, cameras)
            result = check_person(cameras, xy, score, BODY)
            reasons = [person_seen(cameras, xy, score)] if any(map(np.isnan, result.error_px.values())) else []
        else:
            count = args.count or (_LIVE_COUNT if any(one.info.live for one in opened) else _COUNT)
            seen = boards_seen(args, opened, cameras, made, count, least=2)
            result = check_board(cameras, made, seen.frames)
            reasons = blind(seen, cameras, made)
    print("\n".join(result.lines()))
    keep_picture(args, picture(result, cameras))
    warn((*result.problems, *reasons))
    print("does not pass" if result.problems else "passes")
    return FAILED if result.problems else DONE


def sync(args: argparse.Namespace) -> int:
    """How far the clocks are apart."""
    check_outputs(args)
    known = calibration_of(args)
    if args.calibration is None and known is not None and not known.placed:
        known = None  # of a take's lenses alone nothing is gained
    with open_cameras(args, several=True) as opened:
        cameras = None if known is None else bound(args, opened, known, placed=True)[1]
        codes = by_timecode([one.info for one in opened])
        if codes is not None:
            told = flags([one.info.name for one in opened], codes) or "no offset"
            print(f"by their timecodes ({', '.join(str(one.info.timecode) for one in opened)}): {told}")
        feeds = [one.feed(one.info.name) for one in opened]
        frames = [one.info.frames for one in opened]
        detector = detector_for(args.detector, feeds)
        tracks = collect_tracks(feeds, [detector.session() for _ in feeds], skeleton.LIMBS, args.seconds, frames)
    names = [one.info.name for one in opened]
    result = synchronise(names, tracks, cameras, args.max_offset)
    # An offset that was given has been applied already: what is told holds without it.
    seconds = [float(s) + o.offset - opened[0].offset for s, o in zip(result.seconds, opened, strict=True)]
    for name, s, sigma, confidence in zip(names, seconds, result.sigma, result.confidence, strict=True):
        print(f"{name}: {1e3 * s:+.1f} ms (+- {1e3 * sigma:.1f}), confidence {confidence:.3f}")
    if codes is not None:
        print(_beside_timecodes(names, seconds, codes, result.sigma))
    warn(result.remarks)
    if all(abs(s) <= 3 * sigma for s, sigma in zip(seconds, result.sigma, strict=True)):
        print("no camera is found to be out of step at this precision: best left as they are")
    else:
        print(flags(names, seconds))
    if args.out is not None:
        write_offsets(args.out, names, seconds, result)
        print(f"wrote {args.out}")
    return 0


def _beside_timecodes(names: Sequence[str], seconds: Sequence[float], codes: Sequence[float], sigma: Array) -> str:
    """How what the movement says and what the timecodes say agree."""
    apart = [m - c for m, c in zip(seconds, codes, strict=True)]
    k = max(range(len(apart)), key=lambda i: abs(apart[i]))
    if abs(apart[k]) <= _AGREE_S + 3 * sigma[k]:
        return "the timecodes agree with the movement"
    return (
        f"the timecodes differ from the movement by up to {1e3 * abs(apart[k]):.0f} ms ({names[k]}): the "
        "cameras' clocks were not set to each other that well, so trust the movement"
    )
