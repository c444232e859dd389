"""Every format of recorded people, on a small file of its true layout that the test makes."""

import json
import pickle

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from calibration.camera import world_to_camera, world_to_image
from engines import skeleton as sk
from engines.training import data, h36m, joint_sets
from engines.training.data.__main__ import main
from engines.training.sequences import Sequence
from engines.types import EngineError
from tests.bodies import standing, walking

F = 7
MOVING = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
# S9's second camera, straight from the data set: w, x, y, z from camera to world; place in metres; lens.
QUATERNION = np.array([0.618784487247467, -0.7634735107421875, -0.14132238924503326, 0.11933968216180801])
PLACE = np.array([1.990959716796875, -5.123810546875, 1.5688048095703125])
FOCAL, CENTRE = np.array([1149.6756591796875, 1147.5916748046875]), np.array([508.8486328125, 508.0649108886719])
RADIAL = np.array([-0.1942136287689209, 0.2404085397720337, 0.006819975562393665])
TANGENTIAL = np.array([-0.0016190266469493508, -0.0027408944442868233])


def rotate(q, v):
    """v turned by the unit quaternion q, by the textbook's double cross product."""
    return v + 2 * np.cross(q[1:], np.cross(np.broadcast_to(q[1:], v.shape), v) + q[0] * v)


def see(joints_mm):
    """Human3.6M's own projection into that camera, pixels."""
    local = rotate(QUATERNION * [1, -1, -1, -1], joints_mm / 1000 - PLACE)
    xy = local[..., :2] / local[..., 2:]
    r2 = (xy**2).sum(-1, keepdims=True)
    radial = 1 + r2 * (RADIAL[0] + r2 * (RADIAL[1] + r2 * RADIAL[2]))
    return (
        FOCAL * (xy * (radial + (TANGENTIAL * xy[..., ::-1]).sum(-1, keepdims=True)) + TANGENTIAL[::-1] * r2) + CENTRE
    )


def all_32(joints):
    out = np.random.default_rng(5).normal(size=(len(joints), 32, 3)) * 1e4
    out[:, MOVING] = joints
    return out


def everywhere(joint_map, points, count):
    """The opposite of a map: the 17 joints in another set's order, nonsense in the joints it has besides."""
    out = np.full((len(points), count, points.shape[-1]), 7.0)
    for j, k in enumerate(joint_map.source):
        if k >= 0:
            out[:, k] = points[:, j]
    return out


def close(got, wanted, **how):
    assert got is not None
    np.testing.assert_allclose(got, wanted, **how)


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


# Human3.6M, Martinez


def write_cameras(path, subjects=(9,), **changes):
    with h5py.File(path, "w") as table:
        for s in subjects:
            for c, camera in enumerate(h36m.cameras(f"S{s}")):
                group = table.create_group(f"subject{s}/camera{c + 1}")
                values = {
                    "R": camera.R.T, "T": camera.centre[:, None], "f": np.diag(camera.K)[:2, None],
                    "c": camera.K[:2, 2:], "k": camera.dist[[0, 1, 4], None], "p": camera.dist[2:4, None],
                    "Name": np.array([[ord(x)] for x in camera.name], np.uint16),
                } | changes  # fmt: skip
                for name, value in values.items():
                    if value is not None:
                        group[name] = value


@pytest.fixture
def martinez(tmp_path):
    tmp_path = tmp_path / "h36m"
    joints = walking(F)
    for take in ("Directions 1", "SittingDown"):
        folder = tmp_path / "S9" / "MyPoses" / "3D_positions"
        folder.mkdir(parents=True, exist_ok=True)
        with h5py.File(folder / f"{take}.h5", "w") as table:
            table["3D_positions"] = all_32(joints).reshape(F, 96).T
    write_cameras(tmp_path / "cameras.h5")
    hourglass = tmp_path / "S9" / "StackedHourglass"
    hourglass.mkdir()
    for camera in h36m.cameras("S9"):
        for take in ("Directions_1", "SittingDown"):
            with h5py.File(hourglass / f"{take}.{camera.name}.h5", "w") as table:
                table["poses"] = everywhere(joint_sets.HOURGLASS, world_to_image(camera, joints), 16)
    return tmp_path, joints


