"""Open Sound Control with a real server in another process: avatars of the VMC protocol, joints, events, commands."""

import logging
import math
import re
import socket
import time
from dataclasses import replace

import numpy as np
import pytest

from engines.skeleton import JOINTS
from stream.control import Control
from stream.sinks._address import Address
from stream.sinks._people import Space
from stream.sinks.osc import Osc
from stream.sinks.osc_in import OscIn
from stream.types import Event, StreamError
from tests.faults.fault import row
from tests.live_peers import Peer
from tests.walker import KERNELS, alone, crowd, looking_at, multi, single, view_of, walker

osc_packet = pytest.importorskip("pythonosc.osc_packet", reason="needs python-osc, of requirements-live.txt")
LEVEL = looking_at("cam0", np.array([0.0, -4200, 950]), np.array([0.0, 0, 950]), (1280, 720), None)
UNITY = {  # the humanoid of Unity: whose child each bone is
    "Hips": "root", "Spine": "Hips", "Chest": "Spine", "Neck": "Chest", "Head": "Neck",
    "LeftShoulder": "Chest", "LeftUpperArm": "LeftShoulder", "LeftLowerArm": "LeftUpperArm", "LeftHand": "LeftLowerArm",
    "RightShoulder": "Chest", "RightUpperArm": "RightShoulder", "RightLowerArm": "RightUpperArm",
    "RightHand": "RightLowerArm", "LeftUpperLeg": "Hips", "LeftLowerLeg": "LeftUpperLeg", "LeftFoot": "LeftLowerLeg",
    "RightUpperLeg": "Hips", "RightLowerLeg": "RightUpperLeg", "RightFoot": "RightLowerLeg",
}  # fmt: skip
STARTS = {"Hips": "pelvis", "Chest": "spine", "Neck": "thorax", "Head": "neck_nose", "LeftUpperArm": "left_shoulder",
          "LeftLowerArm": "left_elbow", "LeftHand": "left_wrist", "RightUpperArm": "right_shoulder",
          "RightLowerArm": "right_elbow", "RightHand": "right_wrist", "LeftUpperLeg": "left_hip",
          "LeftLowerLeg": "left_knee", "LeftFoot": "left_ankle", "RightUpperLeg": "right_hip",
          "RightLowerLeg": "right_knee", "RightFoot": "right_ankle"}  # fmt: skip


def t_pose():
    """(17, 3) mm, z up, facing the camera, which looks along y: the person's left is at +x."""
    joints = np.zeros((17, 3))
    joints[0, 2] = 950
    for hip, side in ((1, -1), (4, 1)):
        for k, z in enumerate((950, 500, 80)):
            joints[hip + k] = [110 * side, 0, z]
    joints[7:11, 2] = 1200, 1440, 1560, 1720
    for shoulder, side in ((11, 1), (14, -1)):
        for k, x in enumerate((180, 460, 710)):
            joints[shoulder + k] = [x * side, 0, 1440]
    return joints


@pytest.fixture
def sent():
    """Sends poses to an OSC server in another process; what came of the last one."""
    with Peer("osc") as peer:
        sinks = []

        def send(*worlds):
            sink = Osc(Address("127.0.0.1", peer.ready))
            sinks.append(sink)
            sink.open(single()[2])
            for k, world in enumerate(worlds):
                sink.write(alone(view_of(LEVEL, world), index=k, t=k / 30), {})
                peer.until(lambda got: got.get("where") == "/pose/0/right_wrist")
            last = len(peer.got) - 1 - next(
                k for k, got in enumerate(reversed(peer.got)) if got.get("where") == "/VMC/Ext/OK"
            )  # fmt: skip
            return [(got["where"], got["values"]) for got in peer.got[last:]]

        yield send
        for sink in sinks:
            sink.close()


def bones(messages):
    """(position, rotation) of the root and of each bone, as an avatar would be given them."""
    found = {v[0]: v for where, v in messages if where in ("/VMC/Ext/Root/Pos", "/VMC/Ext/Bone/Pos")}
    return {name: (np.array(v[1:4]), np.array(v[4:])) for name, v in found.items()}


def turned(q, v):
    """v by a quaternion x, y, z, w: the same sum in left-handed axes."""
    return v + 2 * np.cross(q[:3], np.cross(q[:3], v) + q[3] * v)


def times(a, b):
    return np.append(a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3]), a[3] * b[3] - a[:3] @ b[:3])


def placed(found):
    """Where each bone begins in Unity's world, by its own chain."""
    world = {"root": found["root"]}
    for name, parent in UNITY.items():
        (at, turn), (position, rotation) = world[parent], found[name]
        world[name] = (at + turned(turn, position), times(turn, rotation))
    return {name: at for name, (at, _) in world.items()}


