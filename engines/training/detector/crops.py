"""The photographs as a detector's training needs them: cut once to canvases around the people, with merged labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from torch.utils.data import Dataset
from tqdm import tqdm

from calibration import writing
from calibration.arrays import Array, Image
from engines import preprocess
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.training.detector import augment, pseudo_labels


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """People to train or to validate on."""

    images: NDArray[np.uint8]
    """(N, C, C, 3) RGB canvases; read from the disk as they are needed."""
    xy: NDArray[np.float32]
    """(N, 16, 2) joints in the canvas, pixels from its edge, MPII's order."""
    weight: NDArray[np.float32]
    """(N, 16) trust in each, 0..1."""
    report: str
    """What was found in the labels, one line."""


def training(photographs: Photographs, folder: Path, side: int) -> Crops:
    """Canvases and merged labels of every photograph that is not for validation.

    Args:
        photographs: all of them.
        folder: keeps canvases and the teacher's answers, some gigabytes, for the next training.
        side: of the network's input, pixels; a person's box is as large in the canvas.
    """
    chosen = np.array([i for i in range(len(photographs)) if not lspet.validation(i)])
    canvas = round(augment.CONTEXT * side)
    found, score = pseudo_labels.answers(photographs, folder / "pseudo_labels.npz")
    xy, weight, exchanged = pseudo_labels.merge(photographs.joints[chosen], found[chosen], score[chosen])
    images, boxes = canvases(photographs, chosen, canvas, folder)
    xy = in_canvas(xy, boxes, canvas)
    sure = (weight >= 1).sum() / max((weight > 0).sum(), 1)
    report = (
        f"{len(chosen)} photographs: {exchanged[:, 0].sum()} with arms, {exchanged[:, 1].sum()} with legs exchanged, "
        f"{100 * sure:.0f} % of the joints sure, {100 * (weight == 0).mean():.0f} % unknown"
    )
    return Crops(images, xy, weight, report)


def canvases(
    photographs: Photographs, rows: NDArray[np.intp], side: int, folder: Path
) -> tuple[NDArray[np.uint8], list[preprocess.Box]]:
    """Canvases (N, C, C, 3) RGB around these people, read from the disk as they are needed, and where each was cut.

    Args:
        photographs: all of them.
        rows: (N,) of the people.
        side: C, pixels.
        folder: keeps the canvases.
    """
    boxes = [wide(photographs.joints[row]) for row in rows]
    path = folder / f"canvases-{side}-{photographs.digest()}.npy"
    if not path.exists():
        with writing.aside(path) as part:
            images = open_memmap(part, "w+", np.uint8, (len(rows), side, side, 3))
            for k, row in enumerate(tqdm(rows, unit="photograph", desc="cropping", mininterval=5)):
                images[k] = preprocess.cut(photographs.read(int(row)), boxes[k], (side, side))
            images.flush()
            del images
    return np.load(path, mmap_mode="r"), boxes


def in_canvas(xy: Array, boxes: Sequence[preprocess.Box], side: int) -> NDArray[np.float32]:
    """Joints (N, K, 2) in pixels of the photograph as pixels from the edge of their canvas."""
    corner = np.array([(box.left - 0.5, box.top - 0.5) for box in boxes]).reshape(-1, 1, 2)
    factor = side / np.array([box.width for box in boxes]).reshape(-1, 1, 1)
    return ((xy - corner) * factor).astype(np.float32)


def validation(photographs: Photographs, side: int, most: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Crops (N, S, S, 3) RGB of the true boxes of validation photographs, and their labels as they are.

    Returns:
        The crops, and (N, 16, 3): x, y in pixels from the crop's edge, and seen.
    """
    chosen = [i for i in range(len(photographs)) if lspet.validation(i)][:most]
    images = np.zeros((len(chosen), side, side, 3), np.uint8)
    xy, seen = pseudo_labels.to_mpii(photographs.joints[chosen])
    for row, i in enumerate(chosen):
        box = lspet.box(photographs.joints[i])
        images[row] = preprocess.cut(photographs.read(i), box, (side, side))
        xy[row] = (xy[row] - (box.left - 0.5, box.top - 0.5)) * (side / box.width)
    return images, np.concatenate([xy, seen[..., None]], -1).astype(np.float32)


def wide(joints: Array, by: float = augment.CONTEXT) -> preprocess.Box:
    """The true box of a person (14, 3), made wider about its middle."""
    box = lspet.box(joints)
    centre = np.array([box.left + box.width / 2, box.top + box.height / 2]) - 0.5
    return preprocess.square(centre, by * box.width)


class Varied(Dataset[tuple[Image, NDArray[np.float32], NDArray[np.float32]]]):
    """Augmented crops; the same again for the same seed, epoch and index, however many processes draw them.

    Attributes:
        epoch: set before each epoch.
        side: of the crops, pixels; may change from epoch to epoch.
    """

    def __init__(self, crops: Crops, side: int, seed: int) -> None:
        self._crops, self.side, self._seed, self.epoch = crops, side, seed, 0

    def __len__(self) -> int:
        return len(self._crops.xy)

    def __getitem__(self, index: int) -> tuple[Image, NDArray[np.float32], NDArray[np.float32]]:
        """The crop (S, S, 3) RGB, joints (16, 2) in pixels from its edge, and weights (16,)."""
        rng = np.random.default_rng((self._seed, self.epoch, index))
        crops = self._crops
        image, xy, weight = augment.augment(crops.images[index], crops.xy[index], crops.weight[index], self.side, rng)
        return image, xy.astype(np.float32), weight
