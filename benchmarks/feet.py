"""How well the hourglass sees heels and toes, which nobody labelled: against MediaPipe's, and against other cameras.

    python -m benchmarks.feet --json feet.json

- Photographs: the validation photographs of Leeds Sports Pose Extended. A foot is MediaPipe's where its knee and ankle
  of that leg are where people labelled them, within 0.2 torsos, as in the training (which saw other photographs).
- Cameras: the four-camera recording. A foot in one camera is what was triangulated from the other three: from what
  MediaPipe saw in the box of the person, and from what the hourglass itself saw; the calibration's own error is in it.

Ankles beside them say what the same witnesses make of a joint that is known: of photographs against MediaPipe's too.
Shares within 0.1 and 0.2 torsos (right shoulder to left hip), the median, and the share of the joints inside the
ellipses of 50, 80 and 95 % that the hourglass gives them (``Detection.extra``; the radii are those of its card).
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.fusion_demo import NAMES, cameras_of
from benchmarks.table import table
from calibration.arrays import Array, Bools, Image
from calibration.errors import UserError
from calibration.geometry.camera import Camera, world_to_image
from calibration.geometry.triangulation import triangulate_robust
from calibration.writing import write_text
from engines import cards, detectors, preprocess
from engines.argument_types import Parser
from engines.detectors import DetectorOptions
from engines.detectors.hourglass import Hourglass
from engines.preprocess import Box
from engines.runtimes import NetworkOptions
from engines.skeleton import L_ANKLE, L_HIP, L_KNEE, LIMBS, R_ANKLE, R_KNEE, R_SHOULDER
from engines.training.data import lspet, where
from engines.training.data.lspet import Photographs
from engines.training.detector.agreement import NEAR_FOOT, SURE_FOOT, Look, blaze
from engines.training.evaluation import detector_metrics
from engines.types import Detection
from stream.app import demo
from stream.config import SourceConfig
from stream.sources import make_source

JOINTS: Final = ("left_heel", "right_heel", "left_toe", "right_toe", "left_ankle", "right_ankle")
KINDS: Final = ("heel", "toe", "ankle")
_BLAZE: Final = (29, 30, 31, 32, 27, 28)
"""MediaPipe's numbers of JOINTS."""
_LEGS: Final = ((L_KNEE, L_ANKLE, 25, 27), (R_KNEE, R_ANKLE, 26, 28))
"""Knee and ankle of the left leg and of the right, ours and MediaPipe's."""
_LEAST: Final = 0.2
_WIDER: Final = 1.4
"""MediaPipe finds the person in the box better with room around it."""


def feet_of(found: Detection) -> tuple[Array, Array, Array]:
    """Joints (6, 2), score (6,) and cov (6, 2, 2) of JOINTS; NaN where the detector has none."""
    xy, score, cov = np.full((6, 2), np.nan), np.zeros(6), np.full((6, 2, 2), np.nan)
    extra = found.extra
    for k, name in enumerate(JOINTS):
        if extra is not None and name in extra.names:
            at = extra.names.index(name)
            xy[k], score[k], cov[k] = extra.xy[at], extra.score[at], extra.cov[at]
    for k, joint in ((4, L_ANKLE), (5, R_ANKLE)):
        xy[k], score[k] = found.xy[joint], found.score[joint]
        if found.cov is not None:
            cov[k] = found.cov[joint]
    return np.where((score > 0)[:, None], xy, np.nan), score, cov


def seen_by(look: Look, image: Image, box: Box) -> Array:
    """(33, 3) of MediaPipe in a box: pixels of the image and visibility."""
    middle = np.array([box.left + box.width / 2, box.top + box.height / 2]) - 0.5
    wide = preprocess.square(middle, _WIDER * box.width)
    joints = look(preprocess.cut(image, wide, (256, 256)))
    joints[:, :2] = preprocess.to_image(wide, joints[:, :2])
    return joints


