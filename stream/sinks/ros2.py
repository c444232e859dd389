"""ROS 2 without an installation of it: people as PoseArray, MarkerArray and transforms, by DDS.

Of cyclonedds, because its wheel speaks DDS with the types and names that ROS 2 uses, and takes the place of an
installation of ROS.
"""

import argparse
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from calibration.arrays import Image
from stream.channel import Policy
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, flag
from stream.sinks._dds import LOOPBACK, Participant
from stream.sinks._message import Messages as JsonMessages
from stream.sinks._message import as_json
from stream.sinks._people import Space
from stream.sinks._ros import Messages, Placed
from stream.sinks._ros_types import ros_types
from stream.types import Estimate, Event
from stream.words import number_of

Make = Callable[[list[Placed], Any], Any]
_GONE_S: Final = 10.0
_MOMENT, _EVENTS = "hypothesis_stream/moment", "hypothesis_stream/events"


class Ros2:
    """A participant that publishes."""

    policy: Policy = "latest"
    wants_images = False

    def __init__(self, interface: str, *, hypotheses: bool = False) -> None:
        """Nothing is opened yet.

        Args:
            interface: whose network it speaks in.
            hypotheses: whether all of them are told.
        """
        self._interface, self._hypotheses = interface, hypotheses
        self._seen: dict[int, float] = {}
        self._moments = 0

    def open(self, run_info: RunInfo) -> None:
        """Begin. Raises StreamError if the package is missing, or there is no such interface."""
        self._participant = Participant(self._interface)
        self._info = run_info
        self._space = Space(run_info, guesses=self._hypotheses)
        self._ros = Messages(self._space.name)
        self._json = JsonMessages(run_info, hypotheses=self._hypotheses)

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Publish a moment, of it what somebody subscribes to: rotations and markers take as long as a detector."""
        unix, types = self._info.unix_offset, ros_types()
        header = self._ros.header(estimate.t + (0.0 if math.isnan(unix) else unix))
        people = {someone.person_id: someone for someone in self._space.people(estimate)}
        wanted = {
            (topic, whose): make
            for topic, kind, whose, make in self._topics(people)
            if self._participant.wanted(topic, kind)
        }
        placed = {i: self._ros.place(someone, estimate.t) for i, someone in people.items()} if wanted else {}
        for (topic, whose), make in wanted.items():
            self._participant.write(topic, make([placed[i] for i in whose], header))
        if self._participant.wanted(_MOMENT, types.String):
            self._participant.write(_MOMENT, types.String(as_json(self._json.moment(estimate))))
        self._moments += 1
        self._seen |= dict.fromkeys(people, estimate.t)
        for person_id in [one for one, t in self._seen.items() if not 0 <= estimate.t - t < _GONE_S]:
            del self._seen[person_id]
            self._ros.forget(person_id)
            self._participant.forget(f"hypothesis_stream/person_{person_id}/")

    def _topics(self, people: Iterable[int]) -> Iterator[tuple[str, type, tuple[int, ...], Make]]:
        """(topic, type, whom it tells of, what makes its message) of what needs the people's places."""
        types, everybody = ros_types(), tuple(people)
        for i in everybody:
            own = f"hypothesis_stream/person_{i}"
            yield f"{own}/joints", types.PoseArray, (i,), self._ros.joints
            yield f"{own}/pelvis", types.PoseWithCovarianceStamped, (i,), self._ros.pelvis
        yield "tf", types.TFMessage, everybody, self._ros.transforms
        yield "hypothesis_stream/markers", types.MarkerArray, everybody, self._ros.markers

    def event(self, event: Event) -> None:
        """Publish an event."""
        if self._participant.wanted(_EVENTS, ros_types().String):
            self._participant.write(_EVENTS, ros_types().String(as_json(self._json.event(event))))

    def close(self) -> str | None:
        """How much was published."""
        left_out = self._participant.left_out
        self._participant.close()
        more = f", {number_of(left_out, 'message')} left out for slow readers" if left_out else ""
        return f"ros2: {number_of(self._moments, 'moment')}{more}"


def _interface(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]{1,60}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no interface such as eth0 or 192.168.1.5, nor all or lo")
    return text


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Whether to publish, and where."""

    ros2: str | None = flag(
        None, "publish people to ROS 2, in the network of an interface (default: this machine)", bare=LOOPBACK,
        metavar="INTERFACE", parse=_interface, example=LOOPBACK,
    )  # fmt: skip

    def make(self, run: Run) -> Ros2 | None:
        """The publisher."""
        return Ros2(self.ros2, hypotheses=run.hypotheses) if self.ros2 else None
