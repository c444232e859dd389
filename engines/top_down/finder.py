"""Who is in an image, by MoveNet MultiPose: boxes for the networks that need one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array, Image
from engines import cards, movenet_heads, preprocess, runtimes
from engines.movenet_heads import Crowd
from engines.oks import oks
from engines.preprocess import Box
from engines.runtimes import Open
from engines.skeleton import COCO, to_h36m
from engines.top_down.options import TopDownOptions
from engines.types import Detection


@dataclass(frozen=True, slots=True, eq=False)
class FoundPerson:
    """Somebody that MultiPose sees."""

    bounds: Array
    """(2, 2) top left and bottom right corner, pixels of the full image."""
    score: float
    """0..1."""
    joints: Array | None = None
    """(17, 2) pixels, roughly: of our 17 joints those that MultiPose has; None where it is not known."""


class Finder:
    """MoveNet MultiPose: who is in the image. Has no state; shared by the sessions of a detector.

    Raises:
        EngineError: if its weights cannot be loaded.
    """

    def __init__(self, open_network: Open = runtimes.load, options: TopDownOptions = TopDownOptions()) -> None:
        self._options = options
        path = cards.WEIGHTS / "movenet_multipose.onnx"
        self._run = open_network(path)
        movenet_heads.expect(self._run, path, 256, Crowd)

    def describe(self) -> Mapping[str, str]:
        """What finds the person, under keys that stand beside those of a detector's own network."""
        said = self._run.describe()
        return {
            "finder": said["model"],
            "finder_sha256": said["sha256"],
            "finder_runtime": f"{said['runtime']} {said['precision']}",
        }

    def everywhere(self, image: Image, long_side: int) -> list[FoundPerson]:
        """People in the whole image, resized so that its long side is ``long_side`` pixels (a multiple of 32)."""
        return self._find(image, *preprocess.letterbox(image.shape[1], image.shape[0], long_side, 32))

    def around(self, image: Image, box: Box) -> list[FoundPerson]:
        """People in and near a box: finds those who are too small for ``everywhere``. 15 ms on one thread."""
        centre = np.array([box.left + box.width / 2, box.top + box.height / 2]) - 0.5
        return self._find(image, preprocess.square(centre, 1.6 * box.width), (192, 192))

    def _find(self, image: Image, box: Box, size: tuple[int, int]) -> list[FoundPerson]:
        found = self._run(image=preprocess.cut(image, box, size)[None])
        heads = Crowd(*(found[head][0] for head in Crowd._fields))
        bounds, score, coco = movenet_heads.skeletons(heads, self._options.found)
        joints = to_h36m(COCO, preprocess.to_image(box, coco), np.ones(coco.shape[:2]))[0]
        corners = preprocess.to_image(box, bounds)
        return [FoundPerson(*person) for person in zip(corners, map(float, score), joints, strict=True)]


def believable(found: FoundPerson, pose: Detection, strength: float, turned: bool, options: TopDownOptions) -> bool:
    """Whether two networks see the same body in a place, or one of them is sure of it.

    A motorcycle has limbs for each of them, but not the same ones. Of people (140 of daily life, 137 of sport) this
    loses two.

    Args:
        found: what MultiPose sees there.
        pose: what the top-down network sees there.
        strength: how sure that is, 0..1.
        turned: whether the person had to be turned to be upright, which MultiPose does not do.
        options: ``alike`` and ``certain``.
    """
    if found.joints is None or turned or not strength < options.certain:
        return True
    likeness = oks(pose.xy[None], pose.score[None], found.joints[None], np.ones((1, len(found.joints))))
    return bool(likeness[0, 0] >= options.alike)
