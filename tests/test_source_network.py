"""Streams over a network: MJPEG over HTTP, and RTSP."""

import socket
import time
import traceback

import numpy as np
import pytest

from stream.types import StreamError
from tests.faults.fault import row
from tests.reading import (
    FAST,
    PLAYLISTS,
    SECRET,
    SIZE,
    ReadingThread,
    file_source,
    following,
    opened,
    read_all,
    wait_until,
)
from tests.servers import FileServer, MjpegServer, RtspServer, decode, write_video

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


@row("a camera that stays connected and sends nothing", 0, "no new frame for", "it is opened again")
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


@row(
    "an MJPEG camera sends the same picture again and again",
    0,
    "the same to the last bit",
    "it is used again when it moves",
)
def test_pictures_that_stay_the_same_are_said_and_used_again_when_they_move():
    """A camera whose encoder hangs, or in privacy mode: its server goes on sending the last picture."""
    with MjpegServer() as server, opened(file_source(server.url(), **FAST)) as source:
        reading = ReadingThread(source)
        wait_until(lambda: len(reading.frames) > 3)
        server.repeats = True
        wait_until(lambda: "the same to the last bit" in source.status().note)
        assert source.status().stalled
        count = len(reading.frames)
        server.repeats = False
        wait_until(lambda: len(reading.frames) > count + 3)
        assert (source.status().note, source.status().reconnects, server.connections) == ("", 0, 1)
        numbers = [number for _, _, number, *_ in reading.frames]
        assert all(a != b for a, b in zip(numbers, numbers[1:], strict=False)), "no image twice"
    reading.thread.join(20)


@row("a camera that is switched off and on", 0, "refused", "it is opened again")
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
        with pytest.raises(StreamError, match="no answer in time|did not open in"):
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
        with opened(file_source(server.url(f"user:{SECRET}").replace("rtsp", "RTSP", 1))) as source:
            assert source.read() is not None, "in capitals, too"
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
