"""Coded images to images: one by one, or one after another in a thread that may fall behind."""

import threading
from collections.abc import Callable
from typing import Final, cast

import av
import av.error
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext

from calibration.arrays import Image
from stream.channel import Channel, Closed
from stream.packed import Captured, Coding, Packed
from stream.sources._upright import ToBGR

_AHEAD: Final = 120
"""So many frames may wait for the decoder; then it goes on at the next one that it can begin with."""


class Unpacker:
    """Decodes single images, each without those before it."""

    def __init__(self) -> None:
        self._coding: Coding | None = None
        self._decoder: VideoCodecContext | None = None
        self._to_bgr = ToBGR()
        self._lock = threading.Lock()

    def image(self, packed: Packed) -> Image | None:
        """(H, W, 3) uint8 BGR, read-only; None where it is damaged, or no image by itself. For any thread."""
        with self._lock:
            return self._image(packed)

    def _image(self, packed: Packed) -> Image | None:
        if self._decoder is None or packed.coding is not self._coding:
            self._decoder, self._coding = decoder_of(packed.coding), packed.coding
        try:
            frames = self._decoder.decode(_packet(packed.data))
            if not frames:
                frames = self._decoder.decode(None)
                self._decoder.flush_buffers()
        except av.error.FFmpegError:
            return None
        return None if not frames or frames[0].is_corrupt else read_only(self._to_bgr(frames[0], frames[0]))


def _packet(data: bytes | Packet) -> Packet:
    """What a decoder takes; of a packet its bytes alone, as its times are of another clock."""
    return Packet(cast(bytes, data))  # a packet is a buffer as well


def decoder_of(coding: Coding) -> VideoCodecContext:
    """A decoder of a coding, with one thread and nothing held back."""
    decoder = cast(VideoCodecContext, av.CodecContext.create(coding.codec, "r"))
    extradata = coding.template.codec_context.extradata if coding.template.codec_context else None
    if extradata:
        decoder.extradata = extradata
    decoder.thread_count = 1
    return decoder


def read_only(image: Image) -> Image:
    """The image, which nobody may write on."""
    image.flags.writeable = False
    return image


class Follower:
    """Decodes a stream whose images need those before them, in a thread of its own.

    Args:
        name: of the camera.
        handle: told every frame with its image, None where it is damaged.
    """

    def __init__(self, name: str, handle: Callable[[Captured, Image | None], None]) -> None:
        self._handle = handle
        self._waiting: Channel[Captured] = Channel("every", _AHEAD)
        self._coding: Coding | None = None
        self._decoder: VideoCodecContext | None = None
        self._to_bgr = ToBGR()
        self._lagging = True
        self.passed_over = 0
        """Frames that were not decoded."""
        self._thread = threading.Thread(target=self._run, name=f"decode-{name}", daemon=True)
        self._thread.start()

    def put(self, captured: Captured) -> None:
        """Take the next frame; never waits."""
        key = isinstance(captured.content, Packed) and captured.content.key
        self._lagging = self._lagging and not key
        if self._lagging or not self._waiting.put(captured, block=False):
            self._lagging = True
            self.passed_over += 1

    def close(self) -> None:
        """Stop."""
        self._waiting.close()
        self._waiting.discard()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while True:
            try:
                captured = self._waiting.get()
            except Closed:
                return
            self._decode(captured)

    def _decode(self, captured: Captured) -> None:
        packed = captured.content
        if not isinstance(packed, Packed):
            raise TypeError("a frame that is not coded has nothing to decode")
        if self._decoder is None or packed.coding is not self._coding:
            self._decoder, self._coding = decoder_of(packed.coding), packed.coding
            self._decoder.copy_opaque = True
        packet = _packet(packed.data)
        packet.opaque = captured
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:
            self._handle(captured, None)
            return
        for frame in frames:
            # With B-frames, another one comes out than the one that went in.
            own = frame.opaque if isinstance(frame.opaque, Captured) else captured
            self._handle(own, None if frame.is_corrupt else read_only(self._to_bgr(frame, frame)))
