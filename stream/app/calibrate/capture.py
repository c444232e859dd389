"""From running cameras, videos or photographs to views of a board and joints of a person, with their progress shown.

Where the images come from is the caller's affair: a ``Feed`` is anything that hands out frames in order of time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from calibration.arrays import Array, Image
from calibration.errors import CalibrationError
from calibration.solving.board import Board, BoardView
from stream.app.calibrate.collect import LensCollector, Missed, elsewhere, find_together, overlay
from stream.app.calibrate.show import beside, progress, show
from stream.config import SyncConfig
from stream.live.files import FileMatcher
from stream.types import Frame

# Live, the best of so many frame sets is taken where one is wanted: in the first one a camera may not have focused yet.
_LIVE_MOMENTS = 10
# Images of live cameras further apart than this, seconds, are not of one frame set.
_LIVE_TOLERANCE_S = 0.05
# Steps of time, seconds, differ by rounding.
_ROUNDING_S = 1e-4


class FrameLike(Protocol):
    """One image and its time."""

    @property
    def index(self) -> int:
        """Number in its source."""
        ...

    @property
    def t(self) -> float:
        """Seconds."""
        ...

    @property
    def image(self) -> Image:
        """(H, W, 3) BGR."""
        ...


@dataclass(frozen=True, slots=True)
class Feed:
    """One camera's frames."""

    name: str
    """Name of the camera."""
    size: tuple[int, int]
    """Width and height, pixels."""
    read: Callable[[], FrameLike | None]
    """The next frame (live: the newest), None at the end."""
    live: bool = False
    """Whether frames are lost while nobody reads."""
    photographs: bool = False
    """Single pictures, each worth looking at, and to be matched by their number."""
    fps: float | None = None
    """Frames a second, where known."""
    offset: float = 0.0
    """Seconds to add to its times."""


def frames(feed: Feed, every: float) -> Iterator[FrameLike]:
    """Frames at least ``every`` seconds apart; all of a set of photographs."""
    due = -np.inf
    while (frame := feed.read()) is not None:
        if frame.t >= due - _ROUNDING_S:
            due = frame.t + (0.0 if feed.photographs else every)
            yield frame


def frame_sets(feeds: Sequence[Feed], every: float) -> Iterator[tuple[float, dict[str, Image]]]:
    """The images of all cameras that belong together, by name, at least ``every`` seconds apart (all photographs).

    Those of files are matched as in a run, from the first to the last frame of any camera. A camera without a frame
    near enough is left out.
    """
    if any(feed.live for feed in feeds):
        yield from _live_frame_sets(feeds, every)
        return
    config = SyncConfig(interpolate=False, overlap=False)
    due, step = -np.inf, 0.0 if all(feed.photographs for feed in feeds) else every
    for frame_set in FileMatcher([_reader(feed) for feed in feeds], [feed.fps for feed in feeds], config):
        if frame_set.t >= due - _ROUNDING_S:
            due = frame_set.t + step
            yield frame_set.t, {frame.camera: frame.image for frame in frame_set.frames if frame is not None}


def _reader(feed: Feed) -> Callable[[], Frame | None]:
    def read() -> Frame | None:
        frame = feed.read()
        return None if frame is None else Frame(feed.name, frame.index, frame.t + feed.offset, frame.image)

    return read


def _live_frame_sets(feeds: Sequence[Feed], every: float) -> Iterator[tuple[float, dict[str, Image]]]:
    """The newest images of all cameras at the first one's times."""
    for first in frames(feeds[0], every):
        t = first.t + feeds[0].offset
        images = {feeds[0].name: first.image}
        for feed in feeds[1:]:
            frame = feed.read()
            if frame is not None and abs(frame.t + feed.offset - t) <= _LIVE_TOLERANCE_S:
                images[feed.name] = frame.image
        yield t, images


