"""ROS 2 by DDS, with a second participant in another process, and with ROS's own definitions of its messages."""

import math
import os
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np
import pytest

from engines.skeleton import EDGES, JOINTS
from stream.sinks._dds import Participant, domain_id, settings
from stream.sinks._people import Space
from stream.sinks._ros import Messages
from stream.sinks._ros_types import ros_types
from stream.sinks.ros2 import Ros2
from stream.types import Event, StreamError
from tests.live_peers import Peer
from tests.sockets import beyond, printed
from tests.test_live_osc import LEVEL, t_pose
from tests.walker import KERNELS, alone, crowd, multi, single, view_of

pytest.importorskip("cyclonedds", reason="needs cyclonedds, of requirements-live.txt")


@pytest.fixture(autouse=True)
def own_domain(monkeypatch):
    """Of this process, so that tests beside each other do not hear each other."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(os.getpid() % 100 + 100))


def as_ros_reads(message):
    """The message as ROS 2 Humble's own definition of its type makes it of the bytes."""
    rosbags = pytest.importorskip("rosbags.typesys", reason="needs rosbags, of requirements-dev.txt")
    name = type(message).__idl_typename__.replace("::dds_::", "::").replace("::", "/").removesuffix("_")
    return rosbags.get_typestore(rosbags.Stores.ROS2_HUMBLE).deserialize_cdr(bytes(message.serialize()), name)


def same(ours, theirs):
    """Whether every field of ROS's message is the same in ours, by its name."""
    for name in [field.name for field in fields(theirs) if field.name[0].islower()]:  # no constants, no type
        a, b = getattr(ours, name), getattr(theirs, name)
        if hasattr(b, "__dataclass_fields__"):
            same(a, b)
        elif isinstance(b, list) and b and hasattr(b[0], "__dataclass_fields__"):
            assert len(a) == len(b)
            for one, other in zip(a, b, strict=True):
                same(one, other)
        else:
            assert a == b if isinstance(b, str) else np.allclose(a, b, rtol=1e-6), name


def test_ros_reads_every_message_as_it_is_meant():
    estimate, _, info = multi(2)
    (someone,) = Space(info, guesses=True).people(estimate)
    messages = Messages("world")
    header = messages.header(1796053142.805831)
    placed = messages.place(someone, 0.1)
    made = [messages.joints([placed], header), messages.pelvis([placed], header), messages.transforms([placed], header),
            messages.markers([placed], header), ros_types().String("ä{}")]  # fmt: skip
    for message in made:
        same(message, as_ros_reads(message))
    poses = as_ros_reads(made[0])
    assert (poses.header.frame_id, poses.header.stamp.sec) == ("world", 1796053142)
    assert poses.header.stamp.nanosec == pytest.approx(805831000, abs=1000)
    np.testing.assert_allclose([[p.position.x, p.position.y, p.position.z] for p in poses.poses], someone.joints)
    pelvis = as_ros_reads(made[1]).pose
    np.testing.assert_allclose(pelvis.covariance.reshape(6, 6)[:3, :3], someone.cov[0])
    assert 0 < pelvis.covariance[35] < math.pi**2
    names = [t.child_frame_id for t in as_ros_reads(made[2]).transforms]
    assert names == [f"person_0/{joint}" for joint in JOINTS]
    markers = as_ros_reads(made[3]).markers
    assert len({(m.ns, m.id) for m in markers}) == len(markers) == 1 + 2 * KERNELS + 17 + 1
    assert len(markers[0].points) == 2 * len(EDGES)
    (label,) = [m for m in markers if m.type == 9]
    assert label.text == "0, p = 0.62"
    assert {round(m.scale.x, 4) for m in markers if m.type == 2} == {round(2 * sigma, 4) for sigma in someone.sigma}, (
        "one sigma"
    )


def test_a_body_that_stands_has_the_frames_axes_of_rep_103():
    (someone,) = Space(single()[2]).people(alone(view_of(LEVEL, t_pose())))
    messages = Messages("camera")
    made = messages.joints([messages.place(someone, 0.0)], messages.header(0.0))
    # One camera: x forward, y left, z up. It is 4.2 m from the person, who faces it: their left is to the right.
    head, left = made.poses[10].position, made.poses[13].position
    np.testing.assert_allclose([head.x, head.y, head.z], [4.2, 0, 0.77], atol=1e-3)
    np.testing.assert_allclose([left.x, left.y, left.z], [4.2, -0.71, 0.49], atol=1e-3)
    for pose in made.poses:  # turned by 180 degrees about z: forward is back to the camera
        q = pose.orientation
        np.testing.assert_allclose(np.abs([q.x, q.y, q.z, q.w]), [0, 0, 1, 0], atol=2e-3)


