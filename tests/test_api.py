"""``import stream`` as a programmer uses it: streams and recordings."""

import gc
import json
import subprocess
import sys
import threading
import time
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import stream
from calibration.geometry.camera import camera_from_fov
from stream import sinks
from stream.app import build
from stream.app.flags import parser
from stream.channel import Policy
from stream.recordings.captured import held
from stream.recordings.takes import open_take
from tests import takes
from tests.api import CLIP, Broken, image, opened
from tests.known import KnownDetector, figure
from tests.servers import MjpegServer

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.usefixtures("no_thread_stays", "known_detector")


# the interface as a whole


def test_every_name_is_there_documented_and_costs_nothing_before_it_is_used():
    assert sorted(stream.__all__) == sorted(set(stream.__all__))
    for name in stream.__all__:
        thing = getattr(stream, name)
        assert name == "__version__" or isinstance(thing, tuple) or thing.__doc__, name
    code = "import sys, stream; assert stream.__all__; assert not {'cv2', 'numpy', 'av'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'opne_stream'"):
        stream.opne_stream  # noqa: B018


def test_every_flag_of_the_program_is_a_keyword_that_is_documented():
    no_keyword = {"camera", "quiet", "verbose", "log_file", "list_cameras", "print_config", "from", "make_keys"}
    flags = set(vars(parser().parse_args([]))) - no_keyword
    of_sinks = {field.name for kind in sinks.kinds().values() for field in fields(kind)}
    documented = set(stream.Flags.__annotations__)
    assert flags - of_sinks <= documented <= flags, "a sink that is added brings its own"
    for name in no_keyword:
        with pytest.raises(stream.UserError, match=f"{name} is no keyword: "):
            opened(**{name: True})


# streams


def test_a_file_gives_every_estimate_and_says_what_it_did(capfd):
    with opened() as live:
        assert (live.live, live.policy, live.summary) == (False, "every", None)
        indices = [estimate.index for estimate in live]
        assert indices == list(range(12)) and next(live, None) is None
    assert live.summary.frame_sets == 12 and live.run_info.cameras[0].name == "cam0"
    assert capfd.readouterr() == ("", "")


def test_latest_passes_over_and_every_waits():
    with opened("synthetic:frames=40", policy="latest") as live:
        first = next(live)
        while live.summary is None:
            time.sleep(0.01)
        rest = [estimate.index for estimate in live]
        assert first.index < 39 and rest[-1] == 39 and len(rest) <= 2
    with opened("synthetic:frames=40", policy="every") as live:
        time.sleep(0.5)
        assert live.summary is None and [estimate.index for estimate in live] == list(range(40))


def test_images_belong_to_their_estimate():
    source = figure(CLIP)
    with opened(images=True) as live:
        for estimate in live:
            np.testing.assert_array_equal(live.images["cam0"], source.render(estimate.index))
    with opened() as live:
        next(live)
        assert live.images == {}


def test_a_live_camera_hands_out_the_newest():
    with MjpegServer(fps=60) as server, opened(server.url(), detector="known") as live:
        assert live.live and live.policy == "latest"
        estimates = [next(live) for _ in range(3)]
        assert all(0 <= time.monotonic() - e.t < 5 for e in estimates)


def test_every_frame_is_captured_while_one_iterates(tmp_path):
    with MjpegServer() as left, MjpegServer() as right:
        cameras = f"left={left.url()}", f"right={right.url()}"
        flags = {"capture": tmp_path / "takes", "record": tmp_path / "poses", "countdown": 1, "seconds": 0.7}
        with opened(*cameras, **flags) as live:
            with pytest.raises(stream.UserError, match="is being captured already, by process"):
                opened(*cameras, capture=tmp_path / "others")
            estimates = list(live)
    take = stream.open_recording(tmp_path / "poses")
    captured = held(open_take(tmp_path / "takes"))
    assert 0 < len(list(take)) <= len(estimates)
    for camera in captured.values():
        assert camera.lost == {} and camera.frames >= 18, "0.7 s of 30 a second"


@pytest.mark.parametrize("how", ["twice", "collected", "unused", "in another order", "by an error", "half way"])
def test_closing_leaves_no_thread(how):
    if how == "twice":
        live = opened()
        live.close()
        live.close()
        assert list(live) == []
    elif how == "collected":
        live = opened("synthetic:frames=100000")
        next(live)
        del live
    elif how == "unused":
        opened("synthetic:frames=100000")
    elif how == "in another order":
        one, two = opened(), opened()
        next(one)
        next(two)
        one.close()
        assert next(two).index == 1
        two.close()
        one.close()
    elif how == "by an error":
        with pytest.raises(ZeroDivisionError), opened("synthetic:frames=100000") as live:
            next(live)
            raise ZeroDivisionError
    else:
        with opened("synthetic:frames=100000") as live:
            next(live)
        assert 1 <= live.summary.frame_sets < 1000
    gc.collect()
    start = time.monotonic()
    while any(t.name.startswith(("stream", "compute", "camera-", "sink-")) for t in threading.enumerate()):
        assert time.monotonic() - start < 5
        time.sleep(0.01)