def collect_lens(
    feed: Feed, board: Board, every: float, wanted: int, window: bool
) -> tuple[LensCollector, Image | None]:
    """Look at one camera's frames until it ends, enough was seen (live), or the user has had enough.

    Returns:
        What was kept, and the last image.
    """
    collector = LensCollector(board, feed.size, wanted, still=feed.live, thorough=feed.photographs)
    image = None
    for frame in frames(feed, 0.1 if feed.live else every):
        image = frame.image
        now = collector.look(image, f"image {frame.index}" if feed.photographs else f"{frame.t:.2f} s")
        line = f"{feed.name}: {collector.status()}"
        progress(line)
        if feed.live:
            enough = window and show(feed.name, overlay(image, collector.views, now, line + "  (q: enough)"))
            if enough or collector.done:
                break
    progress(None)
    return collector, image


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """What several cameras saw of a board at the same times."""

    frames: list[Mapping[str, BoardView]]
    """What was seen by name, one a frame set."""
    times: list[float]
    """Seconds, one a frame set."""
    looked: int
    """Frame sets that were looked at."""
    seen: Mapping[str, int]
    """In how many of them each camera saw the board, alone or not."""
    missed: Mapping[str, Missed] = field(default_factory=dict)
    """By camera, pictures without the board."""
    when: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By camera, when it saw the board first and last, seconds."""
    alone: Mapping[str, BoardView] = field(default_factory=dict)
    """By camera, the view in which it saw most of the board."""


def collect_together(
    feeds: Sequence[Feed], board: Board, every: float, count: int, least: int, window: bool
) -> Together:
    """Frame sets in which ``least`` cameras saw the board: live, each in a new place; else all over the recording.

    For a count of 1 it is the frame set in which most corners were seen.
    """
    live = any(feed.live for feed in feeds)
    wanted = _LIVE_MOMENTS if count == 1 else count
    sizes = {feed.name: feed.size for feed in feeds}
    found: list[tuple[float, Mapping[str, BoardView]]] = []
    seen = dict.fromkeys(sizes, 0)
    missed = {name: Missed() for name in sizes}
    when: dict[str, tuple[float, float]] = {}
    alone: dict[str, BoardView] = {}
    looked = 0
    thorough = all(feed.photographs for feed in feeds)
    for t, views, images in find_together(
        board, frame_sets(feeds, 0.1 if live else every), still=live, thorough=thorough
    ):
        looked += 1
        for name, view in views.items():
            seen[name] += 1
            when[name] = (when.get(name, (t, t))[0], t)
            if name not in alone or len(view.ids) > len(alone[name].ids):
                alone[name] = view
        for name, image in images.items():
            if name not in views:
                missed[name].add(image)
        # Live, a board held still for long is one position and not many.
        if len(views) >= least and (not live or count == 1 or elsewhere((f for _, f in found), views, sizes)):
            found.append((t, views))
        per = ", ".join(f"{feed.name} {sum(feed.name in f for _, f in found)}" for feed in feeds)
        progress(f"{len(found)}/{wanted} positions of the board ({per})")
        if live:
            tiles = [overlay(im, [f[n] for _, f in found if n in f], views.get(n), n, 360) for n, im in images.items()]
            if (window and show("calibration (q: enough)", beside(tiles))) or len(found) >= wanted:
                break
    progress(None)
    if count == 1:
        found = sorted(found, key=lambda item: -sum(len(view.ids) for view in item[1].values()))[:1]
    elif len(found) > count:
        found = [found[i] for i in np.linspace(0, len(found) - 1, count).astype(int)]
    return Together([views for _, views in found], [t for t, _ in found], looked, seen, missed, when, alone)


def collect_joints(
    feeds: Sequence[Feed], sessions: Sequence[Callable[[Image, float], Any]], every: float, seconds: float
) -> tuple[Array, Array]:
    """A person's joints in frame sets of all cameras.

    Args:
        feeds: the V cameras.
        sessions: a detector's session a camera: image, time -> something with ``xy`` (J, 2) and ``score`` (J,).
        every: seconds between frame sets.
        seconds: most seconds to look.

    Returns:
        xy (V, F, J, 2) pixels and score (V, F, J), 0 where a camera has no frame.

    Raises:
        CalibrationError: if there are no frames.
    """
    found: list[dict[int, tuple[Array, Array]]] = []
    start, both = None, 0
    for t, images in frame_sets(feeds, every):
        start = t if start is None else start
        if t - start > seconds:
            break
        seen = {v: sessions[v](images[feed.name], t) for v, feed in enumerate(feeds) if feed.name in images}
        found.append({v: (d.xy, d.score) for v, d in seen.items()})
        both += sum(d.score.max() > 0 for d in seen.values()) >= 2
        progress(f"{len(found)} moments, {both} with a person in two cameras or more")
    progress(None)
    joints = next((len(score) for frame_set in found for _, score in frame_set.values()), 0)
    if not joints:
        raise CalibrationError("the sources hold no frames")
    xy = np.full((len(feeds), len(found), joints, 2), np.nan)
    score = np.zeros(xy.shape[:-1])
    for f, frame_set in enumerate(found):
        for v, (joint_xy, joint_score) in frame_set.items():
            xy[v, f], score[v, f] = joint_xy, joint_score
    return xy, score
