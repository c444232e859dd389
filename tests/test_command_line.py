"""The program as its user starts it: a process, real video, real weights; and one line for everything that is wrong."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from calibration.formats import save_calibration
from calibration.geometry.camera import camera_from_fov
from calibration.types import Calibration
from engines.lifter import SHIPPED
from stream.app import demo, outputs
from stream.app.command_line import config_of
from stream.app.flags import parser
from stream.drawing.scene import ViewState
from stream.recordings.takes import find_take, open_take
from stream.sinks import recorder, video
from stream.types import StreamError
from tests.media import walker_video
from tests.program import FAST, FIGURE, ROOT, Done, frames_of, run, table_of
from tests.servers import free_port, write_video

WALKER_FRAMES = 40
MAN = np.array([[540, 60], [770, 480]])
"""Box of the man on the wall in the walker's first 40 frames, pixels, read off the picture; he hardly moves."""


# real video, end to end


@dataclass(frozen=True)
class WalkerRun:
    video: Path
    folder: Path
    done: Done
    table: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def walker(tmp_path_factory) -> WalkerRun:
    """One run over a cut of the demo's video; everything it can write, written."""
    folder = tmp_path_factory.mktemp("walker")
    cut = folder / "cut.mp4"
    with av.open(str(walker_video())) as source, av.open(str(cut), "w") as target:
        track = source.streams.video[0]
        stream = target.add_stream("libx264", rate=track.average_rate, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = track.width, track.height, "yuv420p"
        for _, frame in zip(range(WALKER_FRAMES), source.decode(track), strict=False):
            target.mux(stream.encode(frame.reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    (folder / "v.mp4").write_bytes(b"an old video")
    done = run("--camera", f"street={cut}", "--view", "none", "--record", "takes", "--record-video",
               "--video-out", "v.mp4", "--still-out", "new/s.png", "--force", cwd=folder)  # fmt: skip
    assert done.code == 0, done.err
    return WalkerRun(cut, folder, done, table_of(folder / "takes", folder / "table.npz"))


@pytest.mark.video
def test_every_frame_of_a_real_video_is_estimated_drawn_and_recorded(walker: WalkerRun) -> None:
    summary = walker.done.out
    assert f"{WALKER_FRAMES} moments" in summary
    assert "drops: none" in summary and "stages, ms a moment: detect" in summary
    assert "mean probability of the answer: 0." in summary
    for named in ("v.mp4 (40 frames)", "s.png", "takes"):
        assert named in summary
    assert walker.done.complaints == []
    drawn = frames_of(walker.folder / "v.mp4")
    assert len(drawn) == WALKER_FRAMES, "the old file is replaced by all of the new one"
    assert drawn[0].shape == (720, 1280, 3)
    still = cv2.imread(str(walker.folder / "new" / "s.png"))
    assert still.shape == (720, 1280, 3) and still.std() > 20
    (images,) = find_take(walker.folder / "takes").glob("frames-0-street-*.mkv")
    assert len(frames_of(images)) == WALKER_FRAMES


@pytest.mark.video
def test_the_exported_table_has_every_column(walker: WalkerRun) -> None:
    table, F, M = walker.table, WALKER_FRAMES, 5
    shapes = {
        "time": (F,), "frame_index": (F,), "camera": (F,), "detector": (F,), "xy": (F, 17, 2), "score": (F, 17),
        "hypotheses": (F, M, 17, 3), "weights": (F, M), "sigmas": (F, M, 17), "track_ids": (F, M),
        "answer": (F, 17, 3), "answer_raw": (F, 17, 3), "root": (F, 3), "root_raw": (F, 3), "fov_assumed": (F,),
    }  # fmt: skip
    assert {name: table[name].shape for name in shapes} == shapes
    np.testing.assert_array_equal(table["frame_index"], np.arange(F))
    np.testing.assert_allclose(table["time"], np.arange(F) / 30, atol=1e-3)
    assert set(table["camera"]) == {"street"} and table["fov_assumed"].all()


@pytest.mark.video
def test_the_skeleton_is_that_of_the_man_in_the_picture(walker: WalkerRun) -> None:
    table = walker.table
    lifted = np.isfinite(table["answer"]).all((1, 2))
    assert lifted.mean() >= 0.95
    xy, score = table["xy"][lifted], table["score"][lifted]
    limbs = [1, 2, 3, 4, 5, 6, 11, 12, 14, 15]
    inside = ((xy[:, limbs] > MAN[0]) & (xy[:, limbs] < MAN[1])).all(-1)
    assert (inside & (score[:, limbs] > 0.2)).mean() > 0.95
    hips, knees, ankles = (xy[:, pair, 1].mean(1) for pair in ([1, 4], [2, 5], [3, 6]))
    shoulders = xy[:, [11, 14], 1].mean(1)
    assert ((shoulders + 70 < hips) & (hips + 40 < knees) & (knees + 40 < ankles)).mean() > 0.95
    # In 3D he stands upright, faces the camera (his right is at the image's left), and is as tall as a man.
    answer = table["answer"][lifted]
    assert (np.ptp(answer[:, :, 1], axis=1) > 1000).all() and (np.ptp(answer[:, :, 1], axis=1) < 2200).all()
    assert (answer[:, 14, 0] < answer[:, 11, 0]).mean() > 0.95
    assert (table["root"][lifted][:, 2] > 2000).all()
    weights = table["weights"][lifted]
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    assert (table["sigmas"][lifted][:, :, 1:] > 0).all()


@pytest.mark.video
def test_a_video_is_not_written_over_itself(walker: WalkerRun) -> None:
    before = walker.video.read_bytes()
    os.symlink("cut.mp4", walker.folder / "link.mp4")
    done = run("--camera", walker.video, *FAST, "--video-out", "link.mp4", cwd=walker.folder)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1 and "give another file" in done.err
    assert walker.video.read_bytes() == before


@pytest.mark.video
def test_a_video_that_is_cut_off_is_said_in_the_end(walker: WalkerRun, tmp_path: Path) -> None:
    (take,) = find_take(walker.folder / "takes").glob("frames-0-street-*.mkv")
    data = take.read_bytes()
    (tmp_path / "half.mkv").write_bytes(data[: len(data) // 2])
    done = run("--camera", "half.mkv", *FAST, cwd=tmp_path)
    assert done.code == 0
    assert "is the file cut off?" in done.out


# bad input: one line, not 0


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    """A folder with everything that can be wrong in it."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.mp4").write_text("hello\n" * 100)
    (folder / "empty.mp4").touch()
    (folder / "file").touch()
    (folder / "nothing").mkdir()
    (folder / "taken.mp4").mkdir()
    for suffix in (".onnx", ".toml"):
        shutil.copy(SHIPPED.with_suffix(suffix), folder / f"lifter{suffix}")
    with (folder / "lifter.onnx").open("r+b") as weights:
        weights.seek(100_000)
        byte = weights.read(1)[0]
        weights.seek(100_000)
        weights.write(bytes([byte ^ 1]))
    camera = camera_from_fov("cam0", (1920, 1080), 60)
    save_calibration(Calibration((camera,), False), folder / "lab.toml")
    with av.open(str(folder / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    return folder


WRONG = {
    "no camera at all": ((), ("no camera", "--list-cameras")),
    "no such camera": (("--camera", "97"), ("no camera 97", "on this machine|there (is|are)")),
    "no such file": (("--camera", "gone.mp4"), ("gone.mp4: there is no such file",)),
    "not a video": (("--camera", "text.mp4"), ("text.mp4: not a video",)),
    "an empty file": (("--camera", "empty.mp4"), ("empty.mp4: the file is empty",)),
    "no video in it": (("--camera", "sound.mkv"), ("there is no video in it",)),
    "zero frames": (("--camera", "synthetic:frames=0"), ("not one image",)),
    "an empty folder": (("--camera", "nothing"), ("no images in this folder",)),
    "http refused": (("--camera", "http://joe:hush@127.0.0.1:PORT/v"), ("connection refused",)),
    "rtsp refused": (("--camera", "rtsp://joe:hush@127.0.0.1:PORT/v"), ("connection refused",)),
    "no camera's name": (("--camera", "a,b=gone.mp4"),
                         ("a,b=gone.mp4: there is no such file", "'a,b' is no name of a camera")),
    "one camera twice": (("--camera", "text.mp4", "--camera", "./text.mp4"), ("given twice",)),
    "unknown detector": (("--camera", FIGURE, "--detector", "openpose"),
                         ("unknown detector 'openpose'", "movenet-lightning", "mediapipe", "hourglass")),
    "unknown runtime": (("--camera", FIGURE, "--runtime", "abacus"), ("unknown runtime 'abacus'", "onnx")),
    "unknown view": (("--camera", FIGURE, "--view", "hologram"), ("unknown view 'hologram'", "open3d, window, none")),
    "unknown fusion": (("--camera", FIGURE, "--fusion", "cold"), ("unknown fusion 'cold'", "triangulate")),
    "unknown flag": (("--camera", FIGURE, "--colour"), ("--colour", "--help")),
    "not a size": (("--camera", FIGURE, "--size", "big"), ("'big' is not a size",)),
    "not a rate": (("--camera", FIGURE, "--fps", "nan"), ("'nan' is not a number of frames",)),
    "a live source in real time": (("--camera", "http://joe:hush@127.0.0.1:PORT/v", "--realtime"),
                                   ("live by itself; leave out --realtime",)),
    "not a lens": (("--camera", FIGURE, "--fov", "400"), ("field of view of 400",)),
    "a lens that is known": (("--camera", FIGURE, "--calibration", "lab.toml", "--fov", "90"), ("leave out --fov",)),
    "a demo's lens": (("--demo", "multi", "--fov", "50"), ("leave out --fov",)),
    "not an offset": (("--camera", FIGURE, "--sync-offset", "cam0=nan"), ("NAME=SECONDS",)),
    "broken weights": (("--camera", FIGURE, "--weights", "lifter.onnx"), ("lifter.onnx", "damaged or was replaced")),
    "missing weights": (("--camera", FIGURE, "--weights", "no.onnx"), ("weights no.onnx cannot be read",)),
    "another size": (("--camera", FIGURE, "--calibration", "lab.toml"), ("1920x1080", "640x480")),
    "no calibration": (("--camera", FIGURE, "--calibration", "file"), ("not a calibration",)),
    "video below a file": (("--camera", FIGURE, "--video-out", "file/v.mp4"), ("file/v.mp4 cannot be written",)),
    "video is a folder": (("--camera", FIGURE, "--video-out", "taken.mp4"), ("taken.mp4 cannot be written",)),
    "video of another kind": (("--camera", FIGURE, "--video-out", "v.avi"), ("ends in .mp4",)),
    "still below a file": (("--camera", FIGURE, "--still-out", "file/s.png"), ("file/s.png cannot be written",)),
    "record to a file": (("--camera", FIGURE, "--record", "file"), ("cannot record to file",)),
    "demo and camera": (("--camera", FIGURE, "--demo"), ("leave out --demo or --camera",)),
    "demo and calibration": (("--demo", "multi", "--calibration", "lab.toml", "--letterbox", "fit"),
                             ("its own calibration; leave out --calibration, --letterbox",)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line(bench: Path, name: str) -> None:
    flags, said = WRONG[name]
    flags = [flag.replace("PORT", str(free_port())) for flag in flags]
    view = [] if "--view" in flags else ["--view", "none"]
    names = [] if "--detector" in flags else ["--detector", "movenet-lightning"]
    done = run(*flags, *view, *names, cwd=bench)
    assert done.code == 2
    assert done.out == ""
    assert len(done.complaints) == 1, done.err
    others = [
        line for line in done.err.splitlines() if not line.startswith(("run_stream:", "detector ", "lifter ", "up "))
    ]
    assert not others, "the line stands alone, but for what was loaded before"
    assert "hush" not in done.err
    for words in said:
        assert re.search(words, done.complaints[0]), done.complaints


def test_a_run_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    env = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    done = run("--camera", FIGURE, "--detector", "movenet-lightning", "--view", "window", "--record", "takes",
               "--video-out", "v.mp4", "--still-out", "s.png", cwd=tmp_path, env=env)  # fmt: skip
    assert done.code == 2 and "no window" in done.complaints[0]
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_over_where_that_is_said_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"an old video")
    (tmp_path / "s.png").write_bytes(b"an old picture")
    for flag, name in (("--video-out", "v.mp4"), ("--still-out", "s.png")):
        config = config_of(parser().parse_args(["--camera", FIGURE, flag, str(tmp_path / name)]))
        with pytest.raises(StreamError, match=f"{flag} .*{name} exists already.*--force"):
            outputs.check(config)
        outputs.check(config_of(parser().parse_args(["--camera", FIGURE, flag, str(tmp_path / name), "--force"])))


def test_the_demos_own_files_may_be_replaced_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walker_video()
    monkeypatch.chdir(tmp_path)
    for name in ("out/demo.mp4", "out/demo.png", "mine.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"old")
    outputs.check(config_of(parser().parse_args(["--demo", "--view", "none"])))
    with pytest.raises(StreamError, match=r"mine.mp4 exists already"):
        config_of(parser().parse_args(["--demo", "--video-out", "mine.mp4"]))


@pytest.mark.parametrize(
    ("text", "view"),
    [("-30,12", (-30, 12, 1)), ("90,0,1.5", (90, 0, 1.5)), ("270,-85,4", (-90, -85, 4)), ("0,0", (0, 0, 1))],
)
def test_a_viewpoint_is_where_one_looks_from(text: str, view: tuple[float, float, float]) -> None:
    config = config_of(parser().parse_args(["--camera", FIGURE, "--viewpoint", text, "--mirror", "--hold"]))
    made = ViewState().seen_from(*config.output.viewpoint)
    assert (made.yaw, made.pitch, made.zoom) == view
    assert config.output.mirror and config.output.hold


@pytest.mark.parametrize("text", ["left", "1", "1,2,3,4", "0,90", "nan,0", "0,0,0", "0,0,9", "400,0"])
def test_a_viewpoint_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--camera", FIGURE, "--viewpoint", text])
    assert "--viewpoint" in capsys.readouterr().err


def test_a_setting_that_a_source_does_not_have_is_said(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 3)
    done = run("--camera", "a.mp4", *FAST, "--size", "320x240", "--fps", "10", cwd=tmp_path)
    assert done.code == 0
    assert "cam0: --size 320x240 is for local cameras; it gives 160x120" in done.err
    assert "cam0: --fps 10 is for local cameras and folders of images; its own times say 30" in done.err
    done = run("--camera", FIGURE, *FAST, "--size", "320x240", "--fps", "10", cwd=tmp_path)
    assert "is for local cameras" not in done.err, "the synthetic figure takes both"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_summary_that_nobody_reads_is_no_error(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        code = subprocess.run(
            [sys.executable, ROOT / "run_stream.py", "--camera", FIGURE, *FAST],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100, check=True,
        )  # fmt: skip
    assert "Traceback" not in code.stderr and "Exception" not in code.stderr


@pytest.mark.video
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_log_that_takes_nothing_more_ends_neither_run_nor_recording(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        subprocess.run(
            [sys.executable, ROOT / "run_stream.py", "--camera", FIGURE, *FAST, "--record", "takes"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=full, timeout=100, check=True,
        )  # fmt: skip
    assert sum(batch.num_rows for batch in open_take(tmp_path / "takes").batches("moments")) == 3


def test_the_demo_takes_the_flags_of_a_source() -> None:
    walker_video()
    config = config_of(parser().parse_args(["--demo", "--realtime", "--still-out", "s.png"]))
    (source,) = config.sources
    assert source.realtime and source.name == "walker"
    assert video.Options(demo.OUT / "demo.mp4", Path("s.png"), True) in config.output.sinks
    assert recorder.Options(demo.OUT / "recordings") in config.output.sinks


def test_the_demo_of_several_cameras_takes_the_flags_of_their_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "fetch", lambda _: Path("kept"))
    flags = ["--demo", "multi", "--sync-offset", "cam02=0.1", "--sync-delay", "1", "--fusion", "triangulate"]
    setup = config_of(parser().parse_args(flags)).setup
    assert (setup.sync_offset, setup.sync_delay, setup.fusion) == (("cam02=0.1",), 1, "triangulate")
    assert setup.calibration is not None and setup.up == (0, 0, 1) and len(setup.letterbox) == 2


def test_the_demo_without_a_network_says_so(tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    done = run("--demo", "--view", "none", cwd=tmp_path, env=env)
    assert done.code == 2
    fetching, why = done.err.splitlines()
    assert fetching.startswith("fetching the demo video"), done.err
    assert "not cached and could not be fetched" in why and "connect to the network" in why
    assert not list(tmp_path.rglob("*.whl")) and not (tmp_path / "out").exists()
