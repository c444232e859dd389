"""2D joints of other programs: written as they write them, and read in place of images."""

import json
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest

import stream
from calibration.formats import load_calibration, save_calibration
from calibration.geometry.turning import turn_camera
from engines import skeleton as sk
from stream.app.command_line import main
from stream.config import SourceConfig
from stream.recordings.replay import replay
from stream.recordings.takes import open_take
from stream.sources._pose_files import cameras_of, read
from stream.sources._pose_files._joint_sets import BY_COUNT, by_names
from stream.sources.detections import DetectionsSource, sources_of_detections
from stream.types import KnownFrame, StreamError
from tests.exports import run
from tests.humanoids import take_of
from tests.walker import only_pose, only_view

LIMBS = list(sk.LIMBS)


def frames_of(path: Path, **settings) -> list[KnownFrame]:
    source = DetectionsSource(SourceConfig(str(path), "cam", **settings))
    source.open()
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)
    source.close()
    return frames


def person(at: float, count: int = 17) -> np.ndarray:
    """(count, 3) x, y, score of somebody who stands at a place, every joint at its own."""
    k = np.arange(count)
    return np.stack([at + 10.0 * (k % 4), 50 + 8.0 * k, np.full(count, 0.8)], -1)


def openpose(folder: Path, frames: list[list[np.ndarray]], ids: bool = False) -> Path:
    folder.mkdir(parents=True)
    for number, people in enumerate(frames):
        listed = [
            {"person_id": [k if ids else -1], "pose_keypoints_2d": one.ravel().tolist()} for k, one in enumerate(people)
        ]
        path = folder / f"video_{number:012d}_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": listed}))
    return folder


@pytest.mark.parametrize("count", sorted(BY_COUNT))
def test_joint_sets_of_openpose_and_others(count: int, tmp_path: Path) -> None:
    values = person(100, count)
    frame = frames_of(openpose(tmp_path / "a_json", [[values]]))[0]
    (sighting,) = frame.seen.people
    found, joints = sighting.detection, BY_COUNT[count]
    for joint in LIMBS:
        np.testing.assert_allclose(found.xy[joint], values[joints.map.source[joint], :2], atol=1e-4)
    right = found.xy[[sk.R_HIP, sk.L_HIP]].mean(0)
    np.testing.assert_allclose(found.xy[0], right, atol=1e-4)
    assert found.derived[[0, 8]].all() and found.score[7] == 0 and found.origin == "openpose"
    assert found.extra is not None and found.extra.names[0] == "nose"
    np.testing.assert_allclose(found.extra.xy[0], values[0, :2], atol=1e-4)


def test_people_are_followed_where_the_file_does_not_tell_who_they_are(tmp_path: Path) -> None:
    left = [person(100 + 5 * k, 25) for k in range(6)]
    right = [person(500 - 5 * k, 25) for k in range(6)]
    frames = [[a, b] if k % 2 else [b, a] for k, (a, b) in enumerate(zip(left, right, strict=True))]
    frames[3] = [left[3]]
    made = frames_of(openpose(tmp_path / "a", frames))
    where = [{one.track: float(one.detection.xy[sk.R_HIP, 0]) for one in frame.seen.people} for frame in made]
    assert all(set(places) <= {0, 1} for places in where) and len(where[3]) == 1
    first, second = ([places[k] for places in where if k in places] for k in (0, 1))
    assert np.abs(np.diff(first)).max() < 20 and np.abs(np.diff(second)).max() < 20
    told = frames_of(openpose(tmp_path / "b", [[left[0], right[0]], [right[1], left[1]]], ids=True))
    assert [one.track for one in told[1].seen.people] == [0, 1]  # the file's word counts