def test_who_is_not_all_there_is_no_message_of_nans():
    estimate, _, info = single()
    (person,) = estimate.people
    answer = person.views[0].answer.copy()
    answer[10] = np.nan
    hurt = replace(estimate, people=(replace(person, views=(replace(person.views[0], answer=answer),)),))
    (someone,) = Space(info).people(hurt)
    messages = Messages("camera")
    placed = messages.place(someone, 0.0)
    header = messages.header(0.0)
    assert len(messages.transforms([placed], header).transforms) == 16
    for marker in messages.markers([placed], header).markers:
        assert np.isfinite([[p.x, p.y, p.z] for p in (marker.pose.position, *marker.points)]).all()
    assert np.isfinite(messages.pelvis([placed], header).pose.covariance).all()


def test_another_participant_finds_ros_topics_and_gets_everybody():
    estimate, _, info = crowd([4, 9], cameras=2)
    live = replace(info, cameras=tuple(replace(c, kind="camera") for c in info.cameras), start_utc=datetime.now(UTC))
    sink = Ros2("lo")
    sink.open(live)
    try:
        with Peer("dds", "hypothesis_stream/person_9/joints", "PoseArray") as peer:
            got = peer.until(lambda got: "said" in got, act=lambda: sink.write(estimate, {}))
            peer.until(
                lambda got: got.get("topic") == "rt/hypothesis_stream/events",
                act=lambda: sink.event(Event(0.1, "user", "jump")),
            )
        (_, someone) = Space(info).people(estimate)
        points = [[pose["position"][axis] for axis in "xyz"] for pose in got["said"]["poses"]]
        np.testing.assert_allclose(points, someone.joints)
        stamp = got["said"]["header"]["stamp"]
        assert stamp["sec"] + stamp["nanosec"] / 1e9 == pytest.approx(live.unix_offset + estimate.t, abs=1e-5)
        found = {one["topic"]: one["kind"] for one in peer.got if "topic" in one}
        assert (
            found
            | {
                "rt/tf": "tf2_msgs::msg::dds_::TFMessage_",
                "rt/hypothesis_stream/person_4/joints": "geometry_msgs::msg::dds_::PoseArray_",
                "rt/hypothesis_stream/person_9/pelvis": "geometry_msgs::msg::dds_::PoseWithCovarianceStamped_",
                "rt/hypothesis_stream/markers": "visualization_msgs::msg::dds_::MarkerArray_",
                "rt/hypothesis_stream/moment": "std_msgs::msg::dds_::String_",
            }
            == found
        )
        sink.write(replace(estimate, t=30.0, people=estimate.people[:1]), {})
        assert not [topic for topic in sink._participant._writers if "person_9" in topic], "they are gone"
    finally:
        assert "moments" in sink.close()


@pytest.mark.slow
def test_nothing_listens_or_is_announced_beyond_this_machine():
    code = (
        "import os; from tests.sockets import show\n"
        "os.environ['ROS_DOMAIN_ID'] = '0'\n"
        "from tests.test_live_ros2 import *\n"
        "sink = Ros2('{}')\n"
        "sink.open(single()[2])\n"
        "sink.write(single()[0], {{}})\n"
        "show()\n"
        "sink.close()\n"
    )
    lines = printed(code.format("lo"))
    assert any(line.startswith("udp 0.0.0.0%lo:") for line in lines) and beyond(lines) == []
    assert any(line.startswith("group 239.255.0.1 on lan") for line in beyond(printed(code.format("lan")))), "if named"


def test_two_runs_of_one_process_share_a_domain():
    first, second = Participant("lo"), Participant("lo")
    assert not second.wanted("hypothesis_stream/moment", ros_types().String)
    second.close()
    assert not first.wanted("hypothesis_stream/moment", ros_types().String)
    first.write("hypothesis_stream/moment", ros_types().String("x"))
    first.close()


def test_mistakes_are_lines(monkeypatch):
    with pytest.raises(StreamError, match=r"ros2: no DDS in the network of 'nowhere0'.*an interface that is up"):
        Participant("nowhere0")
    for wrong in ("233", "-1", "x", "1e2"):
        monkeypatch.setenv("ROS_DOMAIN_ID", wrong)
        with pytest.raises(StreamError, match="ROS_DOMAIN_ID is .* give a number from 0 to 232"):
            domain_id()
    assert settings("all") is None
    monkeypatch.setitem(sys.modules, "cyclonedds.core", None)
    with pytest.raises(StreamError, match="--ros2 needs the package cyclonedds: pip install cyclonedds=="):
        Participant("lo")
