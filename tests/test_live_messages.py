"""What live outputs tell: where people are, how sure that is, and in which axes."""

import argparse
import json
import socket
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.skeleton import JOINTS
from stream.app.command_line import config_of, parser
from stream.app.config_file import as_toml
from stream.sinks._address import Address, address, resolved
from stream.sinks._datagrams import Datagrams
from stream.sinks._inbox import Inbox, Rate
from stream.sinks._message import Messages, as_json
from stream.sinks._people import Space
from stream.sinks._token import VARIABLE, Token
from stream.sinks.udp import Udp
from stream.types import Event, StreamError
from tests.faults.fault import row
from tests.live_peers import Peer
from tests.walker import UP, WEIGHTS, alone, crowd, looking_at, multi, single, view_of, walker

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "live.md"


def array(joints):
    return np.array([joints[name][:3] for name in JOINTS])


def test_one_camera_tells_metres_with_x_right_y_forward_and_z_up():
    level = looking_at("cam0", np.array([300.0, -4200, 1150]), np.array([300.0, 0, 1150]), (1280, 720), None)
    (person,) = Messages(single()[2]).moment(alone(view_of(level, walker(0.1))))["people"]
    np.testing.assert_allclose(array(person["joints"]), walker(0.1) / 1e3 - [0.3, -4.2, 1.15], atol=1e-4)
    assert person["id"] == 0 and person["method"] == "view" and person["cameras"] == ["cam0"]
    assert person["probability"] == pytest.approx(WEIGHTS[0])
    assert {joint[3] for joint in person["joints"].values()} == {0.045}, "that of the lifter's kernel"


@pytest.mark.parametrize("up", [UP, np.array([0.0, 1, 0]), np.array([0.6, 0, -0.8])])
def test_a_calibrated_world_is_turned_so_that_up_is_z(up):
    estimate, _, info = multi(3)
    x = np.cross(up, [0.3, 0.4, 0.5])
    R = np.stack([x / np.linalg.norm(x), np.cross(up, x / np.linalg.norm(x)), up], axis=1)  # from z up to this world
    if up is UP:
        R = np.eye(3)
    turned = tuple(replace(c, calibration=replace(c.calibration, R=c.calibration.R @ R.T, up=up)) for c in info.cameras)
    (person,) = estimate.people
    pose = replace(person.pose, joints=person.pose.joints @ R.T, cov=R @ person.pose.cov @ R.T)
    space = Space(replace(info, cameras=turned))
    (someone,) = space.people(replace(estimate, people=(replace(person, pose=pose),)))
    assert space.name == "world" and space.up_known
    np.testing.assert_allclose(someone.joints[:, 2], walker(0.1)[:, 2] / 1e3, atol=1e-6)
    apart = np.linalg.norm(someone.joints[:, None] - someone.joints[None], axis=-1)
    truth = walker(0.1) / 1e3
    np.testing.assert_allclose(apart, np.linalg.norm(truth[:, None] - truth[None], axis=-1), atol=1e-6)
    np.testing.assert_allclose(someone.sigma[0], np.sqrt((900 + 900 + 400) / 3) / 1e3)
    np.testing.assert_allclose(someone.sigma[16], 3 * someone.sigma[0])
    if up is UP:
        np.testing.assert_allclose(someone.joints, truth, atol=1e-6, err_msg="what is up already stays as it is")
    assert someone.method == "map" and len(someone.cameras) == 3


def test_the_probability_of_a_fused_pose_is_what_its_cameras_give_the_hypothesis_nearest_to_it():
    estimate, _, info = multi(3)
    (someone,) = Space(info).people(estimate)
    assert someone.probability == pytest.approx(WEIGHTS[0]), "the first hypothesis of each is the truth"
    (person,) = estimate.people
    camera = info.cameras[1].calibration
    far = person.views[1].tracks[3].pose @ camera.R + person.pose.joints[0]
    other = replace(estimate, people=(replace(person, pose=replace(person.pose, joints=far)),))
    (someone,) = Space(info).people(other)
    assert someone.probability < WEIGHTS[0] - 0.1, "that one camera finds unlikely"


