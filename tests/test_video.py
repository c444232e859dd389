"""The video and the still that a run writes."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.error import FFmpegError

from stream.sinks import SinkStoppedError
from stream.sinks.video import VideoSink, representative
from stream.types import StreamError
from tests.walker import alone, multi, only_view, single

HERE = Path(__file__).parent
ENV = {**os.environ, "PYTHONPATH": str(HERE.parent)}
SMALL = (640, 360)


def run_video(
    path: Path | None, times: list[float], still: Path | None = None, size: tuple[int, int] = SMALL
) -> str | None:
    estimate, images, run_info = single(size=(640, 360))
    video = VideoSink(path, still, size=size)
    video.open(run_info)
    for k, t in enumerate(times):
        video.write(replace(estimate, index=k, t=t), images)
    return video.close()


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def test_the_video_keeps_every_frame_and_its_time(tmp_path: Path) -> None:
    times = [100.0, 100.033, 100.066, 100.2, 100.21, 101.7, 101.75]
    line = run_video(tmp_path / "new" / "v.mp4", times, size=(641, 361))
    frames = decoded(tmp_path / "new" / "v.mp4")
    assert [f.time for f in frames] == pytest.approx([t - 100 for t in times], abs=1e-3)
    assert (frames[0].width, frames[0].height) == (640, 360)
    assert frames[0].format.name == "yuv420p"
    assert line is not None and "7 frames" in line and "v.mp4" in line


def test_a_finished_video_is_a_plain_mp4(tmp_path: Path) -> None:
    run_video(tmp_path / "v.mp4", [k / 30 for k in range(75)])
    data, at, kinds = (tmp_path / "v.mp4").read_bytes(), 0, []
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kinds.append(data[at + 4 : at + 8].decode())
        at += length
    assert "moov" in kinds and "moof" not in kinds, (
        "fragments are for a run that was killed; not every editor reads them"
    )


def test_the_video_shows_the_picture(tmp_path: Path) -> None:
    still = tmp_path / "s.png"
    run_video(tmp_path / "v.mp4", [0.0, 0.04], still, size=(640, 360))
    want = cv2.imread(str(still)).astype(int)  # type: ignore[union-attr]
    got = decoded(tmp_path / "v.mp4")[0].to_ndarray(format="bgr24").astype(int)
    assert np.abs(cv2.blur(want.astype(np.float32), (9, 9)) - cv2.blur(got.astype(np.float32), (9, 9))).mean() < 6


@pytest.mark.parametrize("times", [[5.0, 5.0, 5.0, 5.04], [5.0, 5.04, 0.0, 0.04, 0.08], [1e9, 1e9 + 0.02, 1e9 + 0.04]])
def test_times_always_increase(tmp_path: Path, times: list[float]) -> None:
    run_video(tmp_path / "v.mp4", times)
    got = [f.time for f in decoded(tmp_path / "v.mp4")]
    assert len(got) == len(times)
    assert all(b is not None and a is not None and 0 < b - a < 1 for a, b in zip(got, got[1:], strict=False))


def test_a_picture_too_small_for_its_text_is_refused() -> None:
    with pytest.raises(ValueError, match="640x360"):
        run_video(None, [0.0], size=(320, 180))


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_video(Path("12:30.mp4"), [0.0, 0.04])
    assert len(decoded(tmp_path / "12:30.mp4")) == 2


def test_an_output_that_is_checked_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(b"a picture")
    VideoSink(tmp_path / "v.mp4", tmp_path / "old.png")
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]
    assert (tmp_path / "old.png").read_bytes() == b"a picture"


def test_no_frame_set_at_all_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"an older video")
    run_video(tmp_path / "v.mp4", [], tmp_path / "s.png")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("v.mp4", b"an older video")]


def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"ends in \.mp4"):
        VideoSink(tmp_path / "v.avi")
    (tmp_path / "file").write_text("in the way")
    for video, still in ((tmp_path / "file" / "v.mp4", None), (None, tmp_path / "file" / "s.png"), (tmp_path, None)):
        with pytest.raises(StreamError) as caught:
            VideoSink(video, still)
        assert "\n" not in str(caught.value)


FILL = """
import resource, sys
import numpy as np
from pathlib import Path
from dataclasses import replace
from tests.walker import single
from stream.sinks import SinkStoppedError
from stream.sinks.video import VideoSink
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
random = np.random.default_rng(0)
estimate, images, header = single(size=(640, 360))
video = VideoSink(Path(sys.argv[1]), size=(640, 360))
video.open(header)
try:
    for k in range(300):
        noise = random.integers(0, 255, images["cam0"].shape, np.uint8)
        video.write(replace(estimate, index=k, t=k / 30), {"cam0": noise})
