"""The contract of every source, then what is particular to each."""

import contextlib
import os
import re
import socket
import threading
import time
import traceback
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from calibration.camera import camera_to_image
from stream.config import SourceConfig, redact
from stream.sources import Source, kind_of, kinds, list_cameras, make_source, parse_source, parse_sources
from stream.sources._clock import EnvelopeClock, MediaClock
from stream.sources._devices import CameraDevice
from stream.sources.camera import CameraSource
from stream.sources.synthetic import SyntheticSource
from stream.types import StreamError
from tests import servers
from tests.servers import FileServer, MjpegServer, RtspServer, coded, decode, write_video

SIZE = (160, 120)
FAST = {"stall_s": 0.6, "retry_s": (0.05, 0.1), "open_s": 5.0}
"""Live sources that give up soon, so that the tests are short."""
SECRET = "s3cr3t"


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


# --- a stand-in for what cannot be had here: a camera ---------------------------------------------------------------

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


# --- one of each kind ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def make_file(folder):
    yield file_source(write_video(folder / "a.mp4", 12))


@contextlib.contextmanager
def make_images(folder):
    for number in range(12):
        cv2.imwrite(str(folder / f"image{number}.png"), coded(number))
    yield file_source(folder)


@contextlib.contextmanager
def make_synthetic(folder):
    yield file_source("synthetic:frames=12", size=SIZE)


@contextlib.contextmanager
def make_network(folder):
    with MjpegServer(fps=60) as server:
        yield file_source(server.url(f"user:{SECRET}"), **FAST)


@contextlib.contextmanager
def make_camera(folder):
    yield camera_source([CaptureDouble()])


@pytest.fixture(params=kinds())
def source(request, tmp_path):
    maker = globals().get(f"make_{request.param}")
    assert maker is not None, f"write make_{request.param}, which makes a source of the new kind"
    with maker(tmp_path) as source:
        yield source
        source.close()
    wait_until(lambda: not any(thread.name == "drain-cam" for thread in threading.enumerate()))


def test_contract_of_frames(source):
    assert isinstance(source, Source)
    info = source.open()
    frames = [following(source) for _ in range(10)]
    assert info.name == source.name == "cam"
    assert info.kind == source.kind and info.kind in kinds()
    assert info.live == source.live
    assert info.clock == ("monotonic" if info.live else "media")
    assert SECRET not in repr((info, getattr(source, "config", None), source.status()))
    assert all("\n" not in message for message in info.messages)
    for frame in frames:
        assert frame.camera == "cam"
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (info.size[1], info.size[0], 3)
        assert frame.image.flags.c_contiguous and not frame.image.flags.writeable
    assert (np.diff([frame.index for frame in frames]) >= 1).all()
    assert (np.diff([frame.t for frame in frames]) > 0).all()
    if info.live:
        assert 0 <= time.monotonic() - frames[-1].t < 20, "the monotonic clock"
    status = source.status()
    assert status.read == 10
    assert status.reconnects == 0 and not status.stalled and status.note == ""


def test_contract_of_close(source):
    source.open()
    source.read()
    source.close()
    source.close()
    assert source.read() is None
    assert source.read() is None
    assert not source.status().stalled


def test_contract_of_misuse(source):
    with pytest.raises(RuntimeError, match="before it was opened"):
        source.read()
    source.open()
    with pytest.raises(RuntimeError, match="opened twice"):
        source.open()


def test_closing_what_was_never_opened(source):
    source.close()


def test_contract_of_the_end(source):
    if source.open().live:
        pytest.skip("a live source does not end")
    frames = read_all(source)
    assert [frame.index for frame in frames] == list(range(12))
    assert source.read() is None
    assert source.status().read == 12 and source.status().dropped == 0
    assert source.status().age_s is None


def test_contract_of_being_closed_while_reading(source):
    source.open()
    reading = ReadingThread(source)
    time.sleep(0.1)
    start = time.monotonic()
    source.close()
    reading.thread.join(20)
    assert not reading.thread.is_alive() and reading.error is None
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "text", ["synthetic:wings=2", "synthetic:yaw=left", "ftp://host/a.mp4", "file:///a.mp4", "9" * 300]
)
def test_what_cannot_be_a_source_is_one_line(text):
    with pytest.raises(StreamError) as caught:
        make_source(SourceConfig(text, "cam")).open()
    assert "\n" not in str(caught.value) and len(str(caught.value)) > 20


# --- NAME=SOURCE -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "source", "kind"),
    [
        ("0", "cam2", "0", "camera"),
        ("left=1", "left", "1", "camera"),
        ("/dev/video3", "cam2", "/dev/video3", "camera"),
        ("top-1_b=/dev/v4l/by-id/usb-x", "top-1_b", "/dev/v4l/by-id/usb-x", "camera"),
        ("a.mp4", "cam2", "a.mp4", "file"),
        ("walk=a.mp4", "walk", "a.mp4", "file"),
        ("9lives=a.mp4", "cam2", "9lives=a.mp4", "file"),
        ("./x=1.mp4", "cam2", "./x=1.mp4", "file"),
        ("C:\\videos\\a.mp4", "cam2", "C:\\videos\\a.mp4", "file"),
        ("http://host/v?user=a&pwd=b", "cam2", "http://host/v?user=a&pwd=b", "network"),
        ("gate=http://host/v?user=a&pwd=b", "gate", "http://host/v?user=a&pwd=b", "network"),
        ("rtsp://u:p=q@host/x", "cam2", "rtsp://u:p=q@host/x", "network"),
        ("synthetic:frames=3,yaw=4", "cam2", "synthetic:frames=3,yaw=4", "synthetic"),
        ("s=synthetic:frames=3", "s", "synthetic:frames=3", "synthetic"),
    ],
)
def test_parse(text, name, source, kind):
    config = parse_source(text, 2)
    assert (config.name, config.source, kind_of(config.source)) == (name, source, kind)


