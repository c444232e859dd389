"""The images of a take as columns, at the times of another clock; and which of them estimates were made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from calibration.arrays import Array
from stream.recordings.common_time import Shift
from stream.recordings.schema import FRAMES, array_of
from stream.recordings.segments import Span
from stream.recordings.takes import Take


@dataclass(eq=False)
class FrameColumns:
    """The rows of one camera in the table of frames, in order of time; (F,) each."""

    index: NDArray[np.int64]
    time: Array
    """Seconds of the common clock, as is ``arrival``."""
    file: NDArray[Any]
    """Names of videos in the take."""
    number: NDArray[np.int64]
    video_time: Array
    arrival: Array
    device_time: Array


def frame_columns(take: Take, shift: Shift, on_fault: Callable[[Span], None]) -> dict[str, FrameColumns]:
    """The images of a take by camera; none of a camera without."""
    rows: dict[str, list[list[Any]]] = {}
    names = ("frame_index", "time", "file", "number", "video_time", "arrival", "device_time")
    for batch in take.batches(FRAMES, on_fault):
        cameras = _texts(batch, "camera")
        columns = [_texts(batch, name) if name == "file" else array_of(batch, name) for name in names]
        for camera in dict.fromkeys(cameras.tolist()):
            here = cameras == camera
            rows.setdefault(camera, []).append([column[here] for column in columns])
    known = [camera.name for camera in take.run_info.cameras]
    found = {}
    for camera in (name for name in known if name in rows):
        index, time, file, number, video_time, arrival, device = (
            np.concatenate(c) for c in zip(*rows[camera], strict=True)
        )
        order = np.argsort(time, kind="stable")
        moved: tuple[Any, ...] = (index, shift(time), file, number, video_time, shift(arrival), device)
        found[camera] = FrameColumns(*(column[order] for column in moved))
    return found


def _texts(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    """A column of texts of which there are few: hours of frames share those."""
    coded = batch.column(name).dictionary_encode()
    return np.array(coded.dictionary.to_pylist(), object)[coded.indices.to_numpy()]


def renumbered(
    fused: NDArray[np.int64], fused_time: Array, image: NDArray[np.int64], image_time: Array
) -> dict[int, int]:
    """For the number that whoever fused gave to each frame of a camera, that of its image.

    Frames whose image is not there get the number that it would have. A camera of a group is numbered anew by whoever
    fuses, and goes on with that when it begins again.

    Args:
        fused: (E,) numbers, one a frame, in order.
        fused_time: (E,) seconds.
        image: (F,) numbers, in order.
        image_time: (F,) seconds of the same clock.
    """
    if not len(image) or not len(fused):
        return {}
    at = np.clip(np.searchsorted(image_time, fused_time), 1, max(len(image) - 1, 1))
    at = np.minimum(at, len(image) - 1)
    before = np.maximum(at - 1, 0)
    nearest = np.where(np.abs(image_time[before] - fused_time) <= np.abs(image_time[at] - fused_time), before, at)
    step = float(np.median(np.diff(image_time))) if len(image) > 1 else 1 / 30
    matched = np.abs(image_time[nearest] - fused_time) <= step / 2
    if not matched.any():
        return {}
    # Between two starts of a camera the numbers differ by as much.
    apart = image[nearest] - fused
    last = np.where(matched, np.arange(len(fused)), -1)
    last = np.maximum.accumulate(last)
    last[last < 0] = int(np.argmax(matched))
    numbers = np.where(matched, image[nearest], fused + apart[last])
    # One frame, one number: they rise as the frames do.
    numbers = np.maximum.accumulate(numbers - np.arange(len(numbers))) + np.arange(len(numbers))
    return dict(zip(fused.tolist(), numbers.tolist(), strict=True))