def test_a_number_that_is_missing_is_a_frame_without_people(tmp_path: Path) -> None:
    folder = openpose(tmp_path / "a", [[person(100, 25)] for _ in range(5)])
    next(folder.glob("*2_keypoints.json")).unlink()
    made = frames_of(folder, fps=50.0)
    assert [len(frame.seen.people) for frame in made] == [1, 1, 0, 1, 1]
    np.testing.assert_allclose([frame.t for frame in made], np.arange(5) / 50)


def test_times_of_day_in_place_of_numbers(tmp_path: Path) -> None:
    folder = openpose(tmp_path / "a", [[person(100, 25)] for _ in range(5)])
    for k, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"{1_700_000_000_000 + 33 * k * 1000}.json")
    source = DetectionsSource(SourceConfig(str(folder), "cam"))
    assert "numbered with large gaps: they are taken one after another" in " ".join(source.open().messages)
    assert [frame.index for frame in frames_of(folder)] == [0, 1, 2, 3, 4]


def test_joints_beyond_any_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match="a joint lies at 1e.300 pixels"):
        frames_of(openpose(tmp_path / "a", [[person(1e300, 25)]]))


def test_what_is_no_file_is_passed(tmp_path: Path) -> None:
    folder = openpose(tmp_path / "a", [[person(100, 25)]])
    os.mkfifo(folder / "x_000000000001_keypoints.json")
    os.mkfifo(tmp_path / "b.json")
    os.mkfifo(tmp_path / "c.csv")
    assert list(cameras_of(tmp_path)) == ["a"] and len(frames_of(folder)) == 1


def test_sizes(tmp_path: Path) -> None:
    assert frames_of(openpose(tmp_path / "a", [[person(300, 25)]]))[0].image.shape == (480, 640, 3)
    tall = [np.array(person(100, 25)) * [1, 6, 1]]
    assert frames_of(openpose(tmp_path / "b", [tall]))[0].image.shape == (1920, 1080, 3)
    assert frames_of(openpose(tmp_path / "c", [tall]), size=(1088, 1920))[0].image.shape == (1920, 1088, 3)


def alphapose(path: Path) -> None:
    listed = [
        {
            "image_id": f"{k}.jpg",
            "keypoints": person(100 + k).ravel().tolist(),
            "score": 2.1,
            "idx": 4,
        }
        for k in range(3)
    ]
    path.write_text(json.dumps(listed))


def mmpose(path: Path) -> None:
    instances = [
        {"frame_id": k + 1, "instances": [{"keypoints": person(100 + k)[:, :2].tolist(),
                                           "keypoint_scores": person(100 + k)[:, 2].tolist()}]}
        for k in range(3)
    ]  # fmt: skip
    path.write_text(json.dumps({"meta_info": {"dataset_name": "coco"}, "instance_info": instances}))


NAMES = ("nose", "l_eye", "r_eye", "l_ear", "r_ear", "LShoulder", "right_shoulder", "Elbow L", "rightElbow", "wrist_l",
         "RWrist", "left hip", "hip-right", "lknee", "RKnee", "left_ankle", "Ankle R")  # fmt: skip


def deeplabcut(path: Path, individuals: tuple[str, ...] = ()) -> pandas.DataFrame:
    columns, values = [], []
    for number, individual in enumerate(individuals or ("",)):
        for joint, name in enumerate(NAMES):
            for c, coord in enumerate(("x", "y", "likelihood")):
                columns.append(("DLC_net", *([individual] if individuals else []), name, coord))
                values.append([person(100 + k + 300 * number)[joint, c] for k in range(3)])
    names = ["scorer", *(["individuals"] if individuals else []), "bodyparts", "coords"]
    table = pandas.DataFrame(np.array(values).T, columns=pandas.MultiIndex.from_tuples(columns, names=names))
    table.to_csv(path)
    return table


def mediapipe(path: Path) -> None:
    table = {"frame": np.arange(3)}
    for joint, name in enumerate(NAMES):
        x, y, score = (np.array([person(100 + k)[joint, c] for k in range(3)]) for c in range(3))
        table |= {f"{name}_x": x / 640, f"{name}_y": y / 480, f"{name}_visibility": score}
    pandas.DataFrame(table).to_csv(path, index=False)