def test_martinez(martinez):
    folder, joints = martinez
    first, second = data.load(folder)
    assert (first.subject, first.action, first.name) == ("S9", "Directions", "Directions 1")
    assert second.action == "SittingDown"
    close(first.joints, joints, atol=1e-2)
    assert first.xy is None
    assert [c.name for c in first.cameras] == list(h36m.NAMES)
    # The truth is the data set's own projection; its tangential terms differ from OpenCV's by up to 0.3 px.
    close(world_to_image(first.cameras[1], joints), see(joints), atol=0.4)
    close(first.cameras[2].up, [0, 0, 1])


def test_martinez_detections(martinez):
    folder, joints = martinez
    sequence = data.load(folder, "StackedHourglass")[0]
    seen = [j for j in range(17) if j != sk.NECK]
    assert sequence.seen[..., seen].all()
    assert not sequence.seen[..., sk.NECK].any()
    for view, camera in enumerate(sequence.cameras):
        wanted = world_to_image(camera, joints)[:, seen]
        close(sequence.xy[view][:, seen], wanted, atol=0.1)
    (folder / "S9" / "StackedHourglass" / "Directions_1.55011271.h5").unlink()
    assert data.load(folder, "StackedHourglass")[0].seen[1].sum() == 0, "one view is missing, the others are read"


def test_martinez_errors(martinez):
    folder, _ = martinez
    with pytest.raises(EngineError, match="no detections") as error:
        data.load(folder, "NoSuchFolder")
    one_line(error)
    for changes, match in (
        ({"R": None}, "has no 'R'"),
        ({"f": np.ones(3)}, "f has shape"),
        ({"f": -np.ones(2)}, "focal"),
    ):
        write_cameras(folder / "cameras.h5", **changes)
        with pytest.raises(EngineError, match=match) as error:
            data.load(folder)
        one_line(error)
    write_cameras(folder / "cameras.h5", subjects=(1,))
    with pytest.raises(EngineError, match="no cameras for S9"):
        data.load(folder)
    write_cameras(folder / "cameras.h5")
    file = folder / "S9" / "MyPoses" / "3D_positions" / "Directions 1.h5"
    for name, value, match in (
        ("poses", np.ones((96, 3)), "has no '3D_positions'"),
        ("3D_positions", np.ones((3, 96)), "expected"),
    ):
        with h5py.File(file, "w") as table:
            table[name] = value
        with pytest.raises(EngineError, match=match) as error:
            data.load(folder)
        assert "Directions 1.h5" in one_line(error)
    file.write_bytes(b"rubbish")
    with pytest.raises(EngineError, match="no HDF5"):
        data.load(folder)


# Human3.6M, VideoPose3D


def write_videopose(folder, joints, **changes):
    tables = {"positions_3d": {"S9": {"Walking 1": all_32(joints).astype("float32") / 1000}}} | changes
    np.savez_compressed(folder / "data_3d_h36m.npz", **{k: v for k, v in tables.items() if v is not None})
    return folder / "data_3d_h36m.npz"


def write_videopose_2d(folder, joints, joint_map=None, count=17, symmetry=None, extra=3):
    left = symmetry or [4, 5, 6, 11, 12, 13]
    views = []
    for camera in h36m.cameras("S9"):
        xy = world_to_image(camera, joints).astype("float32")
        xy = everywhere(joint_map, xy, count) if joint_map else xy
        views.append(np.concatenate([xy, xy[:extra]]))  # 2D files have a few frames more than the 3D
    path = folder / "data_2d_h36m_x.npz"
    metadata = {"num_joints": count, "keypoints_symmetry": [left, [1, 2, 3]], "layout_name": "x"}
    np.savez_compressed(path, positions_2d={"S9": {"Walking 1": views}}, metadata=metadata)
    return path


