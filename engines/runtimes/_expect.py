"""Whether a network is the one that its wrapper was written for: its inputs' names and shapes, and its outputs'."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engines.types import EngineError, Runtime


def expect(
    network: Runtime, what: str, feed: Mapping[str, NDArray], outputs: Mapping[str | int, tuple[int | None, ...]]
) -> None:
    """Run a network once and compare what it takes and gives.

    Args:
        network: loaded.
        what: its file and what it should be, for the message.
        feed: one array an input, as in the calls to come.
        outputs: shape by name, or by place from the end (-1); None where a length does not matter.

    Raises:
        EngineError: with what was found and what was expected.
    """
    inputs = getattr(network, "inputs", None)
    if inputs is not None:
        takes = {name: tuple(spec.shape) for name, spec in inputs.items()}
        fits = takes.keys() == feed.keys() and all(
            len(takes[name]) == a.ndim and all(n in (None, m) for n, m in zip(takes[name], a.shape, strict=True))
            for name, a in feed.items()
        )
        if not fits:
            raise EngineError(
                f"{what}: its inputs are {takes}, expected { {name: a.shape for name, a in feed.items()} }"
            )
    found = network(**feed)
    for key, shape in outputs.items():
        names = list(found)
        name = names[key] if isinstance(key, int) and names else key
        if name not in found:
            raise EngineError(f"{what}: its outputs are {', '.join(names)}; {key} is missing")
        got = np.shape(found[name])
        if len(got) != len(shape) or any(n not in (None, m) for n, m in zip(shape, got, strict=True)):
            raise EngineError(f"{what}: output {name} has shape {got}, expected {shape}")