def test_a_file_with_an_equals_sign_that_exists_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_source("a=b.mp4", 0).source == "b.mp4"
    write_video(tmp_path / "a=b.mp4", 3)
    config = parse_source("a=b.mp4", 0)
    assert (config.name, config.source) == ("cam0", "a=b.mp4")
    with opened(make_source(config)) as source:
        assert len(read_all(source)) == 3


def test_a_folder_is_images(tmp_path):
    assert kind_of(str(tmp_path)) == "images"
    assert kind_of("x" * 5000) == "file"


@pytest.mark.parametrize("text", ["", "left=", "  "])
def test_no_source(text):
    with pytest.raises(StreamError, match="no source in it"):
        parse_source(text, 0)


def test_names_by_position():
    assert [config.name for config in parse_sources(["a.mp4", "x=b.mp4", "c.mp4"])] == ["cam0", "x", "cam2"]


@pytest.mark.parametrize("texts", [["x=a.mp4", "x=b.mp4"], ["x=a.mp4", "X=b.mp4"], ["cam1=a.mp4", "b.mp4"]])
def test_one_name_twice_is_refused(texts):
    with pytest.raises(StreamError, match="two cameras are called"):
        parse_sources(texts)


@pytest.mark.parametrize(
    "texts",
    [
        ["a.mp4", "b=./a.mp4"],
        ["0", "x=0"],
        ["0", "/dev/video0"],
        [f"rtsp://u:{SECRET}@h/1", f"b=rtsp://u:{SECRET}@h/1"],
    ],
)
def test_one_source_twice_is_refused(texts):
    with pytest.raises(StreamError, match="given twice") as caught:
        parse_sources(texts)
    assert SECRET not in str(caught.value)


# --- passwords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"rtsp://admin:{SECRET}@10.0.0.1:554/stream",
        f"rtsp://admin:a@{SECRET}@10.0.0.1/stream",
        f"rtsp://admin:a/{SECRET}@10.0.0.1/stream",
        f"rtsp://admin:a?{SECRET}@10.0.0.1/stream",
        f"rtsp://{SECRET}@10.0.0.1/stream",
        f"http://10.0.0.1/video.cgi?user=admin&pwd={SECRET}&channel=1",
        f"http://10.0.0.1/video?Password={SECRET}",
        f"http://10.0.0.1/video?access_token={SECRET}#x",
        f"rtsp://10.0.0.1/user=admin_password={SECRET}_channel=1_stream=0.sdp",
    ],
)
def test_redact(url):
    assert SECRET not in redact(url)
    assert "10.0.0.1" in redact(url)
    assert SECRET not in repr(SourceConfig(url, "cam"))
    assert SECRET not in SourceConfig(url, "cam").shown


@pytest.mark.parametrize("text", ["0", "/dev/video0", "C:\\a.mp4", "a@b.mp4", "http://host/a?channel=1&subtype=0"])
def test_what_has_no_password_is_shown_as_it_is(text):
    assert redact(text) == text


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_no_password_in_an_error_its_traceback_or_on_stderr(scheme, capfd):
    url = f"{scheme}://user:{SECRET}@127.0.0.1:{servers.free_port()}/x?token={SECRET}"
    with pytest.raises(StreamError, match="connection refused") as caught:
        make_source(SourceConfig(url, "cam")).open()
    assert "\n" not in str(caught.value)
    error = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__context__
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert capfd.readouterr() == ("", "")


# --- times (pure) ----------------------------------------------------------------------------------------------------


def test_media_clock_keeps_the_container_times():
    clock = MediaClock(1 / 30)
    times = [5.0, 5.04, 5.08, 5.5, 9.0, 9.01]
    assert [clock.time(t) for t in times] == times


def test_media_clock_fills_in_missing_stamps():
    clock = MediaClock(0.1)
    assert np.allclose([clock.time(t) for t in (None, None, 0.25, None, 0.5)], [0, 0.1, 0.25, 0.4, 0.5])


def test_media_clock_is_strictly_increasing_whatever_comes():
    rng = np.random.default_rng(1)
    clock = MediaClock(1 / 30)
    stamps = [None if rng.random() < 0.2 else float(rng.normal(k / 30, 0.1)) for k in range(500)]
    assert (np.diff([clock.time(t) for t in stamps]) > 0).all()


def test_media_clock_one_bad_stamp_moves_no_other():
    clock = MediaClock(0.1)
    times = [clock.time(t) for t in (0.0, 0.1, 0.1, 0.3, 0.25, 0.5)]
    assert np.allclose([times[0], times[1], times[3], times[5]], [0, 0.1, 0.3, 0.5])
    assert (np.diff(times) > 0).all()


def test_media_clock_goes_on_where_a_joined_file_starts_again():
    clock = MediaClock(0.1)
    assert np.allclose([clock.time(t) for t in (9.9, 10.0, 0.0, 0.1)], [9.9, 10.0, 10.1, 10.2])


