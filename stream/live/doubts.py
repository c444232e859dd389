"""What the people in front of calibrated cameras say against the calibration, while a run goes on."""

from collections.abc import Sequence

from calibration.geometry.camera import Camera
from stream.live.contradictions import Contradictions
from stream.live.lags import Lags
from stream.live.plausibility import Plausibility
from stream.types import Estimate


class Doubts:
    """Takes every estimate of a run, in order.

    Args:
        cameras: in the order of the estimates' views, with their place in the world.
        min_score: a joint below it counts as not seen.
        lags: looks for what is left between clocks; None where the cameras are not live.
    """

    def __init__(self, cameras: Sequence[Camera], min_score: float, lags: Lags | None = None) -> None:
        self._lags = lags
        self._plausible = Plausibility(cameras, min_score)
        self._contradictions = Contradictions(cameras, min_score)
        self.note = ""
        """What is wrong now; empty when nothing is. May be read from any thread."""

    def __call__(self, estimate: Estimate) -> list[str]:
        """What is to be said now, a line each."""
        said = self._plausible(estimate)
        wrong = self._plausible.size_problem
        if not wrong:  # in a wrong unit every camera contradicts every other
            said += self._contradictions(estimate)
            wrong = self._contradictions.note
        late = ""
        if self._lags is not None:
            said += self._lags(estimate)
            late = self._lags.note
        self.note = "; ".join(filter(None, (wrong, self._plausible.up_problem, late)))
        return said

    def lines(self) -> list[str]:
        """What there was in all, a line each."""
        wrong = [] if self._plausible.size_problem else self._contradictions.lines()
        return self._plausible.lines() + wrong + (self._lags.lines() if self._lags is not None else [])
