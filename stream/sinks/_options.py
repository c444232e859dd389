"""How a kind of sink says its flags and how it is made."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from engines.types import Seen
from stream.cluster.messages import Recording
from stream.config import Config
from stream.control import Control
from stream.drawing.facts import Status
from stream.drawing.scene import ViewState
from stream.sinks._sink import Sink
from stream.sinks._token import Token
from stream.sources import SourceInfo
from stream.types import Frame, Note

Role = Literal["output", "viewer", "take"]
NOT_RECORDING: Final = Recording(False, "", "there is nothing to record")
Watcher = Callable[[Frame, Seen], None]
"""Is told what was seen in a frame, in the thread that looked at it, of each camera in order. Of files it may wait."""


def flag(
    default: Any,
    help: str,
    *,
    metavar: str | None = None,
    parse: Callable[[str], Any] = str,
    example: str = "",
    bare: str = "",
) -> Any:
    """A field of a sink's options, which is a flag of the same name.

    Args:
        default: its value when it is not given; False makes it a switch.
        help: one line for --help.
        metavar: what stands for its value there.
        parse: makes the value of the text; raises argparse.ArgumentTypeError.
        example: a value that is good for a test; files lie in the current folder.
        bare: its value where the flag stands without one; it needs one when empty.
    """
    said = {"help": help, "metavar": metavar, "parse": parse, "example": example, "bare": bare}
    return field(default=default, metadata=said)


@dataclass(frozen=True, slots=True)
class Looks:
    """What the cameras see, before anything is made of it."""

    live: bool
    """Whether the newest frame wins, and nobody may wait."""
    cameras: tuple[SourceInfo, ...]
    """In their order."""
    watch: Callable[[Watcher], None]
    """Asks to be told, before the run begins."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a sink may know of its run when it is made."""

    status: Callable[[], Status]
    """Tells, to any thread, what is known of the run at this moment."""
    control: Control
    """Asks the run for something."""
    take: Path | None = None
    """Folder of the take, for a sink of that role."""
    token: Token = field(default_factory=Token)
    """What whoever commands the run over the network has to know; one of the run."""
    hypotheses: bool = False
    """Whether live outputs carry all hypotheses."""
    view: ViewState = field(default_factory=ViewState)
    """From where pictures are seen at first."""
    hold: bool = False
    """Whether a window keeps the last picture of files until the user ends it."""
    looks: Looks | None = None
    """What the cameras see; None where there are no cameras, as of a take that is replayed."""
    recording: Callable[[], Recording] = lambda: NOT_RECORDING
    """What is to be said of the recording of the run, to whoever may command it."""
    refuses: str = "there is nothing to record"
    """Why it records nothing for whoever may command it; empty where it does."""
    look: Callable[[], None] = lambda: None
    """Says that somebody looks at images now: those of other computers are asked for as long as it is called."""
    tell: Callable[[Note], None] = lambda note: None
    """Hands something to the recording, at its own time, from any thread."""


@dataclass(frozen=True, slots=True)
class SinkOptions(ABC):
    """The options of one kind of sink; a subclass is a frozen dataclass, each field a ``flag``.

    The role says when the sink is made: "output" at the start of the run, "viewer" when ``--view`` chooses it (it lives
    in the main thread, so there is one at most), "take" for each take that is recorded.
    """

    role: ClassVar[Role] = "output"
    kind: ClassVar[str] = ""
    """What the kind is called where its module is not called so, as in a script or a notebook."""

    @classmethod
    def name(cls) -> str:
        """The name of the kind."""
        return cls.kind or cls.__module__.rpartition(".")[2]

    @classmethod
    def missing(cls) -> str | None:
        """Why a viewer cannot be used here, or None when it can."""
        return None

    def check(self, config: Config) -> None:  # noqa: B027 - most kinds have nothing to find out
        """Find out before anything is opened what cannot be; raises StreamError."""

    @abstractmethod
    def make(self, run: Run) -> Sink | None:
        """The sink, not open, or None where the options do not ask for one.

        Raises:
            StreamError: if it cannot be used. Nothing has been written then.
        """