class NetworkSimulation:
    """Frames made at 30 fps, sent over a network that delays by at least 20 ms; all times known."""

    def __init__(self, drift=0.0, seed=0):
        self.rng = np.random.default_rng(seed)
        self.drift = drift

    def frames(self, start, stop, pts0=0.0, held_until=0.0, delay=0.02):
        """(true time, pts, arrival) of frames made from start to stop seconds; none arrives before held_until."""
        made = np.arange(start, stop, 1 / 30)
        pts = pts0 + (made - start) * (1 + self.drift)
        arrival = made + delay + self.rng.exponential(0.01, len(made))
        arrival = np.maximum.accumulate(np.maximum(arrival, held_until + 1e-4 * np.arange(len(made))))
        return list(zip(made.tolist(), pts.tolist(), arrival.tolist(), strict=True))


def stamp(clock, frames):
    """(true time, stamped time, settled) of each frame."""
    return [(made, clock.time(pts, arrival), clock.settled) for made, pts, arrival in frames]


@pytest.mark.parametrize("drift", [0.0, 1e-4, -1e-4])
def test_envelope_clock_finds_the_sender_s_clock_under_jitter(drift):
    clock = EnvelopeClock()
    stamped = stamp(clock, NetworkSimulation(drift).frames(100, 160, pts0=7777.0))
    errors = np.array([t - made - 0.02 for made, t, _ in stamped[60:]])
    raw = NetworkSimulation(drift).frames(100, 160)[60:]
    assert np.abs(errors).max() < 0.005
    assert np.abs(errors).mean() < 0.2 * np.mean([arrival - made - 0.02 for made, _, arrival in raw])


def test_envelope_clock_an_opening_burst_is_unsettled_and_spoils_nothing():
    clock = EnvelopeClock()
    stamped = stamp(clock, NetworkSimulation().frames(100, 110, held_until=101.0))
    burst = [settled for made, _, settled in stamped if made < 100.95]
    assert not any(burst) and len(burst) > 25
    after = np.array([t - made - 0.02 for made, t, _ in stamped if made > 102])
    assert np.abs(after).max() < 0.01
    assert all(settled for made, _, settled in stamped if made > 101.3)


def test_envelope_clock_pts_that_starts_again():
    clock, network = EnvelopeClock(), NetworkSimulation()
    first = stamp(clock, network.frames(100, 105, pts0=50.0))
    second = stamp(clock, network.frames(105, 110, pts0=0.0))
    assert (np.diff([t for _, t, _ in first + second]) > 0).all()
    assert np.abs([t - made - 0.02 for made, t, _ in second[30:]]).max() < 0.01


def test_envelope_clock_that_is_set_back_a_little():
    clock, network = EnvelopeClock(), NetworkSimulation()
    stamp(clock, network.frames(100, 105, pts0=50.0))
    second = stamp(clock, network.frames(105, 108, pts0=54.5))
    assert np.abs([t - made - 0.02 for made, t, _ in second[30:]]).max() < 0.01


def test_envelope_clock_pts_that_leaps_ahead():
    clock, network = EnvelopeClock(), NetworkSimulation()
    stamp(clock, network.frames(100, 105, pts0=50.0))
    second = stamp(clock, network.frames(105, 110, pts0=5000.0))
    assert np.abs([t - made - 0.02 for made, t, _ in second[30:]]).max() < 0.01


def test_envelope_clock_after_an_outage_what_was_held_up_is_unsettled():
    clock, network = EnvelopeClock(), NetworkSimulation()
    stamp(clock, network.frames(100, 105))
    held = stamp(clock, network.frames(105, 112, pts0=5.0, held_until=108.0))
    assert not any(settled for made, _, settled in held if made < 106.9)
    assert np.abs([t - made - 0.02 for made, t, _ in held if made > 109]).max() < 0.01


def test_envelope_clock_a_pause_of_the_sender_heals_at_once():
    clock, network = EnvelopeClock(), NetworkSimulation()
    stamp(clock, network.frames(100, 105))
    after = stamp(clock, network.frames(108, 112, pts0=5.0))  # its clock stood still for 3 s
    assert np.abs([t - made - 0.02 for made, t, _ in after[30:]]).max() < 0.01
    assert all(settled for _, _, settled in after[10:])


def test_envelope_clock_without_stamps_is_the_arrival():
    clock = EnvelopeClock()
    assert [clock.time(None, t) for t in (1.0, 1.03, 1.06)] == [1.0, 1.03, 1.06]
    assert clock.settled


def test_envelope_clock_without_stamps_a_fast_camera_is_no_burst_for_ever():
    clock = EnvelopeClock()
    settled = []
    for k in range(1000):
        clock.time(None, 10 + k / 300)
        settled.append(clock.settled)
    assert not settled[300] and settled[-1]


def test_envelope_clock_is_never_ahead_of_the_arrival_and_increases():
    clock, rng = EnvelopeClock(), np.random.default_rng(3)
    last, arrival = -1.0, 10.0
    for _ in range(2000):
        arrival += float(rng.exponential(0.03))
        pts = None if rng.random() < 0.1 else float(arrival * rng.choice([1, 1, 1, 0.5]) + rng.normal(0, 0.5))
        t = clock.time(pts, arrival)
        assert last < t <= arrival + 0.3
        last = t


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov", "ts"])
def test_every_frame_of_a_file_in_order(tmp_path, suffix):
    with opened(file_source(write_video(tmp_path / f"a.{suffix}", 40))) as source:
        frames = read_all(source)
    assert [decode(frame.image) for frame in frames] == list(range(40))
    assert np.allclose(np.diff([frame.t for frame in frames]), 1 / 30, atol=2e-3)
    assert source.status().corrupt == 0 and source.status().note == ""


