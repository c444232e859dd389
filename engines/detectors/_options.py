"""What detectors are told, once and whole."""

from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from engines import runtimes
from engines.runtimes import Network, NetworkOptions
from engines.top_down import TopDownOptions


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """How a detector runs and follows."""

    network: NetworkOptions = NetworkOptions(precision="auto")
    """What executes its networks; int8 is that of those that have an int8 file, as not all have."""
    top_down: TopDownOptions = field(default_factory=TopDownOptions)
    """How one that needs a box finds the person and follows."""
    beside: Executor | None = None
    """Looks for others in the whole image while those who are followed are looked at, live; None: every frame waits."""

    def open_network(self, path: Path) -> Network:
        """Open one of its networks.

        Raises:
            EngineError: as ``engines.runtimes.load``.
        """
        return runtimes.load(path, runtimes.fitting(path, self.network))