def test_videopose3d(tmp_path):
    joints = walking(F)
    path = write_videopose(tmp_path, joints)
    (sequence,) = data.load(path)
    assert (sequence.subject, sequence.action) == ("S9", "Walking")
    close(sequence.joints, joints, atol=0.01)
    close(world_to_image(sequence.cameras[1], joints), see(joints), atol=0.4)
    for joint_map, count, symmetry, unseen in (
        (None, 17, None, set()),
        (joint_sets.HOURGLASS, 16, [3, 4, 5, 13, 14, 15], {sk.NECK}),
        (sk.COCO, 17, [1, 3, 5, 7, 9, 11, 13, 15], {0, 7, 8, 9, 10}),
    ):
        detections = write_videopose_2d(tmp_path, joints, joint_map, count, symmetry)
        (sequence,) = data.load(path, detections)
        assert set(np.flatnonzero(~sequence.seen.any((0, 1)))) == unseen
        wanted = np.stack([world_to_image(c, joints) for c in sequence.cameras])
        close(sequence.xy[sequence.seen], wanted[sequence.seen], atol=0.05)
    (alone,) = data.load(detections)
    assert alone.joints is None
    assert alone.xy.shape == (4, F + 3, 17, 2)


def test_videopose3d_errors(tmp_path):
    joints = walking(F)
    for changes, match in (
        ({"positions_3d": {"S9": {"Walking 1": np.ones((F, 30, 3))}}}, r"\(7, 30, 3\).*expected \(N, 32, 3\)"),
        ({"positions_3d": {"S3": {"Walking 1": np.ones((F, 32, 3))}}}, "subject 'S3'"),
        ({"positions_3d": np.ones(3)}, "no dictionary"),
        ({"positions_3d": {"S9": {"Walking 1": np.full((F, 32, 3), np.nan)}}}, "not finite"),
    ):
        with pytest.raises(EngineError, match=match) as error:
            data.load(write_videopose(tmp_path, joints, **changes))
        one_line(error)
    path = write_videopose(tmp_path, joints)
    with pytest.raises(EngineError, match="4 frames; the 3D has 7"):
        data.load(path, write_videopose_2d(tmp_path, joints[:4], extra=0))
    np.savez(tmp_path / "twelve.npz", positions_2d={}, metadata={"num_joints": 12, "keypoints_symmetry": [[1], [2]]})
    with pytest.raises(EngineError, match="12 joints"):
        data.load(path, tmp_path / "twelve.npz")
    np.savez(tmp_path / "no_metadata.npz", positions_2d={"S9": {}})
    with pytest.raises(EngineError, match="has no 'metadata'"):
        data.load(path, tmp_path / "no_metadata.npz")


# pickles


class Evil:
    def __reduce__(self):
        return print, ("I was run",)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_pickles_that_are_programs_are_refused_and_not_run(tmp_path, capsys, protocol):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"imgname": Evil()}, protocol))
    with pytest.raises(EngineError, match=r"refused.*builtins.*print|refused.*__builtin__.*print") as error:
        data.load(tmp_path / "x.pkl")
    one_line(error)
    np.savez(tmp_path / "x.npz", positions_3d=np.array({"S9": Evil()}, object))
    with pytest.raises(EngineError, match="refused"):
        data.load(tmp_path / "x.npz")
    assert "I was run" not in capsys.readouterr().out


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_harmless_pickles_come_back_as_they_were(tmp_path, protocol):
    from engines.training.unpickle import load_pickle

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


# MMPose


def write_mmpose(folder, joints, name="h36m_test.npz", **changes):
    camera = h36m.cameras("S9")[1]
    local, xy = world_to_camera(camera, joints), world_to_image(camera, joints)
    one, take = np.ones((len(joints), 17, 1)), "S9_WalkingDog_1.55011271"
    table = {
        "imgname": np.array([f"S9/{take}/{take}_{i:06d}.jpg" for i in range(len(joints))]),
        "center": np.ones((len(joints), 2)), "scale": np.ones(len(joints)),
        "part": np.concatenate([xy, one], -1), "S": np.concatenate([local / 1000, one], -1),
    } | changes  # fmt: skip
    table = {k: v for k, v in table.items() if v is not None}
    if name.endswith(".pkl"):
        (folder / name).write_bytes(pickle.dumps(table))
    else:
        np.savez(folder / name, **table)
    cameras = {
        ("S9", "55011271"): {
            "R": camera.R.T, "T": camera.centre[:, None] / 1000,
            "c": camera.K[:2, 2:], "f": np.diag(camera.K)[:2, None],
            "k": camera.dist[[0, 1, 4], None], "p": camera.dist[2:4, None], "w": 1000, "h": 1000, "name": "camera2",
            "id": "55011271",
        }
    }  # fmt: skip
    (folder / "cameras.pkl").write_bytes(pickle.dumps(cameras))
    return folder / name


