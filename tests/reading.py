"""Reading sources in tests, and a camera that is none."""

import contextlib
import threading
import time

from stream.config import SourceConfig
from stream.sources import make_source
from stream.sources._devices import CameraDevice
from stream.sources.camera import CameraSource
from stream.types import StreamError
from tests.servers import coded, decode

SIZE = (160, 120)
FAST = {"stall_s": 0.6, "retry_s": (0.05, 0.1), "open_s": 5.0}
"""Live sources that give up soon, so that the tests are short."""
SECRET = "s3cr3t"
PLAYLISTS = {
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    "a.mp4": "ffconcat version 1.0\nfile '{target}'\n",
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{target}\n",
    "a.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{target}</BaseURL></MPD>',
}


def wait_until(condition, timeout=30.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def following(source):
    """The next frame, when there must be one."""
    frame = source.read()
    assert frame is not None
    return frame


def read_all(source):
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    return frames


@contextlib.contextmanager
def opened(source):
    source.open()
    try:
        yield source
    finally:
        source.close()


def file_source(path, **settings):
    return make_source(SourceConfig(str(path), "cam", **settings))


class ReadingThread:
    """Reads as a pipeline does, and keeps the numbers of what came."""

    def __init__(self, source):
        self.frames = []
        self.error = None
        self._source = source
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while (frame := self._source.read()) is not None:
                self.frames.append((frame.index, frame.t, decode(frame.image), frame.image.shape, time.monotonic()))
        except StreamError as error:
            self.error = error


WEBCAM = CameraDevice(0, "/dev/video0", "/dev/video0", "A1", "Webcam")


class CaptureDouble:
    """cv2.VideoCapture of a camera that gives 100 coded images a second, and can be made to fail."""

    def __init__(self, size=SIZE, opens=True):
        self.size = size
        self.opens = opens
        self.settings = {}
        self.plugged = threading.Event()
        self.plugged.set()
        self.hung = threading.Event()
        self.repeats = False
        self.released = False
        self.number = 0

    def isOpened(self):  # noqa: N802
        return self.opens

    def grab(self):
        while self.hung.is_set():
            time.sleep(0.01)
        time.sleep(0.01)
        self.number += not self.repeats
        return self.plugged.is_set()

    def retrieve(self):
        return True, coded(self.number % 1024, self.size)

    def get(self, propId, /):  # noqa: N803
        return self.settings.get(propId, 30.0)

    def set(self, propId, value, /):  # noqa: N803
        self.settings[propId] = value
        return True

    def release(self):
        self.released = True


def camera_source(captures, config=None, cameras=lambda: [WEBCAM]):
    remaining = iter(captures)
    return CameraSource(config or SourceConfig("0", "cam", **FAST), lambda target: next(remaining), cameras)
