"""Several files of one camera, played as one."""

from pathlib import Path

import numpy as np
import pytest

from calibration.errors import UserError
from stream.app.inspect import main as inspect
from stream.sources import kind_of, make_source, parse_source, parse_sources
from tests import grid
from tests.reading import opened, read_all
from tests.remux import copied, moved
from tests.servers import decode, write_video

NAMES = ("GX010012.MP4", "GX020012.MP4", "GX030012.MP4")


@pytest.fixture
def chapters(tmp_path: Path) -> list[Path]:
    """As GoPro writes them: sound, timecode and a data track beside the video, in any order."""
    tracks = ("audio", "video", "timecode", "data"), ("data", "video", "audio"), ("video", "data")
    for name, kinds in zip(NAMES, tracks, strict=True):
        grid.write(tmp_path / "a.mp4", grid.Case("mp4", "h264-b", kinds), count=20).rename(tmp_path / name)
    return [tmp_path / name for name in NAMES]


def source_of(text: object):
    return make_source(parse_source(str(text), 0))


@pytest.mark.parametrize("given", ["list", "pattern"])
def test_chapters_are_one_recording_with_continuous_time(given, chapters, tmp_path):
    text = "+".join(map(str, chapters)) if given == "list" else tmp_path / "GX*0012.MP4"
    assert kind_of(str(text)) == "chapters"
    source = source_of(f"left={text}")
    info = source.open()
    frames, status = read_all(source), source.status()
    source.close()
    assert (info.name, info.size, info.frames, info.messages) == ("left", grid.SIZE, 60, ())
    assert [decode(frame.image) for frame in frames] == [*range(20)] * 3
    assert [frame.index for frame in frames] == list(range(60))
    assert np.allclose([frame.t for frame in frames], np.arange(60) / 30, atol=1e-3)
    assert (status.corrupt, status.note) == (0, "")


def test_times_go_on_whatever_each_file_begins_at(tmp_path):
    one = grid.write(tmp_path / "s.mp4", grid.Case("mp4", "h264-b"))
    two = copied(tmp_path / "2.ts", one, moved(1.4))
    with opened(source_of(f"{one}+{two}")) as source:
        frames = read_all(source)
    assert np.allclose(np.diff([frame.t for frame in frames]), 1 / 30, atol=1e-3) and len(frames) == 120


def test_a_pattern_is_in_natural_order(tmp_path):
    for number in (10, 9, 2):
        write_video(tmp_path / f"part{number}.mp4", number)
    with opened(source_of(tmp_path / "part*.mp4")) as source:
        frames = read_all(source)
    assert [decode(frame.image) for frame in frames] == [*range(2), *range(9), *range(10)]


def test_a_file_of_such_a_name_is_that_file(tmp_path):
    write_video(tmp_path / "a+b.mp4", 3)
    write_video(tmp_path / "c[1].mp4", 4)
    for name, count in (("a+b.mp4", 3), ("c[1].mp4", 4)):
        assert kind_of(str(tmp_path / name)) == "file"
        with opened(source_of(tmp_path / name)) as source:
            assert len(read_all(source)) == count


def test_a_chapter_that_is_damaged_is_named_and_the_next_goes_on(chapters):
    data = chapters[0].read_bytes()
    at = data.find(b"mdat")
    chapters[0].write_bytes(data[: at + 4000] + bytes(3000) + data[at + 7000 :])
    with opened(source_of("+".join(map(str, chapters)))) as source:
        frames = read_all(source)
        assert source.status().corrupt > 0
    assert [decode(frame.image) for frame in frames][-40:] == [*range(20)] * 2


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("GX010012.MP4", "GX020012.MP4", "GX990012.MP4"), "GX990012.MP4: there is no such file"),
        (("GX010012.MP4", "small.mp4"), "small.mp4 is 80x64; files of one camera have one size"),
        (("GX010012.MP4", "GX010012.MP4"), "it names one file twice"),
    ],
)
def test_what_does_not_belong_together_is_one_line_before_it_begins(names, says, chapters, tmp_path):
    write_video(tmp_path / "small.mp4", 3, size=(80, 64))
    with pytest.raises(UserError, match=says):
        (config,) = parse_sources(["+".join(str(tmp_path / name) for name in names)])
        make_source(config).open()


def test_a_chapter_that_was_left_out_is_said(chapters):
    source = source_of(f"{chapters[0]}+{chapters[2]}")
    (message,) = source.open().messages
    assert "chapter 03 of recording 0012 comes after it, not 02" in message
    source.close()


def test_one_file_given_to_two_cameras_is_refused(chapters):
    with pytest.raises(UserError, match="given twice"):
        parse_sources([f"a={chapters[0]}+{chapters[1]}", f"b={chapters[1]}"])


def test_inspect_shows_every_file(chapters, capsys):
    assert inspect([f"{chapters[0]}+{chapters[1]}"]) == 0
    said = capsys.readouterr().out
    assert "chapters, a recording" in said and "about 40 frames" in said
    assert said.count("container: mov") == 2 and "no decoder for it" in said


def test_chapters_of_older_cameras_are_counted_too(chapters, tmp_path):
    names = [tmp_path / name for name in ("GOPR0012.MP4", "GP010012.MP4", "GP020012.MP4")]
    for name in names:
        name.write_bytes(Path(chapters[0]).read_bytes())
    for given, said in ((names, []), ([names[0], names[2]], ["chapter 02 of recording 0012 comes after it, not 01"])):
        source = source_of("+".join(map(str, given)))
        messages = source.open().messages
        source.close()
        assert len(messages) == len(said) and all(a in b for a, b in zip(said, messages, strict=True))
