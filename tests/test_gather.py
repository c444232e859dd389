"""The takes of several computers as one: on one clock, with nothing lost, and nothing made up."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.geometry.camera import camera_from_fov
from engines.argument_types import DONE, INTERRUPTED, MISTAKE
from stream.app.gather import main
from stream.app.inspect import main as inspect
from stream.app.recover import main as recover
from stream.config import SourceConfig
from stream.recordings.common_time import common_time, shift_of
from stream.recordings.gathered_frames import renumbered
from stream.recordings.pictures import Pictures
from stream.recordings.replay import read_clocks, read_events, read_frames, replay
from stream.recordings.takes import open_take
from stream.sinks import CameraInfo
from stream.sources.take import make, sources_of_take
from stream.types import ClockReading, Event, FrameReference
from tests.captures import coded_frames, write_capture
from tests.exports import run as export
from tests.servers import decode
from tests.takes import flip, make_estimates, make_run_info, record, same

FUSES = "pc-0-f"
STEP = 0.033
TRUE_S = 5000.0
"""Of the common clock: when both cameras begin."""


def clocks(name, ahead, t, drift=0.0, count=20, within=4e-4):
    """Readings in a take of ``name``, whose clock is so far behind that of whoever fuses at first, and loses more."""
    return [
        ClockReading(t + 2 * k, name, FUSES, ahead + drift * 2 * k + 2e-4 * (-1) ** k, within) for k in range(count)
    ]


def capture(folder, name, ahead, count=30, first=0.0, notes=(), clock="", **settings):
    """A capture of one camera whose images begin ``first`` seconds after the common start."""
    start = TRUE_S + first - ahead
    Path(folder).mkdir(parents=True, exist_ok=True)
    clock = clock or f"pc-{name}"
    frames = coded_frames(folder, name, count, start=start, step=STEP)
    told = [*clocks(clock, ahead, start), *notes] if clock != "none" else list(notes)
    return write_capture(Path(folder) / name, frames, (name,), start, notes=told, **settings)


def fused(folder, count=28, seen=("left", "right"), first_index=7):
    """The take of whoever fused both cameras: it heard of them at their 4th frame, and numbers them anew."""
    info = make_run_info(2)
    cameras = tuple(
        replace(camera, name=name, source=f"node:lab/{name}", kind="node", size=(160, 120),
                calibration=camera_from_fov(name, (160, 120), 60.0))
        for camera, name in zip(info.cameras, seen, strict=True)
    )  # fmt: skip
    estimates = []
    for k, estimate in enumerate(make_estimates(count)):
        t = TRUE_S + (k + 4) * STEP
        frames = tuple(
            FrameReference(name, first_index + k, t + 3e-4 * n, (160, 120), "thunder") for n, name in enumerate(seen)
        )
        estimates.append(replace(estimate, t=t, frames=frames))
    notes = [ClockReading(TRUE_S, FUSES, f"pc-{name}", 0.0, 1e-3) for name in seen]
    notes += [Event(TRUE_S + 0.5, "key", "jump"), Event(TRUE_S + 0.7, "pc-left: page", "fall")]
    return open_take(record(Path(folder) / "fused", estimates, replace(info, cameras=cameras), notes=notes)), estimates


def gather(*takes, out, flags=()):
    return main([*(str(getattr(take, "folder", take)) for take in takes), "--out", str(out), *flags])


def content(take):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(take.folder.iterdir())}


def images(take, camera):
    return [(frame.index, frame.t, decode(frame.image)) for frame in read_frames(take, camera)]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Two captures whose clocks differ by an hour, with the same event in both and one of each."""
    folder = tmp_path_factory.mktemp("both")
    made = []
    for name, ahead, first in (("left", 3.25, 0.0), ("right", -3600.5, 0.1)):
        at = TRUE_S - ahead
        notes = [Event(at + 0.5, f"{FUSES}: key", "jump"), Event(at + 0.7, "page", f"fall of {name}")]
        made.append(capture(folder, name, ahead, first=first, notes=notes))
    return made


def test_captures_become_one_on_the_clock_of_whoever_fused(both, tmp_path, capsys):
    before = [content(take) for take in both]
    assert gather(*both, out=tmp_path / "all") == DONE
    said = capsys.readouterr().out
    assert "images of left 30, from 0.000 to" in said and "known to 0.4 ms" in said and "images of right 30" in said
    take = open_take(tmp_path / "all")
    assert take.captured and [camera.name for camera in take.run_info.cameras] == ["left", "right"]
    for name, first in (("left", 0.0), ("right", 0.1)):
        got = images(take, name)
        assert [number for _, _, number in got] == [index for index, _, _ in got] == list(range(30))
        true = TRUE_S + first + np.arange(30) * STEP
        assert np.abs([t for _, t, _ in got] - true).max() < 4e-4
    events = list(read_events(take))
    assert [(e.source, e.text) for e in events if e.source != "capture"] == [
        ("key", "jump"), ("pc-left: page", "fall of left"), ("pc-right: page", "fall of right"),
    ]  # fmt: skip
    assert all(abs(e.t - TRUE_S - 0.5) < 4e-4 for e in events if e.text == "jump")
    assert recover([str(take.folder)]) == DONE and inspect([str(take.folder)]) == DONE
    assert "left: 30 frames" in capsys.readouterr().out
    assert [content(take) for take in both] == before, "they are copied"