@pytest.mark.parametrize("name", ["h36m_test.npz", "h36m_test.pkl"])
def test_mmpose_human36m(tmp_path, name):
    joints, camera = walking(F), h36m.cameras("S9")[1]
    (sequence,) = data.load(write_mmpose(tmp_path, joints, name))
    assert (sequence.subject, sequence.action, sequence.name) == ("S9", "WalkDog", "WalkingDog_1 55011271")
    close(sequence.joints, world_to_camera(camera, joints), atol=0.01)
    close(world_to_image(sequence.cameras[0], sequence.joints), sequence.xy[0], atol=0.05)
    close(sequence.cameras[0].up, camera.R[:, 2], atol=1e-6)
    detected = np.random.default_rng(0).random((F, 17, 3))
    np.save(tmp_path / "detection.npy", detected)
    (sequence,) = data.load(tmp_path / name, tmp_path / "detection.npy")
    close(sequence.xy[0], detected[..., :2], atol=1e-6)


def test_mmpose_mpi_inf_3dhp(tmp_path):
    """Its joints come in MPI-INF-3DHP's order, and its cameras are named."""
    joints, camera = walking(F), h36m.laboratory()[0]
    local = everywhere(joint_sets.MPI_17, world_to_camera(camera, joints), 17)
    xy = everywhere(joint_sets.MPI_17, world_to_image(camera, joints), 17)
    one = np.ones((F, 17, 1))
    names = np.array([f"TS5_{i:06d}.jpg" for i in range(F)])
    np.savez(tmp_path / "mpi_inf_3dhp_test_valid.npz", imgname=names, S=np.concatenate([local / 1000, one], -1),
             part=np.concatenate([xy, one], -1))  # fmt: skip
    cameras = {"TS5": {"c": camera.K[:2, 2:], "f": np.diag(camera.K)[:2, None], "w": 1920, "h": 1080}}
    (tmp_path / "cameras_test.pkl").write_bytes(pickle.dumps(cameras))
    (sequence,) = data.load(tmp_path / "mpi_inf_3dhp_test_valid.npz")
    close(sequence.joints, world_to_camera(camera, joints), atol=0.01)
    close(world_to_image(sequence.cameras[0], sequence.joints), sequence.xy[0], atol=0.05)
    assert sequence.cameras[0].up is None


def test_mmpose_errors(tmp_path):
    joints = walking(F)
    for changes, match in (
        ({"part": None}, "has no 'part'"), ({"S": np.ones((F, 17, 3))}, r"expected \(7, 17, 4\)"),
        ({"imgname": np.array(["holiday.jpg"] * F)}, "neither"),
    ):  # fmt: skip
        with pytest.raises(EngineError, match=match) as error:
            data.load(write_mmpose(tmp_path, joints, **changes))
        one_line(error)
    path = write_mmpose(tmp_path, joints)
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps({("S1", "1"): {}}))
    with pytest.raises(EngineError, match="cameras.pkl has no"):
        data.load(path)
    (tmp_path / "cameras.pkl").unlink()
    with pytest.raises(EngineError, match="no cameras.pkl"):
        data.load(path)


# MPI-INF-3DHP


def write_mpi_train(folder, joints, views=2, **changes):
    """z up becomes the data set's y up; its calibration text is one block of seven lines a camera."""
    folder.mkdir(parents=True, exist_ok=True)
    turn = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])
    lines, annot2, annot3 = ["Skeletool Camera Calibration File V1.0"], [], []
    for k, camera in enumerate(h36m.laboratory()[:views]):
        K, E = np.eye(4), np.eye(4)
        K[:3, :3], E[:3, :3], E[:3, 3] = camera.K, camera.R @ turn.T, camera.t
        lines += [f"name          {k}", "  sensor      10 10", "  size        1000 1000", "  animated    0"]
        lines += ["  intrinsic   " + " ".join(map(str, K.ravel())) + " "]
        lines += ["  extrinsic   " + " ".join(map(str, E.ravel())) + " ", "  radial      0"]
        annot2.append(everywhere(joint_sets.MPI_28, world_to_image(camera, joints), 28).reshape(F, 56))
        annot3.append(everywhere(joint_sets.MPI_28, world_to_camera(camera, joints), 28).reshape(F, 84))
    (folder / "camera.calibration").write_text("\n".join(lines) + "\n")
    cells = {"annot2": np.empty((views, 1), object), "annot3": np.empty((views, 1), object)}
    for k in range(views):
        cells["annot2"][k, 0], cells["annot3"][k, 0] = annot2[k], annot3[k]
    table = cells | {"univ_annot3": cells["annot3"], "frames": np.arange(F), "cameras": np.arange(views)} | changes
    savemat(folder / "annot.mat", {k: v for k, v in table.items() if v is not None})
    return joints @ turn.T


