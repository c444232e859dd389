"""People who are seen and not followed, or followed and not lifted: what is said of them."""

from stream.types import Estimate
from stream.words import people


class Crowding:
    """Says who is too many or too small now, and counts the latter; the ``Meter`` counts the former.

    Its note may be read from any thread.
    """

    def __init__(self) -> None:
        self.note = ""
        """What is so now; empty when nothing is."""
        self._too_small = self._moments = 0

    def add(self, estimate: Estimate) -> None:
        """Take the next estimate."""
        self._too_small = max(self._too_small, estimate.too_small)
        self._moments += estimate.too_small > 0
        now = []
        if estimate.left_out:
            now.append(f"{people(estimate.left_out)} more than are followed (--people, --max-people)")
        if estimate.too_small:
            now.append(_small(estimate.too_small))
        self.note = "; ".join(now)

    def lines(self) -> list[str]:
        """What there was in all, a line each."""
        return [f"up to {_small(self._too_small)}, in {self._moments} moments"] if self._too_small else []


def _small(count: int) -> str:
    return f"{people(count)} too small in the picture to be lifted"
