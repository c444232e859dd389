"""Who is in an image, by MoveNet MultiPose: boxes for the networks that need one."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration.arrays import Array, Image
from engines import cards, movenet_heads, preprocess, runtimes
from engines.movenet_heads import Crowd
from engines.preprocess import Box
from engines.runtimes import Open
from engines.top_down.options import TopDownOptions


@dataclass(frozen=True, slots=True, eq=False)
class FoundPerson:
    """Somebody that MultiPose sees."""

    bounds: Array
    """(2, 2) top left and bottom right corner, pixels of the full image."""
    score: float
    """0..1."""


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
        bounds, score = movenet_heads.people(heads, self._options.found)
        return [FoundPerson(b, float(s)) for b, s in zip(preprocess.to_image(box, bounds), score, strict=True)]
