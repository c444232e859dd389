"""A recording as the estimates it was made of: ``python -m stream replay DIR`` lists them."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import groupby

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.frame import VideoFrame

from stream.recordings.schema import ESTIMATES, FRAMES, MOMENTS, decode_estimates, decode_moments
from stream.recordings.segments import Span
from stream.recordings.takes import Take
from stream.types import Estimate, Frame, StreamError


def replay(take: Take, on_fault: Callable[[Span], None] = lambda _: None) -> Iterator[Estimate]:
    """The estimates of a take, in order, arrays bit for bit as recorded (float32).

    Where one of the two streams lost rows that the other still has, the estimate holds what is left: no views,
    or no pose with a spread of 0.

    Args:
        take: from ``open_take``.
        on_fault: called with each span that cannot be read.
    """
    order = [camera.name for camera in take.run_info.cameras]
    rows = (row for batch in take.batches(ESTIMATES, on_fault) for row in decode_estimates(batch))
    views = groupby(rows, key=lambda row: row[0])
    frame_sets = (frame_set for batch in take.batches(MOMENTS, on_fault) for frame_set in decode_moments(batch))
    group, frame_set = next(views, None), next(frame_sets, None)
    while group is not None or frame_set is not None:
        index = min(x for x in (group and group[0], frame_set and frame_set.index) if x is not None)
        seen, t = {}, float("nan")
        if group is not None and group[0] == index:
            rows_here = list(group[1])
            t = rows_here[0][1]
            seen = {view.camera: view for _, _, view in rows_here}
            group = next(views, None)
        estimate = Estimate(index, t, (), None)
        if frame_set is not None and frame_set.index == index:
            estimate, frame_set = frame_set, next(frame_sets, None)
        yield replace(estimate, views=tuple(seen.get(name) for name in order))


def read_frames(take: Take, camera: str, on_fault: Callable[[Span], None] = lambda _: None) -> Iterator[Frame]:
    """The recorded images of a camera as the frames they came from, with their own index and time.

    Where a video is damaged, the images that cannot be decoded are left out, and some may be blurred up to the next
    key frame, a second at most.

    Args:
        take: from ``open_take``, recorded with ``--record-video``.
        camera: name of the camera.
        on_fault: called with each span of the table of frames that cannot be read.

    Raises:
        StreamError: if the take has no images of this camera, or a video cannot be read.
    """
    rows = [row for batch in take.batches(FRAMES, on_fault) for row in batch.to_pylist() if row["camera"] == camera]
    if not rows:
        raise StreamError(f"{take.folder} holds no images of camera {camera!r}: it was recorded without --record-video")
    for name, of_file in groupby(rows, key=lambda row: row["file"]):
        known = {round(row["video_time"] * 1000): row for row in of_file}
        try:
            with av.open(str((take.folder / name).resolve())) as container:
                for decoded in _decode(container):
                    # By its own time, in ms: where the file is damaged, images are missing and cannot be counted.
                    row = None if decoded.time is None else known.get(round(decoded.time * 1000))
                    if row is None:
                        continue  # written in the last instant before a kill: the image is there, its row is not
                    image = np.asarray(decoded.to_ndarray(format="bgr24"), np.uint8)
                    image.flags.writeable = False
                    yield Frame(camera, row["frame_index"], row["time"], image)
        except (OSError, FFmpegError) as error:
            why = getattr(error, "strerror", None) or error
            raise StreamError(f"{take.folder / name} cannot be read: {why}") from None


def _decode(container: InputContainer) -> Iterator[VideoFrame]:
    for packet in container.demux(container.streams.video[0]):
        with suppress(InvalidDataError):  # a damaged image; those after it can still be decoded
            yield from packet.decode()
