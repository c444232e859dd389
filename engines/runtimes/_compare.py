"""How near the answers of a compiled network are to those of ONNX Runtime, and how near they must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.types import EngineError

LIMITS: Final = {"fp32": 1e-4, "fp16": 1e-2}
"""Mean distance that is allowed, by precision. Runtimes that really compute in fp32 differ by less than 1e-6."""
FAR: Final = 0.05
"""A value that differs by more has jumped: another cell of a map was the highest, or two people changed places."""
JUMPED: Final = 0.05
"""Share of the values that may. Of noise two cells can be as good as equal."""


class TooFarError(EngineError):
    """A compiled network that does not answer as it should."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Of a network's outputs, those of several calls; of each figure the worst output's."""

    mean: float
    """Mean distance of the values that did not jump, where the largest value of the output is 1."""
    jumped: float
    """Share of the values that did."""

    def __str__(self) -> str:
        return f"differs by {self.mean:.1e} of the largest value on average, {self.jumped:.1%} of the values jump"


def compare(ours: Mapping[str, NDArray[Any]], reference: Mapping[str, NDArray[Any]], precision: str) -> Difference:
    """How far outputs are from the reference's.

    Args:
        ours: arrays by output name.
        reference: those of the same input, the same names and shapes.
        precision: "fp32" or "fp16".

    Raises:
        TooFarError: if one is missing, has another shape, is not finite, or is too far.
    """
    mean, jumped = 0.0, 0.0
    for name, want in reference.items():
        got = ours.get(name)
        if got is None or got.shape != want.shape:
            raise TooFarError(f"output {name} should be {want.shape} and is {None if got is None else got.shape}")
        if not np.isfinite(got).all():
            raise TooFarError(f"output {name} is not finite")
        # Wide enough for the numbers of any type, and for the difference of unsigned ones.
        wide = want.astype(np.float64)
        distance = np.abs(got.astype(np.float64) - wide) / (np.abs(wide).max(initial=0) or 1.0)
        # What is not near is far: also where the reference is not finite.
        stayed = distance <= FAR
        jumped = max(jumped, float(1 - stayed.mean()) if stayed.size else 0.0)
        mean = max(mean, float(distance[stayed].mean()) if stayed.any() else 0.0)
    found = Difference(mean, jumped)
    if not (found.mean <= LIMITS[precision] and found.jumped <= JUMPED):
        raise TooFarError(f"it {found}; {LIMITS[precision]:.0e} and {JUMPED:.0%} are allowed in {precision}")
    return found
