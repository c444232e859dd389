"""A recording as the estimates it was made of: ``python -m stream replay DIR`` lists them."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import groupby

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from calibration.arrays import Array
from calibration.text import one_line
from stream.recordings.rows import PoseRow, ViewRow, decode_clocks, decode_estimates, decode_events, decode_moments
from stream.recordings.schema import CLOCKS, ESTIMATES, EVENTS, FRAMES, MOMENTS, array_of
from stream.recordings.segments import Span
from stream.recordings.takes import Take, video_of
from stream.sources._upright import ToBGR
from stream.types import ClockReading, Estimate, Event, Frame, Person, StreamError


def replay(
    take: Take,
    on_fault: Callable[[Span], None] = lambda _: None,
    on_unverified: Callable[[Span], None] = lambda _: None,
    ids: Collection[int] | None = None,
) -> Iterator[Estimate]:
    """The estimates of a take, in order, arrays bit for bit as recorded (float32).

    Where one of the two streams lost rows that the other still has, the estimate holds what is left: no frames and no
    views, or no pose with a spread of 0. A take of version 1 does not tell who is who: its people have the id -1.

    Args:
        take: from ``open_take``.
        on_fault: called with each span that cannot be read.
        on_unverified: called with each span that is read though no journal line vouches for it.
        ids: of the people to give; None for everybody. ``Reading.ids`` are those of a selection.
    """
    order = [camera.name for camera in take.run_info.cameras]
    view_rows = (row for batch in take.batches(ESTIMATES, on_fault, on_unverified) for row in decode_estimates(batch))
    pose_rows = (row for batch in take.batches(MOMENTS, on_fault, on_unverified) for row in decode_moments(batch))
    views = ((index, list(rows)) for index, rows in groupby(view_rows, key=lambda row: row.moment))
    poses = ((index, list(rows)) for index, rows in groupby(pose_rows, key=lambda row: row.moment))
    seen, fused = next(views, None), next(poses, None)
    while seen is not None or fused is not None:
        index = min(x[0] for x in (seen, fused) if x is not None)
        seen_here: list[ViewRow] = []
        fused_here: list[PoseRow] = []
        if seen is not None and seen[0] == index:
            seen_here, seen = seen[1], next(views, None)
        if fused is not None and fused[0] == index:
            fused_here, fused = fused[1], next(poses, None)
        estimate = _estimate(order, seen_here, fused_here)
        people = estimate.people if ids is None else tuple(p for p in estimate.people if p.person_id in ids)
        yield estimate if ids is None else dataclasses.replace(estimate, people=people)


def _estimate(cameras: Sequence[str], seen: Sequence[ViewRow], fused: Sequence[PoseRow]) -> Estimate:
    """One estimate of all rows of its moment, at least one."""
    frames = {row.frame.camera: row.frame for row in seen}
    views = {(row.person_id, row.frame.camera): row.view for row in seen if row.view is not None}
    poses = {row.person_id: row.pose for row in fused if row.pose is not None}
    ids = sorted({person_id for person_id, _ in views} | set(poses))
    first = fused[0] if fused else seen[0]
    return Estimate(
        index=first.moment,
        t=first.t,
        frames=tuple(frames.get(camera) for camera in cameras),
        people=tuple(
            Person(
                person_id=person_id,
                views=tuple(views.get((person_id, camera)) for camera in cameras),
                pose=poses.get(person_id),
            )
            for person_id in ids
        ),
        spread_s=fused[0].spread_s if fused else 0.0,
        stages=fused[0].stages if fused else None,
        left_out=fused[0].left_out if fused else 0,
    )


def read_events(take: Take, on_fault: Callable[[Span], None] = lambda _: None) -> Iterator[Event]:
    """The events of a take, in the order in which they came; none in one of version 1."""
    return (event for batch in take.batches(EVENTS, on_fault) for event in decode_events(batch))


def read_clocks(take: Take, on_fault: Callable[[Span], None] = lambda _: None) -> Iterator[ClockReading]:
    """The readings of other computers' clocks in a take; none where it is of one computer."""
    return (reading for batch in take.batches(CLOCKS, on_fault) for reading in decode_clocks(batch))


