"""Images of a take in any order, for what is wound forth and back; ``read_frames`` gives them one after the other."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import av
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.frame import VideoFrame

from calibration.arrays import Image
from stream.recordings.replay import video_table
from stream.recordings.takes import Take, video_of
from stream.sources._upright import ToBGR

_ON_MS: Final = 1500
"""So far ahead it is decoded on rather than sought: key frames are a second apart."""


class Pictures:
    """The recorded images of one camera by their number. For one thread; a context manager.

    Args:
        take: from ``open_take``.
        camera: name of the camera.
    """

    def __init__(self, take: Take, camera: str) -> None:
        self._folder, self._to_bgr = take.folder, ToBGR()
        self._places = {
            int(index): (name, int(milliseconds))
            for name, (times, indexes, _) in video_table(take, camera).items()
            for milliseconds, index in zip(times, indexes, strict=True)
        }
        self._name = ""
        self._container: InputContainer | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._at = 0

    def __len__(self) -> int:
        return len(self._places)

    def image(self, frame_index: int) -> Image | None:
        """(H, W, 3) BGR of ``Frame.index``, read-only; None where it was not recorded or cannot be decoded."""
        name, wanted = self._places.get(frame_index, ("", 0))
        if not name:
            return None
        try:
            if name != self._name:
                self.close()
                self._container = av.open(str(video_of(self._folder, name)), format="matroska")
                self._name, self._at = name, -_ON_MS - 1
            if not self._at < wanted <= self._at + _ON_MS:
                self._seek(wanted)
            for decoded in self._frames:
                self._at = round((decoded.time or 0.0) * 1000)
                if self._at >= wanted:
                    break
            else:
                return None
            if self._at != wanted:
                return None
            image = self._to_bgr(decoded, decoded)
        except (OSError, FFmpegError, ValueError, IndexError):  # as in read_frames; one picture less to look at
            self.close()
            return None
        image.flags.writeable = False
        return image

    def close(self) -> None:
        """Close the video that is open."""
        if self._container is not None:
            self._container.close()
        self._container, self._name = None, ""

    def __enter__(self) -> "Pictures":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _seek(self, milliseconds: int) -> None:
        if self._container is None:
            raise ValueError("nothing is open")
        self._container.seek(milliseconds * 1000)
        self._frames = _decoded(self._container)


def _decoded(container: InputContainer) -> Iterator[VideoFrame]:
    for packet in container.demux(container.streams.video[0]):
        with suppress(InvalidDataError):  # a damaged image; those after it can still be decoded
            yield from packet.decode()
