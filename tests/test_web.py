"""The page: who may watch and press, what is sent, and what is said when it cannot be served. No browser needed."""

import base64
import hashlib
import json
import re
import socket
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from engines.argument_types import FAILED, MISTAKE
from stream.app.command_line import main
from stream.app.replay import main as replay_main
from stream.drawing.figures import figures, follow
from stream.drawing.scene import ViewState
from stream.recordings.replay import replay
from stream.recordings.takes import open_take
from stream.sinks import _page_server
from stream.sinks._address import Address
from stream.sinks._page_guard import host_allowed, origin_allowed
from stream.sinks.web import Web, parse
from stream.types import Event, StreamError
from stream.web.document import document
from stream.web.scene import header, moment
from tests.api import opened
from tests.faults.fault import row
from tests.pages import LOOPBACK, PATIENCE_S, Recorded, browser, run_info, served, told, until
from tests.takes import make_estimates, make_run_info, record

ROOT = Path(__file__).resolve().parents[1]
EVERYWHERE = Address("0.0.0.0", 0)
CLIP = ("--camera", "synthetic:frames=4", "--view", "none", "--detector", "movenet-lightning", "--runtime", "onnx")


@contextmanager
def taken():
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture
def estimates(known_detector):
    with opened() as run:
        return list(run)


# who may


@pytest.mark.parametrize(
    ("on", "name", "allowed"),
    [
        ("127.0.0.1", "localhost:8080", True),
        ("127.0.0.1", "127.0.0.1:9000", True),  # through an ssh tunnel
        ("127.0.0.1", "[::1]:8080", True),
        ("127.0.0.1", "evil.example:8080", False),  # its name server leads here
        ("127.0.0.1", "192.168.1.7:8080", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[::1", False),
        ("0.0.0.0", "192.168.1.7:8080", True),
        ("0.0.0.0", socket.gethostname(), True),
        ("0.0.0.0", "evil.example", False),
        ("lab.example", "lab.example:8080", True),
    ],
)
def test_a_name_that_is_not_ours_is_refused(on, name, allowed):
    assert host_allowed(Address(on, 8080), name) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [(None, True), ("http://127.0.0.1:8080", True), ("http://127.0.0.1:3000", False), ("null", False),
     ("http://evil.example", False), ("http://127.0.0.1:8080.evil.example", False)],
)  # fmt: skip
def test_a_page_from_elsewhere_is_refused(origin, allowed):
    assert origin_allowed(origin, "127.0.0.1:8080") is allowed


@row("a web page of somebody else that asks for the page's WebSocket, also by a name that leads here", words="403",
     intact="everything; it sees nothing")  # fmt: skip
def test_the_server_asks_who_it_is(capsys):
    with served(capsys) as (_, place, _token):
        for settings in ({"origin": "http://evil.example"}, {"additional_headers": {"Host": "evil.example"}}):
            with pytest.raises(InvalidStatus) as refused, browser(place, **settings):
                pass
            assert refused.value.response.status_code == 403
        request = urllib.request.Request(f"http://{place}/", headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=PATIENCE_S)
        with browser(place) as socket:
            assert told(socket, "run")["run"]["cameras"][0]["name"] == "cam0", "on this machine anybody may watch"


@row("a button of the page without the token", words="this page only watches", intact="everything")
def test_buttons_need_the_token_and_it_is_shown_once(capsys):
    recorded = Recorded()
    with served(capsys, recorded=recorded) as (_, place, token):
        with browser(place, token="guessed") as socket:
            assert told(socket, "may")["may"] is False
            for command in ({"do": "record", "on": True}, {"do": "event", "text": "jump"}, {"do": "pause", "on": True}):
                socket.send(json.dumps(command))
                assert "only watches" in told(socket, "said")["said"]
        assert recorded.asked == [] and not recorded.control.paused
        with browser(place, token) as socket:
            assert told(socket, "may")["may"] is True
            for command in (
                {"do": "record", "on": True},
                {"do": "event", "text": " a\njump "},
                {"do": "pause", "on": True},
            ):
                socket.send(json.dumps(command))
            told(socket, "status", lambda status: status["recording"] and status["paused"])
        assert recorded.asked == [("record", True), ("page", "a\\njump")]
        assert token not in capsys.readouterr().err
        # The page itself has no secret.
        with urllib.request.urlopen(f"http://{place}/", timeout=PATIENCE_S) as answer:
            assert token.encode() not in answer.read()


def test_beyond_this_machine_watching_needs_the_token_too(capsys):
    with served(capsys, EVERYWHERE) as (_, place, token):
        with browser(place) as socket, pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE_S)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
        with browser(place, token) as socket:
            assert told(socket, "run")


