"""The report of a take: its numbers against what was recorded, and a page that needs nothing."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from stream.app.report import main
from stream.recordings.reading import Reading
from stream.recordings.replay import replay
from stream.recordings.takes import open_take
from stream.report.charts import cells, lines
from stream.report.numbers import numbers_of
from stream.types import Event
from tests.humanoids import LENGTHS, take_of
from tests.takes import make_estimates, record

VERSION_1 = Path(__file__).parent / "data" / "version-1"


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, three cameras, 3 s; nobody is there for a while."""
    return take_of(tmp_path_factory.mktemp("takes"), np.arange(90) / 30, (0, 4), 3, gone=tuple(range(30, 45)))


class _Checked(HTMLParser):
    """Refuses tags that are not closed, and whatever fetches or runs something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs) -> None:
        assert tag not in ("script", "iframe", "link", "object"), tag
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "line", "rect", "polyline", "br", "i") or (tag,) == ("i",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag


def test_numbers_are_those_of_the_take(take: Path) -> None:
    n = numbers_of(Reading(open_take(take)))
    assert (n.moments, n.missed, n.others) == (90, 0, 0) and n.seconds == pytest.approx(89 / 30)
    assert n.methods == {"map": 150} and n.skew == pytest.approx(0)
    assert [c.name for c in n.cameras] == ["cam01", "cam02", "cam03"]
    for camera in n.cameras:
        assert (camera.frames, camera.moments, camera.lost) == (90, 1.0, 0)
        assert camera.fps == pytest.approx(30) and camera.people == pytest.approx(75 / 90)
        assert camera.longest_s == pytest.approx(1 / 30)
        assert camera.reprojection is not None
        median, most, x, y = camera.reprojection
        assert most < 0.1 and abs(x) < 0.05 and abs(y) < 0.05, "projections of the pose itself"
        assert np.nanmedian(camera.probability) == pytest.approx(0.62)
        assert np.isnan(camera.probability[31:44]).all()
    assert [p.person_id for p in n.people] == [0, 4]
    for person in n.people:
        assert person.fused == 75 and person.sigma == pytest.approx(20)
        np.testing.assert_allclose(person.lengths, LENGTHS, atol=0.01)
        assert np.nanmax(person.spread) < 1e-3
        assert person.cameras.max() == 3 and (person.cameras[31:44] == 0).all()
    seen = np.nanmean(n.coverage, axis=1)
    assert seen[[7, 9, 10]] == pytest.approx(0) and np.delete(seen, [7, 9, 10]) == pytest.approx(1)


def test_what_is_wrong_shows(tmp_path: Path) -> None:
    estimates = list(replay(open_take(take_of(tmp_path / "a", np.arange(40) / 30))))
    shifted = []
    for estimate in estimates:
        (person,) = estimate.people
        first, second = person.views
        xy = second.detection.xy + np.float32([20, -5])
        views = (first, replace(second, detection=replace(second.detection, xy=xy)))
        frames = (estimate.frames[0], replace(estimate.frames[1], frame_index=2 * estimate.index))
        shifted.append(replace(estimate, people=(replace(person, views=views),), frames=frames))
    run_info = open_take(tmp_path / "a").run_info
    n = numbers_of(Reading(open_take(record(tmp_path / "b", shifted, run_info))))
    assert n.cameras[1].lost == 39 and n.cameras[0].lost == 0
    assert n.cameras[1].reprojection[2:] == pytest.approx((-20, 5), abs=0.1)


def test_a_page_of_one_file(take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.html"
    assert main([str(take), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out}\n"
    text = out.read_text("utf-8")
    parsed = _Checked(text)
    assert len(parsed.sources) == 3 and all(source.startswith("data:image/jpeg;base64,") for source in parsed.sources)
    assert "default-src 'none'" in text and "http://" not in text.replace("http-equiv", "")
    for said in ("cam02", "person 4", "left lower arm", "290 (0%)", "2.967 s, 90 moments", "100.0%"):
        assert said in text, said
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert main([str(take), "--out", str(out)]) == 2 and "--force" in capsys.readouterr().err
    assert main([str(take), "--out", str(out), "--force", "--end", "0.5", "--select", "4"]) == 0
    assert "person 0" not in out.read_text("utf-8").split("All that the take")[0]


def test_what_a_take_says_is_only_text(tmp_path: Path) -> None:
    folder = take_of(tmp_path / "a", np.arange(4) / 30)
    run_info = open_take(folder).run_info
    nasty = '<script>alert(1)</script>" onload="x'
    cameras = tuple(replace(camera, source=nasty) for camera in run_info.cameras)
    estimates = list(replay(open_take(folder)))
    from stream.recordings.takes import new_take
    from stream.recordings.writer import Recorder

    take = new_take(tmp_path / "b")
    recorder = Recorder(take)
    recorder.open(replace(run_info, cameras=cameras, software=nasty))
    for estimate in estimates:
        recorder.write(estimate, {})
    recorder.event(Event(0.05, nasty, nasty))
    recorder.close()
    assert main([str(take), "--out", str(tmp_path / "r.html")]) == 0
    _Checked(text := (tmp_path / "r.html").read_text("utf-8"))
    assert "&lt;script&gt;alert(1)" in text and "0.050 s" in text


@pytest.mark.parametrize("name", ["single", "multi", "noise", "one moment", "nobody"])
def test_any_take(name: str, tmp_path: Path) -> None:
    make = {
        "single": lambda: VERSION_1 / "single", "multi": lambda: VERSION_1 / "multi",
        "noise": lambda: record(tmp_path / "t", make_estimates(30, people=3)),
        "one moment": lambda: take_of(tmp_path / "t", np.zeros(1)),
        "nobody": lambda: take_of(tmp_path / "t", np.arange(4) / 30, gone=(0, 1, 2, 3)),
    }  # fmt: skip
    assert main([str(make[name]()), "--out", str(tmp_path / "r.html")]) == 0
    _Checked((tmp_path / "r.html").read_text("utf-8"))


def test_no_report_into_the_take_or_nowhere(take: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ((take / "estimates-00000.arrows", "is part of the take"), (tmp_path / "no" / "r.html", "no folder"))
    for out, said in (*wrong, (tmp_path, "it is a folder")):
        assert main([str(take), "--out", str(out), "--force"]) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1


def test_charts_leave_out_what_is_not_known() -> None:
    drawn = cells(np.array([[0, 1, 1, np.nan], [np.nan] * 4]), ["a<b", "c"], 4.0, 1.0, "x")
    assert drawn.count("<rect") == 2 and "a&lt;b" in drawn
    assert lines([np.array([0.1, 0.2, np.nan, 0.3, np.nan])], ["a"], 5.0, "x").count("<polyline") == 2