def test_a_t_pose_that_faces_the_camera_is_an_avatar_at_rest(sent):
    messages = sent(t_pose())
    assert [where for where, _ in messages][:3] == ["/VMC/Ext/OK", "/VMC/Ext/T", "/VMC/Ext/Root/Pos"]
    assert messages[0][1] == [1, 3, 0, 1]
    found = bones(messages)
    assert set(found) == {"root", *UNITY}
    for name, (_, rotation) in found.items():
        np.testing.assert_allclose(rotation * np.sign(rotation[3]), [0, 0, 0, 1], atol=2e-3, err_msg=name)
    np.testing.assert_allclose(found["root"][0], 0, atol=1e-5)
    np.testing.assert_allclose(found["Hips"][0], [0, 0.870 + 0.075, 0], atol=1e-3)
    # Unity: the right of an avatar that faces along z is at +x.
    assert placed(found)["RightHand"][0] == pytest.approx(0.71, abs=1e-3)
    assert placed(found)["LeftHand"][0] == pytest.approx(-0.71, abs=1e-3)


def test_axes_are_left_handed(sent):
    bent = t_pose()
    bent[16] = bent[15] + [0, -250, 0]  # the right forearm forward, to the camera
    found = bones(sent(bent))
    s = math.sqrt(0.5)
    # About y, clockwise seen from above is positive in left-handed axes: from the right forward is -90 degrees.
    np.testing.assert_allclose(found["RightLowerArm"][1], [0, -s, 0, s], atol=5e-3)
    np.testing.assert_allclose(placed(found)["RightHand"], [0.46, 1.44 - 0.080 + 0.075, 0.25], atol=2e-3)
    quarter = (t_pose() - [0, 0, 0]) @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])  # turned to their left
    q = bones(sent(quarter))["root"][1]
    np.testing.assert_allclose(q * np.sign(q[3]), [0, -s, 0, s], atol=2e-3, err_msg="counterclockwise from above")


def test_the_avatar_stands_where_the_person_does_in_any_pose(sent):
    worlds = [walker(k / 30) @ np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1.0]]) for k in range(4)]
    found = placed(bones(sent(*worlds)))
    truth = worlds[-1] * [1, 1, 1] / 1e3 - [*worlds[0][0, :2] / 1e3, 0]
    floor = truth[[3, 6], 2].min() - 0.075
    for name, joint in STARTS.items():
        x, y, z = truth[JOINTS.index(joint)]
        # The walker's bones are not quite constant, and the halves of the pelvis turn with it.
        np.testing.assert_allclose(found[name], [-x, z - floor, -y], atol=0.03, err_msg=name)


def test_every_joint_of_everybody_comes_by_its_name():
    estimate, _, info = crowd([2, 5], cameras=3)
    with Peer("osc") as peer:
        sink = Osc(Address("127.0.0.1", peer.ready))
        sink.open(info)
        sink.write(estimate, {})
        peer.until(lambda got: got["where"] == "/pose/5/right_wrist")
        sink.event(Event(0.1, "user", "jump"))
        event = peer.until(lambda got: got["where"] == "/event")
        sink.event(Event(0.1, "osc-in", "came by OSC"))
        sink.event(Event(0.2, "user", "last"))
        assert peer.until(lambda got: got["where"] == "/event")["values"][3] == "last", "no echo"
        sink.close()
    found = {got["where"]: got["values"] for got in peer.got if "where" in got}
    assert event["values"] == [0, 100_000, "user", "jump"]
    for someone in Space(info).people(estimate):
        for name, point, sigma in zip(JOINTS, someone.joints, someone.sigma, strict=True):
            np.testing.assert_allclose(found[f"/pose/{someone.person_id}/{name}"], [*point, sigma], rtol=1e-6)
        np.testing.assert_allclose(found[f"/person/{someone.person_id}"][0], someone.probability, rtol=1e-6)
    unix = info.unix_offset + estimate.t
    assert found["/moment"][:3] == [0, 0, 100_000]
    assert found["/moment"][3:] == ([-1, 0] if math.isnan(unix) else [int(unix), round(1e6 * (unix % 1))])