def test_readings_of_clocks_are_told_and_survive_a_clean_copy(both, tmp_path, capsys):
    left, _ = both
    assert inspect([str(left.folder)]) == DONE
    assert (
        f"clock of {FUSES}: 3.250000 s ahead of that of pc-left, known to 0.4 ms (20 readings)"
        in capsys.readouterr().out
    )
    assert recover([str(left.folder), "--out", str(tmp_path / "copy")]) == DONE
    copy = open_take(tmp_path / "copy")
    assert list(read_clocks(copy)) == list(read_clocks(left)) and len(list(read_clocks(copy))) == 20
    table = next(left.folder.glob("clocks-*.arrows"))
    assert "clocks: 20 rows readable" in capsys.readouterr().out and table.exists()
    assert gather(*both, out=tmp_path / "all") == DONE and inspect([str(tmp_path / "all")]) == DONE
    assert "gathered from " in capsys.readouterr().out


def test_the_gathered_take_is_a_source_as_any_other(both, tmp_path):
    assert gather(*both, out=tmp_path / "all") == DONE
    for k, text in enumerate(sources_of_take(tmp_path / "all")):
        name, _, path = text.partition("=")
        source = make(SourceConfig(path, name))
        info = source.open()
        assert info.frames == 30 and abs(info.times[0] - TRUE_S - 0.1 * k) < 4e-4
        numbers = []
        while (frame := source.read()) is not None:
            numbers.append(decode(frame.image))
        source.close()
        assert numbers == list(range(30))


def test_with_the_take_of_whoever_fused_it_is_as_if_recorded_by_one(both, tmp_path, capsys):
    take, estimates = fused(tmp_path)
    assert gather(both[0], take, both[1], out=tmp_path / "all") == DONE
    said = capsys.readouterr().out
    assert f"{take.folder}: no images, from 0.1" in said and "and its estimates" in said
    whole = open_take(tmp_path / "all")
    assert not whole.captured and whole.run_info.cameras[0].calibration is not None
    got = list(replay(whole))
    assert len(got) == len(estimates)
    for one, was in zip(got, estimates, strict=True):
        assert same(replace(one, frames=()), replace(was, frames=(), strays=()))
        assert [f.t for f in one.frames] == [f.t for f in was.frames], "it is its clock that counts"
    for name, late in (("left", 4), ("right", 1)):
        with Pictures(whole, name) as pictures:
            for k, one in enumerate(got):
                frame = next(f for f in one.frames if f.camera == name)
                wanted = late + k
                assert frame.frame_index == wanted, "its number is that of its image"
                image = pictures.image(frame.frame_index)
                assert (image is None) == (wanted >= 30) and (image is None or decode(image) == wanted)
    events = [(e.source, e.text) for e in read_events(whole)]
    assert events.count(("key", "jump")) == 1 and ("pc-left: page", "fall") in events
    assert ("pc-right: page", "fall of right") in events
    assert export(whole.folder, "npz", tmp_path / "all.npz") == 0
    capsys.readouterr()
    assert inspect([str(whole.folder)]) == DONE
    said = capsys.readouterr().out
    assert "  images: left 30, right 30\n" in said and said.count(" s: key: jump\n") == 1
    assert recover([str(whole.folder)]) == DONE


def test_a_camera_that_began_again_is_one(tmp_path, capsys):
    first = capture(tmp_path / "a", "left", 3.0, 20)
    again = capture(tmp_path / "b", "left", -70.0, 15, first=0.9, clock="pc-left-2")
    right = capture(tmp_path, "right", 0.0, 50)
    assert gather(again, first, right, out=tmp_path / "all") == DONE
    got = images(open_take(tmp_path / "all"), "left")
    assert [number for _, _, number in got] == [*range(20), *range(15)]
    assert [index for index, _, _ in got] == list(range(35)), "no number twice"
    true = TRUE_S + np.r_[np.arange(20) * STEP, 0.9 + np.arange(15) * STEP]
    assert np.abs([t for _, t, _ in got] - true).max() < 4e-4
    assert recover([str(tmp_path / "all")]) == DONE


