"""MoveNet's heads, decoded: what the networks that engines/build/cut_movenet.py makes answer, to joints and people."""

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from calibration.arrays import Array, Ints
from engines import runtimes
from engines.covariance import shapes
from engines.types import Runtime

SOFT = 1.7998047
"""A cell counts by its chance over its distance from where the joint is expected plus this, in cells.

This and the next are 1.8, 0.3 and 0.127 as half precision stores them, so that ties end as in the whole graph."""
MOST_PEOPLE = 20
"""Of MultiPose: whoever is decoded. Google's graph gives the best six whatever they score; so many are always compared
here too, and more only where more are likely, so that up to six people are those of the graph."""
_ALWAYS = 6
_REACH = 0.30004883
"""Of MultiPose: a joint so far from its expected place, squared, counts 1/e; in the shorter side of the heatmap."""
_JOINT = 0.12695312
"""Of MultiPose: joints below this chance are left out of a person's score."""


class Single(NamedTuple):
    """Outputs for one crop of Lightning or Thunder, on a grid of n x n cells."""

    centre: Array
    """(n, n, 1) chance that the middle of a person is here."""
    heatmaps: Array
    """(n, n, 17) chance that a joint of anybody is here, 0..1."""
    regress: Array
    """(n, n, 34) y and x in turn: from the middle of the person to each joint, cells."""
    offset: Array
    """(n, n, 34) y and x in turn: from the cell to the joint in it, cells."""


class Crowd(NamedTuple):
    """Outputs for one picture of MultiPose, on a grid of h x w cells."""

    centre: Array
    """(h, w, 1) chance that the middle of a person is here."""
    heatmaps: Array
    """(h, w, 17) chance that a joint of anybody is here."""
    regress: Array
    """(h, w, 34) y and x in turn: from the middle of the person to each joint, cells."""
    box_size: Array
    """(h, w, 2) height and width of the person, cells."""
    box_offset: Array
    """(h, w, 2) y and x from the cell to the middle of the box, cells."""


_CHANNELS: Final = {"centre": 1, "heatmaps": 17, "regress": 34, "offset": 34, "box_size": 2, "box_offset": 2}


