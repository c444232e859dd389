"""Cameras of several computers in one fusion: over the real engine, on loopback."""

import socket
import sys
import threading
import time

import numpy as np
import pytest

import stream
from engines.argument_types import DONE, MISTAKE
from stream.app.command_line import main
from tests.exports import run as export
from tests.humanoids import take_of
from tests.sockets import beyond, printed

for package in ("zenoh", "msgpack"):
    pytest.importorskip(package, reason=f"needs {package}, of requirements-cluster.txt")

from stream.cluster.keys import make_keys  # noqa: E402
from stream.config import SourceConfig  # noqa: E402
from stream.sources.node import make  # noqa: E402
from tests.cluster_node import free_group, publishing  # noqa: E402
from tests.faults.fault import row  # noqa: E402

EXACT = {"runtime": "onnx", "precision": "fp32"}
FRAMES = 20
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """2D joints of two cameras, and their calibration."""
    folder = tmp_path_factory.mktemp("cluster")
    take = take_of(folder / "takes", np.arange(FRAMES) / 60, gone=(5,))
    assert export(take, "pose2sim", folder / "out") == 0
    return folder / "out"


def cameras(project, *names):
    return [f"{name}={project / 'pose' / f'{name}_json'}" for name in names]


def sizes(project):
    from calibration.formats import load_calibration

    return {camera.name: camera.size for camera in load_calibration(project / "calibration" / "Calib.toml").cameras}


class Publisher(threading.Thread):
    """A stream of its own of one camera, published."""

    def __init__(self, project, name, group, **flags):
        super().__init__(name=f"publish-{name}", daemon=True)
        size = "{}x{}".format(*sizes(project)[name])
        self.live = stream.open_stream(*cameras(project, name), size=size, fps=60, publish=group, **EXACT, **flags)
        self.start()

    def run(self):
        self.count = sum(1 for _ in self.live)


@pytest.fixture
def publish(project):
    """Publishes a camera until the end of the test."""
    made = []

    def publish(name, group, **flags):
        made.append(Publisher(project, name, str(group), **flags))
        return made[-1]

    yield publish
    for publisher in made:
        publisher.live.close()
        publisher.join(PATIENCE_S)
        assert not publisher.is_alive()


def lines_of(said):
    """What the program itself says, without what the publishers beside it do."""
    return [line for line in said.splitlines() if not line.startswith("publish: ")]


def fused(sources, project, **flags):
    calibration = project / "calibration" / "Calib.toml"
    with stream.open_stream(*sources, calibration=calibration, **EXACT, **flags) as live:
        return list(live), live.summary, live.run_info


def test_what_two_publish_is_fused_as_in_one_process(project, publish):
    one, _, _ = fused(cameras(project, "cam01", "cam02"), project, fps=60)
    group = free_group()
    both = [publish(name, group) for name in ("cam01", "cam02")]
    got, summary, info = fused([f"{name}=node:{group}/{name}" for name in ("cam01", "cam02")], project)
    for publisher in both:
        publisher.join(PATIENCE_S)
        assert not publisher.is_alive() and publisher.count == FRAMES
        assert any(line == f"publish: {FRAMES} frames to {group}" for line in publisher.live.summary.lines)
    assert len(one) == len(got) == FRAMES and [e.t for e in one] == [e.t for e in got]
    assert not any(summary.drops.values()) and {camera.kind for camera in info.cameras} == {"detections"}
    fused_frames = 0
    for a, b in zip(one, got, strict=True):
        assert [p.person_id for p in a.people] == [p.person_id for p in b.people]
        for p, q in zip(a.people, b.people, strict=True):
            assert (p.pose is None) == (q.pose is None)
            if p.pose is not None:
                fused_frames += 1
                assert np.abs(p.pose.joints - q.pose.joints).max() < 1.0  # mm
    assert fused_frames > FRAMES // 2


def test_files_wait_for_whoever_fuses_and_nothing_is_lost(publish, monkeypatch):
    monkeypatch.setattr("stream.cluster.node._QUEUE", 4)
    group = free_group()
    publisher = publish("cam01", group)
    time.sleep(0.3)
    assert publisher.is_alive() and publisher.live.summary is None, "it waits: there is room for four frames"
    with stream.open_stream(f"cam01=node:{group}/cam01", **EXACT) as live:
        got = []
        for estimate in live:
            got.append(estimate.frames[0].t)
            time.sleep(0.01)
    assert len(got) == FRAMES and got == sorted(got)
    publisher.join(PATIENCE_S)
    assert not publisher.is_alive()


