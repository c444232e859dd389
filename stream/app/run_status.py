"""What is known of a run at this moment, for the pictures and the terminal."""

from collections.abc import Callable
from pathlib import Path

from stream.drawing.facts import CameraHealth, Status
from stream.live.metrics import Meter
from stream.live.pipeline import Pipeline


class RunStatus:
    """Call it, from any thread, for the status of the run.

    Args:
        pipeline: the run.
        meter: its counts.
        runtime: what the lifter runs on.
        total: frame sets there will be, where a file tells.
        take: tells the folder of the take that is being written, None where none is.
    """

    def __init__(
        self, pipeline: Pipeline, meter: Meter, runtime: str, total: int | None, take: Callable[[], Path | None]
    ) -> None:
        self._pipeline, self._meter, self._runtime, self._total = pipeline, meter, runtime, total
        self._take = take

    def __call__(self) -> Status:
        """The status."""
        take = self._take()
        return Status(
            fps=self._meter.fps,
            latency_ms=self._meter.latency_ms,
            drops=self._pipeline.dropped,
            detector=self._meter.detector,
            runtime=self._runtime,
            note=self._pipeline.note,
            recording=take is not None,
            take=str(take or ""),
            skew_ms=self._meter.skew_ms,
            done=self._meter.frame_sets,
            total=self._total,
            more=tuple(fact for ask in self._pipeline.facts for fact in ask()),
            cameras=tuple(
                CameraHealth(name, s.fps, s.dropped, s.corrupt, s.reconnects, s.stalled, s.note)
                for name, s in self._pipeline.health
            ),
        )
