"""Several sets of photographs as one to train on: canvases around the people and their merged labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.training.detector import agreement, crops
from engines.training.detector.crops import Crops

CANVAS: Final = 320
"""Side of a canvas, pixels: the person's box fills 200, about what it has in the photographs."""
LSPET_PEOPLE: Final = 9000
TESTING: Final = "coco/val2017"
"""A source of people that are never trained on."""


def rows(photographs: Photographs, joints: Path) -> NDArray[np.intp]:
    """Those to train on: of Leeds Sports Pose Extended not those of the validation, of others not ``TESTING``."""
    kept = np.ones(len(photographs), bool)
    if len(photographs) == LSPET_PEOPLE:
        kept = ~np.array([lspet.validation(row) for row in range(len(photographs))])
    source = lspet.words(joints, "source", len(photographs))
    return np.flatnonzero(kept & (source != TESTING))


def prepare(sets: Sequence[tuple[Path, Path]], cache: Path, tinypose: Path | None = None, repeats: int = 1) -> Crops:
    """People to train on, all sets together.

    Args:
        sets: photographs (a tar or a folder) and their joints, in the layout of ``engines.training.data.lspet``. Where
            the joints file has an array ``label``, people who are not "human" count less.
        cache: folder that keeps what the detectors saw and the canvases, some gigabytes.
        tinypose: ONNX file of PP-TinyPose, a second opinion.
        repeats: how many times the people of every set but the first are there.

    Raises:
        EngineError: if a file is missing or damaged.
    """
    parts = []
    for images, joints in sets:
        photographs = Photographs(images, joints)
        chosen = rows(photographs, joints)
        label = lspet.words(joints, "label", len(photographs))
        xy, weight, exchanged = agreement.merge(
            photographs.joints, (label == "human") | (label == ""), agreement.look(photographs, cache, tinypose)
        )
        canvases, boxes = crops.canvases(photographs, chosen, CANVAS, cache)
        moved = crops.in_canvas(xy[chosen], boxes, CANVAS)
        report = f"{len(chosen)} people, {exchanged[chosen, 0].sum()} with arms, {exchanged[chosen, 1].sum()} with legs"
        part = canvases, moved, weight[chosen], f"{joints}: {report} exchanged"
        parts += [part] * (repeats if parts else 1)
    images, xy, weight, reports = zip(*parts, strict=True)
    return Crops(_Joined(images), np.concatenate(xy), np.concatenate(weight), "\n".join(dict.fromkeys(reports)))  # pyright: ignore


class _Joined:
    """Several arrays one behind the other, without copying gigabytes."""

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self._parts, self._ends = parts, np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        part = int(np.searchsorted(self._ends, row, "right"))
        return self._parts[part][row - self._ends[part]]
