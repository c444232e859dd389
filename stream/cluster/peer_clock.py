"""The clock of one node: as the exchanges with it have it, or as the systems' clocks do where these are kept right."""

from stream.cluster.clock import Offset, OffsetFilter, by_systems
from stream.cluster.messages import Hello


class PeerClock:
    """How far a node's clock is ahead of ours. Not thread-safe."""

    def __init__(self) -> None:
        self._measured = OffsetFilter()
        self._said: Offset | None = None
        """As the systems have it."""
        self._told = ""
        self.problem = ""
        """Why the systems' clocks are not used, though that was asked for; empty where they are, or it was not."""

    @property
    def exchanges(self) -> int:
        """How many exchanges there were."""
        return self._measured.exchanges

    def add(self, hello: Hello, back: float, ours: tuple[float, float] | None, by_system: bool) -> str:
        """An exchange.

        Args:
            hello: what came.
            back: seconds of our clock at which it did.
            ours: of this computer what ``Hello.system`` is of the node.
            by_system: whether the systems' clocks are to be used.

        Returns:
            What is to be said now; empty where nothing changed.
        """
        self._measured.add(hello.sent, hello.received, hello.answered, back)
        measured = self._measured.at(back)
        if not by_system or measured is None:
            return ""
        theirs, self._said = hello.system, None
        if theirs is None or ours is None:
            whose = "its clock" if theirs is None else "the clock of this computer"
            self.problem = f"nothing keeps {whose} right (PTP or NTP), so that messages compare them"
            return self._once(whose, self.problem)
        said = Offset(ours[0] - theirs[0], ours[1] + theirs[1])
        used = by_systems(measured, said)
        if used is None:
            ahead = measured.seconds - said.seconds
            self.problem = (
                f"its system's clock is {1e3 * abs(ahead):.1f} ms {'ahead of' if ahead > 0 else 'behind'} that of this "
                f"computer by the messages between them (+-{1e3 * measured.uncertainty:.1f}), though both are said to "
                f"be right within {1e3 * said.uncertainty:.1f} ms; the messages are believed"
            )
            return self._once("contradicted", self.problem)
        self._said, self.problem = said, ""
        return self._once("kept", f"its clock is that of its system, +-{1e3 * used.uncertainty:.1f} ms")

    def at(self, t: float) -> Offset | None:
        """The offset at t seconds of our clock; None before enough is known."""
        measured = self._measured.at(t)
        if measured is None or self._said is None:
            return measured
        return by_systems(measured, self._said) or measured

    def _once(self, what: str, line: str) -> str:
        told, self._told = self._told, what
        return "" if told == what else line