def test_mpi_inf_3dhp_training(tmp_path):
    joints = write_mpi_train(tmp_path / "S1" / "Seq2", walking(F))
    (sequence,) = data.load(tmp_path)
    assert (sequence.subject, sequence.name, len(sequence.cameras)) == ("S1", "Seq2", 2)
    close(sequence.joints, joints, atol=0.01)
    for view, camera in enumerate(sequence.cameras):
        close(world_to_image(camera, sequence.joints), sequence.xy[view], atol=0.05)
        assert (sequence.joints @ camera.up)[:, sk.HEAD].min() > (sequence.joints @ camera.up)[:, sk.R_ANKLE].max()


def test_mpi_inf_3dhp_training_errors(tmp_path):
    folder = tmp_path / "S1" / "Seq1"
    write_mpi_train(folder, walking(F), annot3=None)
    with pytest.raises(EngineError, match="has no 'annot3'") as error:
        data.load(folder)
    one_line(error)
    wrong = np.empty((2, 1), object)
    wrong[0, 0] = wrong[1, 0] = np.ones((F, 51))
    write_mpi_train(folder, walking(F), annot3=wrong)
    with pytest.raises(EngineError, match=r"annot3 of camera 0.*expected \(N, 84\)"):
        data.load(folder)
    write_mpi_train(folder, walking(F))
    (folder / "camera.calibration").unlink()
    with pytest.raises(EngineError, match=r"camera.calibration.*beside annot.mat"):
        data.load(folder)
    (folder / "annot.mat").write_bytes(b"rubbish")
    with pytest.raises(EngineError, match="no MATLAB 5 file"):
        data.load(folder)


