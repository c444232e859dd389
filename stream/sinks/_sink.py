"""What a sink is: the protocol that all of them stand behind.

Which thread calls what:

- The constructor runs in the main thread, before anything is captured. It checks what a user can have got wrong
  (a folder that cannot be written, no display) and raises ``StreamError`` then.
- ``open``, every ``write`` and ``close`` run in *one* thread that belongs to this sink alone, in that order. The
  pipeline feeds it from a ``Channel`` of the sink's own ``policy``, so a slow sink never holds up the cameras or
  another sink. The window is the exception: toolkits want the main thread, so its three calls all come from there.
- ``close`` is called exactly once after ``open`` returned, also after ``write`` raised; not if ``open`` raised.

What an exception means: whatever ``open``, ``write``, ``event`` or ``close`` raises stops this sink and nothing else.
The pipeline calls ``close``, shows the message from then on, goes on with the other sinks and ends with a non-zero exit
code. ``SinkStoppedError`` says in the sink's own words what happened (a full disk, an unplugged stick); anything else
is a fault of the sink and is named as such. One exception: a fault of a sink with ``essential = True`` (the recorder)
ends a run over files, which can be repeated from their beginning, and is raised again in the main thread.

What a sink may ask of the run, it asks its ``Control``.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from calibration.arrays import Image
from stream.channel import Policy
from stream.recordings.run_info import RunInfo
from stream.types import ClockReading, Estimate, Event


class Sink(Protocol):
    """Something that takes estimates. See the module's docstring for threads and exceptions."""

    policy: Policy
    """A class attribute. "latest": takes the newest; what it is too slow for is passed over and counted, also of files,
    because nobody waits for it. "every": keeps all; for files the pipeline waits for it, and what of a live source does
    not fit its bounded channel is dropped, counted and seen here as a jump of ``Estimate.index``."""
    wants_images: bool
    """Whether ``write`` gets images; without, its channel holds none and may be long."""

    def open(self, run_info: RunInfo) -> None:
        """Begin. Raises StreamError when it cannot."""
        ...

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Take one frame set.

        Args:
            estimate: the result of the frame set.
            images: camera name -> (H, W, 3) uint8 BGR, read-only and shared with other sinks: copy before drawing on
                it. None for a camera without a frame in this moment; empty when ``wants_images`` is False.

        Raises:
            SinkStoppedError: this sink cannot go on, the run can.
        """
        ...

    def close(self) -> str | None:
        """Finish and free everything; one line for the run's summary (what was written, and where), or None.

        Raises:
            SinkStoppedError: the end of it could not be written, and ``write`` had not said so before.
        """
        ...


class MainSink(Sink, Protocol):
    """A sink that lives in the main thread, such as a window."""

    def poll(self) -> None:
        """Let its toolkit work; called when no estimate comes."""
        ...


@runtime_checkable
class ClockSink(Sink, Protocol):
    """A sink that also takes readings of other computers' clocks."""

    def clock(self, reading: ClockReading) -> None:
        """Take one, in the sink's thread and before what is written after it. Raises as ``write`` does."""
        ...


@runtime_checkable
class EventSink(Sink, Protocol):
    """A sink that also takes events."""

    def event(self, event: Event) -> None:
        """Take one, in the sink's thread and before what is written after it. Raises as ``write`` does."""
        ...
