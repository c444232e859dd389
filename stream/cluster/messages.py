"""What computers of a group say to each other. How it travels is told in ``wire``."""

from dataclasses import dataclass

from engines.types import Seen


@dataclass(frozen=True, slots=True, eq=False)
class SeenFrame:
    """What a node saw in one frame of a camera."""

    camera: str
    """Its name."""
    seq: int
    """Number of the message among all of the node, from 0."""
    index: int
    """``Frame.index``."""
    t: float
    """``Frame.t``, seconds of the node's clock."""
    size: tuple[int, int]
    """Width and height of the image, pixels."""
    seen: Seen
    """Everybody in it."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a camera of a node."""

    name: str
    size: tuple[int, int]
    """Pixels."""
    fps: float | None
    serial: str | None
    frames: int | None
    """About how many will come; None where it is live, or not known."""
    note: str = ""
    """What is wrong with it, in a line."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Whoever fuses asks a node for its ``Hello``."""

    sent: float
    """Seconds of the asking clock."""
    who: str
    """The id of whoever asks."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a node says of its own recording."""

    on: bool
    take: str
    """The name of the folder, of the newest take where none is being written; empty where there was none."""
    why: str
    """Why it cannot record, in a line; empty where it can."""
    refuses: bool = False
    """Whether that is as it was asked for where it was begun, and no fault."""


@dataclass(frozen=True, slots=True)
class Remark:
    """An event: of a node for whoever fuses, or the other way round."""

    number: int
    """Counts those of the sender, from 0."""
    t: float
    """Seconds of the node's clock."""
    source: str
    """Who says so, as in ``Event``."""
    text: str
    """One line."""


@dataclass(frozen=True, slots=True)
class Remarks:
    """Those that were asked for, in order."""

    remarks: tuple[Remark, ...]


@dataclass(frozen=True, slots=True)
class Ahead:
    """How far the clock of whoever fuses is ahead of the node's."""

    seconds: float
    within: float
    """Seconds: it is not further off than this."""


@dataclass(frozen=True, slots=True)
class Order:
    """What whoever fuses wants of a node, which answers with its ``Recording``."""

    who: str
    """The id of whoever commands."""
    record: bool | None
    """Begin a take, end the one that is being written, or leave it as it is."""
    at: float
    """When, seconds of the node's clock; what is over is done at once."""
    remarks: tuple[Remark, ...]
    """Events for its take; one of a number that it has heard of the same sender is not noted again."""
    ahead: Ahead | None
    """For its take; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Look:
    """A request for the newest picture of a camera, if it is another one than that of this number."""

    camera: str
    """Its name."""
    after: int
    """-1 where there was none."""
    most: int
    """Bytes: a larger one would hold up what else there is on the way."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A reduced image of a camera."""

    camera: str
    """Its name."""
    seq: int
    """``Frame.index`` of the image."""
    size: tuple[int, int]
    """Width and height, pixels."""
    jpeg: bytes
    """Its only content: a baseline JPEG of three components and of that size."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a node says of itself, and when by its clock."""

    node: str
    """Its id, another one each time it starts."""
    software: str
    live: bool
    """Whether its times are of its monotonic clock and the newest frame wins; otherwise its frames are fetched."""
    cards: tuple[Card, ...]
    sent: float
    """The asking clock's seconds, sent back as they came."""
    received: float
    """Seconds of its clock."""
    answered: float
    """Seconds of its clock."""
    recording: Recording
    """Of its own."""
    remarks: int
    """How many events there were so far."""
    picture_fps: float
    """Pictures a second and camera that may be asked for; 0 where there are none."""
    system: tuple[float, float] | None = None
    """Seconds by which its system's clock is ahead of its own, and is off at most; None where nothing keeps it."""


@dataclass(frozen=True, slots=True)
class Pull:
    """A request for frames, or for events: those after this number, so many."""

    after: int
    most: int


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames in order; with ``over`` there are no more after them."""

    frames: tuple[SeenFrame, ...]
    over: bool
