"""Nobody where nobody is: still pictures without people, filmed by a hand, and in how many of 120 frames there is one.

    python -m benchmarks.nobody --images FOLDER --detector hourglass,movenet-thunder,movenet-lightning

Every picture of the folder is a film of 4 s at 30 frames a second: the camera comes nearer by half and goes back, and
drifts across. Everybody is looked for (``--people all``) and one person (``--people 1``), as a run does. Beside them
stand parts of the four-camera recording's room in which there is nobody: a poster, a model of a skeleton under a cloth.
With ``--noise 1.5`` the same of one photograph of somebody instead: by how much the answer moves from frame to frame.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from benchmarks.detectors import frames_of
from benchmarks.table import table
from calibration.arrays import Image
from calibration.errors import UserError
from calibration.geometry.camera import camera_from_fov
from calibration.writing import write_text
from engines import detectors
from engines.argument_types import Parser
from engines.detectors import DetectorOptions
from engines.lifter import MDNLifter
from engines.runtimes import NetworkOptions
from stream.app.demo import MULTI, fetch
from stream.config import PeopleConfig
from stream.live.estimator import Estimator
from stream.types import Frame, FrameSet

FRAMES: Final = 120
FPS: Final = 30.0
SIZE: Final = (960, 540)
NEARER: Final = 1.5
GOAL: Final = 2
"""Frames of 120 with a person, at most."""
EMPTY: Final = {
    "room: poster": ("cam04", (330, 0, 860, 560)),
    "room: skeleton and cloth": ("cam02", (900, 380, 1080, 950)),
}
"""Parts of the recording without anybody: camera; left, top, right, bottom, pixels."""
_KINDS: Final = (".jpg", ".jpeg", ".png")


def film(picture: Image, frames: int = FRAMES) -> Iterator[Image]:
    """A picture as a hand-held camera films it, black around it."""
    height, width = picture.shape[:2]
    for t in range(frames):
        phase = 2 * np.pi * t / frames
        scale = min(SIZE[0] / width, SIZE[1] / height) * (1 + (NEARER - 1) * (1 - np.cos(phase)) / 2)
        x = SIZE[0] / 2 - scale * width / 2 + 40 * np.sin(phase) + 2 * np.sin(9 * phase)
        y = SIZE[1] / 2 - scale * height / 2 + 25 * np.sin(2 * phase) + 2 * np.sin(11 * phase)
        move = np.array([[scale, 0, x], [0, scale, y]])
        yield np.asarray(cv2.warpAffine(picture, move, SIZE, flags=cv2.INTER_LINEAR), np.uint8)


def pictures(folder: Path) -> dict[str, Image]:
    """The pictures of a folder, by name.

    Raises:
        UserError: if there is none.
    """
    found = {
        path.stem: np.asarray(image, np.uint8)
        for path in sorted(folder.glob("*"))
        if path.suffix.lower() in _KINDS and (image := cv2.imread(str(path))) is not None
    }
    if not found:
        raise UserError(f"--images {folder}: there is no picture (.jpg or .png) in this folder")
    return found


def room() -> dict[str, Image]:
    """Parts of the four-camera recording without anybody."""
    folder, found = fetch(MULTI) / "videos", {}
    for name, (camera, (left, top, right, bottom)) in EMPTY.items():
        found[name] = next(frames_of(folder / f"{camera}.mp4", 1))[top:bottom, left:right].copy()
    return found


def seen(picture: Image, detector, lifter: MDNLifter, people: int | None) -> int:
    """In how many frames of its film there is a person."""
    camera = camera_from_fov("camera", SIZE, 60)
    estimator = Estimator([camera], detector, lifter, people=PeopleConfig(people))
    count = 0
    for t, image in enumerate(film(picture)):
        estimate = estimator(FrameSet(t, t / FPS, (Frame("camera", t, t / FPS, image),), 0.0))
        count += any(view is not None and view.detection.person for one in estimate.people for view in one.views)
    return count


def moves(picture: Image, detector, lifter: MDNLifter, noise: float) -> dict[str, float]:
    """By how many mm the answer moves a frame, after the first half second of the photograph played for 4 s."""
    rng = np.random.default_rng(0)
    camera = camera_from_fov("camera", (picture.shape[1], picture.shape[0]), 60)
    estimator = Estimator([camera], detector, lifter, people=PeopleConfig())
    answers = []
    for t in range(FRAMES):
        image = picture
        if noise:
            image = np.clip(np.round(picture + rng.normal(0, noise, picture.shape)), 0, 255).astype(np.uint8)
        estimate = estimator(FrameSet(t, t / FPS, (Frame("camera", t, t / FPS, image),), 0.0))
        view = next((p.views[0] for p in estimate.people if p.views[0] is not None), None)
        answers.append(None if view is None else view.answer)
    off = [
        np.linalg.norm(b - a, axis=-1).mean()
        for a, b in itertools.pairwise(answers[round(FPS / 2) :])
        if a is not None and b is not None
    ]
    return {"mean_mm": float(np.mean(off)), "most_mm": float(np.max(off)), "frames": len(off)} if off else {}


def markdown(found: dict) -> str:
    """The figures as Markdown."""
    names = list(next(iter(found.values())))
    rows = []
    for detector, row in found.items():
        if "mean_mm" in row[names[0]] if isinstance(row[names[0]], dict) else False:
            rows.append([detector, *(f"{row[n]['mean_mm']:.2f}, {row[n]['most_mm']:.1f}" for n in names)])
        else:
            rows.append([detector, *("{}, {}".format(*row[n]) for n in names)])
    return table(("detector", *names), rows)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see ``--help``."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--detector", default="hourglass,movenet-thunder,movenet-lightning", metavar="NAME[,NAME...]")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "int8"))
    parser.add_argument("--noise", type=float, metavar="LEVELS", help="photographs of people, with so much noise")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        lifter, found = MDNLifter(), {}
        shown = pictures(args.images) | ({} if args.noise is not None else room())
        for name in args.detector.split(","):
            detector = detectors.load(name, DetectorOptions(NetworkOptions("onnx", args.precision)))
            found[name] = {
                title: _figures(picture, detector, lifter, args.noise) for title, picture in shown.items()
            }  # fmt: skip
        print(markdown(found))
        if args.json:
            write_text(args.json, json.dumps(found, indent=1) + "\n")
    except (UserError, OSError) as error:
        print(f"nobody: {error}", file=sys.stderr)
        return 2
    return 0


def _figures(picture: Image, detector, lifter: MDNLifter, noise: float | None) -> Sequence[int] | dict[str, float]:
    if noise is not None:
        return moves(picture, detector, lifter, noise)
    return [seen(picture, detector, lifter, people) for people in (None, 1)]


if __name__ == "__main__":
    sys.exit(main())