def test_every_argument_is_of_a_kind_that_all_receivers_know():
    """OSC 1.0 demands ints, floats, strings and blobs; some receivers end at anything else."""
    estimate, _, info = multi(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        sink = Osc(Address(*receiver.getsockname()), hypotheses=True)
        sink.open(info)
        sink.write(replace(estimate, t=1234567.75), {})
        sink.event(Event(1e6 + 0.25, "user", "jump"))
        times, tags = [], set()
        while not times or times[-1][0] != "/event":
            data = receiver.recv(65536)
            tags |= set(b"".join(re.findall(rb",([a-zA-Z]+)\0", data)))
            for timed in osc_packet.OscPacket(data).messages:
                if timed.message.address in ("/moment", "/event"):
                    times.append((timed.message.address, *timed.message.params[:3]))
        sink.close()
    assert tags == set(b"ifs")
    assert times[0] == ("/moment", 0, 1234567, 750_000) and times[-1][:3] == ("/event", 1_000_000, 250_000)


def test_all_hypotheses_on_request():
    estimate, _, info = multi(2)
    with Peer("osc") as peer:
        sink = Osc(Address("127.0.0.1", peer.ready), hypotheses=True)
        sink.open(info)
        sink.write(estimate, {})
        last = f"/hypothesis/0/{2 * KERNELS - 1}"
        peer.until(lambda got: got["where"] == f"{last}/right_wrist")
        sink.close()
    assert [got["values"][2] for got in peer.got if got.get("where") == last] == ["cam02"]


def test_one_person_is_shown_until_they_are_gone_and_nobody_is_told():
    estimate, _, info = crowd([2, 5])
    with Peer("osc") as peer:
        sink = Osc(Address("127.0.0.1", peer.ready))
        sink.open(info)
        tracked = []
        for t, people in ((0.1, estimate.people), (0.2, ()), (0.3, estimate.people[1:]), (2.0, estimate.people[1:])):
            sink.write(replace(estimate, t=t, people=people), {})
            tracked.append(peer.until(lambda got: got["where"] == "/VMC/Ext/OK")["values"][3])
        sink.close()
    assert tracked == [1, 0, 0, 1], "another takes the avatar a second later"


# what comes in


class Told(Control):
    def __init__(self):
        super().__init__()
        self.events, self.records = [], []
        self.connect(record=self.records.append, event=lambda *what: self.events.append(what[:2]))


@pytest.fixture
def listening():
    control = Told()
    sink = OscIn(Address("127.0.0.1", 0), control)
    sink.open(single()[2])
    yield control, sink.port
    sink.close()


def wait(true, patience=20.0):
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_another_program_marks_and_records(listening):
    from pythonosc.udp_client import SimpleUDPClient

    control, port = listening
    client = SimpleUDPClient("127.0.0.1", port)
    with client:
        client.send_message("/event", "jump")
        client.send_message("/stimulus", [3, 0.5, "left\n"])
        client.send_message("/record/start", [])
        client.send_message("/record/stop", [])
        wait(lambda: len(control.records) == 2)
    assert control.events == [("osc-in", "jump"), ("osc-in", "/stimulus 3 0.5 left")]
    assert control.records == [True, False]


@row("datagrams at --osc-in that are no Open Sound Control", intact="the run; they are passed over")
def test_no_datagram_of_a_stranger_ends_it(listening, caplog):
    from pythonosc.osc_message_builder import OscMessageBuilder

    control, port = listening
    builder = OscMessageBuilder("/event")
    builder.add_arg("still here")
    good = builder.build().dgram
    nested = good
    for _ in range(500):
        nested = b"#bundle\0" + b"\0" * 8 + len(nested).to_bytes(4, "big") + nested
    hostile = [b"", b"\0", b"/", b"/event", b"/event\0\0,s\0\0", b"/event\0\0,zzz", b"#bundle\0", nested, good[:-3],
               b"#bundle\0" + b"\0" * 8 + b"\xff" * 4 + good, b"/e\0\0,b\0\0\x7f\xff\xff\xff", bytes(range(256)),
               b"/x\0\0,[[[\0\0\0\0", b"/" + b"a" * 60000, b"/\xff\xfe\0,s\0\0\xff\xff\xff\xff"]  # fmt: skip
    roots = list(logging.getLogger().handlers)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for data in (*hostile, good):
            s.sendto(data, ("127.0.0.1", port))
    wait(lambda: ("osc-in", "still here") in control.events)
    assert logging.getLogger().handlers == roots and not caplog.records
    assert all(text.isprintable() and len(text) <= 500 for _, text in control.events)


def test_ports_and_hosts_are_named():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StreamError, match=f"osc-in: port {port} of 127.0.0.1 is taken"):
            OscIn(Address("127.0.0.1", port), Control()).open(single()[2])
    with pytest.raises(StreamError, match="osc: the host nowhere.invalid is not known"):
        Osc(Address("nowhere.invalid", 1)).open(single()[2])


def test_a_missing_package_is_a_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pythonosc", None)
    with pytest.raises(StreamError, match=r"--osc needs the package python-osc: pip install python-osc=="):
        Osc(Address("127.0.0.1", 1)).open(single()[2])
    with pytest.raises(StreamError, match=r"--osc-in needs the package python-osc: pip install python-osc=="):
        OscIn(Address("127.0.0.1", 0), Control()).open(single()[2])
