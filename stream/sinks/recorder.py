"""The recording: every estimate with all its hypotheses."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stream.recordings.writer import Recorder
from stream.sinks import Role, Run, SinkOptions, flag


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Where to record."""

    role: ClassVar[Role] = "take"
    record: Path | None = flag(
        None, "record the hypotheses; every take gets a folder", metavar="DIR", parse=Path, example="takes"
    )

    def make(self, run: Run) -> Recorder | None:
        """The recorder of a take; without ``record`` takes are begun by a key."""
        return Recorder(run.take) if run.take else None
