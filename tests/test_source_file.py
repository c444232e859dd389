"""Video files: every frame, its time, and what is wrong with a file."""

import os
import re
import time
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from stream.types import StreamError
from tests import grid
from tests.reading import PLAYLISTS, SIZE, ReadingThread, file_source, following, opened, read_all, wait_until
from tests.servers import MjpegServer, coded, decode, write_video


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


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("mp4", {}), ("mp4", {"movflags": "faststart"}), ("mov", {}), ("flv", {}), ("asf", {}), ("ivf", {})],
)
def test_a_file_joined_behind_another_is_not_read_and_said(tmp_path, suffix, options):
    codec = {"asf": "mpeg4", "ivf": "libvpx"}.get(suffix, "libx264")
    path = write_video(tmp_path / f"a.{suffix}", 20, options=options, codec=codec)
    one = path.read_bytes()
    path.write_bytes(one + one)
    with opened(file_source(path)) as source:
        assert len(read_all(source)) == 20
        note = source.status().note
    assert f"behind them another file begins ({len(one)} bytes), which is not read" in note


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


@pytest.mark.parametrize(
    ("suffix", "options", "behind"),
    [("mp4", FRAGMENTS, FRAGMENTS), ("mp4", FRAGMENTS, {}), ("nut", {}, {}), ("mp4", {}, FRAGMENTS)],
)
def test_joined_files_that_ffmpeg_would_mix_up_end_with_the_first(tmp_path, suffix, options, behind):
    path = write_video(tmp_path / f"a.{suffix}", 30, options=options)
    two = write_video(tmp_path / f"b.{suffix}", 40, options=behind).read_bytes()
    path.write_bytes(path.read_bytes() + two)
    with opened(file_source(path)) as source:
        assert [decode(frame.image) for frame in read_all(source)] == list(range(30))
        assert f"behind them another file begins ({len(two)} bytes)" in source.status().note


def test_fragments_that_all_have_a_header_are_one_recording(tmp_path):
    """As some recorders write them, one piece after the other."""
    options = {"movflags": FRAGMENTS["movflags"] + "+default_base_moof"}
    data = write_video(tmp_path / "a.mp4", 30, options=options).read_bytes()
    header, pieces = data[: data.index(b"moof") - 4], data.split(b"moof")[1:]
    lengths = [len(piece) + 4 for piece in pieces[:-1]] + [len(pieces[-1]) + 8]
    begin = [len(header) + sum(lengths[:k]) for k in range(len(pieces))]
    joined = b"".join(header + data[at : at + long] for at, long in zip(begin, lengths, strict=True))
    (tmp_path / "all.mp4").write_bytes(joined)
    with opened(file_source(tmp_path / "all.mp4")) as source:
        assert [decode(frame.image) for frame in read_all(source)] == list(range(30))
        assert source.status().note == ""


CUT = {
    "ogv": ("libvpx", {}), "nut": ("libx264", {}), "asf": ("mpeg4", {}), "wmv": ("wmv2", {}), "mpg": ("mpeg2video", {}),
    "vob": ("mpeg2video", {}), "ts": ("libx264", {}), "m2ts": ("libx264", {}), "flv": ("libx264", {}),
    "ivf": ("libvpx", {}), "mjpeg": ("mjpeg", {}), "mkv": ("libx264", {}), "live.mkv": ("libx264", {"live": "1"}),
}  # fmt: skip


@pytest.mark.parametrize("suffix", CUT)
def test_a_file_of_any_kind_that_is_cut_off_is_named_and_a_whole_one_is_not(tmp_path, suffix):
    codec, options = CUT[suffix]
    path = write_video(tmp_path / f"a.{suffix}", 30, codec=codec, options=options)
    with opened(file_source(path)) as source:
        assert len(read_all(source)) == 30 and source.status().note == ""
    data = path.read_bytes()
    for lost in (1, len(data) // 3 | 1):
        path.write_bytes(data[:-lost])
        with opened(file_source(path)) as source:
            frames = len(read_all(source))
            note = source.status().note
        assert f"after {frames} frames: it" in note and note.endswith("; is the file cut off?")


@pytest.mark.parametrize(("suffix", "options"), [("mp4", {"movflags": "faststart"}), ("mkv", {})])
def test_a_file_that_is_cut_off_gives_what_it_has_and_says_so(tmp_path, suffix, options):
    path = write_video(tmp_path / f"a.{suffix}", 60, options=options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with opened(file_source(path)) as source:
        frames = read_all(source)
        note = source.status().note
    assert 20 < len(frames) < 60
    assert "cut off" in note and "\n" not in note


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi"])
@pytest.mark.parametrize("lost", [1, 0.02, 0.3])
def test_the_last_byte_that_is_missing_is_missed(tmp_path, suffix, lost):
    codec = "libvpx" if suffix == "webm" else "mjpeg" if suffix == "avi" else "libx264"
    options = {"movflags": "faststart"} if suffix in ("mp4", "mov") else {}
    path = write_video(tmp_path / f"a.{suffix}", 30, codec=codec, options=options)
    data = path.read_bytes()
    missing = lost if lost == 1 else round(lost * len(data))
    path.write_bytes(data[:-missing])
    with opened(file_source(path)) as source:
        frames = read_all(source)
        note = source.status().note
    assert f"after {len(frames)} frames: its last {missing} bytes are missing; is the file cut off?" in note


def test_a_whole_file_of_uneven_times_is_not_called_cut_off(tmp_path):
    """As --record-video leaves it of a network camera that gives half the frames it announces."""
    slow = [2 * number for number in range(100)]
    for name, pts in (("a.mkv", slow), ("a.mp4", slow), ("a.avi", slow), ("b.mkv", [*slow[:50], 900, 3000])):
        with opened(file_source(write_video(tmp_path / name, len(pts), codec="mpeg4", pts=pts))) as source:
            frames = read_all(source)
            assert (len(frames), source.status().note) == (len(pts), ""), name
        assert np.allclose([frame.t for frame in frames], np.array(pts) / 30, atol=1.1e-3)


def test_a_video_shorter_than_its_sound_is_not_called_cut_off(tmp_path):
    for suffix in ("mp4", "mkv", "avi", "ts"):
        path = grid.write(tmp_path / f"a.{suffix}", grid.Case(suffix, "h264", ("audio", "video")), sound=3.0)
        with opened(file_source(path)) as source:
            assert (len(read_all(source)), source.status().note) == (grid.COUNT, "")


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
        ("a.mp4", write_no_index, "its index (moov) is missing: the recording was cut off before it was finished"),
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
    with pytest.raises(StreamError, match=re.escape(says)) as caught:
        source.open()
    assert "\n" not in str(caught.value)
    source.close()
    assert capfd.readouterr() == ("", "")


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