def test_takes_without_a_common_clock_need_an_offset(tmp_path, capsys):
    left = capture(tmp_path, "left", 3.0, clock="none")
    right = capture(tmp_path, "right", -4.0, clock="none")
    assert gather(left, right, out=tmp_path / "all") == MISTAKE
    (line,) = capsys.readouterr().err.splitlines()
    assert "(right): no reading of a clock says how far it was from that of" in line and "(left)" in line
    assert "give --offset right=SECONDS" in line and not (tmp_path / "all").exists()
    # Each is added to the times of its take; the first one's are the common ones.
    assert gather(left, right, out=tmp_path / "all", flags=["--offset", "right=-7.0"]) == DONE
    take = open_take(tmp_path / "all")
    for name in ("left", "right"):
        assert abs(images(take, name)[0][1] - (TRUE_S - 3.0)) < 1e-9


def test_a_take_of_another_group_is_named(both, tmp_path, capsys):
    other = capture(tmp_path, "door", 5.0, clock="none")
    assert gather(*both, other, out=tmp_path / "all") == MISTAKE
    assert "(door): no reading of a clock" in capsys.readouterr().err
    assert gather(*both, other, out=tmp_path / "all", flags=["--offset", "door=5"]) == DONE


def wrong(both, tmp_path):
    left, right = both
    late = capture(tmp_path / "late", "right", 7.0, first=900.0)
    twin = capture(tmp_path / "twin", "left", 3.0, 10, first=0.2)
    fuses, _ = fused(tmp_path)
    fuses_too, _ = fused(tmp_path / "too")
    one, two = (open_take(record(tmp_path / f"plain{k}", make_estimates(5))) for k in range(2))
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "there").mkdir()
    yield (left,), (), "give two takes or more"
    yield (left, left), (), "is given twice"
    yield (left, empty), (), "holds no take"
    yield (left, late), (), "has no time in common with another one: it ends 899.0 s before the start of"
    yield (left, twin, right), (), "camera left is in both"
    yield (one, two), (), "their people and poses have nothing to do with each other"
    yield (fuses, fuses_too, left), (), "both of a computer that fused"
    yield (fuses, one), ("--offset", "cam0=1"), "are in"
    yield (left, right), ("--offset", "door=1"), "no take has a camera of that name to be moved; there are: left, right"
    yield (left, right), ("--out", str(tmp_path / "there")), "exists already, and no take is written over"
    yield (left, right), ("--out", str(left.folder / "in")), "lies in a take that is read"


def test_what_cannot_be_gathered_is_one_line(both, tmp_path, capsys):
    for takes, flags, said in wrong(both, tmp_path):
        assert gather(*takes, out=tmp_path / "out", flags=flags) == MISTAKE, said
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line and not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["left", "=1", "left=x", "left=nan", ""])
def test_what_is_no_offset_is_refused(text, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["a", "b", "--out", str(tmp_path / "out"), "--offset", text])
    assert left.value.code == MISTAKE and "--offset" in capsys.readouterr().err


def test_images_that_are_stored_turned_do_not_go_beside_estimates(both, tmp_path, capsys):
    take, estimates = fused(tmp_path)
    other = replace(take.run_info.cameras[0], size=(120, 160), calibration=None, fov_degrees=60.0)
    info = replace(take.run_info, cameras=(other, take.run_info.cameras[1]))
    turned = open_take(record(tmp_path / "turned", estimates, info, notes=list(read_clocks(take))))
    assert gather(turned, *both, out=tmp_path / "all") == MISTAKE
    assert "the images of left are stored as they came, 160x120 large" in capsys.readouterr().err


def test_a_damaged_take_is_gathered_without_what_is_damaged(tmp_path, capsys):
    left, right = capture(tmp_path, "left", 1.0), capture(tmp_path, "right", 2.0)
    table = next(left.folder.glob("frames-00000.arrows"))
    flip(table, table.stat().st_size - 200)
    next(right.folder.glob("frames-0-*.mkv")).unlink()
    third = capture(tmp_path, "door", 0.0)
    assert gather(left, right, third, out=tmp_path / "all") == DONE
    said = capsys.readouterr().err
    assert f"{left.folder}: frames-00000.arrows is corrupt" in said
    assert f"{right.folder}: frames-0-right-00000.mkv: No such file" in said and "Traceback" not in said
    assert len(images(open_take(tmp_path / "all"), "door")) == 30
    assert recover([str(tmp_path / "all")]) == DONE, "what is there is whole"