def test_file_info_and_colours(tmp_path):
    source = file_source(write_video(tmp_path / "a.mp4", 7, fps=25))
    info = source.open()
    assert (info.size, info.fps, info.frames, info.kind, info.clock) == (SIZE, 25.0, 7, "file", "media")
    assert np.abs(following(source).image[5, 5].astype(int) - (200, 120, 60)).max() <= 4, "BGR"
    source.close()


def test_file_times_are_the_container_s(tmp_path):
    pts = [0, 1, 2, 6, 7, 20]
    with opened(file_source(write_video(tmp_path / "a.mkv", 6, pts=pts))) as source:
        frames = read_all(source)
    assert np.allclose([frame.t for frame in frames], np.array(pts) / 30, atol=1.1e-3)  # mkv counts milliseconds


def test_raw_video_without_times_says_so_and_takes_the_given_rate(tmp_path):
    source = file_source(write_video(tmp_path / "a.h264", 10), fps=50.0)
    info = source.open()
    frames = read_all(source)
    source.close()
    assert info.fps == 50 and info.frames is None
    assert "no times" in info.messages[0] and "50" in info.messages[0]
    assert np.allclose([frame.t for frame in frames], np.arange(10) / 50)


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_a_rotated_video_is_turned_upright(tmp_path, rotation):
    path = write_video(tmp_path / "a.mp4", 3, rotation=rotation)
    with opened(file_source(path)) as source:
        image = following(source).image
    capture = cv2.VideoCapture(str(path))  # an independent reader of the same mark
    _, expected = capture.read()
    capture.release()
    assert image.shape == expected.shape
    assert image.shape == ((160, 120, 3) if rotation != 180 else (120, 160, 3))
    assert np.abs(image.astype(int) - expected).mean() < 2
    assert image.flags.c_contiguous


