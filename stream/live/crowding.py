"""People who are seen and not followed, or followed and not lifted: what is said of them."""

from stream.types import Estimate
from stream.words import people


class Crowding:
    """Counts those who are too many or too small. Its note may be read from any thread."""

    def __init__(self) -> None:
        self.note = ""
        """What is so now; empty when nothing is."""
        self._left_out = self._too_small = self._moments = 0

    def add(self, estimate: Estimate) -> None:
        """Take the next estimate."""
        self._left_out = max(self._left_out, estimate.left_out)
        self._too_small = max(self._too_small, estimate.too_small)
        self._moments += estimate.too_small > 0
        now = [_too_many(estimate.left_out)] if estimate.left_out else []
        now += [_small(estimate.too_small)] if estimate.too_small else []
        self.note = "; ".join(now)

    def lines(self) -> list[str]:
        """What there was in all, a line each."""
        said = [f"up to {_too_many(self._left_out)}"] if self._left_out else []
        return said + ([f"up to {_small(self._too_small)}, in {self._moments} moments"] if self._too_small else [])


def _too_many(count: int) -> str:
    return f"{people(count)} more than are followed (--people, --max-people)"


def _small(count: int) -> str:
    return f"{people(count)} too small in the picture to be lifted"