WRITERS = {
    "alphapose": ("cam.json", alphapose), "mmpose": ("cam.json", mmpose), "deeplabcut": ("camDLC_x.csv", deeplabcut),
    "mediapipe": ("cam.csv", mediapipe),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_one_file_for_all_frames(kind: str, tmp_path: Path) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name)
    assert list(cameras_of(tmp_path)) == ["cam"]
    made = frames_of(tmp_path / name, size=(640, 480))
    assert [frame.index for frame in made] == [0, 1, 2]
    for k, frame in enumerate(made):
        (sighting,) = frame.seen.people
        assert sighting.detection.origin == kind and sighting.track == 0
        expected = person(100 + k)[[BY_COUNT[17].map.source[joint] for joint in LIMBS]]
        np.testing.assert_allclose(sighting.detection.xy[LIMBS], expected[:, :2], atol=1e-3)
        np.testing.assert_allclose(sighting.detection.score[LIMBS], 0.8, atol=1e-6)


def test_deeplabcut_of_several_individuals(tmp_path: Path) -> None:
    deeplabcut(tmp_path / "cam.csv", ("mouse", "man"))
    made = frames_of(tmp_path / "cam.csv")
    assert [[one.track for one in frame.seen.people] for frame in made] == [[0, 1]] * 3


def test_shares_need_a_size(tmp_path: Path) -> None:
    mediapipe(tmp_path / "cam.csv")
    with pytest.raises(StreamError, match="shares of the image's sides: say its size with --size WxH"):
        frames_of(tmp_path / "cam.csv")


def test_names_of_joints_however_they_are_written() -> None:
    found = by_names(NAMES)
    assert found is not None and all(found.map.source[j] == BY_COUNT[17].map.source[j] for j in LIMBS)
    assert dict(found.extra)["right_ear"] == 4
    assert by_names(["snout", "tail", "left_ear", "paw"]) is None


LIMB_NAMES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
BROKEN = {
    "no folder": (lambda p: p / "none", "there is no such folder"),
    "nothing in it": (lambda p: p, "there are no 2D joints in it. One file or folder a camera is read"),
    "a broken file": (lambda p: broken(p, "{"), "video_000000000001_keypoints.json: no file of OpenPose"),
    "no people": (lambda p: broken(p, '{"version": 1}'), "no file of OpenPose ('people')"),
    "another joint set": (lambda p: broken(p, json.dumps({"people": [{"pose_keypoints_2d": [1, 2, 3] * 19}]})),
                          "a person of 19 joints where others have 25"),
    "animals": (lambda p: animals(p), "at least six of the limbs are needed"),
    "a file of animals": (lambda p: animals(p) / "a.csv", "at least six of the limbs are needed"),
    "another file": (lambda p: other(p), "mine.csv holds no 2D joints in a way that is known: a folder of"),
}  # fmt: skip


def broken(folder: Path, text: str) -> Path:
    openpose(folder / "a", [[person(100, 25)], []])
    (folder / "a" / "video_000000000001_keypoints.json").write_text(text)
    return folder


def other(folder: Path) -> Path:
    (folder / "mine.csv").write_text("hello,world\n1,2\n")
    return folder / "mine.csv"


def animals(folder: Path) -> Path:
    names = ["snout", "tail", "paw", "ear"]
    columns = [("s", name, c) for name in names for c in ("x", "y", "likelihood")]
    table = pandas.DataFrame(np.ones((2, 12)), columns=pandas.MultiIndex.from_tuples(columns))
    table.columns.names = ["scorer", "bodyparts", "coords"]
    table.to_csv(folder / "a.csv")
    return folder


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_said_in_a_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, said = BROKEN[name]
    assert main(["--detections", str(make(tmp_path)), "--view", "none"]) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err


