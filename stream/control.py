"""The only thing that flows backwards: what users and other programs ask of a run that goes on."""

from collections.abc import Callable


class Control:
    """Asks a run for something, from any thread: keys, signals, pages and sockets all call it.

    Nothing here waits or raises. What is asked for before the run is put together, or after its end, does nothing.
    """

    def __init__(self) -> None:
        self._stopping = self._paused = self._ended = False
        self._on_record: Callable[[bool | None], None] | None = None
        self._on_event: Callable[[str, str, float | None], None] | None = None
        self._followers: list[Callable[[str, str, float | None], None]] = []

    def connect(
        self,
        *,
        record: Callable[[bool | None], None] | None = None,
        event: Callable[[str, str, float | None], None] | None = None,
    ) -> None:
        """Name what carries requests out. Both are called in the thread that asks, so they must be thread-safe.

        Args:
            record: as the method ``record``; None leaves what is connected.
            event: as the method ``event``; None leaves what is connected.
        """
        self._on_record = record or self._on_record
        self._on_event = event or self._on_event

    def follow(self, event: Callable[[str, str, float | None], None]) -> None:
        """Have events told to somebody else as well, as the method ``event``, in the thread that tells of them."""
        self._followers.append(event)

    @property
    def stopping(self) -> bool:
        """Whether the run is to end, or is ending."""
        return self._stopping

    @property
    def ended(self) -> bool:
        """Whether the sources came to their end by themselves, and nobody has asked to stop since."""
        return self._ended

    @property
    def paused(self) -> bool:
        """Whether the picture is to be held, and with it a file; a live source goes on and is recorded on."""
        return self._paused

    # A signal's handler calls ``stop`` in the middle of any other code: it must not take a lock.
    def stop(self) -> None:
        """End the run well: what is under way is finished and written."""
        self._stopping = True
        self._ended = False

    def end(self) -> None:
        """The sources are at their end: what is under way is finished and written, a last picture may be kept."""
        if not self._stopping:
            self._ended = True
        self._stopping = True

    def pause(self, held: bool | None = None) -> None:
        """Hold (True), go on (False), or the other of the two."""
        self._paused = not self._paused if held is None else held

    def record(self, on: bool | None = None) -> None:
        """Begin a new take (True), end the one that is being written (False), or the other of the two."""
        if self._on_record is not None:
            self._on_record(on)

    def event(self, source: str, text: str, t: float | None = None) -> None:
        """Note that something happened; a recording keeps it as a row of its events.

        Args:
            source: who says so, such as "user" or the name of a sink.
            text: what happened, one line.
            t: seconds of the monotonic clock at which it did, where whoever tells it knows; None for now. Of files,
                which have a time of their own, the time is always that of the moment that is being estimated.
        """
        if self._on_event is not None:
            self._on_event(source, text, t)
        for follower in self._followers:
            follower(source, text, t)
