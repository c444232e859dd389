"""Writes the take that ``stream.recordings.gather`` planned."""

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from av.error import FFmpegError
from numpy.typing import NDArray

from stream.recordings.gather import Part, Plan
from stream.recordings.gathered_events import gathered_events
from stream.recordings.gathered_frames import FrameColumns, renumbered
from stream.recordings.recover import image_times
from stream.recordings.replay import read_events
from stream.recordings.rows import encode_events
from stream.recordings.schema import ESTIMATES, EVENTS, FRAMES, MOMENTS, array_of, schemas
from stream.recordings.segments import SegmentWriter
from stream.recordings.takes import calibration_file, video_of, video_stem
from stream.words import number_of

_ROWS: Final = 4096
_PIECE: Final = 8 << 20


class Gatherer:
    """Writes one plan.

    Args:
        plan: what is written.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._columns = schemas(plan.info)
        self.missing: list[str] = []
        """Videos that could not be copied, a line each."""
        self.images: dict[tuple[int, str], int] = {}
        """By the number of the part and the camera, how many images were copied."""
        self._videos = list(self._named())

    @property
    def bytes(self) -> int:
        """Of the videos that will be copied."""
        return sum(path.stat().st_size for _, _, _, path in self._videos if path is not None)

    def write(self, folder: Path, copied: Callable[[int], object] = lambda _: None) -> None:
        """Write the take into an empty folder.

        Args:
            folder: where.
            copied: told how many bytes of videos were copied now.

        Raises:
            OSError: if it cannot be written.
        """
        names: dict[tuple[int, str], str] = {}
        for k, old, new, path in self._videos:
            if path is not None:
                _copy(path, folder / new, copied)
                names[k, old] = new
        self._frames(folder, names)
        self._events(folder)
        if (part := self._plan.fusing) is not None:
            self._estimates(folder, part)
            if (calibration := calibration_file(part.take.folder)) is not None:
                shutil.copyfile(calibration, folder / calibration.name)

    def _named(self) -> Iterator[tuple[int, str, str, Path | None]]:
        """Every video: number of the part, its name there, its name here, where it is; None where it is not."""
        parts, order = self._plan.parts, [camera.name for camera in self._plan.info.cameras]
        for number, camera in enumerate(order):
            those = [(k, part) for k, part in enumerate(parts) if camera in part.frames]
            count = 0
            for k, part in sorted(those, key=lambda one: one[1].frames[camera].time[0]):
                for old in dict.fromkeys(part.frames[camera].file.tolist()):
                    new = f"{video_stem(number, camera)}-{count:05d}.mkv"
                    count += 1
                    try:
                        path = video_of(part.take.folder, old)
                    except (OSError, ValueError) as error:
                        why = getattr(error, "strerror", None) or error
                        self.missing.append(f"{part.take.folder}: {old}: {why}; its images are left out")
                        path = None
                    yield k, old, new, path

    def _frames(self, folder: Path, names: dict[tuple[int, str], str]) -> None:
        parts: list[list[NDArray[Any]]] = []
        for k, part in enumerate(self._plan.parts):
            for camera, one in part.frames.items():
                file = np.array([names.get((k, old), "") for old in one.file.tolist()], object)
                here = (file != "") & self._there(part, one, folder, file)
                self.images[k, camera] = int(here.sum())
                named = np.full(len(file), camera, object)
                columns = (named, one.index, one.time, file, one.number, one.video_time, one.arrival, one.device_time)
                parts.append([column[here] for column in columns])
        whole = [np.concatenate(column) for column in zip(*parts, strict=True)]
        order, schema = np.argsort(whole[2], kind="stable"), self._columns[FRAMES]
        with _Writer(folder, FRAMES, schema) as writer:
            for at in range(0, len(order), _ROWS):
                rows = order[at : at + _ROWS]
                arrays = [pa.array(c[rows], field.type) for c, field in zip(whole, schema, strict=True)]
                writer.append(pa.record_batch(arrays, schema=schema))

    def _there(self, part: Part, one: FrameColumns, folder: Path, file: NDArray[Any]) -> NDArray[np.bool_]:
        """(F,) whether each image is in its video: of a computer that died, or a copy cut off, the last are not."""
        there = np.ones(len(file), bool)
        for new in dict.fromkeys(file.tolist()):
            if not new:
                continue
            rows, why = file == new, ""
            try:
                found = image_times(folder / new)
            except (OSError, FFmpegError, ValueError, IndexError) as error:
                found, why = [], f" ({getattr(error, 'strerror', None) or error})"
            there[rows] = np.isin(np.round(1000 * one.video_time[rows]).astype(int), found)
            if absent := int((~there[rows]).sum()):
                old = one.file[rows][0]
                lost = number_of(absent, "image")
                self.missing.append(f"{part.take.folder}: {old} lacks {lost} that the table names{why}")
        return there

    def _events(self, folder: Path) -> None:
        parts = sorted(self._plan.parts, key=lambda part: not part.fuses)
        told = []
        for part in parts:
            events = list(read_events(part.take, part.fault))
            times = part.shift(np.array([event.t for event in events]))
            told.append((part.clock, [replace(e, t=float(t)) for e, t in zip(events, times, strict=True)]))
        events = gathered_events(told, self._plan.common, self._plan.fusing is None)
        with _Writer(folder, EVENTS, self._columns[EVENTS]) as writer:
            if events:
                writer.append(encode_events(self._columns[EVENTS], events))

    def _estimates(self, folder: Path, part: Part) -> None:
        """As they are, but for the numbers of frames, which become those of their images."""
        numbers = self._numbers(part)
        for stream, times in ((ESTIMATES, ("moment_time", "time")), (MOMENTS, ("time",))):
            schema = self._columns[stream]
            with _Writer(folder, stream, schema) as writer:
                for batch in part.take.batches(stream, part.fault):
                    columns = {name: batch.column(name) for name in schema.names}
                    for name in times:
                        columns[name] = pa.array(part.shift(array_of(batch, name)), pa.float64())
                    if stream == ESTIMATES:
                        cameras, old = batch.column("camera").to_pylist(), array_of(batch, "frame_index").tolist()
                        found = [numbers.get(c, {}).get(k, k) for c, k in zip(cameras, old, strict=True)]
                        columns["frame_index"] = pa.array(found, pa.int64())
                    writer.append(pa.record_batch([columns[name] for name in schema.names], schema=schema))

    def _numbers(self, part: Part) -> dict[str, dict[int, int]]:
        seen: dict[str, dict[int, float]] = {}
        for batch in part.take.batches(ESTIMATES, part.fault):
            times = part.shift(array_of(batch, "time")).tolist()
            for camera, index, t in zip(
                batch.column("camera").to_pylist(), array_of(batch, "frame_index").tolist(), times, strict=True
            ):
                seen.setdefault(camera, {})[index] = t
        found = {}
        for camera, frames in seen.items():
            those = [other.frames[camera] for other in self._plan.parts if camera in other.frames and not other.fuses]
            if those:
                those.sort(key=lambda one: one.time[0])
                index = np.array(sorted(frames), np.int64)
                image: NDArray[np.int64] = np.concatenate([one.index for one in those])
                at = np.array([frames[k] for k in index.tolist()])
                found[camera] = renumbered(index, at, image, np.concatenate([one.time for one in those]))
        return found


class _Writer:
    """A stream of the take, ended in any case."""

    def __init__(self, folder: Path, stream: str, schema: pa.Schema) -> None:
        self._writer = SegmentWriter(folder, stream, schema, max_s=math.inf)

    def __enter__(self) -> SegmentWriter:
        return self._writer

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def _copy(source: Path, target: Path, copied: Callable[[int], object]) -> None:
    with source.open("rb") as here, target.open("xb") as there:
        while piece := here.read(_PIECE):
            there.write(piece)
            copied(len(piece))
