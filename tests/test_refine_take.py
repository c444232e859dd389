"""``python -m stream refine``: takes in and takes out, and what is refused."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.formats import load_calibration, save_calibration
from calibration.types import Calibration
from engines.skeleton import EDGES
from engines.types import Pose
from stream.app.export import main as export
from stream.app.recover import main as recover
from stream.app.refine import main as refine
from stream.app.refine import whose
from stream.recordings import refined
from stream.recordings.inspect import inspect_take
from stream.recordings.replay import read_events, replay
from stream.recordings.schema import ESTIMATES
from stream.recordings.segments import segments
from stream.recordings.takes import open_take
from stream.recordings.writer import Recorder
from stream.sinks import CameraInfo, RunInfo
from stream.types import Estimate, Event, FrameReference, Person, View
from tests import fusion_scene
from tests.refining import live, walk
from tests.takes import make_estimates, make_run_info, record

SIZE = (1920, 1080)


def walked(
    folder: Path, azimuths: tuple[int, ...] = (0, 90), count: int = 40, gone: range = range(0),
    calibrated: bool = True, others_from: int | None = None, noise: float = 1.0,
) -> Path:  # fmt: skip
    """A recorded walk. In the moments ``gone`` nobody is seen; from ``others_from`` on the person has another id."""
    rng = np.random.default_rng(0)
    cameras = fusion_scene.ring(azimuths)
    times, truth = walk(count)
    answers = live(truth, rng)
    estimates = []
    for k, t in enumerate(times):
        frames = tuple(FrameReference(camera.name, k, float(t), SIZE, "test") for camera in cameras)
        views = []
        for camera in cameras:
            mixture = fusion_scene.lift(camera, truth[k], rng)
            local = answers[k] @ camera.R.T + camera.t
            views.append(
                View(
                    detection=fusion_scene.detect(camera, truth[k], rng, noise), mixture=mixture,
                    answer=local - local[0], answer_raw=local - local[0], root=local[0],
                )
            )  # fmt: skip
        pose = None
        if calibrated:
            cov = np.repeat(400.0 * np.eye(3)[None], 17, 0)
            pose = Pose(answers[k], cov, tuple(camera.name for camera in cameras), "map")
        person_id = 4 if others_from is not None and k >= others_from else 3
        people = () if k in gone else (Person(person_id=person_id, views=tuple(views), pose=pose),)
        estimates.append(Estimate(index=k, t=float(t), frames=frames, people=people))
    infos = tuple(
        CameraInfo(c.name, "walk", "file", SIZE, c if calibrated else None, None if calibrated else 70.0)
        for c in cameras
    )
    info = replace(make_run_info(), cameras=infos, kernels=fusion_scene.KERNELS)
    return _recorded(folder, estimates, info)


def refused(capsys: pytest.CaptureFixture[str], *flags: object) -> str:
    """What the command says of a user's mistake: exit status 2, and its last line."""
    try:
        assert refine([str(flag) for flag in flags]) == 2
    except SystemExit as stop:
        assert stop.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


def _recorded(folder: Path, estimates: list[Estimate], info: RunInfo) -> Path:
    take = folder / "take"
    take.mkdir(parents=True)
    recorder = Recorder(take)
    recorder.open(info)
    for estimate in estimates:
        recorder.write(estimate, {})
    recorder.event(Event(0.5, "user", "clap"))
    recorder.close()
    return take


def _poses(take: Path) -> np.ndarray:
    return np.stack([e.people[0].pose.joints for e in replay(open_take(take)) if e.people and e.people[0].pose])