def read_frames(take: Take, camera: str, on_fault: Callable[[Span], None] = lambda _: None) -> Iterator[Frame]:
    """The recorded images of a camera as the frames they came from, with their own index and time.

    Where a video is damaged, the images that cannot be decoded are left out, and some may be blurred up to the next
    key frame, a second at most.

    Args:
        take: from ``open_take``, recorded with ``--record-video``.
        camera: name of the camera.
        on_fault: called with each span of the table of frames, and with each video, that cannot be read, and with how
            many images a video lacks.

    Raises:
        StreamError: if the take has no images of this camera, or none of its videos can be read.
    """
    torn: list[Span] = []

    def told(span: Span) -> None:
        torn.append(span)
        on_fault(span)

    files = video_table(take, camera, told)
    if not files and torn:
        raise StreamError(f"{take.folder}: its table of frames is {torn[0].state}: python -m stream recover says more")
    if not files:
        raise StreamError(
            f"{take.folder} holds no images of camera {camera!r}: it was recorded without --capture or --record-video"
        )
    faults, read, to_bgr = [], 0, ToBGR()  # as of a file, so that estimates are the same
    for name, (milliseconds, indexes, times) in files.items():
        known = {ms: k for k, ms in enumerate(milliseconds.tolist())}
        before = read
        try:
            # As what it is said to be: a playlist of that name would open its neighbours.
            with av.open(str(video_of(take.folder, name)), format="matroska") as container:
                for decoded in _decode(container):
                    # By its own time, in ms: where the file is damaged, images are missing and cannot be counted.
                    k = None if decoded.time is None else known.get(round(decoded.time * 1000))
                    if k is None:
                        continue  # no row: written in the last instant before a kill, or before a capture's start
                    image = to_bgr(decoded, decoded)
                    image.flags.writeable = False
                    read += 1
                    yield Frame(camera, int(indexes[k]), float(times[k]), image)
            if lost := len(known) - (read - before):
                on_fault(Span(one_line(name, 100), 0, 0, lost, "torn"))
        except (OSError, FFmpegError, ValueError, IndexError) as error:  # IndexError: without a video track
            gone = isinstance(error, FileNotFoundError)
            on_fault(Span(one_line(name, 100), 0, 0, len(known), "missing" if gone else "corrupt"))
            faults.append(
                f"{take.folder / one_line(name, 100)} cannot be read: {getattr(error, 'strerror', None) or error}"
            )
    if faults and not read:
        raise StreamError(faults[0])


def where(batch: pa.RecordBatch, column: str, value: str) -> pa.RecordBatch:
    """The rows of a batch that have this text in a column."""
    return batch.filter(pc.equal(batch.column(column), value))  # pyright: ignore[reportAttributeAccessIssue] - made at import


def video_table(
    take: Take, camera: str, on_fault: Callable[[Span], None] = lambda _: None
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64], Array]]:
    """The videos of a camera in order; of each image its time in the video, ms, its number and its time, seconds."""
    columns: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64], Array]]] = {}
    for batch in take.batches(FRAMES, on_fault):
        rows = where(batch, "camera", camera)
        for name in dict.fromkeys(rows.column("file").to_pylist()):
            part = where(rows, "file", name)
            video_time, index, time = (array_of(part, c) for c in ("video_time", "frame_index", "time"))
            columns.setdefault(name, []).append((np.rint(video_time * 1000).astype(np.int64), index, time))
    return {
        name: (
            np.concatenate([p[0] for p in parts]),
            np.concatenate([p[1] for p in parts]),
            np.concatenate([p[2] for p in parts]),
        )
        for name, parts in columns.items()
    }


def _decode(container: InputContainer) -> Iterator[VideoFrame]:
    for packet in container.demux(container.streams.video[0]):
        with suppress(InvalidDataError):  # a damaged image; those after it can still be decoded
            yield from packet.decode()
