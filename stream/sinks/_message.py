"""The one message that the WebSocket, the datagrams and ROS 2 carry. docs/live.md says what each key means.

A key may be added without a new version; one that is renamed, removed or means something else makes a new one.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from calibration.arrays import Array
from engines.skeleton import EDGES, JOINTS
from stream.drawing.facts import Status
from stream.recordings.run_info import RunInfo
from stream.sinks._people import Someone, Space
from stream.types import Estimate, Event

FORMAT: Final = "hypothesis-stream"
VERSION: Final = 1
_HEAD: Final = {"format": FORMAT, "version": VERSION}
_DECIMALS: Final = 4  # of metres: a tenth of a millimetre


class Messages:
    """Makes the messages of a run.

    Args:
        run_info: of the run.
        hypotheses: whether a moment carries all of them.
    """

    def __init__(self, run_info: RunInfo, *, hypotheses: bool = False) -> None:
        self._space = Space(run_info, guesses=hypotheses)
        self._info = run_info
        self._hypotheses = hypotheses

    def run(self) -> dict[str, Any]:
        """What is the same for all moments."""
        return {
            **_HEAD, "type": "run", "software": self._info.software,
            "cameras": [camera.name for camera in self._info.cameras], "fps": self._info.fps,
            "hypotheses": self._info.kernels, "space": self._space.name, "up_known": self._space.up_known, "unit": "m",
            "axes": "right-handed, z up", "joints": list(JOINTS), "edges": [[JOINTS[a], JOINTS[b]] for a, b in EDGES],
        }  # fmt: skip

    def moment(self, estimate: Estimate) -> dict[str, Any]:
        """The people of a moment."""
        return {
            **_HEAD, "type": "moment", "index": estimate.index, "time": round(estimate.t, 6),
            "unix": self._unix(estimate.t), "space": self._space.name,
            "people": [self._person(someone) for someone in self._space.people(estimate)],
        }  # fmt: skip

    def event(self, event: Event) -> dict[str, Any]:
        """Something that happened."""
        said = {"time": round(event.t, 6), "unix": self._unix(event.t), "source": event.source, "text": event.text}
        return {**_HEAD, "type": "event", **said}

    def _unix(self, t: float) -> float | None:
        return _number(self._info.unix_offset + t, 6)

    def _person(self, someone: Someone) -> dict[str, Any]:
        said = {
            "id": someone.person_id,
            "probability": _number(someone.probability, 4),
            "method": someone.method,
            "cameras": list(someone.cameras),
            "joints": _joints(np.concatenate([someone.joints, someone.sigma[:, None]], axis=1)),
        }
        if not self._hypotheses:
            return said
        guesses = [
            {"camera": guess.camera, "track": guess.track, "probability": _number(guess.probability, 4),
             "joints": _joints(guess.joints)}
            for guess in someone.guesses
        ]  # fmt: skip
        return said | {"hypotheses": guesses}


def status_message(status: Status) -> dict[str, Any]:
    """How a run goes on."""
    said = {name: getattr(status, name) for name in ("fps", "latency_ms", "drops", "detector", "runtime", "note",
                                                     "recording", "done", "total")}  # fmt: skip
    return {**_HEAD, "type": "status", **said}


def as_json(message: Mapping[str, Any]) -> str:
    """A message as one line of JSON."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _joints(values: Array) -> dict[str, list[float | None]]:
    if np.isfinite(values).all():
        return dict(zip(JOINTS, np.round(values, _DECIMALS).tolist(), strict=True))
    return {name: [_number(value, _DECIMALS) for value in row] for name, row in zip(JOINTS, values, strict=True)}


def _number(value: float, decimals: int) -> float | None:
    return round(float(value), decimals) if math.isfinite(value) else None