def write_mpi_test(folder, joints, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    camera = h36m.laboratory()[1]
    local = everywhere(joint_sets.MPI_17, world_to_camera(camera, joints), 17)[:, None]
    xy = everywhere(joint_sets.MPI_17, world_to_image(camera, joints), 17)[:, None]
    root = local[:, :, 14:15]
    valid = np.ones((len(joints), 1))
    valid[2] = 0
    table = {"annot2": xy, "annot3": local, "univ_annot3": root + 0.9 * (local - root), "valid_frame": valid,
             "activity_annotation": np.ones((len(joints), 1))} | changes  # fmt: skip
    with h5py.File(folder / "annot_data.mat", "w", userblock_size=512) as file:
        for name, value in table.items():
            if value is not None:
                file[name] = value
    return camera


def test_mpi_inf_3dhp_test_set(tmp_path):
    joints = walking(F)
    camera = write_mpi_test(tmp_path / "TS5", joints)
    write_mpi_test(tmp_path / "TS1", joints)
    first, fifth = data.load(tmp_path)
    assert (first.scene, fifth.scene) == ("studio, green screen", "outdoor")
    kept = np.delete(joints, 2, 0)
    local = world_to_camera(camera, kept)
    wanted = local[:, :1] + 0.9 * (local - local[:, :1])
    close(fifth.joints, wanted, atol=0.01, err_msg="the body of one height, valid frames only")
    close(fifth.cameras[0].K, camera.K, atol=0.1, err_msg="the lens is fitted")
    close(fifth.xy[0], world_to_image(camera, kept), atol=0.01)


def test_mpi_inf_3dhp_test_set_errors(tmp_path):
    for changes, match in (
        ({"univ_annot3": None}, "has no 'univ_annot3'"), ({"annot2": np.ones((F, 17, 2))}, r"expected \(N, 1, 17, 2\)"),
        ({"valid_frame": np.zeros((F, 1))}, "no valid frame"),
    ):  # fmt: skip
        write_mpi_test(tmp_path / "TS1", walking(F), **changes)
        with pytest.raises(EngineError, match=match) as error:
            data.load(tmp_path / "TS1" / "annot_data.mat")
        one_line(error)


def test_mpi_inf_3dhp_npz(tmp_path):
    joints, camera = walking(F), h36m.laboratory()[0]
    view = {
        "data_2d": everywhere(joint_sets.MPI_17, world_to_image(camera, joints), 17),
        "data_3d": everywhere(joint_sets.MPI_17, world_to_camera(camera, joints), 17),
    }
    np.savez(tmp_path / "data_train_3dhp.npz", data={"S1 Seq1": [{"0": view, "4": view}]})
    np.savez(tmp_path / "data_test_3dhp.npz", data={"TS6": view | {"valid": np.arange(F) > 1}})
    first, second = data.load(tmp_path / "data_train_3dhp.npz")
    assert (first.subject, first.name, second.name) == ("S1", "S1 Seq1 0", "S1 Seq1 4")
    close(first.joints, world_to_camera(camera, joints), atol=0.01)
    (test,) = data.load(tmp_path / "data_test_3dhp.npz")
    assert (len(test), test.scene) == (F - 2, "outdoor")
    np.savez(tmp_path / "bad.npz", data={"TS6": {"data_2d": view["data_2d"]}})
    with pytest.raises(EngineError, match="has no 'data_3d'"):
        data.load(tmp_path / "bad.npz")


# MPII


def test_mpii(tmp_path):
    xy = np.arange(32.0).reshape(16, 2) * 10 + 1
    person = {"image": "a.jpg", "joints": xy.tolist(), "joints_vis": [1] * 15 + [0], "center": [1, 2], "scale": 3.0}
    (tmp_path / "valid.json").write_text(json.dumps([person, person]))
    (sequence,) = data.load(tmp_path / "valid.json")
    assert sequence.joints is None
    assert len(sequence) == 2
    close(sequence.xy[0, 0, sk.R_ANKLE], [0, 10], err_msg="pixels count from 1 in the file")
    close(sequence.xy[0, 0, sk.HEAD], xy[9] - 1)
    assert not sequence.seen[0, :, sk.L_WRIST].any()
    for change, match in (
        ({"joints": xy[:14].tolist()}, r"expected \(16, 2\)"),
        ({"joints_vis": [1]}, r"expected \(16\)"),
    ):
        (tmp_path / "valid.json").write_text(json.dumps([person | change]))
        with pytest.raises(EngineError, match=match):
            data.load(tmp_path / "valid.json")
    (tmp_path / "valid.json").write_text(json.dumps([{"image": "a.jpg"}]))
    with pytest.raises(EngineError, match=r"person 0 in .* has no 'joints'"):
        data.load(tmp_path / "valid.json")


# motion capture, and all of them


def test_mocap(tmp_path):
    joints = standing(6).astype("float32")
    np.savez(
        tmp_path / "a.npz",
        joints=joints,
        subject=[1, 1, 0, 0, 0, 1],
        subject_names=["b", "a"],
        action=["x"] * 3 + ["y"] * 3,
    )
    found = data.load(tmp_path / "a.npz")
    assert [(s.subject, s.action, len(s)) for s in found] == [
        ("a", "x", 2),
        ("b", "x", 1),
        ("b", "y", 2),
        ("a", "y", 1),
    ]
    np.testing.assert_array_equal(np.concatenate([np.asarray(s.joints) for s in found]), joints)
    np.savez(tmp_path / "a.npz", joints=joints, subject=[1, 1, 0, 0, 0, 2], subject_names=["b", "a"])
    with pytest.raises(EngineError, match="counts from 0 to 2; subject_names has 2"):
        data.load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", joints=joints, seq=[1, 1])
    with pytest.raises(EngineError, match=r"'seq'.*expected \(6,\)"):
        data.load(tmp_path / "a.npz")


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
        assert sum(form.sniff(path) for form in data.formats().values()) == 1, path