except SinkStoppedError as error:
    print("stopped", error)
print(video.close())
"""


def test_a_full_disk_stops_the_video_and_keeps_its_first_part(tmp_path: Path) -> None:
    path, mine = tmp_path / "v.part.mp4", tmp_path / "v.mp4"
    mine.write_bytes(b"an older video")
    done = subprocess.run([sys.executable, "-c", FILL, str(mine)], env=ENV, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "stopped video" in done.stdout and "cut short" in done.stdout
    assert 0 < path.stat().st_size <= 400_000
    assert len(readable(path)) >= 5
    assert mine.read_bytes() == b"an older video"


def readable(path: Path) -> list[float]:
    """Times of the frames that can be decoded before the file breaks off."""
    times: list[float] = []
    with av.open(str(path)) as container:
        try:
            times.extend(frame.time or 0.0 for frame in container.decode(video=0))
        except FFmpegError:
            return times
    return times


KILL = """
import sys, time
from pathlib import Path
from dataclasses import replace
from tests.walker import single
from stream.sinks.video import VideoSink
estimate, images, header = single(size=(640, 360))
video = VideoSink(Path(sys.argv[1]), size=(640, 360))
video.open(header)
for k in range(100000):
    video.write(replace(estimate, index=k, t=k / 30), images)
    if k == 150:
        print("far", flush=True)
        time.sleep(60)
"""


def test_a_killed_run_leaves_a_video_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "v.part.mp4"
    process = subprocess.Popen(
        [sys.executable, "-c", KILL, str(tmp_path / "v.mp4")], env=ENV, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "far"
    process.send_signal(signal.SIGKILL)
    process.wait(20)
    process.stdout.close()
    times = readable(path)
    assert times and times[-1] > 3.0, "of five seconds at most two are lost"
    assert [path.name for path in tmp_path.iterdir()] == ["v.part.mp4"]


# the still


def test_the_still_is_the_frame_that_shows_most(tmp_path: Path) -> None:
    estimate, images, run_info = single()
    seen = only_view(estimate)
    assert seen.mixture is not None
    low = replace(seen, detection=replace(seen.detection, score=seen.detection.score * np.float32(0.4)))
    score = seen.detection.score.copy()
    score[[2, 3]] = 0
    cut = replace(seen, detection=replace(seen.detection, score=score))
    half = replace(seen, detection=replace(seen.detection, xy=seen.detection.xy + np.array([700, 0], np.float32)))
    xy = seen.detection.xy.copy()
    xy[[15, 16], 0] = -40
    outside = replace(seen, detection=replace(seen.detection, xy=xy))
    same = replace(seen, mixture=replace(seen.mixture, mean=np.repeat(seen.mixture.mean[:1], 5, 0)))
    small = replace(seen, detection=replace(seen.detection, xy=seen.detection.xy * np.float32(0.2)))
    best = representative(estimate)
    assert 0 < best <= 1
    for worse in (low, cut, half, outside, same, small, None):
        assert representative(alone(worse)) < 0.8 * best
    assert representative(multi(4)[0]) > 0.2

    video = VideoSink(None, tmp_path / "s.png")
    video.open(run_info)
    for k, (view, ground) in enumerate(((low, 10), (seen, 250), (None, 10), (cut, 10))):
        plain = np.full_like(images["cam0"], ground)
        video.write(alone(view, index=k, t=k / 30), {"cam0": plain})
    line = video.close()
    picture = cv2.imread(str(tmp_path / "s.png"))
    assert picture is not None and picture.shape == (720, 1280, 3)
    assert np.median(picture[:300, :300]) == 250
    assert line is not None and "s.png" in line


def test_a_still_that_cannot_be_written_at_the_end_is_said(tmp_path: Path) -> None:
    estimate, images, run_info = single()
    folder = tmp_path / "gone"
    video = VideoSink(None, folder / "s.png")
    video.open(run_info)
    video.write(estimate, images)
    folder.write_text("in the way")
    with pytest.raises(SinkStoppedError, match="still"):
        video.close()
