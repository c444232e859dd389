"""Live MJPEG: an image is decoded when it is used, and a damaged one is absent."""

import threading

import av
import numpy as np

from stream.config import SourceConfig
from stream.packed import Packed, UnseenFrame
from stream.sources import LazySource, make_source
from stream.sources._unpack import Unpacker
from tests.captures import coded_frames
from tests.reading import FAST, file_source, opened, wait_until
from tests.servers import MjpegServer, decode


def test_what_is_overtaken_is_not_decoded(monkeypatch):
    looked = []
    image = Unpacker._image
    monkeypatch.setattr(Unpacker, "_image", lambda self, packed: looked.append(1) or image(self, packed))
    with MjpegServer(fps=60) as server, opened(file_source(server.url(), **FAST)) as source:
        frames = [source.read_unseen() for _ in range(5)]
        assert all(isinstance(frame, UnseenFrame) and frame.image.size == 0 for frame in frames) and not looked
        seen = frames[2].seen()
        assert seen is not None and looked == [1] and not seen.image.flags.writeable
        assert (seen.index, seen.t) == (frames[2].index, frames[2].t)
        assert frames[2].seen() is seen and looked == [1], "a slow camera's frame is in several frame sets"
        assert decode(seen.image) == decode(frames[0].seen().image) + frames[2].index - frames[0].index, "in any order"


def test_a_turned_source_is_decoded_when_it_is_used():
    with MjpegServer() as server:
        source = make_source(SourceConfig(server.url(), "cam", rotate=90, **FAST))
        with opened(source):
            assert isinstance(source, LazySource)
            frame = source.read_unseen()
            assert isinstance(frame, UnseenFrame) and frame.seen().image.shape == (160, 120, 3)
            assert source.read().image.shape == (160, 120, 3)


def test_a_damaged_image_is_counted_when_it_is_used(tmp_path):
    frame = coded_frames(tmp_path, count=1)[0]
    whole = Unpacker()
    expected = whole.image(frame.content)
    with av.open(str(tmp_path / "left-mjpeg.mkv")) as container:
        np.testing.assert_array_equal(expected, next(container.decode(video=0)).to_ndarray(format="bgr24"))
    assert isinstance(frame.content, Packed)
    broken = Packed(bytes(frame.content.data)[:300], True, frame.content.coding)
    assert whole.image(broken) is None and whole.image(frame.content) is not None
    threads = [threading.Thread(target=whole.image, args=(frame.content,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads))
