"""Open Sound Control: the VMC protocol for avatars, and every joint of everybody by its name.

Of python-osc, because it is the binding that others use and needs nothing else.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from calibration.arrays import Image
from engines.skeleton import JOINTS
from stream.channel import Policy
from stream.drawing.figures import follow
from stream.drawing.scene import ViewState
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, flag
from stream.sinks._address import Address, address
from stream.sinks._datagrams import Datagrams
from stream.sinks._people import Someone, Space
from stream.sinks._vmc import Avatar, Marionette
from stream.sinks.osc_in import NAME, NEEDS
from stream.types import Estimate, Event, StreamError

_SENT: Final = 1400
"""Bytes of a datagram that no network has to take apart."""
_INT: Final = 0x7FFFFFFF
"""The largest int there is."""


class Osc:
    """Sends to one receiver, whether or not it is there."""

    policy: Policy = "latest"
    wants_images = False

    def __init__(self, to: Address, *, hypotheses: bool = False) -> None:
        """Nothing is looked up yet.

        Args:
            to: the receiver.
            hypotheses: whether all of them are sent.
        """
        self._to, self._hypotheses = to, hypotheses

    def open(self, run_info: RunInfo) -> None:
        """Begin. Raises StreamError if the package is missing or the host is not known."""
        try:
            import pythonosc as _  # noqa: F401 - an extra
        except ImportError as error:
            raise StreamError(f"--osc {NEEDS}") from error
        self._info = run_info
        self._space = Space(run_info, guesses=self._hypotheses)
        self._marionette = Marionette(centred=self._space.name == "camera")
        self._view = ViewState(cameras=run_info.cameras)
        self._first: float | None = None
        self._out = Datagrams("osc", self._to)

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Send a moment: the avatar of one person, and everybody's joints."""
        people = self._space.people(estimate)
        self._view = follow(self._view, estimate)
        self._first = estimate.t if self._first is None else self._first
        someone = self._marionette.choose(people, estimate.t)
        avatar = None
        if someone is not None:
            avatar = self._marionette.pose(someone, self._floor(someone), estimate.t)
        for messages in (_vmc(avatar, estimate.t - self._first), *(self._plain(estimate, one) for one in people)):
            self._send(messages)

    def event(self, event: Event) -> None:
        """Send an event that did not come by OSC itself."""
        if event.source != NAME:
            self._out.send(_bundle([_message("/event", *_time(event.t), (event.source, "s"), (event.text, "s"))]))

    def close(self) -> str | None:
        """How much was sent."""
        return self._out.close()

    def _floor(self, someone: Someone) -> float:
        place = self._view.stage.places.get(someone.person_id) if self._view.stage else None
        lowest = float(someone.joints[:, 2].min()) - 0.075
        return lowest if place is None or place.floor != place.floor else place.floor / 1e3

    def _plain(self, estimate: Estimate, someone: Someone) -> list[bytes]:
        whose = someone.person_id
        unix = self._info.unix_offset + estimate.t
        found = [
            _message("/moment", (estimate.index, "i"), *_time(estimate.t), *_time(unix)),
            _message(f"/person/{whose}", (someone.probability, "f"), (someone.method, "s")),
        ]
        for name, point, sigma in zip(JOINTS, someone.joints, someone.sigma, strict=True):
            found.append(_message(f"/pose/{whose}/{name}", *((value, "f") for value in (*point, sigma))))
        for k, guess in enumerate(someone.guesses):
            where = f"/hypothesis/{whose}/{k}"
            found.append(_message(where, (guess.probability, "f"), (guess.track & _INT, "i"), (guess.camera, "s")))
            for name, point in zip(JOINTS, guess.joints, strict=True):
                found.append(_message(f"{where}/{name}", *((value, "f") for value in point)))
        return found

    def _send(self, messages: list[bytes]) -> None:
        """In bundles that fit into datagrams."""
        part: list[bytes] = []
        for message in messages:
            if part and 16 + sum(len(one) + 4 for one in (*part, message)) > _SENT:
                self._out.send(_bundle(part))
                part = []
            part.append(message)
        if part:
            self._out.send(_bundle(part))


def _vmc(avatar: Avatar | None, seconds: float) -> list[bytes]:
    """One moment of the VMC protocol; where nobody is seen the receiver is told that nothing is tracked."""
    found = [
        _message("/VMC/Ext/OK", (1, "i"), (3, "i"), (0, "i"), (int(avatar is not None), "i")),
        _message("/VMC/Ext/T", (seconds, "f")),
    ]
    if avatar is None:
        return found
    for where, name, position, rotation in (
        ("/VMC/Ext/Root/Pos", "root", *avatar.root),
        *(("/VMC/Ext/Bone/Pos", *bone) for bone in avatar.bones),
    ):
        found.append(_message(where, (name, "s"), *((value, "f") for value in (*position, *rotation))))
    return found


def _time(seconds: float) -> tuple[tuple[int, str], tuple[int, str]]:
    """Whole seconds and microseconds; -1 and 0 where it is not known.

    A float has no room for both, and doubles are none of the four kinds that OSC 1.0 demands of every receiver:
    some, such as node-osc and Pure Data, give up at one, with all that comes in its bundle.
    """
    if math.isnan(seconds):
        return (-1, "i"), (0, "i")
    whole, rest = divmod(round(seconds * 1e6), 1_000_000)
    return (whole, "i"), (rest, "i")


def _message(where: str, *arguments: tuple[Any, str]) -> bytes:
    from pythonosc.osc_message_builder import OscMessageBuilder

    builder = OscMessageBuilder(where)
    for value, kind in arguments:
        builder.add_arg(value if kind == "s" else int(value) if kind == "i" else float(value), kind)
    return builder.build().dgram


def _bundle(messages: list[bytes]) -> bytes:
    """Messages that belong together, to be acted on at once (OSC 1.0: "#bundle", time tag 1, sizes and contents)."""
    return b"#bundle\0" + b"\0\0\0\0\0\0\0\1" + b"".join(len(one).to_bytes(4, "big") + one for one in messages)


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Where to."""

    osc: Address | None = flag(
        None, "send avatars (VMC protocol) and joints by Open Sound Control", metavar="[HOST:]PORT",
        parse=address("127.0.0.1:39539"), bare="39539", example="127.0.0.1:39539",
    )  # fmt: skip

    def make(self, run: Run) -> Osc | None:
        """The sender."""
        return Osc(self.osc, hypotheses=run.hypotheses) if self.osc else None
