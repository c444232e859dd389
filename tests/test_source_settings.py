"""What the user says of one camera's times: slow motion, a table of times, timecodes; and rates that differ."""

from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from calibration.errors import UserError
from stream.app.build import open_sources
from stream.app.calibrate.synchronise import by_timecode
from stream.app.command_line import config_of
from stream.app.flags import parser
from stream.app.time_table import read_times
from stream.config import Config
from stream.live.files import FileMatcher
from stream.sources import make_source, timecode_seconds
from stream.types import FrameSet
from tests import grid
from tests.reading import read_all
from tests.servers import coded, decode, write_video


def configured(*flags: object) -> Config:
    return config_of(parser().parse_args([str(flag) for flag in (*flags, "--view", "none")]))


def frame_sets(*flags: object) -> list[FrameSet]:
    with ExitStack() as stack:
        opened = open_sources(configured(*flags), stack)

        def reader(o):
            def read():
                frame = o.source.read()
                return None if frame is None else replace(frame, t=frame.t + o.offset_s)

            return read

        return list(FileMatcher([reader(o) for o in opened], [o.info.fps for o in opened]))


def numbers(sets: list[FrameSet]) -> list[tuple[int | None, ...]]:
    return [tuple(None if f is None else decode(f.image) for f in one.frames) for one in sets]


def refused(*flags: object) -> str:
    with pytest.raises(UserError) as caught:
        frame_sets(*flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# slow motion


def test_slow_motion_is_at_true_seconds(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 40)
    source = make_source(configured("--camera", f"left={tmp_path / 'a.mp4'}", "--speed", "left=8").sources[0])
    info = source.open()
    assert info.fps == pytest.approx(240)
    assert np.allclose([frame.t for frame in read_all(source)], np.arange(40) / 240)
    source.close()


def test_cameras_of_different_speed_match(tmp_path: Path) -> None:
    live, slow = write_video(tmp_path / "live.mp4", 15), write_video(tmp_path / "slow.mp4", 120)
    cameras = ("--camera", f"a={live}", "--camera", f"b={slow}")
    sets = numbers(frame_sets(*cameras, "--speed", "b=8"))
    assert len(sets) == 120
    # Of the slower camera the frame after the moment is taken, for its joints to be interpolated.
    assert all(a is None or -4 <= 8 * a - b <= 8 for a, b in sets if b is not None)
    assert {a for a, _ in sets} >= set(range(15))


def test_a_factor_without_a_name_is_of_all_cameras(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 3)
    assert [s.speed for s in configured("--camera", f"a={tmp_path / 'a.mp4'}", "--speed", "8").sources] == [8.0]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--speed", "right=8"), "--speed right=8: there is no camera 'right'; there are left"),
        (("--speed", "left=fast"), "give how many times slower than life it plays, as in left=8"),
        (("--speed", "0"), "give how many times slower"),
        (("--rotate", "45"), "give 0, 90, 180 or 270, degrees clockwise"),
    ],
)
def test_values_that_are_none_are_one_line(flags: tuple[str, ...], says: str, tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 3)
    assert says in refused("--camera", f"left={tmp_path / 'a.mp4'}", *flags)


def test_speed_is_not_for_what_is_live() -> None:
    assert "--speed is for files" in refused("--camera", "left=http://127.0.0.1:9/", "--speed", "2")


# a table of times