def test_the_token_is_in_no_log_and_no_recording(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*CLIP, "--web", "0", "--record", "takes", "--log-file", "log.txt", "--verbose"]) == 0
    (token,) = re.findall(r"#token=(\S+)\n", capsys.readouterr().err)
    log = (tmp_path / "log.txt").read_text()
    assert "page at http://127.0.0.1:" in log
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or token.encode() not in path.read_bytes(), path


@row("what is no message, from a browser", intact="the run and all other browsers; that connection ends")
@pytest.mark.parametrize("said", ["[]", "{", "[" * 3000, '{"do": "fly"}', '{"do": "record", "on": 1', "7"])
def test_what_is_no_message_ends_that_connection_alone(said, capsys):
    recorded = Recorded()
    with served(capsys, recorded=recorded) as (sink, place, token):
        with browser(place, token) as other:
            assert told(other, "run")
            with browser(place, token) as socket, pytest.raises(ConnectionClosed):
                told(socket, "run")
                socket.send(said)
                told(socket, "never")
            sink.event(Event(0.0, "user", "still here"))
            assert told(other, "said")["said"] == "user: still here"
        assert recorded.asked == []


@row("a page that floods --web with commands", words="over 120 messages a second is cut off",
     intact="the run and other browsers; it makes no more takes than hands could")  # fmt: skip
def test_a_page_that_floods_is_cut_off_and_so_are_its_takes(capsys, caplog):
    recorded = Recorded()
    with served(capsys, recorded=recorded) as (_, place, token):
        with browser(place, token) as socket, pytest.raises(ConnectionClosed) as closed:
            for number in range(2000):
                socket.send(json.dumps({"do": "record", "on": number % 2 == 0}))
            while True:
                socket.recv(timeout=PATIENCE_S)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1008
        assert 1 <= len(recorded.asked) < 40, "not as many takes as it asks for"
    assert len([line for line in caplog.messages if "is cut off" in line]) == 1


# what is said where it cannot be


@pytest.mark.parametrize("text", ["", "x/y:80", "70000", "-1", "a b:80", ":80", "host:", "1.5"])
def test_what_is_no_address_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        main([*CLIP, f"--web={text}"])
    assert "is no address such as 127.0.0.1:8080" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "why"),
    [("127.0.0.1:TAKEN", "port .* of 127.0.0.1 is taken by another program; give another port"),
     ("unknown.invalid:8080", "the host unknown.invalid is not known"),
     ("192.0.2.1:8080", "192.0.2.1 is no address of this machine")],
)  # fmt: skip
def test_where_it_cannot_be_served_is_said_and_no_other_is_taken(where, why, no_thread_stays):
    with taken() as port, pytest.raises(StreamError, match=why):
        Web(parse(where.replace("TAKEN", str(port))), Recorded().run).open(run_info())


@row("--web at a port that is taken", 1, "is taken by another program", "the run and its recording")
def test_the_run_goes_on_without_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with taken() as port:
        assert main([*CLIP, "--web", str(port), "--record", "takes"]) == FAILED
    (line,) = {line for line in capsys.readouterr().err.splitlines() if "is taken" in line and "run_stream" in line}
    assert line == f"run_stream: page: port {port} of 127.0.0.1 is taken by another program; give another port"
    assert len(list(replay(open_take(tmp_path / "takes")))) == 4


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "websockets.asyncio.server", None)
    with pytest.raises(StreamError, match="the page needs the package websockets: pip install websockets=="):
        Web(LOOPBACK, Recorded().run).open(run_info())
    take = record(tmp_path, make_estimates(5))
    assert replay_main([str(take), "--web", "0"]) == MISTAKE
    assert "pip install websockets==" in capsys.readouterr().err