def test_a_program_that_ends_without_closing_ends():
    code = (
        "import stream\nlive = stream.open_stream('synthetic:frames=1000000', detector='movenet-lightning', "
        "runtime='onnx', precision='fp32')\nprint(next(live).index)"  # nothing is measured first
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_two_streams_at_once_do_not_mix():
    with opened("a=synthetic:frames=12") as one, opened("b=synthetic:frames=12,yaw=90", policy="every") as two:
        for left, right in zip(one, two, strict=True):
            assert left.frames[0].camera == "a" and right.frames[0].camera == "b" and left.index == right.index


def test_whatever_cannot_be_right_is_a_user_error(tmp_path):
    class Hasty(Broken):
        policy = "newest"  # pyright: ignore[reportAssignmentType] - the mistake

    twice, captures = Broken(), tmp_path / "captures.toml"
    captures.write_text('capture = "frames"\n')
    for mistake, words in [
        ({"fpss": 3}, "no keyword 'fpss'; did you mean fps"),
        ({"fps": "fast"}, "fps: 'fast' is not a number"),
        ({"policy": "all"}, "give 'latest' or 'every'"),
        ({"detector": "openpose"}, "unknown detector 'openpose'"),
        ({"fusion": "map"}, "needs --calibration"),
        ({"calibration": tmp_path / "no.toml"}, "no.toml"),
        ({"view": "hologram"}, "unknown view"),
        ({"size": (0, 3)}, "not a size"),
        ({"record": object()}, "give text, a path or a number"),
        ({"config": tmp_path / "no.toml"}, "cannot be read"),
        ({"config": captures}, "--capture is for live cameras, and .* is drawn as it is asked for"),
        ({"capture": tmp_path, "live": False}, "capture without live makes no estimates to iterate over"),
        ({"live": True}, "--live is of --capture"),
        ({"seconds": 1}, "are for live cameras, and .* is none; leave them out"),
        ({"start_at": datetime(2020, 1, 1)}, "2020-01-01 00:00:00: that time is over"),
        ({"countdown": 1.5}, "countdown: '1.5' is not a number of seconds such as 5"),
        ({"calibration": {"left": 1}}, "calibration is dict; give a file or a stream.Calibration"),
        ({"realtime": "yes"}, "realtime is 'yes'; give True or False"),
        ({"record_video": 1}, "record_video is 1; give True or False"),
        ({"sinks": None}, "give a list of sinks"),
        ({"sinks": [5]}, "int is no sink: it lacks open, write, close, policy, wants_images"),
        ({"sinks": [Broken]}, "is a class"),
        ({"sinks": [Hasty()]}, "its policy is 'newest'"),
        ({"sinks": [twice, twice]}, "given twice"),
    ]:
        with pytest.raises(stream.UserError, match=words):
            opened(**mistake)
    for sources in [("nowhere.mp4",), (), (object(),), (image(),), ("a=synthetic:", "a=synthetic:frames=3")]:
        with pytest.raises(stream.UserError):
            stream.open_stream(*sources)


class Faulty(KnownDetector):
    def __init__(self):
        super().__init__(figure(CLIP), fault=lambda index: 1 // (index - 5))


def test_a_fault_of_the_run_is_raised_where_it_is_iterated():
    stream.register_detector("faulty", lambda name, options: Faulty())
    with pytest.raises(stream.UserError, match="no detector is left|faulty"), opened(detector="faulty") as live:
        list(live)


def test_a_fault_of_a_run_that_is_left_before_it_is_raised_is_told(caplog):
    stream.register_detector("faulty", lambda name, options: Faulty())
    with opened(detector="faulty", policy="latest") as live:
        wait_until_over(live)
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("the run had ended by an error: ")]
    assert "faulty" in line


class BadViewer:
    """A viewer with a fault of its own."""

    policy: Policy = "latest"
    wants_images = True
    closed = 0

    def open(self, run_info):
        pass

    def poll(self):
        raise KeyError("three")

    def write(self, estimate, images) -> None:
        raise KeyError("three")

    def close(self):
        self.closed += 1


def test_a_fault_of_the_viewer_is_named_and_the_run_goes_on(monkeypatch, caplog):
    caplog.set_level("DEBUG", "stream")
    viewer, prepare = BadViewer(), build.prepare
    monkeypatch.setattr(build, "prepare", lambda config, stack, clock: (prepare(config, stack, clock)[0], viewer))
    said, seen = "the viewer stopped by a fault of its own: KeyError: 'three'", []
    with pytest.raises(stream.SinkStoppedError, match=said), opened() as live:
        for estimate in live:
            seen.append(estimate.index)
    assert seen == list(range(12))
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [said] and viewer.closed == 1
    assert any(r.exc_info and r.levelname == "DEBUG" for r in caplog.records), "its traceback is in the log"


def wait_until_over(live):
    start = time.monotonic()
    while "running" in repr(live):
        assert time.monotonic() - start < 10
        time.sleep(0.01)


def test_what_a_sink_lost_is_raised_once():
    with pytest.raises(stream.SinkStoppedError, match="disk full"), opened(sinks=[Broken()]) as live:
        list(live)
    live.close()
    live = opened(sinks=[Broken()])
    next(live)
    with pytest.raises(stream.SinkStoppedError, match="disk full"):
        live.close()
    live.close()


def test_control_stops_and_records(tmp_path):
    with opened("synthetic:frames=100000", record=tmp_path) as live:
        for estimate in live:
            if estimate.index == 3:
                live.control.event("user", "the jump")
                live.control.stop()
    recording = stream.open_recording(tmp_path)
    assert [e.text for e in recording.events()] == ["the jump"]
    assert len(list(recording)) == live.summary.frame_sets


def test_a_calibration_may_be_an_object():
    camera = camera_from_fov("left", (640, 480), 50)
    with opened(f"left={CLIP}", calibration=stream.Calibration((camera,), placed=False)) as live:
        next(live)
        assert live.run_info.cameras[0].calibration.K[0, 0] == camera.K[0, 0]


# recordings


def test_a_recording_is_the_same_estimates(tmp_path):
    with opened(record=tmp_path, record_video=True) as live:
        seen = list(live)
    recording = stream.open_recording(str(tmp_path))
    for _ in range(2):
        assert [e.index for e in recording] == [e.index for e in seen]
    for a, b in zip(seen, recording, strict=True):
        np.testing.assert_array_equal(a.person.views[0].answer.astype(np.float32), b.person.views[0].answer)
    assert len(list(recording.frames("cam0"))) == 12
    assert recording.faults == () and recording.path.parent == tmp_path
    with pytest.raises(stream.UserError, match="no images of camera"):
        list(recording.frames("cam7"))


def test_tables_are_those_of_the_exports(tmp_path, capfd):
    pd = pytest.importorskip("pandas")
    take = takes.record(tmp_path, takes.make_estimates(60))
    recording = stream.open_recording(take)
    arrays, frame, table = recording.to_numpy(), recording.to_pandas(), recording.to_arrow()
    rows = sum(1 for e in recording for f in e.frames if f is not None)
    assert len(arrays["moment"]) == len(frame) == table.num_rows == rows
    np.testing.assert_array_equal(frame["answer_left_wrist_x_mm"], arrays["answer"][:, 13, 0])
    np.testing.assert_array_equal(np.array(table["answer"].to_pylist(), np.float32).reshape(rows, 17, 3),
                                  arrays["answer"])  # fmt: skip
    poses = recording.to_pandas("poses")
    fused = sum(p.pose is not None for e in recording for p in e.people)
    assert (
        np.count_nonzero(poses["world_pelvis_x_mm"].notna())
        == fused
        == np.isfinite(arrays["pose_world"][:, 0, 0]).sum()
    )
    assert isinstance(recording.to_pandas("events"), pd.DataFrame) and recording.to_arrow("events").num_rows == 0
    part = recording.to_pandas(start=0.5, end=1.0)
    assert 0 < len(part) < rows and min(part["moment"]) == 15
    for mistake in (lambda: recording.to_arrow("answers"), lambda: recording.to_numpy(start=2, end=1),
                    lambda: recording.to_numpy(start=99)):  # fmt: skip
        with pytest.raises(stream.UserError):
            mistake()
    assert capfd.readouterr() == ("", "")


def test_what_a_recording_is_asked_for_is_checked(tmp_path):
    for wrong in (None, 5, b"take", ""):
        with pytest.raises(stream.UserError, match="is no folder of a take"):
            stream.open_recording(wrong)
    with opened(record=tmp_path) as live:
        next(live)
    recording = stream.open_recording(tmp_path)
    for asked, words in [
        ({"start": "1"}, "start is '1'; give seconds"),
        ({"end": float("nan")}, "end is nan"),
        ({"select": 0}, "select is 0; give text"),
        ({"table": ["poses"]}, "there is no table"),
    ]:
        with pytest.raises(stream.UserError, match=words):
            recording.to_pandas(**asked)


def test_a_damaged_recording_gives_what_is_left_and_says_so(tmp_path):
    take = takes.record(tmp_path, takes.make_estimates(60))
    data = bytearray((take / "estimates-00000.arrows").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (take / "estimates-00000.arrows").write_bytes(data)
    recording = stream.open_recording(take)
    assert len(list(recording)) == 60 and len(recording.faults) == 1
    recording.to_numpy()
    assert len(recording.faults) == 1, "each once"


def test_an_estimate_is_plain_values(tmp_path):
    for estimate in takes.make_estimates(8, people=2):
        said = json.loads(json.dumps(estimate.to_dict(), allow_nan=False))
        assert said["joints"] == list(stream.JOINTS) and said["index"] == estimate.index
        assert [p["person_id"] for p in said["people"]] == [p.person_id for p in estimate.people]
        for person, back in zip(estimate.people, said["people"], strict=True):
            for view, plain in zip(person.views, back["views"], strict=True):
                assert (view is None) == (plain is None)
                if view is not None and view.answer is not None:
                    np.testing.assert_array_equal(np.float32(plain["answer"]), view.answer)
    assert len(repr(estimate)) < 100
