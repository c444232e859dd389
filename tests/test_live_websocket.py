"""The WebSocket of a run, with clients in other processes: who may watch and command, and who slows but itself."""

import json
import logging
import socket
import sys
import time
from dataclasses import replace

import pytest

from stream.control import Control
from stream.drawing.facts import Status
from stream.sinks import Run, kinds
from stream.sinks._address import Address
from stream.sinks._message import Messages, as_json
from stream.sinks._token import VARIABLE
from stream.sinks.websocket import WebSocket
from stream.types import Event, StreamError
from tests.faults.fault import row
from tests.live_peers import Peer
from tests.walker import single

pytest.importorskip("websockets", reason="needs websockets, of requirements-live.txt")
TOKEN = "a-token-of-the-tests"


class Commanded(Control):
    """Keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.events, self.recording, self.broken, self.faulty = [], False, False, False
        self.connect(record=self._record, event=lambda *what: self.events.append(what))

    def _record(self, on):
        self.recording = bool(on) and not self.broken

    def status(self):
        if self.faulty:
            raise KeyError("gone")
        return Status(fps=30.0, recording=self.recording)


@pytest.fixture
def control():
    return Commanded()


@pytest.fixture
def served(control, monkeypatch):
    """Makes servers, which are closed at the end."""
    monkeypatch.setenv(VARIABLE, TOKEN)
    made = []

    def serve(host="127.0.0.1", origins=(), **run):
        sink = WebSocket(Address(host, 0), Run(control.status, control, **run), origins)
        sink.open(single()[2])
        made.append(sink)
        return sink, next(iter(sink._server._listener.sockets)).getsockname()[1]

    yield serve
    for sink in made:
        sink.close()


def knock(port, path="/", **headers):
    """The status line that a handshake is answered with."""
    head = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"} | headers  # fmt: skip
    request = f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items()) + "\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall(request.encode())
        return s.recv(4096).decode(errors="replace").split("\r\n")[0].partition(" ")[2]


def moments(estimate):
    """Estimates that follow each other, without end."""
    k = 0
    while True:
        yield replace(estimate, index=k, t=k / 30)
        k += 1


def test_another_program_is_told_of_the_run_and_of_every_moment(served):
    estimate, _, info = single()
    sink, port = served()
    with Peer("websocket", f"ws://127.0.0.1:{port}/") as peer:
        peer.until(lambda got: "said" in got)
        sink.write(estimate, {})
        sink.event(Event(0.2, "user", "jump"))
        peer.until(lambda got: len(peer.got) == 4)
    said = {got["said"]["type"]: got["said"] for got in peer.got if "said" in got}
    run, moment, event = (said[kind] for kind in ("run", "moment", "event"))
    messages = Messages(info)
    assert (run, moment) == (messages.run(), json.loads(as_json(messages.moment(estimate))))
    assert (event["source"], event["text"], event["time"]) == ("user", "jump", 0.2)


def test_messagepack_is_the_same_and_smaller(served):
    pytest.importorskip("msgpack", reason="needs msgpack, of requirements-live.txt")
    estimate, _, _ = single()
    sink, port = served(hypotheses=True)
    with Peer("websocket", f"ws://127.0.0.1:{port}/?format=msgpack") as peer:
        peer.until(lambda got: "said" in got)
        sink.write(estimate, {})
        got = peer.until(lambda got: got["said"]["type"] == "moment")
    assert got["packed"] and got["said"] == sink._messages.moment(estimate)
    assert len(got["said"]["people"][0]["hypotheses"]) == 5


@row("a client of --websocket that does not read", intact="the run and all other clients; it loses moments")
def test_a_stuck_client_loses_moments_and_slows_nobody(served):
    """Twenty clients, one of which never reads. The nineteen get all of what one alone would get."""
    estimate, _, _ = single()
    sink, port = served(hypotheses=True)
    many = replace(estimate, people=tuple(replace(estimate.people[0], person_id=k) for k in range(20)))
    message = sink._messages.moment(many)  # large, so that what the system keeps for who does not read is soon full
    stuck = socket.create_connection(("127.0.0.1", port))
    stuck.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert_soon(lambda: sink._server.clients == 1)
    (client,) = sink._server._clients
    handed = blocked = 0
    longest = 0.0

    def hand():
        nonlocal handed, blocked, longest
        blocked = blocked + 1 if client.moment is not None else 0  # what was handed over before still waits
        handed += 1
        before = time.perf_counter()
        sink._server.publish({**message, "index": handed})
        longest = max(longest, time.perf_counter() - before)

    with Peer("websockets", f"ws://127.0.0.1:{port}/", 19) as peer:
        peer.until(lambda got: blocked > 10 and got["newest"] > 20, act=hand, patience=60)
        for _ in range(5):
            hand()
            peer.until(lambda got: got["newest"] == handed)
    assert blocked > 15 and client in sink._server._clients, "it is stuck, and nobody else is"
    assert longest < 5, "the sink hands over and does not wait"
    stuck.close()


@row(
    "a web page of somebody else that opens the WebSocket",
    words="403, pages of ... may not connect",
    intact="everything; it sees nothing",
)
def test_pages_of_others_may_not_connect(served):
    _, port = served(origins=("lab.example", "dash.example:8080"))
    for origin in ("http://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1.nip.io",
                   "https://lab.example.evil", "https://lab.example:8080", "http://dash.example", "file://",
                   "http://evil.example@localhost", "http://localhost@evil.example",
                   "", "chrome-extension://abc"):  # fmt: skip
        assert knock(port, Origin=origin).startswith("403"), origin
    for origin in (
        "http://localhost:3000",
        "http://127.0.0.1",
        "https://[::1]:8443",
        "https://lab.example",
        "http://dash.example:8080",
    ):
        assert knock(port, Origin=origin).startswith("101"), origin
    assert knock(port).startswith("101"), "a program that is no browser"


def test_beyond_loopback_watching_needs_the_token_too(served):
    _, port = served("0.0.0.0")
    assert knock(port).startswith("401")
    assert knock(port, "/?token=wrong").startswith("401")
    assert knock(port, Authorization="Bearer wrong").startswith("401")
    assert knock(port, f"/?token={TOKEN}").startswith("101")
    assert knock(port, Authorization=f"Bearer {TOKEN}").startswith("101")
    assert knock(port, f"/?token={TOKEN}", Origin="http://evil.example").startswith("403")


def test_commands_need_the_token_on_loopback_too(served, control):
    _, port = served()
    commands = ("start", "stop", "status", "event", "end")
    asked = [json.dumps({"command": c, "text": "x", **more}) for c in commands for more in ({}, {"token": "wrong"})]
    with Peer("websocket", f"ws://127.0.0.1:{port}/", *asked) as peer:
        for _ in asked:
            reply = peer.until(lambda got: got.get("said", {}).get("type") == "reply")["said"]
            assert not reply["ok"] and "token" in reply["error"] and "status" not in reply
    assert not control.events and not control.recording and not control.stopping


def test_who_knows_the_token_starts_stops_asks_and_notes(served, control):
    _, port = served()
    asked = [{"command": "status"}, {"command": "start", "id": 7}, {"command": "event", "text": "jump\n2"},
             {"command": "stop"}, {"command": "end"}]  # fmt: skip
    said = [json.dumps(one | {"token": TOKEN}) for one in asked]
    with Peer("websocket", f"ws://127.0.0.1:{port}/", *said) as peer:
        replies = [peer.until(lambda got: got.get("said", {}).get("type") == "reply")["said"] for _ in said]
    assert [reply["ok"] for reply in replies] == [True] * 5
    assert [reply["status"]["recording"] for reply in replies] == [False, True, True, False, False]
    assert replies[1]["id"] == 7 and replies[0]["status"]["fps"] == 30.0
    assert control.events == [("websocket", "jump\\n2", None)] and control.stopping
    assert TOKEN not in json.dumps(replies)


def test_a_take_that_cannot_be_begun_is_told(served, control):
    control.broken = True
    _, port = served()
    with Peer("websocket", f"ws://127.0.0.1:{port}/?token={TOKEN}", '{"command": "start"}') as peer:
        reply = peer.until(lambda got: got.get("said", {}).get("type") == "reply")["said"]
    assert not reply["ok"] and "the program says why" in reply["error"]


def test_a_fault_of_a_command_is_told_with_its_traceback_and_ends_that_connection_alone(served, control, caplog):
    caplog.set_level(logging.DEBUG)
    _, port = served()
    url, said = f"ws://127.0.0.1:{port}/?token={TOKEN}", '{"command": "status"}'
    control.faulty = True
    with Peer("websocket", url, said):
        assert_soon(lambda: "websocket stopped by a fault of its own: KeyError: 'gone'" in caplog.messages)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]
    control.faulty = False
    with Peer("websocket", url, said) as peer:
        assert peer.until(lambda got: got.get("said", {}).get("type") == "reply")["said"]["ok"]


@pytest.mark.parametrize(
    "said",
    ["", "{", "[]", "7", '{"command": 7}', '{"command": "rm"}', '{"command": "event"}',
     '{"command": "event", "text": 5}',
     '{"command": "status", "id": {"a": []}}', "[" * 2000],
)  # fmt: skip
def test_nonsense_is_answered_and_nothing_ends(served, said):
    _, port = served()
    with Peer("websocket", f"ws://127.0.0.1:{port}/?token={TOKEN}", said, '{"command": "status"}') as peer:
        first, second = [peer.until(lambda got: got.get("said", {}).get("type") == "reply")["said"] for _ in "12"]
    assert second["ok"] and (first["ok"] is ("status" in said))


@row(
    "a page that floods the WebSocket with commands",
    words="more than 20 messages a second",
    intact="the run and other clients; it is cut off",
)
def test_a_flood_of_commands_is_one_line_and_others_are_heard(served, control, caplog):
    estimate, _, _ = single()
    sink, port = served()
    url, said = f"ws://127.0.0.1:{port}/", json.dumps({"command": "event", "text": "mine", "token": TOKEN})
    with Peer("flood", url) as page, Peer("websocket", url, said) as peer:
        peer.until(lambda got: got.get("said", {}).get("type") == "reply", act=lambda: sink.write(estimate, {}))
        assert page.until(lambda got: "sent" in got)["code"] in (1008, None), "it is sent away"
    assert ("websocket", "mine", None) in control.events and not control.stopping
    (line,) = {r.getMessage() for r in caplog.records}
    assert line == "websocket: more than 20 messages a second; those beyond are left out"


def test_a_port_that_is_taken_is_said_and_no_other_is_taken(control):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sink = WebSocket(Address("127.0.0.1", port), Run(control.status, control))
        with pytest.raises(StreamError, match=f"websocket: port {port} of 127.0.0.1 is taken by another program"):
            sink.open(single()[2])
    for host in ("nowhere.invalid", "192.0.2.77"):
        with pytest.raises(StreamError, match=f"websocket: (the host )?{host} is n"):
            WebSocket(Address(host, 8765), Run(control.status, control)).open(single()[2])


def test_a_missing_package_is_a_line_that_installs_it(control, monkeypatch):
    monkeypatch.setitem(sys.modules, "websockets.asyncio.server", None)
    with pytest.raises(StreamError, match="pip install websockets=="):
        WebSocket(Address("127.0.0.1", 0), Run(control.status, control)).open(single()[2])


def test_the_token_is_in_no_log(served, caplog):
    caplog.set_level(logging.DEBUG)
    sink, port = served("0.0.0.0")
    with Peer("websocket", f"ws://127.0.0.1:{port}/?token={TOKEN}", '{"command": "status"}') as peer:
        peer.until(lambda got: got.get("said", {}).get("type") == "reply")
    assert caplog.records and not [r for r in caplog.records if TOKEN in r.getMessage()]
    assert TOKEN not in repr(sink._run)


def test_too_many_are_sent_away(served):
    _, port = served()
    kind = kinds()["websocket"]
    assert kind.name() == "websocket"
    with Peer("websockets", f"ws://127.0.0.1:{port}/", 64):
        assert knock(port).startswith("503")
    assert_soon(lambda: knock(port).startswith("101"))


def assert_soon(true, patience=20.0):
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
