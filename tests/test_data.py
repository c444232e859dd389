"""What holds for every format of recorded people: joints, pickles, sniffing; and the motion capture."""

import pickle

import numpy as np
import pytest

from engines import skeleton as sk
from engines.training.data import formats, h36m, joint_sets
from engines.training.data.__main__ import main
from engines.training.data.sequences import Sequence
from engines.types import EngineError
from tests.bodies import standing, walking
from tests.datasets import (
    F,
    one_line,
    write_martinez,
    write_mmpose,
    write_mpi_test,
    write_videopose,
    write_videopose_2d,
)  # fmt: skip


@pytest.fixture
def martinez(tmp_path):
    return write_martinez(tmp_path / "h36m")


class Evil:
    def __reduce__(self):
        return print, ("I was run",)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickles_that_are_programs_are_refused_and_not_run(tmp_path, capsys, protocol):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"imgname": Evil()}, protocol))
    with pytest.raises(EngineError, match=r"refused.*builtins.*print|refused.*__builtin__.*print") as error:
        formats.load(tmp_path / "x.pkl")
    one_line(error)
    np.savez(tmp_path / "x.npz", positions_3d=np.array({"S9": Evil()}, object))
    with pytest.raises(EngineError, match="refused"):
        formats.load(tmp_path / "x.npz")
    assert "I was run" not in capsys.readouterr().out


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_harmless_pickles_come_back_as_they_were(tmp_path, protocol):
    from engines.training.data.unpickle import load_pickle

    value = {
        ("S1", "5"): {"R": np.eye(3), "w": 1000, "s": np.float32(2.5), "t": "é", "f": np.arange(6.0).reshape(2, 3).T}
    }
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol))
    got = load_pickle(tmp_path / "x.pkl")[("S1", "5")]
    for name, wanted in value[("S1", "5")].items():
        np.testing.assert_array_equal(got[name], wanted)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(value, protocol)[:-9])
    with pytest.raises(EngineError, match="x.pkl"):
        load_pickle(tmp_path / "x.pkl")


def test_mocap(tmp_path):
    joints = standing(6).astype("float32")
    np.savez(
        tmp_path / "a.npz",
        joints=joints,
        subject=[1, 1, 0, 0, 0, 1],
        subject_names=["b", "a"],
        action=["x"] * 3 + ["y"] * 3,
    )
    found = formats.load(tmp_path / "a.npz")
    assert [(s.subject, s.action, len(s)) for s in found] == [
        ("a", "x", 2),
        ("b", "x", 1),
        ("b", "y", 2),
        ("a", "y", 1),
    ]
    np.testing.assert_array_equal(np.concatenate([np.asarray(s.joints) for s in found]), joints)
    np.savez(tmp_path / "a.npz", joints=joints, subject=[1, 1, 0, 0, 0, 2], subject_names=["b", "a"])
    with pytest.raises(EngineError, match="counts from 0 to 2; subject_names has 2"):
        formats.load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", joints=joints, seq=[1, 1])
    with pytest.raises(EngineError, match=r"'seq'.*expected \(6,\)"):
        formats.load(tmp_path / "a.npz")


def test_a_sequence_refuses_what_does_not_fit():
    joints, cameras = walking(3), h36m.laboratory()
    xy, seen = np.ones((4, 3, 17, 2)), np.ones((4, 3, 17), bool)
    Sequence("s", "a", "n", joints, cameras, xy, seen)
    for arguments in ((joints[:, :16],), (joints, cameras[:2], xy, seen), (joints, cameras, xy, seen[:, :2]), (None,)):
        with pytest.raises(EngineError):
            Sequence("s", "a", "n", *arguments)


ARMS_AND_LEGS = {
    "arm": ("shoulder", "elbow", "wrist"), "leg": ("hip", "knee", "ankle"),
}  # fmt: skip


def side(which, limb):
    return [f"{which}_{joint}" for joint in ARMS_AND_LEGS[limb]]


# The joints of each set, named in the set's own order by whoever made it.
NAMED = {
    joint_sets.HOURGLASS: [
        *reversed(side("right", "leg")), *side("left", "leg"), "pelvis", "spine", "thorax", "head",
        *reversed(side("right", "arm")), *side("left", "arm"),
    ],
    joint_sets.MPI_28: [
        "spine3", "spine4", "spine2", "spine", "pelvis", "thorax", "neck_nose", "head", "left_clavicle",
        *side("left", "arm"), "left_hand", "right_clavicle", *side("right", "arm"), "right_hand",
        *side("left", "leg"), "left_foot", "left_toe", *side("right", "leg"), "right_foot", "right_toe",
    ],
    joint_sets.MPI_17: [
        "head", "thorax", *side("right", "arm"), *side("left", "arm"), *side("right", "leg"), *side("left", "leg"),
        "pelvis", "spine", "neck_nose",
    ],
    joint_sets.H36M_ALL: [
        "pelvis", *side("right", "leg"), "", "", *side("left", "leg"), "", "", "", "spine", "thorax", "neck_nose",
        "head", "", *side("left", "arm"), "", "", "", "", "", *side("right", "arm"), "", "", "", "",
    ],
}  # fmt: skip


@pytest.mark.parametrize("joint_map", NAMED, ids=lambda m: m.name)
def test_every_joint_goes_to_the_one_of_its_name(joint_map):
    names = NAMED[joint_map]
    assert [names[k] if k >= 0 else None for k in joint_map.source] == [
        name if name in names else None for name in sk.JOINTS
    ]


def test_inspect_says_what_it_sees(martinez, capsys, tmp_path):
    folder, _ = martinez
    assert main(["inspect", str(folder), "--detections", "StackedHourglass"]) == 0
    said = capsys.readouterr().out
    for word in ("human36m-h5", "2 sequences, 14 frames", "S9", "SittingDown", "4 a sequence", "16 of 17 joints", "mm"):
        assert word in said
    path = write_videopose(tmp_path, walking(F) * 1000)
    assert main(["inspect", str(path)]) == 0
    assert "are the units right?" in capsys.readouterr().out
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    for wrong in ("song.mp3", "missing.npz"):
        assert main(["inspect", str(tmp_path / wrong)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert wrong in error


def test_every_file_is_sniffed_by_one_format_only(martinez, tmp_path):
    joints = walking(F)
    paths = [martinez[0], write_videopose(tmp_path, joints), write_videopose_2d(tmp_path, joints)]
    (tmp_path / "m").mkdir()
    (tmp_path / "n").mkdir()
    paths += [write_mmpose(tmp_path / "m", joints), write_mmpose(tmp_path / "n", joints, "a.pkl")]
    write_mpi_test(tmp_path / "TS1", joints)
    np.savez(tmp_path / "mocap.npz", joints=joints)
    paths += [tmp_path / "TS1" / "annot_data.mat", tmp_path / "mocap.npz"]
    for path in paths:
        assert sum(form.sniff(path) for form in formats.formats().values()) == 1, path
