"""A capture that is told when: every take is whole, and what is between two of them is in neither."""

import time

import pytest

from stream.config import CaptureConfig
from stream.control import Control
from stream.live.directed_capture import DirectedCapture
from stream.recordings.captured import held
from stream.recordings.replay import read_clocks, read_events, read_frames
from stream.recordings.takes import open_take
from stream.types import ClockReading, Event, StreamError
from tests.captures import coded_frames, info_of
from tests.servers import decode


class Capture(DirectedCapture):
    """One whose camera is a list of frames."""

    def __init__(self, folder, codec, free=lambda _: 1 << 40):
        super().__init__(CaptureConfig(folder / "takes", directed=True), ("left",), "none", free=free)
        self._run_info = info_of(("left",))
        self.frames = coded_frames(folder, count=60, codec=codec)
        self.tap, self.at = self._tap_of("left"), 0

    def see(self, count):
        """The next frames come, now."""
        for _ in range(count):
            now = time.monotonic()
            self.tap(self.frames[self.at]._replace(t=now, arrival=now, device_t=None))
            self.at += 1


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
def test_each_take_has_every_frame_from_its_start_to_its_end(tmp_path, codec):
    run = Capture(tmp_path, codec)
    run.see(13)
    assert run.recording() == (False, None) and run.line() == "not capturing"
    run.record(True)
    first = run.take
    assert run.recording() == (True, first)
    run.record(True)
    assert run.take == first, "it goes on"
    run.see(10)
    run.event("key", "in the first")
    run.keep(ClockReading(time.monotonic(), "a", "b", 1.0, 0.1))
    run.record(False)
    run.event("key", "between")
    run.see(4)
    run.record()
    run.see(9)
    run.close()
    assert not run.problem and len(run.summary()) == 4
    takes = [open_take(first), open_take(run.take)]
    for take, numbers in zip(takes, (range(13, 23), range(27, 36)), strict=True):
        # Of H.264 also those before are stored that the first one needs.
        assert [decode(frame.image) for frame in read_frames(take, "left")] == list(numbers)
        assert held(take)["left"].ended and "queue" not in held(take)["left"].lost
    texts = [[event.text for event in read_events(take) if event.source == "key"] for take in takes]
    assert texts == [["in the first"], []]
    assert [len(list(read_clocks(take))) for take in takes] == [1, 0]


def test_a_disk_that_is_nearly_full_ends_the_take_and_not_the_run(tmp_path):
    free = [1 << 40]
    run = Capture(tmp_path, "mjpeg", lambda _: free[0])
    run.record(True)
    run.see(5)
    free[0] = 1 << 20
    run.start(Control())
    end = time.monotonic() + 30
    while run.recording()[0]:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not run._control.stopping and "nearly full" in run.problem
    with pytest.raises(StreamError, match="no room for a minute"):
        run.record(True)
    run.close()
    assert len(list((tmp_path / "takes").iterdir())) == 1
    assert [event.text for event in read_events(open_take(run.take)) if isinstance(event, Event)] == ["start", "end"]
