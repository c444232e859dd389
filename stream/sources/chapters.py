"""Several files of one camera, played as one: the chapters of an action camera, the pieces of a recorder.

``A.MP4+B.MP4``, or a pattern such as ``GX*0012.MP4``, whose files are taken in natural order (2 before 10).
"""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from calibration.text import natural_key
from stream.config import SourceConfig
from stream.sources._sequence import SequenceSource, Shot
from stream.sources._source import SourceInfo
from stream.sources.file import FileSource
from stream.types import StreamError

_GOPRO = re.compile(r"G[HXLS](\d\d)(\d{4})\.(?:MP4|LRV)", re.IGNORECASE)
"""Chapter and number of a recording."""
_OLD_GOPRO = re.compile(r"G(?:OPR|P(\d\d))(\d{4})\.(?:MP4|LRV)", re.IGNORECASE)
"""The same of cameras up to the HERO5: the first chapter has no number, the second one is 01."""


def claims(source: str) -> bool:
    """Whether it names several files: it is none itself, and at least one of those that it names is there."""
    return not os.path.exists(source) and "://" not in source and any(map(os.path.isfile, files_of(source)))


def make(config: SourceConfig) -> "ChaptersSource":
    """The source of several files."""
    return ChaptersSource(config)


def files_of(source: str) -> list[str]:
    """The files that a text names, in their order; one that is no list and no pattern names itself."""
    try:
        if len(parts := source.split("+")) > 1 and any(map(os.path.isfile, parts)):
            return parts
        if glob.has_magic(source) and not os.path.exists(source):
            return [str(path) for path in sorted(map(Path, glob.glob(source)), key=natural_key)]
    except (OSError, ValueError, re.error):
        pass
    return [source]


class ChaptersSource(SequenceSource):
    """Files one after the other with continuous time: each begins a frame's time after the last image of the one
    before.
    """

    kind = "chapters"
    _info_of: tuple[SourceInfo, ...] = ()
    _now: FileSource | None = None

    def _begin(self) -> Iterator[Shot]:
        paths = files_of(self.config.source)
        # Each is looked at before anything begins: a wrong one would else end the run when it is reached.
        infos = []
        for path in paths:
            source = self._file(path)
            try:
                infos.append(source.open())
            finally:
                source.close()
            if infos[-1].size != infos[0].size:
                raise StreamError(
                    f"{self.config.shown}: {paths[0]} is {_by(infos[0])} and {path} is {_by(infos[-1])}; files of one "
                    "camera have one size"
                )
        self._info_of = tuple(infos)
        return self._run(paths)

    def _file(self, path: str) -> FileSource:
        return FileSource(
            replace(self.config, source=path, given="", speed=1.0, rotate=None, times=None, realtime=False)
        )

    def _run(self, paths: Sequence[str]) -> Iterator[Shot]:
        index, corrupt = 0, 0
        last, step, shift = None, 0.0, 0.0
        notes: list[str] = []
        for path, info in zip(paths, self._info_of, strict=True):
            self._now = source = self._file(path)
            source.open()
            first, count = True, index
            try:
                while (frame := source.read()) is not None:
                    if first and last is not None:
                        shift = last + step - frame.t
                    t = frame.t + shift
                    step = 1 / (info.fps or 30.0) if first or last is None else t - last
                    last, first = t, False
                    index = count + frame.index + 1
                    self.corrupt = corrupt + source.corrupt
                    yield Shot(count + frame.index, t, frame.image)
            finally:
                source.close()
            corrupt += source.corrupt
            self.corrupt = corrupt
            notes += [source.note] if source.note else []
            self.note = "; ".join(notes)

    def _describe(self, first: Shot) -> SourceInfo:
        infos = self._info_of
        counts = [info.frames for info in infos]
        notes = dict.fromkeys(message for info in infos for message in info.messages)
        return replace(
            infos[0],
            kind=self.kind,
            source=self.config.shown,
            frames=sum(count or 0 for count in counts) if all(counts) else None,
            messages=(*notes, *_missing_chapters(files_of(self.config.source))),
        )

    def _release(self) -> None:
        if self._now is not None:
            self._now.close()


def _by(info: SourceInfo) -> str:
    return "{}x{}".format(*info.size)


def _missing_chapters(paths: Sequence[str]) -> Iterator[str]:
    """A line for a chapter that a GoPro's names say there was, and is not given."""
    found = [_chapter(Path(path).name) for path in paths]
    for path, before, after in zip(paths, found, found[1:], strict=False):
        if before and after and before[1] == after[1] and after[0] != before[0] + 1:
            yield (
                f"{path}: chapter {after[0]:02d} of recording {after[1]} comes after it, not {before[0] + 1:02d}: "
                "times from there on are wrong"
            )


def _chapter(name: str) -> tuple[int, str] | None:
    """Chapter and number of a GoPro's recording."""
    for names in (_GOPRO, _OLD_GOPRO):
        if match := names.fullmatch(name):
            return int(match[1] or 0), match[2]
    return None
