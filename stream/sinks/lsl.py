"""Lab Streaming Layer: every person's joints and the events in the clock of a laboratory, and its markers back."""

import argparse
import logging
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from calibration.arrays import Array, Image
from engines.skeleton import JOINTS
from stream.channel import Policy
from stream.recordings.run_info import RunInfo
from stream.sinks import Run, SinkOptions, flag
from stream.sinks._address import Address, number
from stream.sinks._inbox import Inbox
from stream.sinks._lsl import library, monotonic_offset, stay_on_loopback
from stream.sinks._lsl_in import Markers
from stream.sinks._people import Someone, Space
from stream.types import Estimate, Event

_log = logging.getLogger(__name__)

_OWN: Final = "lsl-in"
"""What events that came by LSL are said to come from; they are not sent back."""
_GONE_S: Final = 2.0
"""After so long without its person a slot is free for another."""
_LOOK_S: Final = 0.4
"""For another program of the same name; what comes meanwhile is passed over."""
_KEPT: Final = 10
"""Hundreds of samples that wait for a receiver that does not read."""


class Lsl:
    """One stream a person slot, NAME-1, NAME-2 and so on, and one of events, NAME-events; and a stream to listen to."""

    policy: Policy = "latest"
    wants_images = False

    def __init__(self, name: str | None, listen_to: str | None, on: str | None, run: Run) -> None:
        """Nothing is opened yet.

        Args:
            name: what the streams' names begin with.
            listen_to: name of a stream of markers.
            on: address of this machine, in whose network they are announced; None for loopback.
            run: the run that is told of, and notes events.
        """
        self._name, self._listen_to, self._run = name, listen_to, run
        self._on = None if on is None or Address(on, 0).loopback else on
        self._markers: Markers | None = None
        self._outlets: list[Any] = []
        self._events: Any = None
        self._slots: dict[int, tuple[int, float]] = {}
        self._samples = 0

    def open(self, run_info: RunInfo) -> None:
        """Begin. Raises StreamError if the package is missing, or the address is not one of this machine."""
        self._pylsl = library("lsl" if self._name else "lsl-in", self._on)
        self._info = run_info
        self._space = Space(run_info, guesses=self._run.hypotheses)
        # Of files there is no time of capture that a laboratory would know.
        self._offset = None if math.isnan(run_info.unix_offset) else monotonic_offset(self._pylsl)
        if self._listen_to:
            inbox = Inbox(_OWN, self._run.control)
            self._markers = Markers(self._pylsl, self._listen_to, inbox, confined=self._on is None)
            self._markers.start()
        if self._name:
            taken = bool(self._pylsl.resolve_byprop("name", f"{self._name}-1", 1, _LOOK_S))
            if taken:
                _log.warning(f"lsl: another program sends streams called {self._name}; receivers tell them apart by "
                             "source_id alone, so give another name")  # fmt: skip
            self._source = f"hypothesis-stream {socket.gethostname()} {self._name}" + f" {os.getpid()}" * taken
            settings = run_info.settings.get("people")
            self._reserve(settings if isinstance(settings, int) and settings > 0 else 1)
            events = self._pylsl.StreamInfo(
                f"{self._name}-events", "Markers", 1, self._pylsl.IRREGULAR_RATE, "string", f"{self._source} events"
            )
            self._events = self._pylsl.StreamOutlet(events, max_buffered=_KEPT)
            if self._on is None:
                stay_on_loopback("lsl", [self._events])

    def write(self, estimate: Estimate, images: Mapping[str, Image | None]) -> None:
        """Send a sample of everybody."""
        if not self._name:
            return
        for someone in self._space.people(estimate):
            slot = self._slot_of(someone.person_id, estimate.t)
            self._outlets[slot].push_sample(self._sample(someone), self._stamp(estimate.t))
            self._samples += 1

    def event(self, event: Event) -> None:
        """Send an event that did not come by LSL itself."""
        if self._events is not None and event.source != _OWN:
            self._events.push_sample([f"{event.source}: {event.text}"], self._stamp(event.t))

    def close(self) -> str | None:
        """How much was sent and heard."""
        heard = self._markers.stop() if self._markers else None
        sent = f"lsl: {self._samples} samples of {self._name}" if self._name else None
        self._outlets, self._events = [], None
        return "; ".join(filter(None, (sent, heard))) or None

    def _stamp(self, t: float) -> float:
        return self._pylsl.local_clock() if self._offset is None else t + self._offset

    def _slot_of(self, person_id: int, t: float) -> int:
        """The slot of a person: theirs as long as they are there, then the lowest that is free."""
        taken = {slot for one, (slot, seen) in self._slots.items() if one != person_id and 0 <= t - seen < _GONE_S}
        slot, _ = self._slots.get(person_id, (-1, t))
        if slot < 0 or slot in taken:
            slot = next(k for k in range(len(taken) + 1) if k not in taken)
            self._slots = {one: its for one, its in self._slots.items() if its[0] != slot}
        self._slots[person_id] = (slot, t)
        self._reserve(slot + 1)
        return slot

    def _reserve(self, count: int) -> None:
        new = [self._outlet(slot) for slot in range(len(self._outlets), count)]
        self._outlets += new
        if new and self._on is None:
            stay_on_loopback("lsl", new)

    def _outlet(self, slot: int) -> Any:
        labels = self._labels()
        info = self._pylsl.StreamInfo(
            f"{self._name}-{slot + 1}", "MoCap", len(labels), self._pylsl.IRREGULAR_RATE, "float32",
            f"{self._source} {slot + 1}",
        )  # fmt: skip
        said = {"software": self._info.software, "space": self._space.name, "axes": "right-handed, z up",
                "up_known": str(self._space.up_known).lower(),
                "cameras": ", ".join(camera.name for camera in self._info.cameras)}  # fmt: skip
        for key, value in said.items():
            info.desc().append_child_value(key, value)
        channels = info.desc().append_child("channels")
        for label, unit, kind in labels:
            channel = channels.append_child("channel")
            for key, value in (("label", label), ("unit", unit), ("type", kind)):
                channel.append_child_value(key, value)
        return self._pylsl.StreamOutlet(info, chunk_size=1, max_buffered=_KEPT)

    def _labels(self) -> list[tuple[str, str, str]]:
        """(label, unit, type) of each channel."""
        place = [(axis, "meters", f"Position{axis.upper()}") for axis in "xyz"]
        found = [("person", "", "ID"), ("probability", "", "Probability")]
        for joint in JOINTS:
            found += [(f"{joint}_{axis}", unit, kind) for axis, unit, kind in (*place, ("sigma", "meters", "Sigma"))]
        if self._run.hypotheses:
            for camera in self._info.cameras:
                for k in range(self._info.kernels):
                    whose = f"{camera.name}_{k + 1}"
                    found.append((f"{whose}_probability", "", "Probability"))
                    found += [(f"{whose}_{joint}_{axis}", unit, kind) for joint in JOINTS for axis, unit, kind in place]
        return found

    def _sample(self, someone: Someone) -> list[float]:
        joints = np.concatenate([someone.joints, someone.sigma[:, None]], axis=1)
        parts: list[Array] = [np.array([someone.person_id, someone.probability]), joints.ravel()]
        if self._run.hypotheses:
            for camera in self._info.cameras:
                its = [guess for guess in someone.guesses if guess.camera == camera.name]
                parts += [np.append(guess.probability, guess.joints.ravel()) for guess in its]
                parts.append(np.full((self._info.kernels - len(its)) * (1 + 3 * len(JOINTS)), np.nan))
        return np.concatenate(parts).tolist()


def _name(text: str) -> str:
    """The name of a stream; the library looks for it by an expression with quotes around it."""
    if not 0 < len(text) <= 100 or not text.isprintable() or set(text) & set("'\"<>&"):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a stream such as lab")
    return text


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """What to send and what to listen to."""

    lsl: str | None = flag(
        None, "send everybody's joints, and events, to Lab Streaming Layer", metavar="NAME", parse=_name,
        bare="hypothesis-stream", example="hypothesis-stream-test",
    )  # fmt: skip
    lsl_in: str | None = flag(
        None,
        "take the markers of a Lab Streaming Layer stream as events",
        metavar="NAME",
        parse=_name,
        example="markers-test",
    )
    lsl_address: str | None = flag(
        None, "this machine's address in the network where they are announced; 0.0.0.0: in all", metavar="ADDRESS",
        parse=number, example="127.0.0.1",
    )  # fmt: skip

    def make(self, run: Run) -> Lsl | None:
        """The streams."""
        return Lsl(self.lsl, self.lsl_in, self.lsl_address, run) if self.lsl or self.lsl_in else None