def test_pixels_that_are_not_square_are_said(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        frame = av.VideoFrame.from_ndarray(coded(1), format="bgr24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    source = file_source(path)
    assert "1.333 times as wide" in source.open().messages[0]
    source.close()


def damage(path, start, stop):
    """Random bytes in place of a part (fractions) of an mp4's media."""
    data = bytearray(path.read_bytes())
    first, last = data.find(b"mdat") + 4, data.find(b"moov")
    a, b = (int(first + (last - first) * share) for share in (start, stop))
    data[a:b] = np.random.default_rng(0).integers(0, 256, b - a, np.uint8).tobytes()
    path.write_bytes(data)
    return path


def test_a_damaged_file_goes_on_and_counts_what_was_lost(tmp_path, capfd):
    path = damage(write_video(tmp_path / "a.mp4", 60), 0.45, 0.52)
    with opened(file_source(path)) as source:
        frames = read_all(source)
        status = source.status()
    numbers = [decode(frame.image) for frame in frames]
    assert numbers[:20] == list(range(20)) and numbers[-15:] == list(range(45, 60))
    assert 0 < status.corrupt <= 20 and 60 - status.corrupt <= len(frames) < 60
    assert frames[-1].index == 59, "lost frames leave a gap"
    assert frames[-1].t == pytest.approx(59 / 30, abs=1e-3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("suffix", "options"), [("mp4", {"movflags": "faststart"}), ("mkv", {})])
def test_a_file_that_is_cut_off_gives_what_it_has_and_says_so(tmp_path, suffix, options):
    path = write_video(tmp_path / f"a.{suffix}", 60, options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with opened(file_source(path)) as source:
        frames = read_all(source)
        note = source.status().note
    assert 20 < len(frames) < 60
    assert "cut off" in note and "\n" not in note


def write_audio(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_no_index(path):
    write_video(path, 20)
    path.write_bytes(path.read_bytes()[:-900])


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("missing.mp4", lambda path: None, "no such file"),
        ("x" * 300 + ".mp4", lambda path: None, "cannot be read"),
        ("a.mp4", lambda path: path.touch(), "empty"),
        ("a.mp4", lambda path: path.write_text("this is no video\n" * 200), "not a video"),
        ("a.mp4", lambda path: path.write_bytes(os.urandom(5000)), "not a video"),
        ("a.mp4", write_no_index, "not a video, or damaged"),
        ("a.m4a", write_audio, "no video in it"),
        ("a.mp4", lambda path: damage(write_video(path, 10), 0, 1), "not one image"),
        ("a.fifo", os.mkfifo, "not a file"),
        ("folder", lambda path: path.mkdir(), "no images in this folder"),
        ("a.m3u8", lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n"), "not a"),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, write, says, capfd):
    write(tmp_path / name)
    source = file_source(tmp_path / name)
    with pytest.raises(StreamError, match=says) as caught:
        source.open()
    assert "\n" not in str(caught.value)
    source.close()
    assert capfd.readouterr() == ("", "")


PLAYLISTS = {
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    "a.mp4": "ffconcat version 1.0\nfile '{target}'\n",
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{target}\n",
    "a.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{target}</BaseURL></MPD>',
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_file_cannot_make_another_file_or_an_address_open(tmp_path, name):
    other = write_video(tmp_path / "other.mkv", 5)
    with MjpegServer() as server:
        for target in (f"file:{other}", str(other), "other.mkv", server.url()):
            (tmp_path / name).write_text(PLAYLISTS[name].format(target=target))
            with pytest.raises(StreamError):
                file_source(tmp_path / name).open()
        assert server.connections == 0
    with opened(file_source(other)):
        pass  # it would have opened


def test_a_name_is_never_a_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mkv", 3)
    with pytest.raises(StreamError, match="no such file"):
        file_source("concat:a.mkv|a.mkv").open()
    os.rename("a.mkv", "concat:a.mkv|b%03d.mkv")
    with opened(file_source("concat:a.mkv|b%03d.mkv")) as source:
        assert len(read_all(source)) == 3


def test_a_file_that_changes_its_size_names_both(tmp_path):
    parts = [write_video(tmp_path / f"{size[0]}.h264", 10, size=size).read_bytes() for size in (SIZE, (240, 160))]
    (tmp_path / "both.h264").write_bytes(b"".join(parts))
    with opened(file_source(tmp_path / "both.h264")) as source:
        for number in range(10):
            assert decode(following(source).image) == number
        with pytest.raises(StreamError, match="from 160x120 to 240x160"):
            source.read()
        assert source.read() is None


def test_a_file_in_real_time_keeps_its_times_and_its_pace(tmp_path):
    source = file_source(write_video(tmp_path / "a.mp4", 16, fps=20), realtime=True)
    info = source.open()
    assert info.live and info.clock == "media"
    first = following(source)
    start = time.monotonic()
    frames = [first, *read_all(source)]
    assert time.monotonic() - start >= frames[-1].t - first.t - 0.05
    assert all(frame.t == pytest.approx(frame.index / 20, abs=1e-3) for frame in frames)
    source.close()


def test_a_file_in_real_time_drops_what_a_slow_reader_missed(tmp_path):
    with opened(file_source(write_video(tmp_path / "a.mp4", 60), realtime=True)) as source:
        first = following(source)
        time.sleep(0.3)
        second = following(source)
        assert second.t - first.t > 0.2
        assert source.status().dropped == second.index - first.index - 1 > 3


def test_closing_a_file_in_real_time_wakes_its_reader(tmp_path):
    source = file_source(write_video(tmp_path / "a.mkv", 2, pts=[0, 3000]), realtime=True)
    source.open()
    reading = ReadingThread(source)
    wait_until(lambda: reading.frames)
    source.close()
    reading.thread.join(20)
    assert not reading.thread.is_alive() and len(reading.frames) == 1


def test_memory_does_not_grow_with_the_length_of_a_file(tmp_path):
    psutil = pytest.importorskip("psutil")
    path = write_video(tmp_path / "a.mp4", 300, size=(640, 360))
    with opened(file_source(path)) as source:
        for _ in range(60):
            source.read()
        before = psutil.Process().memory_info().rss
        while source.read() is not None:
            pass
        assert psutil.Process().memory_info().rss - before < 40e6, "240 images kept would be 166 MB"


# --- image folders ---------------------------------------------------------------------------------------------------


def test_images_in_natural_order_at_the_given_rate(tmp_path):
    for number in (0, 1, 2, 10, 11, 100):
        cv2.imwrite(str(tmp_path / f"shot{number}.{'png' if number % 2 else 'bmp'}"), coded(number))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._shot0.png").write_text("what a Mac leaves")
    source = file_source(tmp_path, fps=10.0)
    info = source.open()
    frames = read_all(source)
    source.close()
    assert (info.frames, info.fps, info.size) == (6, 10.0, SIZE)
    assert [decode(frame.image) for frame in frames] == [0, 1, 2, 10, 11, 100]
    assert np.allclose([frame.t for frame in frames], np.arange(6) / 10)


def test_an_image_that_cannot_be_read_is_counted_and_passed_over(tmp_path):
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), coded(number))
    (tmp_path / "2.png").write_text("no image")
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "4.png").write_bytes((tmp_path / "4.png").read_bytes()[:200])
    with opened(file_source(tmp_path)) as source:
        frames = read_all(source)
        status = source.status()
    assert [frame.index for frame in frames] == [decode(frame.image) for frame in frames] == [0, 1, 5]
    assert status.corrupt == 3 and "4.png" in status.note


def test_images_none_of_which_can_be_read(tmp_path):
    (tmp_path / "0.jpg").write_text("no image")
    with pytest.raises(StreamError, match="not one image"):
        file_source(tmp_path).open()


def test_images_of_two_sizes(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), coded(0))
    cv2.imwrite(str(tmp_path / "1.png"), coded(1, (320, 240)))
    with opened(file_source(tmp_path)) as source:
        source.read()
        with pytest.raises(StreamError, match="from 160x120 to 320x240"):
            source.read()


# --- the synthetic figure --------------------------------------------------------------------------------------------


def test_the_synthetic_figure_is_where_it_says():
    source = SyntheticSource(SourceConfig("synthetic:frames=20", "cam"))
    info = source.open()
    assert (info.size, info.frames, info.fps) == ((640, 480), 20, 30.0)
    for frame in read_all(source):
        joints = source.joints(frame.index)
        assert np.allclose(joints, camera_to_image(source.camera, source.pose(frame.index)))
        assert ((joints > 0) & (joints < (640, 480))).all()
        for joint in joints[1:]:
            b, g, r = frame.image[round(joint[1]), round(joint[0])].astype(int)
            assert max(b, g, r) - min(b, g, r) > 40, "painted there, on a grey background"
    source.close()


def test_the_synthetic_figure_is_the_same_every_time_and_moves():
    config = SourceConfig("synthetic:yaw=90", "cam")
    a, b = SyntheticSource(config), SyntheticSource(config)
    assert np.array_equal(a.render(7), b.render(7))
    assert not np.array_equal(a.render(7), a.render(8))
    assert np.linalg.norm(a.pose(20) - a.pose(0), axis=1).max() > 100
    bones = [np.linalg.norm(a.pose(k)[[1, 2, 11, 12]] - a.pose(k)[[2, 3, 12, 13]], axis=1) for k in (0, 9, 50)]
    assert np.allclose(bones[0], bones[1]) and np.allclose(bones[0], bones[2])


# --- local cameras ---------------------------------------------------------------------------------------------------


def test_no_such_camera_lists_those_that_exist():
    with pytest.raises(StreamError, match=r"no camera 5; there are: 0: Webcam \(/dev/video0, serial A1\)"):
        camera_source([], SourceConfig("5", "cam")).open()
    with pytest.raises(StreamError, match="no camera /dev/video7; there is no camera on this machine"):
        camera_source([], SourceConfig("/dev/video7", "cam"), list).open()


def test_this_machine_s_opencv_fails_in_one_line(capfd):
    source = CameraSource(
        SourceConfig("63", "cam"), cameras=lambda: [CameraDevice(63, "/dev/video63", "/dev/video63", None, "ghost")]
    )
    with pytest.raises(StreamError, match="camera 63 does not open.*ghost"):
        source.open()
    with pytest.raises(StreamError, match="no camera 62"):
        make_source(SourceConfig("62", "cam")).open()
    assert capfd.readouterr() == ("", ""), "OpenCV's own warnings"


def test_camera_settings_are_verified_and_both_values_said():
    capture = CaptureDouble(size=(64, 48))
    source = camera_source([capture], SourceConfig("0", "cam", size=(1280, 720), fps=300.0, **FAST))
    info = source.open()
    source.close()
    assert capture.settings[cv2.CAP_PROP_FRAME_WIDTH] == 1280 and capture.settings[cv2.CAP_PROP_FPS] == 300
    assert (info.size, info.device, info.serial) == ((64, 48), "/dev/video0", "A1")
    assert "asked for 1280x720, it gives 64x48" in info.messages[0]
    assert re.search(r"asked for 300 fps, it gives \d+\.\d \(and says 300\)", info.messages[1])
    assert info.fps is not None and 10 < info.fps < 110, "measured"


def test_a_camera_that_opens_but_gives_nothing():
    capture = CaptureDouble()
    capture.plugged.clear()
    with pytest.raises(StreamError, match="gives no image"):
        camera_source([capture]).open()
    assert capture.released


def test_a_camera_that_is_unplugged_comes_back_under_another_index():
    first, second = CaptureDouble(), CaptureDouble()
    present = [replace(WEBCAM, stable="/dev/by-id/webcam")]
    source = camera_source([first, second], cameras=lambda: list(present))
    with opened(source):
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        present.clear()
        first.plugged.clear()
        wait_until(lambda: "no camera" in source.status().note)
        wait_until(lambda: source.status().stalled)
        count = len(reading.frames)
        present.append(replace(WEBCAM, index=4, path="/dev/video4", stable="/dev/by-id/webcam"))
        wait_until(lambda: len(reading.frames) > count + 3)
        status = source.status()
        assert status.reconnects == 1 and not status.stalled and status.note == ""
        assert first.released
    reading.thread.join(20)
    assert second.released
    assert (np.diff([index for index, *_ in reading.frames]) > 0).all()


def test_a_camera_that_hangs_in_its_driver_is_seen_from_outside_and_can_be_closed():
    capture = CaptureDouble()
    source = camera_source([capture])
    source.open()
    reading = ReadingThread(source)
    wait_until(lambda: len(reading.frames) > 3)
    capture.hung.set()
    wait_until(lambda: source.status().stalled)
    assert "no new frame" in source.status().note
    source.close()
    reading.thread.join(20)
    assert not reading.thread.is_alive()
    capture.hung.clear()
    wait_until(lambda: capture.released)


def test_a_camera_that_repeats_its_last_image_is_dead_and_opened_again():
    first, second = CaptureDouble(), CaptureDouble()
    source = camera_source([first, second])
    with opened(source):
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        first.repeats = True
        wait_until(lambda: source.status().reconnects == 1)
        assert first.released
        numbers = [number for _, _, number, *_ in reading.frames]
        assert all(a != b for a, b in zip(numbers, numbers[1:], strict=False)), "no image twice"
    reading.thread.join(20)


def test_a_live_source_gives_a_slow_reader_the_newest_and_nothing_stale():
    capture = CaptureDouble()
    source = camera_source([capture])
    with opened(source):
        source.read()
        time.sleep(0.3)
        frame = following(source)
        assert time.monotonic() - frame.t < 0.25
        assert source.status().dropped > 5
        capture.hung.set()
        time.sleep(1.0)  # what waits is now older than stall_s
        reading = ReadingThread(source)
        time.sleep(0.1)
        assert not reading.frames, "a dead camera must not look alive"
        capture.hung.clear()
        wait_until(lambda: reading.frames)
    reading.thread.join(20)


def test_a_camera_that_comes_back_with_another_size_is_not_handed_out():
    first, second, third = CaptureDouble(), CaptureDouble((320, 240)), CaptureDouble()
    source = camera_source([first, second, third])
    with opened(source):
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        first.plugged.clear()
        wait_until(lambda: source.status().reconnects == 2)
        count = len(reading.frames)
        wait_until(lambda: len(reading.frames) > count)
    reading.thread.join(20)
    assert {shape for *_, shape, _ in reading.frames} == {(120, 160, 3)}


def add_camera(root, number, port, serial, link=True, index=0):
    """A camera as Linux shows it: a node, its place in sysfs and udev's links."""
    usb = root / f"sys/devices/usb1/{port}"
    entry = usb / f"{port}:1.0/video4linux/video{number}"
    entry.mkdir(parents=True)
    (entry / "name").write_text(f"Cam {port}\n")
    (entry / "index").write_text(f"{index}\n")
    (entry / "device").symlink_to(usb / f"{port}:1.0")
    if serial:
        (usb / "serial").write_text(f"{serial}\n")
    (root / "dev").mkdir(exist_ok=True)
    (root / f"dev/video{number}").touch()
    (root / "sys/class/video4linux").mkdir(parents=True, exist_ok=True)
    (root / f"sys/class/video4linux/video{number}").symlink_to(entry)
    for kind, name in (("by-id", f"usb-{serial}"), ("by-path", f"pci-{port}")):
        (root / "dev/v4l" / kind).mkdir(parents=True, exist_ok=True)
        path = root / "dev/v4l" / kind / f"{name}-index{index}"
        if (kind == "by-path" or serial) and link and not path.is_symlink():
            path.symlink_to(root / f"dev/video{number}")


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="only Linux has this tree")
def test_cameras_of_linux(tmp_path):
    assert list_cameras(tmp_path) == []
    add_camera(tmp_path, 10, "1-4", None)
    add_camera(tmp_path, 0, "1-1", "A1")
    add_camera(tmp_path, 1, "1-5", "A1-meta", index=1)  # the node of the metadata
    add_camera(tmp_path, 2, "1-2", "SN1")
    add_camera(tmp_path, 4, "1-3", "SN1")
    found = list_cameras(tmp_path)
    assert [camera.index for camera in found] == [0, 2, 4, 10]
    stable = [camera.stable.removeprefix(str(tmp_path)) for camera in found]
    assert stable[0] == "/dev/v4l/by-id/usb-A1-index0"
    assert stable[1:] == [f"/dev/v4l/by-path/pci-1-{port}-index0" for port in (2, 3, 4)], (
        "a shared serial tells nothing"
    )
    assert [camera.serial for camera in found] == ["A1", "SN1", "SN1", None]
    assert found[0].name == "Cam 1-1"


# --- network: MJPEG over HTTP ----------------------------------------------------------------------------------------


def test_mjpeg_over_http_in_order_and_up_to_date():
    with MjpegServer() as server, opened(file_source(server.url(), **FAST)) as source:
        numbers = []
        for _ in range(20):
            frame = following(source)
            numbers.append(decode(frame.image))
            assert time.monotonic() - frame.t < 10
        assert numbers == sorted(set(numbers))
        assert server.number - numbers[-1] < 30
        assert source.status().fps is not None


def test_what_a_server_had_buffered_is_old_and_not_handed_out():
    with MjpegServer(fps=5) as server, opened(file_source(server.url(), **{**FAST, "stall_s": 5.0})) as source:
        assert following(source).index >= 1, "of the first frame nobody knows when it was made"
        assert source.status().dropped >= 1


def test_a_slow_reader_of_mjpeg_does_not_fall_behind():
    with MjpegServer(fps=60) as server, opened(file_source(server.url(), **FAST)) as source:
        lags = []
        for _ in range(6):
            time.sleep(0.2)
            frame = following(source)
            lags.append(server.number - decode(frame.image))
        assert min(lags) <= 12 and lags[-1] < 36, "6 frames at 5 a second of 60 would be 66 behind"
        assert source.status().dropped > 20


def test_mjpeg_reconnects_after_a_cut(tmp_path):
    with MjpegServer() as server, opened(file_source(server.url(), **FAST)) as source:
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        for count in (1, 2):
            server.drop()
            wait_until(lambda count=count: source.status().reconnects == count)
        seen = len(reading.frames)
        wait_until(lambda: len(reading.frames) > seen + 3)
        assert source.status().note == ""
        source.close()
        reading.thread.join(20)
    assert (np.diff([index for index, *_ in reading.frames]) > 0).all()
    assert (np.diff([t for _, t, *_ in reading.frames]) > 0).all()


def test_a_stalled_stream_is_noticed_by_the_age_of_its_last_frame_and_comes_back():
    config = {**FAST, "stall_s": 1.0}
    with MjpegServer() as server, opened(file_source(server.url(), **config)) as source:
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        assert not source.status().stalled
        server.stalled.set()
        wait_until(lambda: source.status().stalled)
        assert source.status().age_s < 2.5, "noticed soon after stall_s"
        wait_until(lambda: source.status().note != "")
        assert "\n" not in source.status().note
        count = len(reading.frames)
        server.stalled.clear()
        wait_until(lambda: len(reading.frames) > count + 3)
        assert not source.status().stalled
        source.close()
        reading.thread.join(20)


def test_a_server_that_comes_back_on_its_port():
    with MjpegServer() as server:
        port = server.port
        source = file_source(server.url(), **FAST)
        source.open()
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
    wait_until(lambda: "refused" in source.status().note)
    with MjpegServer(port=port):
        count = len(reading.frames)
        wait_until(lambda: len(reading.frames) > count + 3)
        source.close()
        reading.thread.join(20)


def test_a_stream_that_changes_its_size_is_said_and_never_resampled():
    with MjpegServer() as server, opened(file_source(server.url(), **FAST)) as source:
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        server.size = (320, 240)
        wait_until(lambda: "320x240 instead of 160x120" in source.status().note)
        wait_until(lambda: source.status().stalled)
        server.size = SIZE
        count = len(reading.frames)
        wait_until(lambda: len(reading.frames) > count + 3)
        source.close()
        reading.thread.join(20)
    assert {shape for *_, shape, _ in reading.frames} == {(120, 160, 3)}


def test_login():
    with MjpegServer(login=f"user:{SECRET}") as server:
        for login in (None, "user:wrong"):
            with pytest.raises(StreamError, match="password refused"):
                file_source(server.url(login), **FAST).open()
        with opened(file_source(server.url(f"user:{SECRET}"), **FAST)) as source:
            assert source.read() is not None


def test_a_server_that_accepts_and_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = file_source(f"http://127.0.0.1:{listener.getsockname()[1]}/x", open_s=0.5, stall_s=0.5)
        start = time.monotonic()
        with pytest.raises(StreamError, match="no answer in time"):
            source.open()
        assert time.monotonic() - start < 15


def test_a_recording_on_a_web_server_comes_whole(tmp_path):
    write_video(tmp_path / "a.mp4", 40)
    with FileServer(tmp_path) as server:
        source = file_source(server.root + "a.mp4", **FAST)
        info = source.open()
        time.sleep(0.2)
        frames = read_all(source)
        source.close()
    assert (info.live, source.live, info.clock, info.frames) == (False, False, "media", 40)
    assert [decode(frame.image) for frame in frames] == list(range(40))
    assert np.allclose([frame.t for frame in frames], np.arange(40) / 30, atol=1e-3)
    assert source.status().dropped == 0


@pytest.mark.parametrize("name", ["missing.mp4", "a.m3u8", "a.txt"])
def test_addresses_that_are_no_stream(tmp_path, name):
    other = write_video(tmp_path / "other.ts", 5)
    (tmp_path / "a.m3u8").write_text(PLAYLISTS["a.m3u8"].format(target=f"file:{other}"))
    (tmp_path / "a.txt").write_text("hello\n" * 100)
    with FileServer(tmp_path) as server, pytest.raises(StreamError) as caught:
        file_source(server.root + name, **FAST).open()
    assert "\n" not in str(caught.value)


# --- network: RTSP ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rtsp_python():
    python, why = servers.system_python_with_gstreamer()
    if python is None:
        pytest.skip(why)
    return python


def test_rtsp_frames_are_fresh_and_evenly_stamped(rtsp_python):
    with RtspServer(rtsp_python) as server, opened(file_source(server.url(), stall_s=10.0)) as source:
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 45)
        source.close()
        reading.thread.join(20)
    times = np.array([t for _, t, *_ in reading.frames])
    steps = np.diff(times) / np.diff([index for index, *_ in reading.frames])
    assert (np.diff(times) > 0).all()
    assert np.median(steps) == pytest.approx(1 / 30, abs=2e-3), "PTS, not arrival"
    assert {shape for *_, shape, _ in reading.frames} == {(240, 320, 3)}
    assert min(seen - t for _, t, _, _, seen in reading.frames) < 1.0