def test_a_single_file_is_a_camera_and_one_without_a_number_is_nobody(tmp_path: Path) -> None:
    columns = [f"{side}_{joint}_{axis}" for side in ("left", "right") for joint in LIMB_NAMES for axis in "xy"]
    (tmp_path / "cam.csv").write_text("\n".join([",".join(columns), *["," * (len(columns) - 1)] * 3]) + "\n")
    assert cameras_of(tmp_path / "cam.csv") == {"cam": tmp_path / "cam.csv"}
    found = read(tmp_path / "cam.csv")
    assert not found.shares and list(found.frames.values()) == [()] * 3


def test_h5_of_deeplabcut(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    table = deeplabcut(tmp_path / "cam.csv", ("one", "two"))
    (tmp_path / "cam.csv").rename(tmp_path / "cam.bak")
    # As pandas writes it for DeepLabCut: to_hdf(key="df_with_missing", format="table").
    rows = np.zeros(3, [("index", "<i8"), ("values_block_0", "<f8", (table.shape[1],))])
    rows["values_block_0"] = table.to_numpy()
    with h5py.File(tmp_path / "camDLC_net.h5", "w") as file:
        written = file.create_group("df_with_missing").create_dataset("table", data=rows)
        written.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(list(table.columns), 0))
    assert list(cameras_of(tmp_path)) == ["cam"]
    found = read(tmp_path / "camDLC_net.h5")
    assert [len(found.frames[k]) for k in range(3)] == [2, 2, 2] and found.origin == "deeplabcut"
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n nothing")
    with pytest.raises(StreamError, match=r"broken.h5: cannot be read"):
        read(tmp_path / "broken.h5")
    with h5py.File(tmp_path / "camDLC_net.h5", "a") as file:  # a program in place of names
        file["df_with_missing/table"].attrs["values_block_0_kind"] = np.bytes_(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(StreamError, match="it asks for os.system"):
        read(tmp_path / "camDLC_net.h5")


def test_h5_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cam.h5").write_bytes(b"\x89HDF\r\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(StreamError, match="pip install h5py==3.16.0; or give the csv"):
        read(tmp_path / "cam.h5")


@pytest.mark.parametrize("other", ["--camera=0", "--demo", "--from-take=x"])
def test_detections_are_the_cameras(other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--detections", "x", other]) == 2
    assert "--detections brings its own cameras; leave out --" in capsys.readouterr().err


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A take of a walker, and the project of Pose2Sim that it becomes."""
    folder = tmp_path_factory.mktemp("project")
    take = take_of(folder / "takes", np.arange(12) / 60, gone=(5,))
    assert run(take, "pose2sim", folder / "out") == 0
    return take, folder / "out"


def test_a_project_of_pose2sim(project: tuple[Path, Path]) -> None:
    take, out = project
    assert [path.name for path in sorted((out / "pose").iterdir())] == ["cam01_json", "cam02_json"]
    for camera in ("cam01", "cam02"):
        names = sorted(path.name for path in (out / "pose" / f"{camera}_json").iterdir())
        assert names == [f"{camera}_{k:06d}.json" for k in range(12)]
    data = json.loads((out / "pose" / "cam02_json" / "cam02_000003.json").read_text())
    (someone,) = data["people"]
    points = np.array(someone["pose_keypoints_2d"]).reshape(25, 3)
    estimate = list(replay(open_take(take)))[3]
    view = only_view(estimate, 1)
    for joint in LIMBS:
        np.testing.assert_allclose(points[BY_COUNT[25].map.source[joint], :2], view.detection.xy[joint], atol=1e-3)
    np.testing.assert_allclose(points[1, :2], view.detection.xy[8], atol=1e-3)  # neck: the middle of the shoulders
    empty = json.loads((out / "pose" / "cam01_json" / "cam01_000005.json").read_text())
    assert empty["people"] == [] and someone["person_id"] == [0]
    calibration = load_calibration(out / "calibration" / "Calib.toml")
    recorded = open_take(take).run_info.cameras[1].calibration
    assert calibration.names == ("cam01", "cam02")
    np.testing.assert_allclose(calibration.cameras[1].t, recorded.t, atol=1e-3)


def test_a_project_is_not_written_over(
    project: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take, out = project
    assert run(take, "pose2sim", out) == 2 and "exists; give another --out, or --force" in capsys.readouterr().err
    (tmp_path / "photos").mkdir()
    assert run(take, "pose2sim", tmp_path, "--force") == 2
    assert "holds other things than an export to pose2sim" in capsys.readouterr().err
    assert run(take, "pose2sim", take / "out") == 2
    assert "lies in the take" in capsys.readouterr().err
    (tmp_path / "photos").rmdir()
    assert run(take, "pose2sim", tmp_path / "p", "--end", "0.05") == 0
    assert run(take, "pose2sim", tmp_path / "p", "--force") == 0
    assert len(list((tmp_path / "p" / "pose" / "cam01_json").iterdir())) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_joints_of_others_give_hypotheses_and_fusion(
    project: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take, out = project
    assert sources_of_detections(out) == tuple(f"{c}={out / 'pose' / f'{c}_json'}" for c in ("cam01", "cam02"))
    calibration = str(out / "calibration" / "Calib.toml")
    flags = ["--detections", str(out), "--calibration", calibration, "--up", "0,0,1", "--fps", "60", "--view", "none"]
    assert main([*flags, "--record", str(tmp_path / "r"), "--runtime", "onnx"]) == 0
    said = capsys.readouterr()
    assert "nothing is detected" in said.err and "fused poses: map 11" in said.out
    before, after = (list(replay(open_take(path))) for path in (take, tmp_path / "r"))
    assert [len(estimate.people) for estimate in after] == [1] * 5 + [0] + [1] * 6
    assert after[0].frames[0].detector == "openpose"
    view, again = only_view(before[3]), only_view(after[3])
    np.testing.assert_allclose(view.detection.xy, again.detection.xy, atol=1e-3)
    assert again.mixture is not None and len(again.tracks) == 5
    # From two views of exact joints; the walker's truth is what the first take was made of.
    apart = np.linalg.norm(only_pose(after[3]).joints - only_pose(before[3]).joints, axis=1)[LIMBS]
    assert np.median(apart) < 40


def test_a_program_reads_them_too(project: tuple[Path, Path]) -> None:
    with stream.open_stream(detections=project[1], calibration=project[1] / "calibration" / "Calib.toml") as live:
        estimates = list(live)
    assert len(estimates) == 12 and estimates[0].people[0].pose is not None


def test_turned_joints_of_others_fuse_with_a_calibration_of_turned_pictures(
    project: tuple[Path, Path], tmp_path: Path
) -> None:
    """--rotate turns what another program found as it turns pictures."""
    _, out = project
    lab = load_calibration(out / "calibration" / "Calib.toml")
    turned = replace(lab, cameras=(lab.cameras[0], turn_camera(lab.cameras[1], 90)))
    save_calibration(turned, tmp_path / "turned.toml")
    plain, how = out / "calibration" / "Calib.toml", "triangulate"
    with stream.open_stream(detections=out, calibration=plain, fusion=how) as live:
        before = list(live)
    with stream.open_stream(
        detections=out, calibration=tmp_path / "turned.toml", rotate=["cam02=90"], fusion=how
    ) as live:
        after = list(live)
    size = lab.cameras[1].size
    old, new = only_view(before[3], 1).detection, only_view(after[3], 1).detection
    seen = old.score > 0
    there = np.stack([size[1] - 1 - old.xy[:, 1], old.xy[:, 0]], -1)
    np.testing.assert_allclose(new.xy[seen], there[seen], atol=1e-3)
    apart = np.linalg.norm(only_pose(after[3]).joints - only_pose(before[3]).joints, axis=1)
    assert np.median(apart[LIMBS]) < 1