TABLES = {
    "caliscope": ("sync_index,port,frame_index,frame_time", lambda k, n, t: f"{k},{n},{k},{t:.6f}", "{}"),
    "skellycam": ("sync_index;camera;timestamp_ns", lambda k, n, t: f"{k};cam_{n};{round(t * 1e9)}", "cam_{}"),
    "plain": ("sync_index,camera,time", lambda k, n, t: f"{k},cam_{n},{t:.6f}", "cam_{}"),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_of_times_takes_the_place_of_the_files_own(kind: str, encoding: str, tmp_path: Path) -> None:
    head, row, _ = TABLES[kind]
    rng = np.random.default_rng(0)
    start = 5000.0  # a monotonic clock
    true = {n: start + 0.004 * n + np.cumsum(rng.uniform(0.03, 0.05, 20)) for n in (1, 2)}
    rows = [head, *(row(k, n, true[n][k]) for k in range(20) for n in (2, 1))]
    (tmp_path / "t.csv").write_bytes("\r\n".join(rows).encode(encoding))
    for n in (1, 2):
        write_video(tmp_path / f"port_{n}.mp4", 20)
    cameras = [part for n in (1, 2) for part in ("--camera", tmp_path / f"port_{n}.mp4")]
    for n, config in zip((1, 2), configured(*cameras, "--times", tmp_path / "t.csv").sources, strict=True):
        source = make_source(config)
        info = source.open()
        frames = read_all(source)
        source.close()
        assert np.allclose([frame.t for frame in frames], true[n], atol=1e-6)
        assert info.fps == pytest.approx(19 / (true[n][-1] - true[n][0]), rel=1e-6)
        assert source.status().note == "" and info.messages == ()


def test_moments_without_a_frame_and_frames_without_a_time(tmp_path: Path) -> None:
    rows = ["sync_index,camera,time", *(f"{k},left,{'' if k == 3 else k / 10}" for k in range(8))]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    write_video(tmp_path / "a.mp4", 10)
    flags = ("--camera", f"left={tmp_path / 'a.mp4'}", "--times", tmp_path / "t.csv")
    source = make_source(configured(*flags).sources[0])
    source.open()
    frames = read_all(source)
    assert np.allclose([frame.t for frame in frames], [0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.7])
    assert "3 of its frames have no time in --times and are left out" in source.status().note


WRITTEN = {
    "as a spreadsheet of Europe does": (
        "sep=;\nsync_index;camera;time\n",
        lambda k, t: f"{k};left;{t:.6f}".replace(".", ","),
    ),
    "with units": ("sync index, camera name, time (ms)\n", lambda k, t: f"{k}, left, {1e3 * t:.6f}"),
    "in microseconds": ("frame_number,camera,timestamp_us\n", lambda k, t: f"{k},left,{round(1e6 * t)}"),
    "as dates": ("frame,camera,timestamp_utc\n", lambda k, t: f"{k},left,1970-01-01T00:00:{t:09.6f}Z"),
    "as times of day": ("frame,camera,time\n", lambda k, t: f"{k},left,00:00:{t:09.6f}"),
    "with remarks": ("# by our camera\n\nsync_index|camera|time\n", lambda k, t: f"{k}|left|{t:.6f}"),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_tables_as_others_write_them(how: str, tmp_path: Path) -> None:
    head, row = WRITTEN[how]
    true = [5 + k / 30 for k in range(4)]
    (tmp_path / "t.csv").write_text(head + "\n".join(row(k, t) for k, t in enumerate(true)))
    assert np.allclose(read_times(tmp_path / "t.csv")["left"], true, atol=2e-6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "needs columns camera and time"),
        ("sync_index,camera,time\n0,right,1\n", "it has no times of left; it has those of right"),
        ("sync_index,camera,time\n0,left,1\n1,left,1\n", "the times of left do not increase"),
        ("sync_index,camera,time\n0,left,soon\n", "'soon' is not a number"),
        ("sync_index,camera,time\n", "there is not one time in it"),
        ("", "it has none"),
        (None, "cannot be read"),
    ],
)
def test_tables_that_cannot_be_used_are_one_line(text: str | None, says: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    write_video(tmp_path / "a.mp4", 3)
    assert says in refused("--camera", f"left={tmp_path / 'a.mp4'}", "--times", tmp_path / "t.csv")


# timecodes


def test_seconds_of_a_timecode() -> None:
    assert timecode_seconds("01:00:00:00", 25.0) == 3600
    assert timecode_seconds("01:00:00:12", 24.0) == 3600.5
    ntsc = 30000 / 1001
    assert timecode_seconds("01:00:00:00", ntsc) == pytest.approx(3603.6)
    assert timecode_seconds("01:00:00;00", ntsc) == pytest.approx(3600, abs=0.01)
    assert timecode_seconds("01:00:00;00", 2 * ntsc) == pytest.approx(3600, abs=0.01)
    assert timecode_seconds("soon", 25.0) is None


def coded_at(path: Path, code: str) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *grid.SIZE, "yuv420p"
        stream.metadata["timecode"] = code
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(coded(number), format="bgr24")
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_timecodes_propose_offsets(tmp_path: Path) -> None:
    codes = {"a": "23:59:59:00", "b": "00:00:01:15", "c": "23:59:58:20"}
    infos = []
    for name, code in codes.items():
        source = make_source(configured("--camera", coded_at(tmp_path / f"{name}.mov", code)).sources[0])
        infos.append(source.open())
        source.close()
    assert [info.timecode for info in infos] == list(codes.values())
    assert by_timecode(infos) == pytest.approx([0, 2.5, -1 / 3])
    assert by_timecode([infos[0], replace(infos[1], timecode=None)]) is None


# rates that differ


def test_rates_that_differ_are_matched_on_one_clock(tmp_path: Path) -> None:
    """60, 29.97 and 25 frames a second and a variable rate; the number in each image is its time, 100 a second."""
    uneven = np.cumsum(np.random.default_rng(3).integers(2, 9, 60))
    uneven = (uneven[uneven < 190] - uneven[0]).tolist()
    times = {"a": np.arange(120) / 60, "b": np.arange(59) * 1001 / 30000, "c": np.arange(50) / 25, "d": None}
    flags = []
    for name, at in times.items():
        seconds = np.array(uneven) / 100 if at is None else at
        base = Fraction(1, 30000)
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as out:
            stream = out.add_stream("mpeg4", rate=30)
            stream.width, stream.height, stream.pix_fmt = *grid.SIZE, "yuv420p"
            stream.codec_context.time_base = stream.time_base = base
            for t in seconds:
                frame = av.VideoFrame.from_ndarray(coded(round(100 * t)), format="bgr24")
                frame.pts, frame.time_base = round(t * 30000), base
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        flags += ["--camera", f"{name}={tmp_path / name}.mp4"]
    sets = frame_sets(*flags)
    assert [one.t for one in sets][:120] == pytest.approx(times["a"].tolist(), abs=1e-4)
    for one in sets:
        for frame in filter(None, one.frames):
            assert abs(decode(frame.image) / 100 - frame.t) < 0.0051
            assert abs(frame.t - one.t) <= 0.1
    assert sum(all(f is not None for f in one.frames) for one in sets) > 0.7 * len(sets)