def test_a_take_in_and_a_take_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    take = walked(tmp_path, gone=range(12, 20))
    assert refine([str(take)]) == 0
    said = capsys.readouterr().out
    out = tmp_path / "take-refined"
    assert "person 3: 40 moments\n" in said and "of the joints filled in: " in said
    before, after = list(replay(open_take(take))), list(replay(open_take(out)))
    assert [e.index for e in after] == [e.index for e in before]
    assert [e.frames for e in after] == [e.frames for e in before]
    assert list(read_events(open_take(out))) == list(read_events(open_take(take)))
    limb = np.linalg.norm(_poses(out)[:, EDGES[1][0]] - _poses(out)[:, EDGES[1][1]], axis=-1)
    assert limb.std() < 3 and limb.std() < 0.2 * np.linalg.norm(
        _poses(take)[:, EDGES[1][0]] - _poses(take)[:, EDGES[1][1]], axis=-1).std()  # fmt: skip
    for k, estimate in enumerate(after):
        (person,) = estimate.people
        assert person.person_id == 3 and person.pose is not None and person.pose.state is not None
        if 12 <= k < 20:
            assert person.pose.method == "filled" and person.pose.state[2] == 1
            continue
        assert person.pose.method == "refined" and person.pose.state[2] == 0
        camera = open_take(out).run_info.cameras[0].calibration
        view = person.views[0]
        assert camera is not None and view is not None and view.answer is not None and view.root is not None
        assert np.allclose(view.answer + view.root, person.pose.joints @ camera.R.T + camera.t, atol=0.1)
        assert view.answer_cov is not None and np.isfinite(view.answer_cov).all()
    assert "refine" in open_take(out).run_info.settings
    for kind in ("npz", "csv", "trc", "c3d"):
        assert export([str(out), "--to", kind, "--out", str(tmp_path / f"x.{kind}")]) == 0
        said = capsys.readouterr().out
        assert ("refined: 20.0 % of the joints are filled in and" in said) == (kind in ("trc", "c3d"))
    assert "  refined from take take" in inspect_take(out)
    with np.load(tmp_path / "x.npz") as data:
        assert data["pose_state"].shape == (40, 17) and data["answer_cov"].shape[1:] == (17, 3, 3)
        assert set(data["pose_method"]) == {"refined", "filled"}
    assert "state_left_knee" in (tmp_path / "x.poses.csv").read_text().split("\n")[0]


def test_the_same_take_is_refined_to_the_same_bytes(tmp_path: Path):
    take = walked(tmp_path, count=20)
    for name in "ab":
        assert refine([str(take), "--out", str(tmp_path / name)]) == 0
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_one_camera_without_a_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    take = walked(tmp_path, (0,), gone=range(8, 12), calibrated=False)
    assert refine([str(take), "--out", str(tmp_path / "out")]) == 0
    assert "person 3 in cam0: 40 moments\n" in capsys.readouterr().out, "no floor is known"
    for k, estimate in enumerate(replay(open_take(tmp_path / "out"))):
        (person,) = estimate.people
        view = person.views[0]
        assert person.pose is None and view is not None and view.answer is not None
        assert view.answer_state is not None and view.answer_state[2] == (1 if 8 <= k < 12 else 0)
        assert view.detection.person == (k not in range(8, 12))


def test_a_long_gap_stays_empty_and_ids_can_be_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    take = walked(tmp_path, count=30, gone=range(10, 20), others_from=15)
    assert refine([str(take), "--out", str(tmp_path / "two"), "--fill", "0.1"]) == 0
    assert [len(e.people) for e in replay(open_take(tmp_path / "two"))] == [1] * 10 + [0] * 10 + [1] * 10
    assert refine([str(take), "--out", str(tmp_path / "one"), "--join", "3,4"]) == 0
    assert {p.person_id for e in replay(open_take(tmp_path / "one")) for p in e.people} == {3}
    assert all(e.people for e in replay(open_take(tmp_path / "one")))
    assert "person 3: 30 moments" in capsys.readouterr().out


def test_a_gap_that_stays_empty_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    take = walked(tmp_path, count=30, gone=range(10, 20))
    assert refine([str(take), "--fill", "0.1"]) == 0
    assert "person 3: 20 moments, 10 moments not refined (in longer gaps, or alone)" in capsys.readouterr().out


def test_joined_ids_of_several_groups_are_one():
    assert whose([(0, 1), (1, 2)]) == whose([(1, 2), (0, 1)]) == {1: 0, 2: 0}
    assert whose([(0, 1), (1, 0)]) == {1: 0} and whose([(0, 1), (2, 3)]) == {1: 0, 3: 2}


