"""The same recording in other containers: its remarks, its rate, where it begins, and that it fuses with the others."""

import logging
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stream.app.build import open_sources
from stream.config import CameraSetupConfig, Config, SourceConfig
from stream.live.files import FileMatcher
from stream.live.starts import common_starts
from stream.sources import SourceInfo, Start
from stream.types import FrameSet
from tests import grid
from tests.reading import file_source, opened, read_all
from tests.remux import FRAGMENTS, copied, moved
from tests.servers import decode, write_video

B_FRAMES = grid.Case("mp4", "h264-b")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grid.write(tmp_path_factory.mktemp("source") / "s.mp4", B_FRAMES)


@pytest.fixture
def late_ts(tmp_path: Path, source: Path) -> Path:
    """As FFmpeg's command line writes it: its clock begins at 1.4 s."""
    return copied(tmp_path / "late.ts", source, moved(1.4))


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "flv"])
@pytest.mark.parametrize("cut", ["whole", "trimmed", "fragments", "time of day", "a day and more"])
def test_a_good_file_gets_no_remark_and_about_as_many_frames_as_it_says(suffix, cut, tmp_path, source):
    if cut == "fragments" and suffix not in ("mp4", "mov"):
        pytest.skip("only MP4 and MOV come in fragments")
    path = tmp_path / f"a.{suffix}"
    change = {"trimmed": moved(-0.7, first=15), "time of day": moved(1.7e9), "a day and more": moved(1e5)}.get(cut)
    copied(path, source, change or moved(0.0), FRAGMENTS if cut == "fragments" else None)
    reader = file_source(path)
    info = reader.open()
    frames, note = read_all(reader), reader.status().note
    assert (info.messages, note, reader.status().corrupt) == ((), "", 0)
    assert info.fps == pytest.approx(30)
    assert info.frames is None or abs(info.frames - len(frames)) <= 2
    assert np.allclose(np.diff([frame.t for frame in frames]), 1 / 30, atol=1.1e-3)


@pytest.mark.parametrize("rate", [2000, Fraction(1, 20), 240, Fraction(30000, 1001)])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "ts"])
def test_the_rate_is_the_file_s_however_high_or_low(suffix, rate, tmp_path):
    with opened(file_source(write_video(tmp_path / f"a.{suffix}", 12, fps=rate))) as reader:
        info = reader._info
        frames = read_all(reader)
    assert info.fps == pytest.approx(float(rate), rel=1e-3) and info.messages == ()
    assert np.allclose(np.diff([frame.t for frame in frames]), 1 / float(rate), rtol=0.03)


def frame_sets(paths: list[Path], *offsets: str) -> list[FrameSet]:
    config = Config(
        tuple(SourceConfig(str(path), f"cam{k}") for k, path in enumerate(paths)),
        setup=CameraSetupConfig(sync_offset=offsets),
    )
    with ExitStack() as stack:
        opened = open_sources(config, stack)
        readers = [lambda o=o: next(iter_frames(o), None) for o in opened]

        def iter_frames(o):
            frame = o.source.read()
            if frame is not None:
                yield type(frame)(frame.camera, frame.index, frame.t + o.offset_s, frame.image)

        return list(FileMatcher(readers, [o.info.fps for o in opened]))


def numbers(sets: list[FrameSet]) -> list[set[int]]:
    return [{decode(frame.image) for frame in one.frames if frame is not None} for one in sets]


@pytest.mark.parametrize("other", ["late.ts", "fragments.mp4", "a.flv", "a.nut", "a.f4v"])
def test_one_file_in_another_container_fuses_as_before(other, tmp_path, source, late_ts, caplog):
    path = late_ts
    if other != "late.ts":
        path = copied(tmp_path / other, source, options=FRAGMENTS if other.endswith("mp4") else None)
    caplog.set_level(logging.INFO)
    sets = frame_sets([source, source.with_suffix(".mp4"), path])
    assert numbers(sets) == [{number} for number in range(grid.COUNT)]
    assert all(None not in one.frames for one in sets)
    (said,) = [r.getMessage() for r in caplog.records if "habit" in r.getMessage()]
    assert said.startswith("cam2: its times begin at ") and "--sync-offset cam2=0 keeps it" in said
    caplog.clear()
    kept = frame_sets([source, path], "cam1=0")
    assert len(kept) > grid.COUNT and "habit" not in caplog.text