@row("replay --web at a port that is taken", 2, "is taken by another program")
def test_a_taken_port_of_a_take_is_one_line(tmp_path, capsys, no_thread_stays):
    take = record(tmp_path, make_estimates(5))
    with taken() as port:
        assert replay_main([str(take), "--web", str(port)]) == MISTAKE
    (line,) = capsys.readouterr().err.splitlines()
    assert "is taken by another program; give another port" in line


# what is sent


def test_every_moment_is_what_the_window_would_show(capsys, estimates):
    with served(capsys) as (sink, place, _), browser(place) as socket:
        told(socket, "run")
        until(lambda: sink._page.server.clients, "nobody watches")
        image = np.zeros((480, 640, 3), np.uint8)
        sink.write(estimates[0], {"cam0": image})
        person = told(socket, "moment")["moment"]["people"][0]
        (view,) = estimates[0].people[0].views
        assert len(person["ghosts"]) == 4 and abs(person["p"] - view.best_track.probability) < 1e-3
        while not isinstance(packed := socket.recv(timeout=PATIENCE_S), bytes):
            pass
        assert packed[:8] == bytes(4) + (0).to_bytes(4, "little")
        picture = cv2.imdecode(np.frombuffer(packed[8:], np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (300, 400, 3) and picture.max() > 100, "the skeleton is drawn on it"
        assert not image.any(), "and not on the image of others"
        camera = told(socket, "status")["status"]["cameras"][0]
        assert (camera["name"], camera["fps"], camera["stalled"]) == ("cam0", 29.7, True)


def test_a_held_picture_stays(capsys, estimates):
    recorded = Recorded()
    with served(capsys, recorded=recorded) as (sink, place, _), browser(place) as socket:
        told(socket, "run")
        until(lambda: sink._page.server.clients, "nobody watches")
        sink.write(estimates[0], {})
        recorded.control.pause(True)
        with browser(place) as late:
            assert told(late, "moment")["moment"]["index"] == 0, "who comes now sees it too"
        sink.write(estimates[1], {})
        recorded.control.pause(False)
        sink.write(estimates[2], {})
        seen = [told(socket, "moment")["moment"]["index"]]
        while seen[-1] != 2:
            seen.append(told(socket, "moment")["moment"]["index"])
        assert 1 not in seen


@row("a browser that does not read what --web sends", intact="the run and all other browsers; it loses moments")
def test_one_that_does_not_read_holds_up_nobody(capsys, estimates):
    with served(capsys) as (sink, place, _), browser(place, max_queue=1) as stuck, browser(place) as reader:
        told(reader, "run")
        until(lambda: len(sink._page.server.clients) == 2, "both watch")
        for number in range(200):
            sink.write(replace(estimates[0], index=number), {})
        index = -1
        while index < 199:
            index = told(reader, "moment")["moment"]["index"]
            reader.send(json.dumps({"do": "seen", "count": 1}))
        waiting = [client.waiting for client in tuple(sink._page.server.clients)]
        assert max(waiting) <= 6, "of each kind the newest alone waits"
        assert stuck.state.name == "OPEN"


def test_a_browser_gets_no_more_than_it_shows(capsys, estimates):
    with served(capsys) as (sink, place, _), browser(place) as socket:
        told(socket, "run")
        until(lambda: sink._page.server.clients, "nobody watches")

        def moments():
            for number in range(100):
                sink.write(replace(estimates[0], index=number), {})
            sink.event(Event(0.0, "user", "after them"))  # what is not paced comes at once
            seen = []
            while "said" not in (said := json.loads(socket.recv(timeout=PATIENCE_S))):
                seen += [said["moment"]["index"]] if "moment" in said else []
            return seen

        first = moments()
        assert 1 <= len(first) <= 12
        socket.send(json.dumps({"do": "seen", "count": 1}))
        assert told(socket, "moment")["moment"]["index"] == 99, "then the newest"


def test_more_browsers_than_there_is_room_for_are_told(capsys, monkeypatch):
    monkeypatch.setattr(_page_server, "CLIENTS", 1)
    with served(capsys) as (sink, place, _), browser(place) as socket:
        told(socket, "run")
        until(lambda: sink._page.server.clients, "nobody watches")
        with pytest.raises(InvalidStatus) as refused, browser(place):
            pass
        assert refused.value.response.status_code == 503


def test_all_are_told_of_the_end(capsys, no_thread_stays):
    with served(capsys) as (sink, place, _), browser(place) as socket:
        told(socket, "run")
        assert sink.close() == "page: 1 browser at most"
        assert told(socket, "bye")["bye"] == "the run has ended"


# the scene


def test_sigma_is_the_ellipsoid_of_the_covariance():
    info, estimates = make_run_info(), make_estimates(12, people=2)
    view = ViewState(cameras=info.cameras)
    seen = 0
    for estimate in estimates:
        view = follow(view, estimate)
        shown = {figure.person_id: figure for figure in figures(estimate, view)}
        for person in moment(estimate, view)["people"]:
            figure = shown[person["id"]]
            np.testing.assert_allclose(np.reshape(person["joints"], (17, 3)), figure.joints, atol=0.51)
            if figure.cov is None:
                continue
            seen += 1
            factors = np.zeros((17, 3, 3))
            factors[:, *np.tril_indices(3)] = np.reshape(person["sigma"], (17, 6))
            np.testing.assert_allclose(factors @ factors.transpose(0, 2, 1), figure.cov + np.eye(3), rtol=0.2, atol=60)
    assert seen > 5


def test_ghosts_of_a_fused_person_stand_at_the_fused_pelvis():
    info = make_run_info()
    (estimate, *_) = (e for e in make_estimates(12) if e.people and e.people[0].pose and e.people[0].views[0]
                      and e.people[0].views[0].tracks)  # fmt: skip
    view = follow(ViewState(cameras=info.cameras), estimate)
    (person,) = moment(estimate, view)["people"]
    assert person["ghosts"] and all(pose[:3] == person["joints"][:3] for _, pose in person["ghosts"])
    (plain,) = moment(estimate, view, ghosts=False)["people"]
    assert plain["ghosts"] == []


def test_unknown_joints_are_none_and_json_is_strict():
    (estimate, *_) = (e for e in make_estimates(12) if e.people and e.people[0].pose)
    pose = estimate.people[0].pose
    joints, cov = pose.joints.copy(), pose.cov.copy()
    joints[5], cov[5] = np.nan, np.nan
    people = (replace(estimate.people[0], pose=replace(pose, joints=joints, cov=cov)),)
    estimate = replace(estimate, people=people)
    told = moment(estimate, follow(ViewState(cameras=make_run_info().cameras), estimate))
    assert told["people"][0]["joints"][15:18] == [None] * 3 == told["people"][0]["sigma"][30:33]
    json.dumps(told, allow_nan=False)


def test_a_camera_stands_where_the_calibration_says():
    info = make_run_info()
    for drawn, camera in zip(header(ViewState(cameras=info.cameras))["cameras"], info.cameras, strict=True):
        at, corners = np.array(drawn["at"]), np.reshape(drawn["corners"], (4, 3))
        forward = (corners.mean(0) - at) / 1000
        assert abs(np.linalg.norm(forward) - 1) < 0.05, "a metre ahead"
        K = camera.calibration.K
        width = np.linalg.norm(corners[1] - corners[0])
        assert abs(width - 1000 * 640 / K[0, 0]) < 2


# the document


def test_the_policy_of_the_page_allows_its_own_scripts_alone():
    html = document()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 6 and "unsafe" not in policy
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert f"style-src 'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    assert "style=" not in html.split("<body>")[1].split("<script")[0]