def confirmed(joints: Array, xy: Array, known: Bools, torso: float) -> Bools:
    """(6,) which of MediaPipe's joints (33, 3) are sure: its knee and ankle are where those of the 17 (17, 2) are."""
    out = np.zeros(6, bool)
    for side, (knee, ankle, its_knee, its_ankle) in enumerate(_LEGS):
        off = np.linalg.norm(joints[[its_knee, its_ankle], :2] - xy[[knee, ankle]], axis=-1)
        if known[[knee, ankle]].all() and (off < NEAR_FOOT * torso).all():
            out[side::2] = joints[list(_BLAZE[side::2]), 2] > SURE_FOOT
    return out


class Count:
    """Errors by kind of joint."""

    def __init__(self, radii: Sequence[float]) -> None:
        self._off: defaultdict[str, list[float]] = defaultdict(list)
        self._squares: defaultdict[str, list[float]] = defaultdict(list)
        self._radii = radii

    def add(self, found: tuple[Array, Array, Array], truth: Array, torso: float) -> None:
        """Of one person: what was found against the truth (6, 2), NaN where it is not known."""
        xy, _, cov = found
        off = xy - truth
        for k in np.flatnonzero(np.isfinite(truth).all(-1)):
            kind = KINDS[k // 2]
            missed = not np.isfinite(off[k]).all()
            self._off[kind].append(np.inf if missed else float(np.linalg.norm(off[k])) / torso)
            if not missed and np.isfinite(cov[k]).all():
                self._squares[kind].append(float(off[k] @ np.linalg.solve(cov[k], off[k])))

    def figures(self) -> dict:
        """By kind: how many, per cent within 0.1 and 0.2 torsos, the median in torsos, per cent inside ellipses."""
        out = {}
        for kind in KINDS:
            off, square = np.array(self._off[kind]), np.array(self._squares[kind])
            if not len(off):
                continue
            inside = [float(100 * (square < r * r).mean()) if len(square) else None for r in self._radii]
            out[kind] = {
                "joints": len(off), "pck_0.1": float(100 * (off < 0.1).mean()),
                "pck_0.2": float(100 * (off < 0.2).mean()), "median": float(np.median(off)), "inside": inside,
            }  # fmt: skip
        return out


def on_photographs(model: Hourglass, look: Look, photographs: Photographs, radii: Sequence[float]) -> dict:
    """Against MediaPipe on the validation photographs: heels, toes, and MediaPipe's ankles; and people's ankles."""
    truth = detector_metrics.labels(photographs.joints)
    chosen = [k for k in range(len(photographs)) if lspet.validation(k) and truth.torso[k] > 0]
    media, people = Count(radii), Count(radii)
    for row in chosen:
        image, box = photographs.read(row), lspet.box(photographs.joints[row])
        torso = float(truth.torso[row])
        theirs = seen_by(look, image, Box(box.left, box.top, box.width, box.height))
        sure = confirmed(theirs, truth.xy[row], truth.seen[row], torso)
        if not sure.any():
            continue
        found = feet_of(model.see(image, box))
        media.add(found, np.where(sure[:, None], theirs[list(_BLAZE), :2], np.nan), torso)
        human = np.full((6, 2), np.nan)
        human[4:] = truth.xy[row][[L_ANKLE, R_ANKLE]]
        people.add(found, np.where(sure[:, None], human, np.nan), torso)
    return {"photographs: MediaPipe's": media.figures(), "photographs: people's labels": people.figures()}


def _frames(path: Path, name: str) -> Iterator[tuple[Image, float]]:
    source = make_source(SourceConfig(str(path), name))
    source.open()
    try:
        while (frame := source.read()) is not None:
            yield frame.image, frame.t
    finally:
        source.close()


def across_cameras(model: Hourglass, look: Look, radii: Sequence[float]) -> dict:
    """Against what was triangulated from the other three cameras of the recording."""
    folder = demo.fetch(demo.MULTI)
    ours, theirs, sizes, everything = [], [], [], []
    for name in NAMES:
        session, mine, other, poses, size = model.session(), [], [], [], (0, 0)
        for image, t in _frames(folder / "videos" / f"{name}.mp4", name):
            size = image.shape[1], image.shape[0]
            found = session(image, t)
            poses.append(found)
            mine.append(feet_of(found))
            shown = found.xy[list(LIMBS)][found.score[list(LIMBS)] > _LEAST]
            if len(shown) < 6:
                other.append(np.full((6, 2), np.nan))
                continue
            box = preprocess.square((shown.min(0) + shown.max(0)) / 2, float(1.2 * np.ptp(shown, axis=0).max()))
            joints = seen_by(look, image, box)
            torso = float(np.linalg.norm(found.xy[R_SHOULDER] - found.xy[L_HIP]))
            sure = confirmed(joints, found.xy, found.score > _LEAST, torso)
            other.append(np.where(sure[:, None], joints[list(_BLAZE), :2], np.nan))
        ours.append(mine)
        theirs.append(other)
        sizes.append(size)
        everything.append(poses)
    cameras = cameras_of(folder, sizes)
    count = min(map(len, ours))
    sure_of = np.array([[np.where((f[1] >= _LEAST)[:, None], f[0], np.nan) for f in row[:count]] for row in ours])
    media = np.array([row[:count] for row in theirs])
    out = {}
    for name, witness in (("MediaPipe's", media), ("its own", sure_of)):
        result = Count(radii)
        for k, camera in enumerate(cameras):
            others = [v for v in range(len(cameras)) if v != k]
            points = triangulate_robust([cameras[v] for v in others], witness[others]).points
            for t in range(count):
                body = everything[k][t]
                torso = float(np.linalg.norm(body.xy[R_SHOULDER] - body.xy[L_HIP]))
                if torso > 0:
                    result.add(ours[k][t], _projected(camera, points[t]), torso)
        out[f"the other cameras: {name}"] = result.figures()
    return out


def _projected(camera: Camera, points: Array) -> Array:
    """(6, 2) pixels, NaN where a point is not known."""
    known = np.all(np.isfinite(points), axis=-1, keepdims=True)
    return np.where(known, world_to_image(camera, np.nan_to_num(points)), np.nan)


def markdown(found: dict) -> str:
    """The figures as Markdown."""
    heads = ("against", "joint", "joints", "within 0.1 torsos, %", "0.2", "median, torsos", "inside 50/80/95 %")
    rows = []
    for name, kinds in found.items():
        for kind, row in kinds.items():
            inside = " / ".join("-" if v is None else f"{v:.0f}" for v in row["inside"])
            cells = (f"{row['pck_0.1']:.1f}", f"{row['pck_0.2']:.1f}", f"{row['median']:.3f}", inside)
            rows.append((name, kind, row["joints"], *cells))
    return table(heads, rows)


def radii_of(path: Path) -> tuple[float, ...]:
    """Standard deviations at which the ellipses of 50, 80 and 95 % lie, by the card."""
    values = cards.load_card(path).values
    return tuple(float(values.get(f"ellipse_{share}", r)) for share, r in ((50, 1.18), (80, 1.79), (95, 2.45)))


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where.add_argument(parser, "--images", "lspet/images.tar", "tar or folder of photographs")
    where.add_argument(parser, "--joints", "lspet/joints.npz", "npz of their labels")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        photographs = Photographs(where.needed(args.images, "--images"), where.needed(args.joints, "--joints"))
        model = detectors.load("hourglass", DetectorOptions(NetworkOptions("onnx", "fp32", 2)))
        if not isinstance(model, Hourglass):
            raise UserError("the detector called hourglass is another one here")
        radii, look = radii_of(detectors.weights_file("hourglass")), blaze()
        found = on_photographs(model, look, photographs, radii) | across_cameras(model, look, radii)
        print(markdown(found))
        if args.json:
            write_text(args.json, json.dumps(found, indent=1) + "\n")
    except (UserError, OSError) as error:
        print(f"feet: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