def info(name: str, habit: float, container: str = "mpegts", t: float | None = None) -> SourceInfo:
    start = Start(habit if t is None else t, habit, container)
    return SourceInfo(name, "file", name, (4, 4), 30.0, 9, False, "media", start=start)


@pytest.mark.parametrize("codec", ["h264-b", "mpeg4-b", "mpeg2-b"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_of_decoding_in_place_of_those_of_presentation(codec, suffix, tmp_path):
    """As an AVI is that was put into another container without encoding it anew."""
    made = grid.write(tmp_path / f"s.{suffix}", grid.Case(suffix, codec))

    def as_decoded(packet, number):
        packet.pts = packet.dts = round(number / 30 / packet.time_base)
        return True

    with opened(file_source(copied(tmp_path / f"a.{suffix}", made, as_decoded))) as reader:
        frames = read_all(reader)
    assert [decode(frame.image) for frame in frames] == list(range(grid.COUNT))
    assert np.allclose(np.diff([frame.t for frame in frames]), 1 / 30, atol=1.1e-3)


def test_files_that_are_read_at_once_and_again_lose_nothing(source):
    """PyAV finds what packets carry by its address, and small numbers are one object for all files."""
    for _ in range(20):
        with ExitStack() as stack:
            readers = [stack.enter_context(opened(file_source(source))) for _ in range(2)]
            for number in range(grid.COUNT):
                frames = [reader.read() for reader in readers]
                assert [frame.index for frame in frames] == [number, number]
            assert [reader.status().corrupt for reader in readers] == [0, 0]


def test_clocks_of_one_kind_may_be_one_clock_and_are_only_named():
    infos = [info("a", 100.0), info("b", 100.02), info("c", 101.5)]
    moved, (line,) = common_starts(infos, {})
    assert moved == {}
    assert line == (
        "c: begins 1.50 s later than a by its container; if they were started together: --sync-offset c=-1.5000"
    )


def test_what_begins_late_because_its_camera_did_stays_late():
    infos = [info("a", 0.0, "mov", 0.0), info("b", 0.0, "matroska,webm", 2.5)]
    assert common_starts(infos, {}) == ({}, [])
    assert common_starts([info("a", 0.067, "flv", 0.067), info("b", 0.067, "flv", 0.067)], {}) == ({}, [])


def test_the_rate_of_an_avi_with_empty_places_is_that_of_its_images(tmp_path):
    """Copied from a container that counts milliseconds, it says 1000 frames a second."""
    source = copied(tmp_path / "a.avi", grid.write(tmp_path / "s.mkv", grid.Case("mkv", "mpeg4-b")))
    with opened(file_source(source)) as reader:
        assert reader._info.fps == pytest.approx(30, rel=0.02)
        assert abs(reader._info.frames - len(read_all(reader))) <= 2


@pytest.mark.parametrize("suffix", ["nut", "asf", "wmv", "webm"])
@pytest.mark.parametrize("later", [1.0, 3600.0])
def test_a_file_whose_writer_says_when_it_ends_and_not_how_long_it_is(suffix, later, tmp_path):
    made = write_video(tmp_path / "s.mkv", 30, codec="libvpx" if suffix == "webm" else "mpeg4")
    reader = file_source(copied(tmp_path / f"a.{suffix}", made, moved(later)))
    info = reader.open()
    frames, note = read_all(reader), reader.status().note
    assert info.frames is not None and abs(info.frames - 30) <= 2
    assert (len(frames), frames[0].t, note) == (30, pytest.approx(later), "")