def test_cameras_are_corrected_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    take = walked(tmp_path, (0, 90, 180, 270), count=70, noise=0.5)
    assert refine([str(take), "--out", str(tmp_path / "out"), "--refine-cameras"]) in (0, 2)
    said = capsys.readouterr()
    if "do not hold" in said.err:  # the cameras of this take are exact already
        assert not (tmp_path / "out").exists()
    else:
        assert "cam0 moved" in said.out
        found = load_calibration(tmp_path / "out" / "calibration.toml")
        assert found.names == ("cam0", "cam1", "cam2", "cam3")
        (tmp_path / "out" / "calibration.toml").unlink()
        assert recover([str(tmp_path / "out")]) == 1
        assert "calibration.toml: missing; the header has its cameras" in capsys.readouterr().out


def test_a_take_refined_again_says_both_and_a_copy_keeps_its_calibration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    take = walked(tmp_path, count=30, others_from=20)
    assert refine([str(take), "--out", str(tmp_path / "one"), "--fill", "0.1"]) == 0
    assert refine([str(tmp_path / "one"), "--out", str(tmp_path / "two"), "--join", "3,4"]) == 0
    once, twice = (open_take(tmp_path / name).run_info.settings["refine"] for name in ("one", "two"))
    assert isinstance(once, dict) and isinstance(twice, dict)
    assert (once["take"], once["fill_s"], once.get("before")) == ("take", 0.1, None)
    assert (twice["take"], twice["fill_s"], twice["before"]) == ("one", 1.0, once)
    capsys.readouterr()
    cameras = Calibration(tuple(fusion_scene.ring((0, 90))))
    save_calibration(cameras, tmp_path / "two" / "calibration.toml")
    assert recover([str(tmp_path / "two"), "--out", str(tmp_path / "copy")]) == 0
    assert load_calibration(tmp_path / "copy" / "calibration.toml").names == cameras.names
    secret = tmp_path / "secret.toml"
    secret.write_text("x = 1")
    (tmp_path / "two" / "calibration.toml").unlink()
    (tmp_path / "two" / "calibration.toml").symlink_to(secret)
    assert recover([str(tmp_path / "two"), "--out", str(tmp_path / "other")]) == 0
    assert not (tmp_path / "other" / "calibration.toml").exists(), "a link out of the take is not followed"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--join", "3"], "joins nobody; give two ids"),
        (["--join", "a,b"], "joins nobody"),
        (["--join", "3,03"], "joins nobody"),
        (["--join", "3,77"], "there is no person 77 in this take; it has 3"),
        (["--out", "take/inner"], "lies in the take that is read"),
        (["--out", "x" * 300], "File name too long; give another --out"),
        (["--fill", "-1"], "--fill"),
        (["--refine-cameras"], "in 20 moments two cameras see the same joints; 24 are needed"),
        (["--out", "EXISTS"], "exists already, and no take is written over"),
    ],
)
def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str):
    take = walked(tmp_path, count=20)
    (tmp_path / "there").mkdir()
    flags = ["there" if flag == "EXISTS" else flag for flag in flags]
    if flags[0] == "--out":
        flags[1] = str(tmp_path / flags[1])
    assert words in refused(capsys, take, *flags)
    assert {path.name for path in tmp_path.iterdir()} == {"take", "there"} and not any((tmp_path / "there").iterdir())


def test_people_who_are_seen_at_once_are_not_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    take = record(tmp_path / "takes", make_estimates(20, people=2))
    said = refused(capsys, take, "--join", "0,3")
    assert "people 0 and 3 are both seen at" in said and "leave out --join" in said


def test_a_take_of_nobody_and_a_damaged_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    nobody = [replace(estimate, people=()) for estimate in make_estimates(10)]
    take = record(tmp_path / "a", nobody)
    assert "nobody is in it who was lifted" in refused(capsys, take)
    damaged = walked(tmp_path / "b")
    segments(damaged, ESTIMATES)[0].write_bytes(segments(damaged, ESTIMATES)[0].read_bytes()[:-3000])
    assert refine([str(damaged), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "rows are left out" in said and "nobody is in it" in said


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    take = walked(tmp_path, count=20)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(refined.SegmentWriter, "append", full)
    assert refine([str(take), "--out", str(tmp_path / "out")]) == 2
    assert "No space left on device; nothing is left of it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["take"]


def test_ctrl_c_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    take = walked(tmp_path, count=20)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(refined.SegmentWriter, "append", stop)
    assert refine([str(take), "--out", str(tmp_path / "out")]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["take"]
