"""What a source is: the protocol, and what it says of itself."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol, runtime_checkable

from stream.types import Frame

_NO_NAME: Final = r"/\\:=*?\"<>|+,;\x00-\x1f\x7f"
NAME: Final = rf"\w(?:[^{_NO_NAME}]{{0,98}}[^{_NO_NAME}\s.])?"
"""Regular expression of what can name a camera: ``left``, ``10``, ``26578``, ``Miqus 3``, ``cam.1-b``. Not what cannot
be in the name of a file anywhere, nor what separates names."""
NAME_IN_WORDS: Final = 'letters, digits, spaces, and marks but / \\ : = * ? " < > | + , ;, a letter or digit first'
Clock = Literal["monotonic", "media"]


@dataclass(frozen=True, slots=True)
class Start:
    """Where the times of a video file begin."""

    t: float
    """``Frame.t`` of its first frame, seconds."""
    habit: float
    """By how much of that its writer begins late out of habit, seconds: it says nothing of when the recording began."""
    format: str
    """The container, as FFmpeg calls it."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of a source once it is open."""

    name: str
    """Name of the camera."""
    kind: str
    """Its module in this directory, such as "camera", "file", "network" or "take". Files of other computers are
    "detections"."""
    source: str
    """What the user gave, without passwords."""
    size: tuple[int, int]
    """Width and height of every image it will hand out, pixels."""
    fps: float | None
    """Frames a second, from the container's time stamps or measured; None where neither is to be had."""
    frames: int | None
    """About how many frames will come, for a progress bar; None for a live source or where it is not known."""
    live: bool
    """Whether the newest frame wins; otherwise every frame comes, in order."""
    clock: Clock
    """What ``Frame.t`` is: the monotonic clock, or the file's own time (also when a file is played in real time)."""
    device: str | None = None
    """Path of a local camera that survives a reboot where the system has one."""
    serial: str | None = None
    """Serial number of a local camera. Cheap ones often share one."""
    start: Start | None = None
    """Where the times of a file begin; None for what is live, and where they begin at 0 by our own count."""
    timecode: str | None = None
    """Of a file's first frame, such as "01:00:00:00"; None without."""
    times: tuple[float, ...] | None = field(default=None, repr=False)
    """Seconds of its frames, in order, of what knows them beforehand; None where only reading will tell."""
    taken: tuple[datetime, float] | None = None
    """Of a take: a time of day (UTC), and ``Frame.t`` at that time; None where no time of day is known."""
    controls: tuple[tuple[str, int], ...] = ()
    """Controls of a local camera and their values as they were read back, where any were asked for or are known."""
    people_known: bool = False
    """Whether its frames are ``KnownFrame``: another program has found the people, and no detector looks at them."""
    exposure_automatic: bool = False
    """Whether a local camera says that it chooses its exposure."""
    messages: tuple[str, ...] = ()
    """One-line notes for the user, such as a setting that the camera did not take."""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is doing. Counts are since it was opened."""

    read: int
    """Frames handed out."""
    dropped: int
    """Frames that came but were too old, or of another size, and so not handed out."""
    corrupt: int
    """Frames that could not be decoded whole. A file's damaged images are handed out, a live source's are not."""
    reconnects: int
    """Times it was opened again."""
    fps: float | None
    """Measured over the last frames; None before there are two."""
    age_s: float | None
    """Seconds since the last new frame of a live source; None for one that is not live, or that has none yet."""
    stalled: bool
    """Whether a live source has had no new frame for ``SourceConfig.stall_s``."""
    note: str
    """What is wrong, in one line; empty when nothing is."""


@runtime_checkable
class Source(Protocol):
    """Where frames come from. One thread reads; ``status`` and ``close`` may be called from any other."""

    kind: str
    """As ``SourceInfo.kind``."""
    name: str
    """Name of the camera."""
    live: bool
    """As ``SourceInfo.live``, which is known for certain once the source is open."""

    def open(self) -> SourceInfo:
        """Open it and see a first frame; call once.

        Raises:
            StreamError: if there is no such thing, or no image in it.
        """
        ...

    def read(self) -> Frame | None:
        """The next frame (live: the newest), waiting for it; None at the end or once closed.

        A live source that fails is opened again in here, for as long as it takes.

        Raises:
            StreamError: if what comes cannot be used, such as a file that changes its size half-way.
        """
        ...

    def status(self) -> SourceStatus:
        """How it is doing."""
        ...

    def close(self) -> None:
        """Release it; a read that waits returns None soon. Idempotent."""
        ...


@runtime_checkable
class LazySource(Protocol):
    """A source that can leave it to its reader to decode an image."""

    def read_unseen(self) -> Frame | None:
        """As ``Source.read``, but it may be an ``UnseenFrame``."""
        ...
