"""Labels to train a 2D detector on: a teacher's answers, and what they say of the labels of people.

The labels of Leeds Sports Pose Extended are rough and some have left and right exchanged. MoveNet Thunder errs in other
places, so where both agree a joint is sure, and where they agree but for the side the label is repaired.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from calibration import writing
from calibration.arrays import Array
from engines import cards, detectors
from engines.detectors import DetectorOptions, hourglass
from engines.detectors.movenet import MoveNet
from engines.runtimes import NetworkOptions
from engines.skeleton import LIMBS, LSP, MPII
from engines.training.data import lspet
from engines.training.data.lspet import Photographs
from engines.types import EngineError

NAME: Final = "movenet-thunder"
PELVIS, THORAX, NECK, HEAD_TOP = 6, 7, 8, 9
"""The joints of MPII that are not of a limb."""
N_JOINTS: Final = 16
SIDES: Final = ((10, 15), (11, 14), (12, 13)), ((0, 5), (1, 4), (2, 3))
"""Right and left joints of the arms and of the legs, in MPII's order."""
MIRROR: Final = np.array(hourglass.MIRRORS[MPII.name])
"""(16,) the joint each joint becomes when left and right are exchanged."""
AGREE: Final = 0.25
"""Distance in torso lengths below which the teacher confirms a label."""
DOUBTED: Final = 0.6
"""Least trust in a label that the teacher contradicts."""


def answers(photographs: Photographs, cache: Path) -> tuple[Array, Array]:
    """The teacher's joints on every photograph, in its true box; computed once, some five minutes of two cores.

    Args:
        photographs: what to look at.
        cache: the npz that keeps them; made anew when it is damaged, or of other weights or other photographs.

    Returns:
        xy (N, 16, 2) pixels of the photograph and score (N, 16), 0 for joints it does not have, in MPII's order.

    Raises:
        EngineError: if a photograph or the teacher's weights cannot be read.
    """
    of = f"{cards.load_card(detectors.weights_file(NAME)).sha256} {photographs.digest()}"
    with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile), np.load(cache) as kept:
        if str(kept["of"]) == of:
            return kept["xy"], kept["score"]
    # Not the fastest: the labels should be the same on every machine.
    model = detectors.load(NAME, DetectorOptions(NetworkOptions("onnx", "fp32", 2)))
    if not isinstance(model, MoveNet):
        raise EngineError(f"the teacher {NAME} is not a MoveNet")
    xy, score = (
        np.zeros((len(photographs), N_JOINTS, 2), np.float32),
        np.zeros((len(photographs), N_JOINTS), np.float32),
    )
    limbs, places = np.array(LIMBS), np.array(MPII.source)[list(LIMBS)]
    for i in tqdm(range(len(photographs)), unit="photograph", desc="teacher", mininterval=5):
        found, sure, _ = model.estimate(photographs.read(i), lspet.box(photographs.joints[i]))
        xy[i, places], score[i, places] = found[limbs], sure[limbs]
    with writing.aside(cache) as part, part.open("wb") as file:
        np.savez(file, xy=xy, score=score, of=of)
    return xy, score


def to_mpii(labels: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Labels (N, 14, 3) of Leeds Sports Pose as xy (N, 16, 2) and seen (N, 16), without pelvis and thorax."""
    xy, seen = np.zeros((len(labels), N_JOINTS, 2), np.float32), np.zeros((len(labels), N_JOINTS), bool)
    limbs = list(LIMBS)
    source = [*np.array(LSP.source)[limbs], lspet.NECK, lspet.HEAD_TOP]
    target = [*np.array(MPII.source)[limbs], NECK, HEAD_TOP]
    seen[:, target] = labels[:, source, 2] > 0
    # What stands where a joint was not labelled may be NaN, which no weight of 0 takes out of a loss.
    xy[:, target] = np.where(seen[:, target, None], labels[:, source, :2], 0)
    return xy, seen


def torso(xy: Array, seen: NDArray[np.bool_], side: Array) -> Array:
    """(N,) right shoulder to left hip, pixels; 0.3 of the box's side (N,) where one is not seen or both coincide."""
    length = np.linalg.norm(xy[:, 12] - xy[:, 3], axis=-1)
    return np.where(seen[:, 12] & seen[:, 3] & (length > 0.05 * side), length, 0.3 * side)


def repair(xy: Array, seen: NDArray[np.bool_], teacher: Array, score: Array, scale: Array) -> NDArray[np.bool_]:
    """Exchange left and right, in place, of arms or legs that the teacher confirms the other way round.

    Args:
        xy: (N, 16, 2) labels, changed.
        seen: (N, 16), changed.
        teacher: (N, 16, 2).
        score: (N, 16).
        scale: (N,) torso lengths.

    Returns:
        (N, 2) whether arms and legs were exchanged.
    """
    exchanged = np.zeros((len(xy), 2), bool)
    for g, pairs in enumerate(SIDES):
        joints = np.array(pairs).ravel()
        known = seen[:, joints] & seen[:, MIRROR[joints]] & (score[:, joints] > 0.3)
        count = np.maximum(known.sum(1), 1)

        def distance(labels: Array, joints: NDArray = joints, known: NDArray = known, count: NDArray = count) -> Array:
            apart = np.linalg.norm(labels - teacher[:, joints], axis=-1) / scale[:, None]
            return (np.minimum(apart, 1) * known).sum(1) / count

        as_is, other = distance(xy[:, joints]), distance(xy[:, MIRROR[joints]])
        wrong = (known.sum(1) >= 4) & (other < AGREE) & (as_is > 2 * other) & (as_is - other > 0.15)
        exchanged[:, g] = wrong
        xy[np.ix_(wrong, joints)], seen[np.ix_(wrong, joints)] = (
            xy[np.ix_(wrong, MIRROR[joints])], seen[np.ix_(wrong, MIRROR[joints])],
        )  # fmt: skip
    return exchanged


def merge(labels: Array, teacher: Array, score: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Labels and the teacher's answers as training targets.

    A confirmed joint lies between both. One that is not confirmed keeps the label, the less trusted the surer the
    teacher is: poses that it fails on are just those that the labels are needed for. An unseen joint is the teacher's.

    Args:
        labels: (N, 14, 3) of Leeds Sports Pose.
        teacher: (N, 16, 2) pixels.
        score: (N, 16).

    Returns:
        xy (N, 16, 2) pixels, weight (N, 16) in 0..1 (0 = unknown), and (N, 2) whose arms and legs were exchanged.
    """
    xy, seen = to_mpii(labels)
    side = np.array([lspet.box(person).width / lspet.PAD for person in labels])
    scale = torso(xy, seen, side)
    exchanged = repair(xy, seen, teacher, score, scale)
    apart = np.linalg.norm(xy - teacher, axis=-1) / scale[:, None]
    asked = score > 0.3
    agrees = seen & asked & (apart < AGREE)
    weight = np.where(seen, np.where(asked & ~agrees, np.maximum(DOUBTED, 1 - score), 1.0), 0.0)
    xy = np.where(agrees[..., None], (xy + teacher) / 2, xy)
    lent = ~seen & (score > 0.4)
    xy = np.where(lent[..., None], teacher, xy)
    weight = np.where(lent, 0.5 * score, weight)
    for joint, (a, b) in {PELVIS: (2, 3), THORAX: (12, 13)}.items():
        xy[:, joint], weight[:, joint] = (xy[:, a] + xy[:, b]) / 2, np.minimum(weight[:, a], weight[:, b])
    return xy.astype(np.float32), weight.astype(np.float32), exchanged
