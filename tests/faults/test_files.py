"""Video files with odd times, or that do not fit each other. A row a fault; the good ones are in ``tests/grid.py``."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet

from stream.live.files import FileMatcher
from stream.types import Frame
from tests import grid, matroska
from tests.faults.fault import Fault, row
from tests.reading import file_source, opened, read_all
from tests.remux import copied, moved
from tests.servers import coded, decode, write_video

COUNT = 60


def b_frames(folder: Path, suffix: str = "mp4") -> Path:
    return grid.write(folder / f"b.{suffix}", grid.Case(suffix, "h264-b"))


def again(folder: Path, change: Callable[[int, int], int], codec: str = "h264-b") -> Path:
    """A Matroska file whose block times, in milliseconds, are of (number in order of decoding, right time)."""
    source = grid.write(folder / "s.mp4", grid.Case("mp4", codec))
    extra, found = matroska.packets(source)
    blocks = [(change(number, ms), data) for number, (ms, data) in enumerate(found)]
    return matroska.write(folder / "again.mkv", "V_MPEG4/ISO/AVC", extra, blocks)


def packed(folder: Path) -> Path:
    """MPEG-4 in AVI as DivX and XviD wrote it: a B-frame shares the packet of the frame that it refers to."""
    source = folder / "s.avi"
    with av.open(str(source), "w") as container:
        track = container.add_stream("mpeg4", rate=30, options={"g": "15", "qscale": "3", "bf": "1"})
        track.width, track.height, track.pix_fmt = *grid.SIZE, "yuv420p"
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(coded(number), format="bgr24")
            frame.pts = number
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    start, kept = b"\0\0\1\xb6", list[bytes]()
    for _, data in matroska.packets(source)[1]:
        if data[data.find(start) + 4] >> 6 == 2:
            kept[-1] += data
            kept.append(start + b"\x50\x00\x7f")  # an image that is not coded: shown again
        else:
            kept.append(data)
    kept[0] = kept[0].replace(start, b"\0\0\1\xb2DivX503b1393p" + start, 1)
    with av.open(str(source)) as read, av.open(str(folder / "packed.avi"), "w") as write:
        target = write.add_stream_from_template(read.streams.video[0])
        for number, data in enumerate(kept):
            packet = Packet(data)
            packet.pts = packet.dts = number
            packet.stream, packet.time_base, packet.is_keyframe = target, Fraction(1, 30), number % 15 == 0
            write.mux(packet)
    return folder / "packed.avi"


def uneven(folder: Path, suffix: str, pts: list[int]) -> Path:
    return write_video(folder / f"a.{suffix}", len(pts), codec="mpeg4", pts=pts)


EVEN = list(range(COUNT))
SLOW = [2 * number for number in EVEN]
WHOLE = [
    Fault("B-frames in AVI", lambda d: (b_frames(d, "avi"), EVEN), 0, "", "60 frames, even steps"),
    Fault("packed B-frames", lambda d: (packed(d), EVEN), 0, "", "60 frames, even steps"),
    Fault("B-frames in Matroska made from AVI",
          lambda d: (matroska.of_avi(d / "a.mkv", b_frames(d, "avi"), b"H264"), EVEN), 0, "", "60 frames, even steps"),
    Fault("MPEG-4 with B-frames in Matroska made from AVI",
          lambda d: (matroska.of_avi(d / "a.mkv", grid.write(d / "b.avi", grid.Case("avi", "mpeg4-b")), b"XVID"), EVEN),
          0, "", "60 frames, even steps"),
    Fault("times of decoding where those of presentation belong",
          lambda d: (again(d, lambda n, ms: round(n * 1000 / 30)), EVEN), 0, "", "60 frames, even steps"),
    Fault("leading frames that have no time",
          lambda d: (again(d, lambda n, ms: ms - 500), EVEN), 0, "", "60 frames, even steps"),
    Fault("leading frames that all have one time",
          lambda d: (again(d, lambda n, ms: ms if ms > 400 else 0), EVEN), 0, "", "60 frames, even steps"),
    Fault("times that start again after half a second",
          lambda d: (again(d, lambda n, ms: ms - 500 * (n >= 15), "h264"), EVEN), 0, "", "60 frames, even steps"),
    Fault("times that start again every half second",
          lambda d: (again(d, lambda n, ms: ms - 500 * (n // 15), "h264"), EVEN), 0, "", "60 frames, even steps"),
    Fault("half the frames that the rate promises", lambda d: (uneven(d, "mkv", SLOW), SLOW), 0, "", "their own times"),
    Fault("empty places in AVI", lambda d: (uneven(d, "avi", SLOW), SLOW), 0, "", "their own times"),
    Fault("an hour without a frame", lambda d: (uneven(d, "mkv", [0, 1, 108_000]), [0, 1, 108_000]), 0, "",
          "their own times"),
    Fault("times of day in Matroska", lambda d: (copied(d / "a.mkv", b_frames(d), moved(1.7e9)), EVEN), 0, "",
          "steps to a millisecond"),
    Fault("times of day in MP4", lambda d: (copied(d / "a.mp4", b_frames(d), moved(1.7e9)), EVEN), 0, "",
          "steps to a millisecond"),
    Fault("a late start", lambda d: (copied(d / "a.mp4", b_frames(d), moved(100.0)), EVEN), 0, "", "60 frames"),
    Fault("times below zero", lambda d: (copied(d / "a.mkv", b_frames(d), moved(-1.0)), EVEN), 0, "", "60 frames"),
    Fault("a beginning cut away by an edit list",
          lambda d: (copied(d / "a.mp4", grid.write(d / "s.mp4", grid.Case("mp4", "h264")), moved(-0.7)), EVEN[21:]),
          0, "", "what the list leaves, from its first frame on"),
]  # fmt: skip


@pytest.mark.parametrize("fault", WHOLE, ids=str)
@row("a video with {fault}")
def test_a_good_file_with_odd_times_gives_every_frame_and_no_remark(fault: Fault, tmp_path: Path) -> None:
    path, places = fault.inject(tmp_path)
    with opened(file_source(path)) as source:
        frames, status = read_all(source), source.status()
    first = places[0]  # the number of the first frame that there is
    assert [decode(frame.image) for frame in frames] == list(range(first, first + len(places)))
    assert (status.corrupt, status.note) == (0, fault.words)
    steps = np.diff([frame.t for frame in frames])
    assert np.allclose(steps, np.diff(places) / 30, atol=1.1e-3), "Matroska counts milliseconds"


AMID = [grid.Case("mkv", codec) for codec in ("h264", "h264-b", "mpeg4", "mpeg4-b", "vp9")] + [
    grid.Case("mp4", "mpeg4-b"), grid.Case("avi", "mpeg4"), grid.Case("ts", "mpeg2-b"), grid.Case("ts", "h264-b")
]  # fmt: skip


@pytest.mark.parametrize("case", AMID, ids=str)
@row("a video that begins amid a group of pictures", 0, "10 corrupt", "the frames from the next keyframe on")
def test_a_file_that_begins_amid_a_group_of_pictures_counts_what_is_lost(case: grid.Case, tmp_path: Path) -> None:
    options = {"g": "15"} if case.codec.startswith("vp") else {}
    whole = tmp_path / f"whole.{case.container}"
    encoder, pixels, own = grid.VIDEO[case.codec]
    with av.open(str(whole), "w") as out:
        track = out.add_stream(encoder, rate=30, options={**own, **options})
        track.width, track.height, track.pix_fmt = *grid.SIZE, pixels
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(coded(number), format="bgr24")
            frame.pts = number
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    path = copied(tmp_path / f"a.{case.container}", whole, lambda packet, number: number >= 5)
    with opened(file_source(path)) as source:
        frames, status = read_all(source), source.status()
    assert [decode(frame.image) for frame in frames] == list(range(15, COUNT))
    # Of B-frames some belong to the images that were cut away, and are no frames of this file; AVI counts their places.
    assert 5 <= status.corrupt <= 10 and status.note == ""
    assert [frame.index for frame in frames] == list(range(status.corrupt, status.corrupt + len(frames)))


def timed(name: str, fps: float, start: float, count: int) -> list[Frame]:
    return [Frame(name, k, start + k / fps, np.zeros((2, 2, 3), np.uint8)) for k in range(count)]


MATCHED = [
    Fault("a slow, short file first",
          lambda: ([timed("a", 10, 0, 10), timed("b", 60, 0, 100)], 100), 0, "", "100 sets"),
    Fault("a slow, short file last",
          lambda: ([timed("b", 60, 0, 100), timed("a", 10, 0, 10)], 100), 0, "", "100 sets"),
    Fault("two short files before a long one",
          lambda: ([timed("a", 30, 0, 30), timed("b", 30, 0, 30), timed("c", 30, 0, 100)], 100), 0, "", "100 sets"),
    Fault("a file that begins before all others",
          lambda: ([timed("a", 30, 2, 30), timed("b", 30, 0, 90)], 90), 0, "", "90 sets"),
    Fault("files one after the other, and a bridge",
          lambda: ([timed("a", 30, 0, 30), timed("b", 30, 2, 30), timed("c", 10, 0, 31)], 69), 0, "", "69 sets"),
]  # fmt: skip


@pytest.mark.parametrize("fault", MATCHED, ids=str)
@row("several files: {fault}")
def test_files_that_differ_lose_nothing(fault: Fault) -> None:
    files, count = fault.inject()
    cells = [iter(items) for items in files]
    readers = [lambda cell=cell: next(cell, None) for cell in cells]
    matcher = FileMatcher(readers, [1 / (items[1].t - items[0].t) for items in files])
    frame_sets = list(matcher)
    assert len(frame_sets) == count and matcher.unused == (0,) * len(files)
    for k, items in enumerate(files):
        assert {m.frames[k].index for m in frame_sets if m.frames[k]} == {frame.index for frame in items}


@row("a video all of whose frames have one time", 0, "have no times of their own", "60 frames, even steps")
def test_a_file_without_times_in_a_container_that_has_them_says_so(tmp_path: Path) -> None:
    with opened(file_source(again(tmp_path, lambda n, ms: 0))) as source:
        frames, note = read_all(source), source.status().note
    assert [decode(frame.image) for frame in frames] == EVEN
    assert np.allclose(np.diff([frame.t for frame in frames]), 1 / 30, atol=1e-3)
    assert "its last 59 frames have no times of their own; taken as 30 " in note
