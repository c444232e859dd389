"""A take as a page: its pictures and events in any order, served with a time line, and as one file."""

import base64
import json
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from engines.argument_types import MISTAKE
from stream.app.replay import main as replay_main
from stream.app.take_page import TakePage
from stream.drawing.figures import follow
from stream.drawing.scene import ViewState
from stream.recordings.export import export
from stream.recordings.pictures import Pictures
from stream.recordings.replay import read_frames, replay
from stream.recordings.takes import find_take, new_take, open_take
from stream.recordings.writer import Recorder
from stream.selection import Selection
from stream.sinks._token import Token
from stream.types import Event
from stream.web.film import CHUNK, Film, FilmPictures
from stream.web.scene import moment
from tests.api import opened
from tests.faults.fault import row
from tests.pages import LOOPBACK, PATIENCE_S, browser, told
from tests.takes import make_estimates, make_run_info, record

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def filmed(known_detector, tmp_path):
    """A take with its cameras' images."""
    with opened("synthetic:frames=40", record=str(tmp_path / "takes"), record_video=True) as run:
        for _ in run:
            pass
    return open_take(find_take(tmp_path / "takes"))


def test_pictures_are_found_in_any_order(filmed):
    frames = {frame.index: frame.image for frame in read_frames(filmed, "cam0")}
    with Pictures(filmed, "cam0") as pictures:
        assert len(pictures) == 40
        for index in (0, 1, 39, 5, 6, 35, 2):
            np.testing.assert_array_equal(pictures.image(index), frames[index])
        assert pictures.image(40) is None and pictures.image(-1) is None


def test_a_film_is_the_take(tmp_path):
    estimates = make_estimates(150, people=2)
    take = open_take(record(tmp_path, estimates))
    film = Film(take)
    film.load()
    there = [m for k in range(3) for m in film.chunk(k)]
    view = ViewState(cameras=take.run_info.cameras)
    for shown, estimate in zip(there, replay(take), strict=True):
        view = follow(view, estimate)
        assert shown == json.loads(json.dumps(moment(estimate, view)))
    assert film.done and film.count == len(there) and film.header["take"]["chunk"] == CHUNK
    with pytest.raises(IndexError):
        film.chunk(3)
    with FilmPictures(film) as pictures:
        assert pictures.of(0) == [], "no images were recorded"


def test_what_was_noted_stands_on_the_time_line(tmp_path):
    events = [Event(0.0, "user", "before"), Event(0.5, "page", "the jump"), Event(900.0, "user", "long after")]
    recorder = Recorder(new_take(tmp_path))
    recorder.open(make_run_info())
    for estimate in make_estimates(60):
        recorder.write(estimate, {})
    for event in events:
        recorder.event(event)
    recorder.close()
    take = open_take(recorder.take)
    film = Film(take)
    film.load()
    seen = [m["t"] for m in film.chunk(0)]
    assert film.events == [(0, "user: before"), (next(k for k, t in enumerate(seen) if t >= 0.5), "page: the jump")]
    part = Film(take, start=1.9)
    part.load()
    assert part.events == []


