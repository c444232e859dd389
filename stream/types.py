"""What flows through the pipeline: frames, frame sets, tracks, people, estimates and events. All frozen.

What holds arrays is equal to itself alone (``eq=False``): ``==`` of arrays has no single answer, and a hash has none at
all. So packets can stand in sets and be looked for in lists.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from calibration.arrays import Array, Image
from calibration.errors import UserError
from engines.skeleton import JOINTS
from engines.types import Detection, Mixture, Pose, Seen


class StreamError(UserError):
    """A source, a sink or a recording that cannot be used."""


class SinkStoppedError(StreamError):
    """This sink cannot go on; the rest of the run can."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image of one camera."""

    camera: str
    """Name of the camera."""
    index: int
    """Number of the frame in its source, from 0; gaps are frames the source dropped."""
    t: float
    """Seconds: the container's PTS for a file, the monotonic clock at grab for a live source."""
    image: Image
    """(H, W, 3) uint8 BGR, read-only."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownFrame(Frame):
    """A frame whose people another program has found: no detector looks at it."""

    seen: Seen
    """Everybody in it."""
    picture: Image | None = None
    """(h, w, 3) uint8 BGR, a small one to be shown, perhaps of a little earlier; None where ``image`` is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameSet:
    """The frames of all cameras that belong to one time."""

    index: int
    """Number of the frame set, from 0."""
    t: float
    """Seconds: the time the frames were matched to."""
    frames: tuple[Frame | None, ...]
    """One a camera, in the fixed order of the cameras; None = absent."""
    spread_s: float
    """Seconds between the earliest and the latest frame."""


@dataclass(frozen=True, slots=True, eq=False)
class HypothesisTrack:
    """A hypothesis that keeps its identity over time."""

    id: int
    """Unique within a recording, across people and cameras; never used again."""
    birth: float
    """Seconds: time of the frame it was born in."""
    pose: Array
    """(17, 3) mm, root-relative, camera axes: the hypothesis this track holds in this frame."""
    probability: float
    """Smoothed over time; those of one frame sum to 1."""


@dataclass(frozen=True, slots=True)
class FrameReference:
    """Which frame of a camera an estimate was made of, without its image."""

    camera: str
    """Name of the camera."""
    frame_index: int
    """``Frame.index``."""
    t: float
    """``Frame.t``, seconds."""
    size: tuple[int, int]
    """Width and height of the image, pixels."""
    detector: str
    """Which detector looked at it, also where it found nobody."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class View:
    """What one camera says of one person in one frame set. What is None was not to be had: too few joints were seen."""

    detection: Detection
    """The 2D joints, brought to the frame set's time (``Estimate.t``) where the estimator interpolates: then, with all
    below, they belong to it and not to ``FrameReference.t``."""
    mixture: Mixture | None = None
    """The hypotheses, root-relative, real camera's axes."""
    tracks: tuple[HypothesisTrack, ...] = ()
    """One a kernel of the mixture, in the mixture's order: ``tracks[i].pose`` is ``mixture.mean[i]``."""
    answer_raw: Array | None = None
    """(17, 3) mm, root-relative, camera axes: the pose of the most probable track."""
    answer: Array | None = None
    """(17, 3) mm: ``answer_raw`` through the causal filter."""
    root: Array | None = None
    """(3,) mm, position of the pelvis in the camera's axes: ``root_raw`` through a causal filter."""
    root_raw: Array | None = None
    """(3,) mm, where this frame alone puts it; None also where a recording does not tell."""
    answer_cov: Array | None = None
    """(17, 3, 3) mm2, covariance of a refined ``answer``; None of a live one."""
    answer_state: Array | None = None
    """(17,) int8 of a refined answer: 0 measured, 1 filled in, 2 extrapolated; None of a live one."""

    @property
    def best_track(self) -> HypothesisTrack | None:
        """The most probable track, the first of several as probable; None where there is none."""
        return max(self.tracks, key=lambda track: track.probability, default=None)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Person:
    """One person in one frame set."""

    person_id: int
    """Unique within a recording, the same in all cameras, never used again; -1 where a recording does not tell."""
    views: tuple[View | None, ...]
    """One a camera, in the fixed order of the cameras; None = this camera does not see this person."""
    pose: Pose | None = None
    """The person in the world, or None where nothing is fused."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Estimate:
    """The result of one frame set. Holds references to frames, never images."""

    index: int
    """``FrameSet.index``."""
    t: float
    """``FrameSet.t``, seconds."""
    frames: tuple[FrameReference | None, ...]
    """One a camera, in the fixed order of the cameras; None = no frame in this frame set."""
    people: tuple[Person, ...]
    """Everybody who is seen, in the order of ``person_id``; empty = nobody. One at most where one is followed."""
    spread_s: float = 0.0
    """``FrameSet.spread_s``."""
    stages: Mapping[str, float] | None = None
    """Seconds each stage took: "detect", "lift", "associate", "fuse", "track"."""
    left_out: int = 0
    """How many more people were found than are followed, in the camera with the most of them."""
    too_small: int = 0
    """Views of people who are too few pixels tall to be lifted."""
    strays: tuple[tuple[Detection, ...], ...] = ()
    """One a camera: what it saw that is nobody's, because other cameras that should see it see nothing there.
    Empty where no camera saw any, and where a recording does not tell."""

    @property
    def person(self) -> Person | None:
        """The one person who is followed, or the first of several; None = nobody."""
        return self.people[0] if self.people else None

    def views_of(self, camera_index: int) -> tuple[View, ...]:
        """The views of everybody whom one camera sees."""
        views = (person.views[camera_index] for person in self.people)
        return tuple(view for view in views if view is not None)

    def to_dict(self) -> dict[str, Any]:
        """All of it as dictionaries, lists, numbers and text, which ``json.dumps`` takes.

        The keys are the names of the fields here and of what they hold; ``joints`` names the 17 rows of every array of
        joints. What is not finite is None.
        """
        return {**_plain(self), "joints": list(JOINTS)}

    def __repr__(self) -> str:
        """In a line: the arrays would fill a screen."""
        cameras = ", ".join("-" if frame is None else frame.camera for frame in self.frames)
        return f"Estimate(index={self.index}, t={self.t:.3f}, cameras=({cameras}), people={len(self.people)})"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run and belongs into its recording: a mark of the user, a sink that stopped."""

    t: float
    """Seconds, in the time of ``Estimate.t``."""
    source: str
    """Who says so, such as "user" or the name of a sink."""
    text: str
    """One line."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How far the clock of another computer of a group was ahead of the one that times are told by."""

    t: float
    """Seconds, in the time of ``Estimate.t``."""
    clock: str
    """Whose time that is: an id that no other process has."""
    other: str
    """Whose the other clock is."""
    ahead: float
    """Seconds: the other one minus this one."""
    within: float
    """Seconds: it is not further off than this."""


Note = Event | ClockReading
"""What a recording keeps besides estimates."""


def _plain(value: Any) -> Any:
    """Dataclasses as dictionaries, arrays as lists, what is not finite as None."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
