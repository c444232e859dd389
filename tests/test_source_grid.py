"""Every frame, in order, of every container, codec and set of tracks: in a run, in a calibration, in a replay."""

from pathlib import Path

import numpy as np
import pytest

from stream.app.calibrate.capture import Feed, frame_sets
from tests import grid
from tests.faults.fault import row
from tests.reading import file_source, opened, read_all
from tests.servers import decode


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the grid, each made when it is first asked for."""
    return tmp_path_factory.mktemp("grid")


@pytest.mark.parametrize("case", list(grid.cases()), ids=str)
@row(lambda v: f"a file: {v['case'].container} with {', '.join(v['case'].tracks)}", 0, "", "all 60 frames")
def test_every_frame_and_no_complaint(case: grid.Case, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = grid.file(folder, case)
    capfd.readouterr()  # one of the encoders talks
    with opened(file_source(path)) as source:
        frames = read_all(source)
        status = source.status()
    assert [decode(frame.image) for frame in frames] == list(range(grid.COUNT))
    assert [frame.index for frame in frames] == list(range(grid.COUNT))
    assert (status.corrupt, status.note) == (0, "")
    steps = np.diff([frame.t for frame in frames])
    if case.container == "avi" and "audio" in case.tracks:
        steps = steps[1:]  # FFmpeg's writer, which may not begin before 0 with its sound, leaves the second place empty
    np.testing.assert_allclose(steps, 1 / grid.FPS, atol=1.1e-3)
    assert capfd.readouterr() == ("", "")


@row("two video tracks", 0, "not used: 80x64", "the larger one")
def test_of_two_video_tracks_the_other_is_named(folder: Path) -> None:
    source = file_source(grid.file(folder, grid.Case("mkv", "h264", ("video", "second"))))
    info = source.open()
    source.close()
    assert info.size == grid.SIZE
    (message,) = info.messages
    assert "160x120 is used; not used: 80x64" in message


@pytest.mark.parametrize("tracks", [("audio", "video"), ("video", "timecode"), ("video", "data")], ids="+".join)
@row(lambda v: f"a calibration from a file with {', '.join(v['tracks'])}", 0, "", "all 60 frames")
def test_a_calibration_sees_every_frame_too(tracks: tuple[str, ...], folder: Path) -> None:
    paths = [grid.file(folder, grid.Case("mp4", "h264", t)) for t in (tracks, ("video",))]
    sources = [file_source(path) for path in paths]
    feeds = []
    for name, source in zip("ab", sources, strict=True):
        info = source.open()
        feeds.append(Feed(name, info.size, source.read, fps=info.fps))
    seen = [{name: decode(image) for name, image in images.items()} for _, images in frame_sets(feeds, 0.0)]
    assert seen == [{"a": k, "b": k} for k in range(grid.COUNT)]
    for source in sources:
        source.close()
