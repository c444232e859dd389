"""The cameras' frames beside a recording, so that a take can be processed again."""

from dataclasses import dataclass
from typing import ClassVar

from stream.config import Config
from stream.recordings.frames import FrameRecorder
from stream.recordings.run_info import NODE
from stream.sinks import Role, Run, SinkOptions, flag, recorder
from stream.types import StreamError


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Whether to record them."""

    role: ClassVar[Role] = "take"
    record_video: bool = flag(False, "record the cameras' frames beside them")

    def check(self, config: Config) -> None:
        """Refuse frames of no recording."""
        recorders = [other for other in config.output.sinks if isinstance(other, recorder.Options)]
        if self.record_video and not any(other.record for other in recorders):
            raise StreamError("--record-video needs --record DIR")
        if self.record_video and config.sources and all(one.source.startswith(NODE) for one in config.sources):
            raise StreamError(
                "--record-video: the images of these cameras stay on their computers; give it there, beside --publish, "
                "and python -m stream gather puts them beside the estimates of this one"
            )

    def make(self, run: Run) -> FrameRecorder | None:
        """The frame recorder of a take."""
        return FrameRecorder(run.take) if run.take and self.record_video else None
