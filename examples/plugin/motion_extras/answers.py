"""A sink: every answer as a JSON datagram, for programs that listen. --answers HOST:PORT"""

import argparse
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream import Estimate, Run, RunInfo, SinkOptions, SinkStoppedError, flag


def address(text: str) -> tuple[str, int]:
    """HOST:PORT."""
    host, _, port = text.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as 127.0.0.1:5005")
    return host, int(port)


@dataclass(frozen=True, slots=True)
class Options(SinkOptions):
    """Its fields are its flags and keywords; ``example`` is what the contract's tests give."""

    answers: tuple[str, int] | None = flag(
        None, "send every answer there as JSON", metavar="HOST:PORT", parse=address, example="127.0.0.1:50505"
    )

    def make(self, run: Run) -> "Answers | None":
        """The sink, or None where it is not asked for."""
        return Answers(self.answers) if self.answers else None


class Answers:
    """``open``, ``write`` and ``close`` run in one thread that belongs to this sink alone."""

    policy = "latest"  # what a slow network is too late for is passed over and counted
    wants_images = False

    def __init__(self, to: tuple[str, int]) -> None:
        self.to, self.sent = to, 0

    def open(self, run_info: RunInfo) -> None:
        """Begin."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def write(self, estimate: Estimate, images: Mapping[str, np.ndarray | None]) -> None:
        """Take one moment; (17, 3) mm each, root-relative, in the first camera's axes."""
        answers = [view.answer.round(1).tolist() for view in estimate.views_of(0) if view.answer is not None]
        try:
            self.socket.sendto(json.dumps({"t": estimate.t, "answers": answers}).encode(), self.to)
        except OSError as error:
            raise SinkStoppedError(f"answers: nothing can be sent to {self.to[0]}:{self.to[1]}: {error}") from None
        self.sent += 1

    def close(self) -> str:
        """Finish; the line goes to the run's summary."""
        self.socket.close()
        return f"answers: {self.sent} datagrams to {self.to[0]}:{self.to[1]}"