def test_images_that_a_video_lacks_are_left_out_and_counted(both, tmp_path, capsys):
    """As of a computer that was killed while it recorded, or a copy that was cut off."""
    video = next(both[0].folder.glob("frames-0-*.mkv"))
    data = video.read_bytes()
    video.write_bytes(data[: len(data) // 2])
    assert gather(*both, out=tmp_path / "all") == DONE
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if "that the table names" in line]
    got = images(open_take(tmp_path / "all"), "left")
    assert f"images of left {len(got)}, " in said.out and "images of right 30, " in said.out
    assert 0 < len(got) < 30 and f"{video.name} lacks {30 - len(got)} images that the table names" in line
    assert recover([str(tmp_path / "all")]) == DONE, "what is there is whole"


def test_a_header_that_cannot_be_read_is_said(both, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "frames-00000.arrows").write_bytes(b"nothing")
    assert gather(both[0], broken, out=tmp_path / "all") == MISTAKE
    assert "no file in it begins with a readable header" in capsys.readouterr().err


def test_takes_of_version_1_hold_no_images_and_are_told(both, tmp_path, capsys):
    old = Path(__file__).parent / "data" / "version-1" / "multi"
    assert gather(old, old.with_name("single"), out=tmp_path / "all") == MISTAKE
    assert "none of them holds images" in capsys.readouterr().err


def test_one_that_is_interrupted_leaves_nothing(both, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stream.recordings.gathered._copy", stop)
    assert gather(*both, out=tmp_path / "out" / "all") == INTERRUPTED
    assert "stopped; nothing was written" in capsys.readouterr().err and list((tmp_path / "out").iterdir()) == []


def test_a_disk_without_room_is_said_before_anything_is_copied(both, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("stream.app.gather.free_bytes", lambda _: 1 << 20)
    assert gather(*both, out=tmp_path / "out" / "all") == MISTAKE
    assert "GB are free there" in capsys.readouterr().err and list((tmp_path / "out").iterdir()) == []


def test_takes_of_files_are_at_their_own_times(tmp_path):
    made = []
    for name in ("left", "right"):
        frames = coded_frames(tmp_path, name, 10, start=0.5, step=STEP)
        take = write_capture(tmp_path / name, frames, (name,), 0.0)
        made.append(take)
    for take in made:  # as of files: no clock of a computer
        assert {camera.kind for camera in take.run_info.cameras} == {"network"}
    files = [
        replace(take, run_info=replace(take.run_info, cameras=(CameraInfo("x", "x.mp4", "file"),))) for take in made
    ]

    shifts, clock = common_time(files, None, {1: 0.25})
    assert clock == "" and [float(s(np.array([1.0]))[0]) for s in shifts] == [1.0, 1.25]


# times and numbers


@pytest.mark.parametrize("drift", [-50e-6, 0.0, 100e-6])
def test_readings_together_say_more_than_each(drift):
    rng = np.random.default_rng(0)
    t = 100 + np.arange(0, 1800, 2.0)
    true = 3.0 + drift * (t - t[0])
    within = rng.uniform(3e-4, 2e-2, len(t))
    ahead = true + within * rng.uniform(-1, 1, len(t))
    shift = shift_of([ClockReading(*row) for row in zip(t, ["a"] * len(t), ["b"] * len(t), ahead, within, strict=True)])
    at = np.linspace(t[0], t[-1], 5000)
    error = np.abs(shift(at) - at - (3.0 + drift * (at - t[0])))
    assert error.max() <= shift.within + 1e-4 and np.median(error) < 2e-3, "each alone is known to 10 ms"


def test_a_clock_that_was_set_is_followed():
    before = [ClockReading(float(t), "a", "b", 3.0, 1e-3) for t in range(10)]
    after = [ClockReading(float(t), "a", "b", -60.0, 1e-3) for t in range(10, 20)]
    shift = shift_of([*after, *before])
    assert shift(np.array([2.0]))[0] == 5.0 and shift(np.array([15.0]))[0] == -45.0


def test_numbers_go_on_over_starts_and_where_images_are_missing():
    times = np.arange(20) * 0.1
    there = np.r_[0:3, 5:8, 12:20]
    # Whoever fuses counts from 40; the camera began again at the 10th, from 0, which became 100.
    image = np.r_[np.arange(10) + 5, np.arange(10) + 100]
    found = renumbered(np.arange(20) + 40, times + 0.004, image[there], times[there])
    assert [found[k + 40] for k in there.tolist()] == image[there].tolist()
    assert sorted(found.values()) == list(found.values()) and len(set(found.values())) == 20
    assert [found[43], found[44]] == [8, 9], "the numbers that the missing ones would have"
    assert renumbered(np.arange(3), times[:3] + 50, image, times) == {}


def test_the_time_of_day_stays_that_of_the_images(both, tmp_path):
    assert gather(*both, out=tmp_path / "all") == DONE
    took = [
        take.run_info.unix_offset + images(take, name)[5][1] for take, name in zip(both, ("left", "right"), strict=True)
    ]
    whole = open_take(tmp_path / "all")
    # Of computers whose times of day differ, that of the first one counts.
    assert abs(whole.run_info.unix_offset + images(whole, "left")[5][1] - took[0]) < 1e-3
    assert whole.run_info.start_monotonic == images(whole, "left")[0][1]