def expect(network: Runtime, path: Path, side: int, heads: type[Single] | type[Crowd]) -> None:
    """Run a network once, to know that it is the one that is decoded here.

    Args:
        network: loaded.
        path: its file, for the message.
        side: of the square image, pixels.
        heads: what it must answer.

    Raises:
        EngineError: if it takes or answers anything else.
    """
    runtimes.expect(
        network,
        f"{path} is not a MoveNet that was cut at its heads",
        {"image": np.zeros((1, side, side, 3), np.uint8)},
        {head: (1, side // 4, side // 4, _CHANNELS[head]) for head in heads._fields},
    )


class Joints(NamedTuple):
    """The joints of one crop."""

    uv: Array
    """(17, 2) x and y in 0..1 across the crop (0 = its edge; a joint may be outside)."""
    score: Array
    """(17,) in 0..1; NaN for a joint whose map is not finite, and for all where the person's middle is not."""
    shape: Array
    """(17, 2, 2) second moments about ``uv`` of what is this person's of the heatmaps, in squared sides of the crop."""


def decode(heads: Single) -> Joints:
    """The joints of the person nearest to the middle of a crop: each in the best cell near where it is expected."""
    n = len(heads.centre)
    row, column = divmod(int((heads.centre[..., 0] * _middle(n)).argmax()), n)
    expected = heads.regress[row, column].reshape(17, 2) + (row, column)
    cells = np.arange(n, dtype=np.float32)
    away = ((cells - expected[:, :1]) ** 2)[:, :, None] + ((cells - expected[:, 1:]) ** 2)[:, None]
    maps = np.ascontiguousarray(heads.heatmaps.transpose(2, 0, 1))
    hers = maps / (np.sqrt(away, dtype=np.float32) + np.float32(SOFT))
    rows, columns = np.divmod(hers.reshape(17, -1).argmax(1), n)
    joint = np.arange(17)
    offset = heads.offset[rows, columns].reshape(17, 17, 2)[joint, joint]
    uv = (offset[:, ::-1] + np.stack([columns, rows], -1)) / n
    finite = np.isfinite(maps).all((1, 2)) & np.isfinite(heads.centre).all()
    score = np.where(finite, np.clip(maps[joint, rows, columns], 0, 1), np.nan)
    return Joints(uv, score, shapes(hers, uv))


@cache
def _middle(n: int) -> Array:
    """(n, n) how much a cell counts as the middle of the person who is meant; in half precision as the graph's own."""
    away = np.arange(n, dtype=np.float32) - n // 2
    return (1 / (np.sqrt(away[:, None] ** 2 + away**2) + 1.8)).astype(np.float16).astype(np.float32)


def people(heads: Crowd, least: float) -> tuple[Array, Array]:
    """Everybody in a picture: the first two of ``skeletons``."""
    return skeletons(heads, least)[:2]


def skeletons(heads: Crowd, least: float) -> tuple[Array, Array, Array]:
    """Everybody in a picture.

    Args:
        heads: the outputs.
        least: score above which somebody is.

    Returns:
        bounds (P, 2, 2), top left and bottom right corner, x and y in 0..1 across the picture; score (P,); joints
        (P, 17, 2), COCO's, x and y as the bounds. Nobody where the middles are not finite.
    """
    height, width = heads.centre.shape[:2]
    chance = heads.centre[..., 0]
    # A middle is the highest within two cells. The score is never above its chance.
    highest = chance >= _highest_around(chance) - 1e-6
    peaks = np.where(highest, chance, 0).ravel()
    count = int(np.clip((peaks > least).sum(), _ALWAYS, MOST_PEOPLE))
    best = np.argsort(peaks, kind="stable")[: -1 - count : -1]
    row, column = np.divmod(best, width)
    chance = peaks[best]
    if not (chance > least).any():
        return np.zeros((0, 2, 2)), np.zeros(0), np.zeros((0, 17, 2))
    middle = np.stack([row, column])
    centre, half = middle + heads.box_offset[row, column].T, np.maximum(heads.box_size[row, column].T, 0) / 2
    limit = np.array([[height], [width]])
    low, high = np.clip(centre - half, 0, limit), np.clip(centre + half, 0, limit)
    shown, cells = _joints(heads, middle, low, high)
    score = chance * shown
    found = np.flatnonzero(score > least)
    bounds = np.stack([low, high], -1)[::-1, found].transpose(1, 2, 0) / (width, height)
    rows, columns = np.divmod(cells[:, found].T, width)
    return bounds, score[found], (np.stack([columns, rows], -1) + 0.5) / (width, height)


def _highest_around(chance: Array) -> Array:
    """(h, w) highest value within two cells."""
    padded = np.pad(chance, 2, constant_values=-np.inf)
    across = np.max([padded[:, k : k + chance.shape[1]] for k in range(5)], axis=0)
    return np.max([across[k : k + len(chance)] for k in range(5)], axis=0)


def _joints(heads: Crowd, middle: Ints, low: Array, high: Array) -> tuple[Array, Ints]:
    """(P,) mean chance of the joints that each person shows, and (17, P) their cells: the best ones in the box, near
    where they are expected.
    """
    height, width = heads.centre.shape[:2]
    # (2, 17, P): expected rows and columns.
    expected = heads.regress[*middle].reshape(-1, 17, 2).transpose(2, 1, 0) + middle[:, None]
    near = []
    for axis, cells in enumerate((np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32))):
        away = (cells - expected[axis, :, :, None]) ** 2
        inside = (cells >= low[axis][:, None]) & (cells < high[axis][:, None])
        near.append(np.exp(-away / (_REACH * min(height, width))) * inside)
    rows, columns = near
    # (17, P, h, w): what is left of the heatmaps for each person.
    theirs = heads.heatmaps.transpose(2, 0, 1)[:, None] * rows[..., :, None] * columns[..., None, :]
    best = theirs.reshape(*theirs.shape[:2], -1).argmax(-1)
    # A cell that several people claim counts as much as for the one that claims it most.
    chance = np.take_along_axis(theirs.max(1).reshape(17, -1), best, 1)
    shown = chance > _JOINT
    return (chance * shown).sum(0) / np.maximum(shown.sum(0), 1), best
