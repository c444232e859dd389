"""What the inputs of a network look like, and made-up ones to warm up and to measure with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

FREE_SIDE: Final = 256
"""Pixels of an input whose width and height are free (MultiPose), when it is measured."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One input of a network."""

    dtype: DTypeLike
    """Of its numbers."""
    shape: tuple[int | None, ...]
    """Length of each axis, batch first; None where it is free."""


def free_size(inputs: Mapping[str, Spec]) -> bool:
    """Whether more than the batch is free: then no size is sure to work."""
    return any(None in spec.shape[1:] for spec in inputs.values())


def free_batch(inputs: Mapping[str, Spec]) -> bool:
    """Whether the network takes any number of views at once."""
    return all(spec.shape[:1] == (None,) for spec in inputs.values())


def feed(inputs: Mapping[str, Spec], batch: int = 1, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Plausible noise, the same at every call with a seed: 0..255 for whole numbers, of unit spread for others."""
    random = np.random.default_rng(seed)
    made: dict[str, NDArray[Any]] = {}
    for name, spec in inputs.items():
        shape = [n if n is not None else FREE_SIDE if k else batch for k, n in enumerate(spec.shape)]
        whole = np.issubdtype(spec.dtype, np.integer)
        noise = random.integers(0, 256, shape) if whole else random.standard_normal(shape)
        made[name] = np.ascontiguousarray(noise.astype(spec.dtype))
    return made