def test_a_take_is_shown_until_ctrl_c(tmp_path):
    take = record(tmp_path, make_estimates(70))
    command = [sys.executable, "-m", "stream", "replay", str(take), "--web", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as program:
        first, link = program.stderr.readline(), program.stderr.readline()
        assert "is shown until Ctrl-C" in first
        place, token = re.fullmatch(r"page: http://(\S+)/#token=(\S+)\n", link).groups()
        with browser(place, token) as socket:
            count = told(socket, "ready", lambda ready: ready["done"])["ready"]["count"]
            assert count == len(list(replay(open_take(take))))
            program.send_signal(signal.SIGINT)
            assert told(socket, "bye")["bye"] == "the server of this take has ended"
        assert program.wait(PATIENCE_S) == 0 and program.stderr.read() == ""


def test_a_part_and_a_person_of_a_take(tmp_path):
    take = open_take(record(tmp_path, make_estimates(90, people=2)))
    film = Film(take, Selection("ids", (3,)), 1.0, 2.0)
    film.load()
    told = film.chunk(0)
    assert film.count == 30 and abs(told[0]["t"] - film.origin - 1) < 0.02
    assert {person["id"] for m in told for person in m["people"]} == {3}


def test_a_take_is_served_and_a_part_of_it_exported(filmed):
    film = Film(filmed)
    film.load()
    token = Token()
    token.prepare()

    def part(to, out, start, end):
        export(filmed, to, out, start=start, end=end)

    page = TakePage(LOOPBACK, token, film, ("npz", "csv"), part)
    page.server.start()
    place = page.server.link.removeprefix("http://").rstrip("/")
    try:
        with browser(place) as socket:
            assert told(socket, "run")["run"]["take"]["count"] == 40
            socket.send(json.dumps({"do": "chunk", "number": 0}))
            assert [m["index"] for m in told(socket, "chunk")["moments"]] == list(range(40))
            socket.send(json.dumps({"do": "pictures", "index": 7}))
            while not isinstance(packed := socket.recv(timeout=PATIENCE_S), bytes):
                pass
            assert packed[4:8] == (7).to_bytes(4, "little")
            socket.send(json.dumps({"do": "export", "to": "npz", "first": 3, "last": 5}))
            assert "only watches" in told(socket, "failed")["failed"]
        with browser(place, token._value) as socket:
            for to in ("npz", "csv", "exe"):
                socket.send(json.dumps({"do": "export", "to": to, "first": 3, "last": 5}))
                said = told(socket, "failed" if to == "exe" else "file")
                if to == "exe":
                    assert "no format 'exe'" in said["failed"]
                    continue
                with urllib.request.urlopen(f"http://{place}{said['file']}", timeout=PATIENCE_S) as answer:
                    content = answer.read()
                if to == "npz":
                    assert np.load(BytesIO(content))["moment"].tolist() == [3, 4, 5]
                elif said["name"].endswith(".zip"):
                    assert zipfile.ZipFile(BytesIO(content)).testzip() is None
                with pytest.raises(urllib.error.HTTPError, match="404"):  # once
                    urllib.request.urlopen(f"http://{place}{said['file']}", timeout=PATIENCE_S)
    finally:
        page.stop()
    left = [thread.name for thread in threading.enumerate()]
    assert not [name for name in left if name.startswith(("page", "film", "export"))]


# the page as a file


def embedded(html: str) -> dict:
    coded = re.search(r'<script id="take" type="text/plain">([^<]*)</script>', html)[1]
    return json.loads(zlib.decompress(base64.b64decode(coded)))


def test_a_snapshot_holds_the_take_and_needs_nothing(filmed, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert replay_main([str(filmed.folder), "--snapshot", str(out)]) == 0
    assert re.search(
        r"wrote .*page.html: 40 moments, 1 person, with what the cameras saw, \d+\.\d MB", capsys.readouterr().out
    )
    html = out.read_text(encoding="utf-8")
    held = embedded(html)
    assert [m["index"] for m in held["moments"]] == list(range(40)) and len(held["shown"]) == 40
    assert len(held["pictures"]) == 7, "five a second, of 1.33 s"
    assert "connect-src 'none'" in html and not re.search(r"(src|href)=\"?(https?:)?//", html)
    assert replay_main([str(filmed.folder), "--snapshot", str(out), "--no-pictures"]) != 0
    assert "exists; give another --snapshot, or --force" in capsys.readouterr().err
    assert replay_main([str(filmed.folder), "--snapshot", str(out), "--no-pictures", "--force", "--start", "1"]) == 0
    held = embedded(out.read_text(encoding="utf-8"))
    assert len(held["moments"]) == 10 and not any(held["pictures"].values())


@row("replay --snapshot: no page, a folder, a take that is too long", 2, "give; is a folder; are too many for one page")
def test_a_snapshot_that_cannot_be_is_refused(tmp_path, monkeypatch, capsys):
    take = record(tmp_path, make_estimates(30))
    for out, why in ((tmp_path / "page.txt", "give .*page.html"), 
                     (tmp_path, "is a folder")):  # fmt: skip
        assert replay_main([str(take), "--snapshot", str(out)]) == MISTAKE, why
        assert re.search(why, capsys.readouterr().err)
    monkeypatch.setattr("stream.web.snapshot.MOST", 20)
    assert replay_main([str(take), "--snapshot", str(tmp_path / "page.html")]) == MISTAKE
    assert "more than 20 moments are too many" in capsys.readouterr().err
    assert not list(tmp_path.glob("page*"))
