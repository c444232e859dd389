"""What a training draws from and is validated on, for each kind of input."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engines.training import metrics
from engines.training.data import formats, h36m
from engines.training.data.mocap import Poses, concatenate, load_training
from engines.training.data.sequences import Sequence
from engines.training.lifter import views
from engines.training.lifter.batches import NONE, Batch, Ingredients, TrainingSampler, evaluation_batch
from engines.training.lifter.paper import EpochSampler, Normalisation, measure
from engines.training.lifter.synthetic_views import ObservedPoses, laboratory_views, sequence_views
from engines.types import EngineError

_MOST_VALIDATED = 20_000


Network = Callable[[NDArray[np.float32]], tuple[NDArray, NDArray, NDArray]]
"""A network in evaluation mode, numpy to numpy: mean, sigma, log_weight in its own units."""


class PoseSource(Protocol):
    """A training set and a validation set."""

    epoch: int
    """Samples of an epoch; 0 where samples are drawn without end."""
    rng: np.random.Generator
    """Its state belongs into the checkpoint."""
    normalisation: dict[str, list[float]]
    """What else the weights need; empty for the virtual camera's input."""

    data: str
    """Name of the format it was read from."""

    def draw(self, n: int, done: int) -> Batch:
        """The n samples after the first ``done``, targets in the network's units."""
        ...

    def validate(self, network: Network, noise: float) -> dict[str, float]:
        """Errors in mm on the validation set, always seen from the same views."""
        ...


class VirtualSource:
    """Augmented motion capture through the virtual camera: what ``live`` trains on.

    Raises:
        EngineError: for missing or misshapen data.
    """

    epoch = 0

    def __init__(
        self, folder: Path, *, seed: int, scale_mm: float, max_noise: float, missing: int, exchange: bool,
        gravity: float, validation_too: bool = False, ingredients: Ingredients = NONE,
    ) -> None:  # fmt: skip
        training, self._validation, _ = _with_validation(folder, validation_too)
        self._sampler = TrainingSampler(
            training, seed, max_noise, missing=missing, exchange=exchange, gravity=gravity, ingredients=ingredients
        )  # fmt: skip
        self._scale_mm = scale_mm
        self.rng, self.normalisation = self._sampler.rng, {}
        self.data = formats.find(folder).NAME

    def draw(self, n: int, done: int) -> Batch:
        """See ``PoseSource``; what was drawn before makes no difference."""
        batch = self._sampler.draw(n)
        return Batch(batch.inputs, batch.targets / np.float32(self._scale_mm))

    def validate(self, network: Network, noise: float) -> dict[str, float]:
        """Fixed random level views (seed 1)."""
        batch, _ = evaluation_batch(self._validation.joints, np.random.default_rng(1), noise)
        mean, _, log_weight = network(batch.inputs)
        root = ((0, 0), (0, 0), (1, 0), (0, 0))
        mean, truth = np.pad(mean * self._scale_mm, root), np.pad(batch.targets, root[1:])
        return metrics.score_mixtures(mean, np.exp(log_weight), truth)


class PixelSource:
    """Z-scored pixels of fixed cameras, epoch by epoch: what the paper trains on.

    A folder of motion capture is seen by four cameras like Human3.6M's; Human3.6M is seen by its own, the subjects
    split as usual (validation is its test subjects, as the authors do).

    Raises:
        EngineError: for missing or misshapen data.
    """

    def __init__(
        self, folder: Path, detections: Path | None, *, batch: int, seed: int, max_noise: float, missing: int,
        validation_too: bool = False,
    ) -> None:  # fmt: skip
        training, self._validation = _pixel_views(folder, detections, seed, validation_too)
        self._norm: Normalisation = measure(training)
        self._sampler = EpochSampler(training, self._norm, batch, seed, max_noise, missing)
        self.epoch, self.rng, self.normalisation = self._sampler.epoch, self._sampler.rng, self._norm.numbers()
        self.data = formats.find(folder).NAME

    def draw(self, n: int, done: int) -> Batch:
        """See ``PoseSource``."""
        return self._sampler.draw(n, done)

    def validate(self, network: Network, noise: float) -> dict[str, float]:
        """At most 20,000 views, spread evenly; noise goes on top of the 2D there is."""
        v = self._validation
        xy = views.add_noise(v.xy, noise, np.random.default_rng(1), v.seen)
        mean, sigma, log_weight = network(self._norm.encode(xy, v.seen))
        mean, _ = self._norm.decode(mean, sigma)
        return metrics.score_mixtures(mean, np.exp(log_weight), v.truth)


def _pixel_views(
    folder: Path, detections: Path | None, seed: int, validation_too: bool
) -> tuple[ObservedPoses, ObservedPoses]:
    if is_mocap(folder):
        if detections:
            raise EngineError("--detections is of a data set with images; motion capture has none")
        training, validation, _ = _with_validation(folder, validation_too)
        found = laboratory_views(training, seed=seed), laboratory_views(validation, seed=1)
    else:
        _refuse_validation(folder, validation_too)
        found = tuple(sequence_views(part) for part in split_sequences(formats.load(folder, detections), folder))
    step = -(-len(found[1]) // _MOST_VALIDATED)
    return found[0], found[1].select(np.arange(0, len(found[1]), step))


def _refuse_validation(folder: Path, validation_too: bool) -> None:
    if validation_too:
        raise EngineError(
            f"--validation-too is for motion capture: in {folder} the validation subjects are the test ones"
        )


def _with_validation(folder: Path, validation_too: bool) -> tuple[Poses, Poses, Poses]:
    if not is_mocap(folder):
        _refuse_validation(folder, validation_too)
    training, validation, test = split_poses(folder)
    return concatenate([training, validation]) if validation_too else training, validation, test


def is_mocap(folder: Path) -> bool:
    """Whether it is to be read as motion capture without cameras (also when it is not there: the error is its own)."""
    return not folder.exists() or formats.find(folder).NAME == "mocap"


def split_sequences(sequences: list[Sequence], path: Path) -> tuple[list[Sequence], list[Sequence]]:
    """Human3.6M's training and test subjects.

    Raises:
        EngineError: if one of the two is empty.
    """
    parts = [[s for s in sequences if s.subject in names] for names in (h36m.TRAIN, h36m.TEST)]
    for part, names in zip(parts, (h36m.TRAIN, h36m.TEST), strict=True):
        if not part:
            there = ", ".join(sorted({s.subject for s in sequences}))
            raise EngineError(f"{path} has none of the subjects {', '.join(names)}; it has {there}")
    return parts[0], parts[1]


def split_poses(folder: Path) -> tuple[Poses, Poses, Poses]:
    """(training, validation, test) poses of the motion capture, or of Human3.6M without its cameras.

    Raises:
        EngineError: if the data cannot be read or has no 3D.
    """
    if is_mocap(folder):
        return load_training(folder)
    training, test = (as_poses(part) for part in split_sequences(formats.load(folder), folder))
    return training, test, test


def as_poses(sequences: list[Sequence]) -> Poses:
    """Their poses alone, z up.

    Raises:
        EngineError: if one has no 3D or its world is not z up.
    """
    parts = []
    for s in sequences:
        if s.joints is None or any(c.up is None or abs(c.up[2] - 1) > 1e-6 for c in s.cameras):
            raise EngineError(f"{s.subject} {s.name} has no 3D with z up")
        n = len(s.joints)
        labels = (np.full(n, text) for text in (s.subject, s.name, "data", s.action))
        parts.append(Poses(np.asarray(s.joints, np.float32), *labels))
    return concatenate(parts)