@row("a computer that publishes files ends before all of them were fetched", MISTAKE,
     "NODE ended before all of its frames were fetched", "what was recorded until then")  # fmt: skip
def test_files_whose_publisher_ends_too_early_end_the_run(publish, monkeypatch):
    monkeypatch.setattr("stream.cluster.node._QUEUE", 4)
    monkeypatch.setattr("stream.cluster.file_fetch._AHEAD", 1)
    group = free_group()
    publisher = publish("cam01", group)
    with (
        pytest.raises(stream.UserError, match=r"lab.*: .* ended before all of its frames were fetched"),
        stream.open_stream(f"cam01=node:{group}/cam01", **EXACT) as live,
    ):
        for estimate in live:
            assert estimate.index < FRAMES - 4, "it read to the end"
            publisher.live.close()
            time.sleep(0.2)  # so that no more is fetched than there was


def test_who_stops_does_not_wait_to_be_fetched(publish):
    publisher = publish("cam01", free_group())
    publisher.live.close()
    publisher.join(PATIENCE_S)
    assert not publisher.is_alive()


def test_from_takes_every_camera_of_the_group(project, publish, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    group = free_group()
    both = [publish(name, group) for name in ("cam01", "cam02")]
    flags = ["--calibration", str(project / "calibration" / "Calib.toml"), "--view", "none", "--record", "takes"]
    assert main(["--from", str(group), *flags, "--runtime", "onnx"]) == DONE
    said = capsys.readouterr()
    assert f"{FRAMES} moments" in said.out and "Traceback" not in said.err
    for publisher in both:
        publisher.join(PATIENCE_S)
        assert not publisher.is_alive()


@row("--from a group that nobody is in", MISTAKE, "is heard within 5 s, other groups are heard there: lab",
     "nothing was begun", process=True)  # fmt: skip
def test_a_group_that_nobody_is_in_lists_those_there_are(publish, capsys):
    group = free_group("lab")
    publish("cam01", group)
    other = str(group).replace("lab", "office")
    assert main(["--from", other, "--view", "none"]) == MISTAKE
    said = capsys.readouterr().err
    assert f"--from {other}: no camera of it is heard within 5 s, other groups are heard there: lab" in said, said


@row("two computers publish one camera from the start", MISTAKE, "two computers publish a camera called cam01",
     "nobody fetched from them", process=True)  # fmt: skip
def test_two_who_publish_one_camera_are_refused_and_named(publish, capsys):
    group = free_group()
    both = [publish("cam01", group) for _ in range(2)]
    assert main(["--from", str(group), "--view", "none"]) == MISTAKE
    (line,) = lines_of(capsys.readouterr().err)
    assert "two computers publish a camera called cam01: " in line
    assert all(publisher.live.summary is None for publisher in both), "nobody fetched from them"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--from", "lab", "--camera", "0"), "--from brings its own cameras; leave out --camera"),
        (("--from", "lab", "--publish", "other"), "--from fuses what others --publish; leave out one of them"),
        (
            ("--from", "lab", "--rotate", "left=90", "--capture", "x"),
            "--capture, --rotate: the images are on the computers",
        ),
        (("--from", "lab", "--record", "x", "--record-video"), "--record-video: the images are on the computers that"),
        (("--from", "lab", "--control", "gain=3"), "give it there, and leave it out here"),
        (("--demo", "cluster", "--publish", "lab"), "--demo cluster publishes to a group of its own"),
        (("--from", "lab@10.0.0.1"), "beyond this machine it goes encrypted"),
        (("--camera", "x.mp4", "--publish", "lab@lab.example:7447"), "beyond this machine it goes encrypted"),
        (("--camera", "x.mp4", "--publish", "lab", "--keys", "none"), "there is no authority.pem in it"),
        (("--camera", "node:lab/left", "--rotate", "90"), "its images are elsewhere"),
        (("--camera", "node:lab"), "names no camera, as node:lab/left does"),
        (
            ("--camera", "node:lab/left", "--record", "takes", "--record-video"),
            "stay on their computers; give it there",
        ),
        (("--camera", "node:lab/left", "--capture", "takes", "--live"), "is on another one; give it there"),
        (("--camera", "x.mp4", "--publish-images", "5fps,320px"), "--publish-images is of --publish GROUP"),
        (("--camera", "node:l b/left"), "is no group such as lab"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(flags, said, capsys):
    assert main([*flags, "--view", "none"]) == MISTAKE
    (line,) = lines_of(capsys.readouterr().err)
    assert said in line


@pytest.mark.parametrize("flag", ["--from", "--publish"])
@pytest.mark.parametrize("text", ["", "l/b", "lab@", "lab@host:99999", "lab@host:x", "la b", "*", "$*"])
def test_what_is_no_group_is_refused(flag, text, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--camera", "x.mp4", f"{flag}={text}"])
    assert left.value.code == MISTAKE and "is no group such as lab" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["zenoh", "msgpack"])
def test_a_package_that_is_missing_is_named(package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["--camera", "x.mp4", "--publish", "lab", "--view", "none"]) == MISTAKE
    assert "pip install eclipse-zenoh==" in capsys.readouterr().err


@row(
    "--from at a port that is taken",
    MISTAKE,
    "is taken, perhaps by another run that fuses",
    "nothing was begun",
    process=True,
)
def test_a_port_that_is_taken_is_said(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--from", f"lab@127.0.0.1:{port}", "--view", "none"]) == MISTAKE
    assert f"port {port} of 127.0.0.1 is taken" in capsys.readouterr().err


def test_with_keys_both_sides_prove_who_they_are(tmp_path, capsys):
    pytest.importorskip("cryptography", reason="needs cryptography, of requirements-cluster.txt")
    lines = make_keys(tmp_path / "lab")
    assert "keys: " in lines[0] and {f.stat().st_mode & 0o777 for f in (tmp_path / "lab").iterdir()} == {0o600}
    assert main(["--make-keys", str(tmp_path / "lab")]) == MISTAKE
    assert "there is something in it" in capsys.readouterr().err
    make_keys(tmp_path / "other")
    group, keys = free_group(), f"?keys={tmp_path / 'lab'}"
    with (
        publishing("left", to=group.with_keys(tmp_path / "lab")),
        publishing("right", to=group),
        publishing("right", to=group.with_keys(tmp_path / "other")),
    ):
        left, right = (
            make(SourceConfig(f"node:{group}/{name}{keys}", name, open_s=seconds))
            for name, seconds in (("left", PATIENCE_S), ("right", 3.0))
        )
        try:
            assert left.open().source == f"node:{group}/left" and left.read().seen.people
            with pytest.raises(stream.UserError, match="nobody publishes a camera called right; there are: left"):
                right.open()
        finally:
            left.close()


def test_all_of_it_stays_on_this_machine():
    code = (
        "import time\n"
        "from stream.cluster.group import group\n"
        "from stream.cluster.listener import Listener\n"
        "from stream.cluster.node import Node\n"
        "from tests.sockets import show\n"
        "fuses, sees = Listener(group('lab')), Node(group('lab'), lambda: [], live=True, software='')\n"
        "fuses.open(); sees.open(); time.sleep(1.0); show()\n"
        "sees.close(); fuses.close()\n"
    )
    lines = printed(code)
    assert "tcp 127.0.0.1:7447" in lines and beyond(lines) == []


@pytest.mark.slow
@pytest.mark.video
def test_the_demo_of_three_processes_says_what_one_process_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--detector", "movenet-lightning", "--runtime", "onnx", "--precision", "fp32", "--view", "none"]
    answers = []
    for demo in ("multi", "cluster"):
        assert main(["--demo", demo, "--record", demo, *flags]) == DONE
        (take,) = (tmp_path / demo).iterdir()
        answers.append(list(stream.open_recording(take)))
    one, three = answers
    assert [e.t for e in one] == [e.t for e in three] and len(one) == 100
    for a, b in zip(one, three, strict=True):
        assert [p.person_id for p in a.people] == [p.person_id for p in b.people]
        for p, q in zip(a.people, b.people, strict=True):
            assert (p.pose is None) == (q.pose is None)
            assert p.pose is None or np.abs(p.pose.joints - q.pose.joints).max() < 1.0  # mm
