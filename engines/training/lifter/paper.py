"""The paper's input and output: z-scored pixels of 16 joints in, z-scored root-centred joints in camera axes out.

Li and Lee, CVPR 2019, after Martinez et al., ICCV 2017. The neck/nose is no input, because the stacked hourglass has
none; the pelvis is no output, because it is the origin. A joint that is missing is 0 after normalisation.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array
from engines import skeleton as sk
from engines.training.lifter import views
from engines.training.lifter.batches import Batch
from engines.training.lifter.synthetic_views import ObservedPoses
from engines.types import EngineError

INPUT_JOINTS: Final = np.array([j for j in range(17) if j != sk.NECK])
INPUTS: Final = 2 * len(INPUT_JOINTS)


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """Mean and standard deviation of every coordinate over the training set."""

    mean_2d: Array
    """(16, 2) pixels."""
    std_2d: Array
    """(16, 2) pixels."""
    mean_3d: Array
    """(16, 3) mm."""
    std_3d: Array
    """(16, 3) mm."""

    def encode(self, xy: Array, seen: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Pixels (N, 17, 2) and visible bits (N, 17) to the network's input (N, 32)."""
        z = (xy[:, INPUT_JOINTS] - self.mean_2d) / self.std_2d
        return np.where(seen[:, INPUT_JOINTS, None], z, 0).reshape(len(xy), INPUTS).astype(np.float32)

    def targets(self, truth: Array) -> NDArray[np.float32]:
        """Root-relative joints (N, 17, 3) mm to what the network should answer (N, 16, 3)."""
        return ((truth[:, 1:] - self.mean_3d) / self.std_3d).astype(np.float32)

    def decode(self, mean: Array, sigma: Array) -> tuple[Array, Array]:
        """The network's means (N, M, 16, 3) and sigmas (N, M, 16) or (N, M, 1) in mm.

        Returns:
            mean (N, M, 17, 3) and sigma (N, M, 17, 3): one sigma in z-scores is another one in mm on every axis.
        """
        n, m = mean.shape[:2]
        out, spread = np.zeros((n, m, 17, 3), np.float32), np.zeros((n, m, 17, 3), np.float32)
        out[:, :, 1:] = mean * self.std_3d + self.mean_3d
        spread[:, :, 1:] = sigma[..., None] * self.std_3d
        return out, spread

    def numbers(self) -> dict[str, list[float]]:
        """For a checkpoint or a card."""
        return {name: [round(float(v), 5) for v in np.ravel(value)] for name, value in asdict(self).items()}


def normalisation_from(numbers: Mapping[str, Any], where: str) -> Normalisation:
    """The opposite of ``Normalisation.numbers``.

    Raises:
        EngineError: if one is missing, or of the wrong length.
    """
    out = []
    for f in fields(Normalisation):
        shape = (16, 2 if f.name.endswith("2d") else 3)
        values = np.array(numbers.get(f.name, []), float)
        if values.size != shape[0] * shape[1]:
            raise EngineError(f"{where}: {f.name} has {values.size} numbers; expected {shape[0] * shape[1]}")
        out.append(values.reshape(shape))
    return Normalisation(*out)


def measure(observations: ObservedPoses) -> Normalisation:
    """Mean and deviation over a training set; 2D over the views in which the joint is seen."""
    seen = observations.seen[:, INPUT_JOINTS, None]
    xy = observations.xy[:, INPUT_JOINTS]
    count = np.maximum(seen.sum(0), 1)
    mean = (xy * seen).sum(0) / count
    std = np.sqrt((((xy - mean) * seen) ** 2).sum(0) / count)
    body = observations.truth[:, 1:]
    return Normalisation(mean, np.maximum(std, 1e-3), body.mean(0), np.maximum(body.std(0), 1e-3))


class EpochSampler:
    """Every view once an epoch, in a new order each time.

    Which view the k-th sample is follows from seed and k alone, so a training resumes in the middle of an epoch.
    """

    def __init__(
        self, data: ObservedPoses, normalisation: Normalisation, batch: int, seed: int, max_noise: float, missing: int
    ) -> None:
        if len(data) < batch:
            raise EngineError(f"{len(data)} views are fewer than one batch of {batch}")
        self._data, self._normalisation, self._seed = data, normalisation, seed
        self._max_noise, self._missing = max_noise, missing
        self._targets = normalisation.targets(data.truth)
        self.epoch = len(data) - len(data) % batch
        """Samples of an epoch: what does not fill a batch is left out, other views every time."""
        self.rng = np.random.default_rng(seed)

    def draw(self, n: int, done: int) -> Batch:
        """The n samples after the first ``done``; targets are z-scores, not mm."""
        index = np.empty(n, np.intp)
        filled = 0
        while filled < n:
            epoch, start = divmod(done + filled, self.epoch)
            order = np.random.default_rng([self._seed, epoch]).permutation(len(self._data))[: self.epoch]
            part = order[start : start + n - filled]
            index[filled : filled + len(part)] = part
            filled += len(part)
        xy, seen = self._data.xy[index], self._data.seen[index]
        if self._max_noise:
            percent = np.where(self.rng.random(n) < 0.3, 0.0, self.rng.uniform(0, self._max_noise, n))
            xy = views.add_noise(xy, percent, self.rng, seen)
        seen = seen & views.hide(n, self._missing, self.rng)
        return Batch(self._normalisation.encode(xy, seen), self._targets[index])