def test_all_hypotheses_stand_where_their_camera_sees_the_person():
    estimate, _, info = multi(2)
    (person,) = Messages(info, hypotheses=True).moment(estimate)["people"]
    assert [(h["camera"], h["probability"]) for h in person["hypotheses"]] == [
        (camera.name, weight) for camera in info.cameras for weight in WEIGHTS
    ]
    np.testing.assert_allclose(array(person["hypotheses"][5]["joints"]), walker(0.1) / 1e3, atol=1e-3)
    lean = array(person["hypotheses"][6]["joints"]) - array(person["hypotheses"][5]["joints"])
    axis = info.cameras[1].calibration.R[2]
    assert abs(lean[16] @ axis) == pytest.approx(0.55 * 0.330, abs=2e-3), "away from the camera, in the world"
    assert "hypotheses" not in Messages(info).moment(estimate)["people"][0]


def test_who_is_not_lifted_or_not_finite_spoils_no_message():
    estimate, _, info = single()
    (person,) = estimate.people
    answer = person.views[0].answer.copy()
    answer[16] = np.nan
    hurt = replace(estimate, people=(replace(person, views=(replace(person.views[0], answer=answer),)),))
    (said,) = json.loads(as_json(Messages(info).moment(hurt)))["people"]
    assert said["joints"]["right_wrist"][:3] == [None] * 3 and None not in said["joints"]["head"]
    unlifted = replace(person.views[0], mixture=None, tracks=(), answer=None, answer_raw=None, root=None)
    assert Messages(info).moment(replace(estimate, people=(replace(person, views=(unlifted,)),)))["people"] == []


def test_times_are_those_of_the_capture():
    estimate, _, info = single(t=12.5)
    live = replace(info, cameras=(replace(info.cameras[0], kind="camera"),), start_monotonic=10.0)
    messages = Messages(live)
    moment = messages.moment(estimate)
    assert moment["time"] == 12.5 and moment["unix"] == pytest.approx(info.start_utc.timestamp() + 2.5, abs=1e-5)
    assert messages.event(Event(12.5, "user", "jump"))["unix"] == moment["unix"]
    assert Messages(info).moment(estimate)["unix"] is None, "a file tells no time of day"


def test_every_key_is_in_the_document():
    said = DOCUMENT.read_text()

    def keys(value):
        for key, one in value.items():
            if key not in JOINTS:
                yield key
            for inner in one if isinstance(one, list) else [one]:
                if isinstance(inner, dict):
                    yield from keys(inner)

    estimate, _, info = multi(2)
    messages = Messages(info, hypotheses=True)
    for message in (messages.run(), messages.moment(estimate), messages.event(Event(0.0, "user", "x"))):
        assert [key for key in keys(message) if f"`{key}`" not in said] == []


