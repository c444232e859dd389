"""Every moment as a datagram of JSON: for Unity, Unreal, TouchDesigner, microcontrollers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from calibration.arrays import Image
from stream.channel import Policy
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, flag
from stream.sinks._address import Address, address
from stream.sinks._datagrams import LARGEST, Datagrams
from stream.sinks._message import Messages, as_json
from stream.types import Estimate, Event

_RUN_S: Final = 2.0
"""So often what is the same for all moments is told again: a receiver may come at any time."""


class Udp:
    """Sends to one receiver, whether or not it is there."""

    policy: Policy = "latest"
    wants_images = False

    def __init__(self, to: Address, *, hypotheses: bool = False) -> None:
        """Nothing is looked up yet.

        Args:
            to: the receiver.
            hypotheses: whether a moment carries all of them.
        """
        self._to, self._hypotheses = to, hypotheses
        self._told: float | None = None

    def open(self, run_info: RunInfo) -> None:
        """Begin. Raises StreamError for a host that is not known."""
        self._messages = Messages(run_info, hypotheses=self._hypotheses)
        self._out = Datagrams("udp", self._to)

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Send a moment; what is too large for a datagram goes in several, with some of the people each."""
        if self._told is None or not 0 <= estimate.t - self._told < _RUN_S:
            self._told = estimate.t
            self._out.send(as_json(self._messages.run()).encode())
        self._send(self._messages.moment(estimate))

    def event(self, event: Event) -> None:
        """Send an event."""
        self._out.send(as_json(self._messages.event(event)).encode())

    def close(self) -> str | None:
        """How much was sent."""
        return self._out.close()

    def _send(self, moment: dict[str, Any]) -> None:
        data, people = as_json(moment).encode(), moment["people"]
        if len(data) <= LARGEST or len(people) < 2:
            self._out.send(data)
            return
        half = len(people) // 2
        self._send(moment | {"people": people[:half]})
        self._send(moment | {"people": people[half:]})


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Where to."""

    udp: Address | None = flag(
        None, "send every moment as JSON in a datagram", metavar="[HOST:]PORT", parse=address("127.0.0.1:9000"),
        example="127.0.0.1:9000",
    )  # fmt: skip

    def make(self, run: Run) -> Udp | None:
        """The sender."""
        return Udp(self.udp, hypotheses=run.hypotheses) if self.udp else None
