"""A capture with estimates beside it, over loopback: cameras of both kinds, one of which goes and comes back."""

import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.rtsp_camera import RtspCameras
from engines.argument_types import DONE
from stream.app import build
from stream.app.command_line import config_of, main
from stream.app.flags import parser
from stream.live.capture import CaptureEvents, CaptureRun
from stream.recordings.captured import held
from stream.recordings.replay import read_events, read_frames
from stream.recordings.takes import open_take
from tests.pipelines import Collect
from tests.reading import wait_until
from tests.servers import MjpegServer, access_units, decode

FAST = ["--detector", "movenet-lightning", "--runtime", "onnx", "--precision", "fp32", "--view", "none"]


@contextmanager
def both_kinds(port: int = 0):
    """A camera of MJPEG over HTTP, and one of H.264 over RTSP; the port is the latter's."""
    with MjpegServer() as mjpeg, RtspCameras([access_units(30)], 30.0, port=port) as rtsp:
        yield mjpeg, rtsp


def test_cameras_of_both_kinds_are_captured_frame_by_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with both_kinds() as (mjpeg, rtsp):
        cameras = ["--camera", f"left={mjpeg.url()}", "--camera", f"right={rtsp.url()}"]
        assert main([*cameras, "--capture", str(tmp_path), "--seconds", "1.5", "--view", "none"]) == DONE
        sent = [number for number, _ in rtsp.sent[0]]
    take = open_take(tmp_path)
    said, told = capsys.readouterr()
    assert "fused" not in told, "of estimates there is nothing to say"
    for name in ("left", "right"):
        seen = [decode(frame.image) for frame in read_frames(take, name)]
        assert len(seen) > 20 and held(take)[name].lost == {} and f"{name}: {len(seen)} frames" in said
        turn = 30 if name == "right" else 1024
        assert all((b - a) % turn == 1 for a, b in zip(seen, seen[1:], strict=False)), "nothing is missing"
    assert len(sent) >= held(take)["right"].frames


def test_frames_from_before_the_run_are_no_drops_and_a_camera_comes_back_to_both(tmp_path: Path):
    with ExitStack() as stack, MjpegServer() as left:
        gone = ExitStack()
        rtsp = gone.enter_context(RtspCameras([access_units(30)], 30.0))
        cameras = ["--camera", f"left={left.url()}", "--camera", f"right={rtsp.url()}"]
        config = config_of(parser().parse_args([*cameras, *FAST, "--capture", str(tmp_path), "--live"]))
        assert config.capture is not None
        run = CaptureRun(config.capture, ("left", "right"), "all")
        pipeline, _ = build.prepare(config, stack, run)
        before = sum(o.source.status().dropped for o in pipeline._sources)
        assert before > 5, "nobody took them: networks were loaded"
        seen = Collect()
        pipeline.add(seen)
        pipeline.add(CaptureEvents(run), "capture")
        thread = threading.Thread(target=pipeline.run)
        thread.start()
        try:
            wait_until(lambda: seen.got)
            run.start(pipeline.control, lambda: pipeline.newest)
            both = lambda count: sum(all(e.frames) for e in seen.got[count:])  # noqa: E731
            wait_until(lambda: both(0) > 2)
            gone.close()
            wait_until(lambda: sum(e.frames[0] is not None and e.frames[1] is None for e in seen.got) > 2)
            with RtspCameras([access_units(30)], 30.0, port=rtsp.port):
                count = len(seen.got)
                wait_until(lambda: both(count) > 2)
                pipeline.control.event("user", "it is back")
                frames = run.writer.progress["right"].frames
                wait_until(lambda: run.writer.progress["right"].frames > frames + 5)
                pipeline.control.stop()
                thread.join()
        finally:
            pipeline.control.stop()
            thread.join()
            run.close()
    dropped = sum(o.source.status().dropped for o in pipeline._sources)
    assert pipeline._drops()["frames by cameras"] <= dropped - before, "those are no drops of the run"
    take = open_take(tmp_path)
    assert held(take)["right"].lost == run.writer.progress["right"].lost and held(take)["right"].lost["device gap"] > 3
    assert ("user", "it is back") in [(event.source, event.text) for event in read_events(take)]
    assert len(list(read_frames(take, "left"))) == held(take)["left"].frames, "what was captured of the other is whole"