# addresses


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [("9000", "127.0.0.1", 9000, True), ("192.168.1.5:80", "192.168.1.5", 80, False), ("[::1]:7", "::1", 7, True),
     ("localhost:9", "localhost", 9, True), ("unity.local:39539", "unity.local", 39539, False),
     ("127.1.2.3:4", "127.1.2.3", 4, True), ("0.0.0.0:4", "0.0.0.0", 4, False), ("[::]:4", "::", 4, False)],
)  # fmt: skip
def test_addresses(text, host, port, loopback):
    found = address("127.0.0.1:1")(text)
    assert (found.host, found.port, found.loopback) == (host, port, loopback)
    assert address("127.0.0.1:1")(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "x", "70000", "0", "host", "a b:5", "http://h:5", "h:5/x", "user@h:5", "1:2:3", "-5"]
)
def test_what_is_no_address_is_refused_with_an_example(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no address such as 127.0.0.1:9000"):
        address("127.0.0.1:9000")(text)


def test_a_flag_without_its_value_takes_the_default_and_a_file_keeps_it():
    args = parser().parse_args(["--camera", "0", "--websocket", "--udp", "9001"])
    assert args.websocket == Address("127.0.0.1", 8765)
    lines = as_toml(args, config_of(args))
    assert 'websocket = "127.0.0.1:8765"' in lines and 'udp = "127.0.0.1:9001"' in lines
    assert parser().parse_args(["--camera", "0"]).websocket is None


def test_localhost_is_where_programs_listen_and_broadcasts_are_sent():
    family, place = resolved("udp", Address("localhost", 9000))
    assert (family, place) == (socket.AF_INET, ("127.0.0.1", 9000))
    out = Datagrams("udp", Address("127.255.255.255", 9))
    out.send(b"x")
    assert out.close() == "udp: 1 datagrams to 127.255.255.255:9"
    assert resolved("udp", Address("::1", 9000))[0] == socket.AF_INET6


def test_a_host_that_is_not_known_is_named():
    with pytest.raises(StreamError, match=r"udp: the host nowhere\.invalid is not known"):
        resolved("udp", Address("nowhere.invalid", 9000))


# commands


class Told:
    def __init__(self):
        self.events = []

    def event(self, source, text, t=None):
        self.events.append((source, text, t))


def test_a_flood_is_cut_counted_and_said_once(caplog):
    now = [0.0]
    rate, told = Rate(10, lambda: now[0]), Told()
    inbox = Inbox("osc-in", told)
    taken = 0
    for _ in range(1000):
        now[0] += 0.001
        taken += inbox.admits(rate)
    assert 29 <= taken <= 31, "20 at once and 10 a second"
    now[0] += 5
    assert inbox.admits(rate), "and later it listens again"
    assert [r.getMessage() for r in caplog.records] == [
        "osc-in: more than 10 messages a second; those beyond are left out"
    ]
    assert inbox.line() == f"osc-in: {taken + 1} messages taken, {1000 - taken} more left out"


def test_what_others_write_stays_one_short_line():
    told = Told()
    Inbox("osc-in", told).event(" jump\n\x1b[2J" + "x" * 5000)
    ((source, text, t),) = told.events
    assert source == "osc-in" and t is None and text.startswith("jump\\n\\x1b[2J") and len(text) <= 500
    assert text.isprintable()


def test_the_token_is_told_once_and_a_weak_one_refused(capsys, monkeypatch):
    token = Token()
    assert not token("") and not token(None), "nothing is right before there is one"
    token.tell()
    token.tell()
    said = capsys.readouterr().err
    value = said.split()[-1]
    assert said.count(value) == 1 and len(value) >= 22
    assert token(value) and not token(value + "x") and not token(7) and not token("ä")
    assert not Token()(value)
    monkeypatch.setenv(VARIABLE, "x" * 20)
    given = Token()
    given.tell()
    assert given("x" * 20) and capsys.readouterr().err == "", "who gave it knows it"
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(StreamError, match="too short"):
        Token().tell()


# datagrams


def test_another_program_gets_every_person_as_a_datagram():
    estimate, _, info = crowd([3, 8])
    with Peer("udp") as peer:
        sink = Udp(Address("127.0.0.1", peer.ready))
        sink.open(info)
        sink.event(Event(0.1, "user", "go"))
        sink.write(estimate, {})
        sink.write(replace(estimate, index=1, t=0.2), {})
        moment = peer.until(lambda got: got.get("said", {}).get("index") == 1)["said"]
        kinds = [got["said"]["type"] for got in peer.got if "said" in got]
        assert kinds == ["event", "run", "moment", "moment"]
        assert sink.close() == f"udp: 4 datagrams to 127.0.0.1:{peer.ready}"
    assert moment == json.loads(as_json(Messages(info).moment(replace(estimate, index=1, t=0.2))))
    assert [person["id"] for person in moment["people"]] == [3, 8]


def test_what_is_too_large_for_a_datagram_goes_in_several():
    estimate, _, info = single()
    estimate = replace(estimate, people=tuple(replace(estimate.people[0], person_id=k) for k in range(60)))
    with Peer("udp") as peer:
        sink = Udp(Address("127.0.0.1", peer.ready), hypotheses=True)
        sink.open(info)
        sink.write(estimate, {})
        ids = []
        while len(ids) < 60:
            got = peer.until(lambda got: got["said"]["type"] == "moment")
            assert got["bytes"] <= 65507
            ids += [person["id"] for person in got["said"]["people"]]
        sink.close()
    assert ids == list(range(60))


@row(
    "a receiver of --udp or --osc that is not there, or goes away",
    words="nobody receives there",
    intact="the run; it is gone on with sending",
)
def test_a_receiver_may_come_late_and_go(caplog):
    estimate, _, info = single()
    caplog.set_level("INFO")
    with Peer("udp") as peer:
        port = peer.ready
    sink = Udp(Address("127.0.0.1", port))
    sink.open(info)
    for _ in range(5):
        sink.write(estimate, {})
        time.sleep(0.01)
    said = [r.getMessage() for r in caplog.records]
    assert said == [f"udp: 127.0.0.1:{port}: nobody receives there; it is gone on with sending"], "once"
    with Peer("udp", port) as peer:
        peer.until(lambda got: "said" in got, act=lambda: sink.write(estimate, {}))
    assert "not received" in sink.close()