def test_rtsp_login(rtsp_python, capfd):
    with RtspServer(rtsp_python, login=f"user:{SECRET}") as server:
        with pytest.raises(StreamError, match="password refused") as caught:
            file_source(server.url("user:wrong" + SECRET)).open()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        with opened(file_source(server.url(f"user:{SECRET}"))) as source:
            assert source.read() is not None
    assert capfd.readouterr() == ("", "")


def test_rtsp_that_freezes_and_thaws(rtsp_python):
    config = {**FAST, "stall_s": 1.0, "open_s": 2.0}
    with RtspServer(rtsp_python) as server, opened(file_source(server.url(), **config)) as source:
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 10)
        server.freeze()
        wait_until(lambda: source.status().stalled)
        time.sleep(0.5)
        server.thaw()
        count = len(reading.frames)
        wait_until(lambda: len(reading.frames) > count + 10)
        wait_until(lambda: not source.status().stalled)
        source.close()
        reading.thread.join(20)
    assert (np.diff([t for _, t, *_ in reading.frames]) > 0).all()


def test_rtsp_that_is_killed_and_started_again(rtsp_python):
    with RtspServer(rtsp_python) as server:
        port = server.port
        source = file_source(server.url(), **{**FAST, "stall_s": 2.0})
        source.open()
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 5)
    wait_until(lambda: source.status().note != "")
    with RtspServer(rtsp_python, port):
        count = len(reading.frames)
        wait_until(lambda: len(reading.frames) > count + 5)
        assert source.status().reconnects >= 1
        source.close()
        reading.thread.join(20)
    assert (np.diff([t for _, t, *_ in reading.frames]) > 0).all(), "PTS began again, the times did not"
