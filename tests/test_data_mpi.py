"""MMPose's files, MPI-INF-3DHP and MPII, on small files of the true layout."""

import json
import pickle

import numpy as np
import pytest

from calibration.geometry.camera import world_to_camera, world_to_image
from engines import skeleton as sk
from engines.training.data import formats, h36m, joint_sets
from engines.types import EngineError
from tests.bodies import walking
from tests.datasets import F, close, everywhere, one_line, write_mmpose, write_mpi_test, write_mpi_train


@pytest.mark.parametrize("name", ["h36m_test.npz", "h36m_test.pkl"])
def test_mmpose_human36m(tmp_path, name):
    joints, camera = walking(F), h36m.cameras("S9")[1]
    (sequence,) = formats.load(write_mmpose(tmp_path, joints, name))
    assert (sequence.subject, sequence.action, sequence.name) == ("S9", "WalkDog", "WalkingDog_1 55011271")
    close(sequence.joints, world_to_camera(camera, joints), atol=0.01)
    close(world_to_image(sequence.cameras[0], sequence.joints), sequence.xy[0], atol=0.05)
    close(sequence.cameras[0].up, camera.R[:, 2], atol=1e-6)
    detected = np.random.default_rng(0).random((F, 17, 3))
    np.save(tmp_path / "detection.npy", detected)
    (sequence,) = formats.load(tmp_path / name, tmp_path / "detection.npy")
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
    (sequence,) = formats.load(tmp_path / "mpi_inf_3dhp_test_valid.npz")
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
            formats.load(write_mmpose(tmp_path, joints, **changes))
        one_line(error)
    path = write_mmpose(tmp_path, joints)
    (tmp_path / "cameras.pkl").write_bytes(pickle.dumps({("S1", "1"): {}}))
    with pytest.raises(EngineError, match="cameras.pkl has no"):
        formats.load(path)
    (tmp_path / "cameras.pkl").unlink()
    with pytest.raises(EngineError, match="no cameras.pkl"):
        formats.load(path)


def test_mpi_inf_3dhp_training(tmp_path):
    joints = write_mpi_train(tmp_path / "S1" / "Seq2", walking(F))
    (sequence,) = formats.load(tmp_path)
    assert (sequence.subject, sequence.name, len(sequence.cameras)) == ("S1", "Seq2", 2)
    close(sequence.joints, joints, atol=0.01)
    for view, camera in enumerate(sequence.cameras):
        close(world_to_image(camera, sequence.joints), sequence.xy[view], atol=0.05)
        assert (sequence.joints @ camera.up)[:, sk.HEAD].min() > (sequence.joints @ camera.up)[:, sk.R_ANKLE].max()


def test_mpi_inf_3dhp_training_errors(tmp_path):
    folder = tmp_path / "S1" / "Seq1"
    write_mpi_train(folder, walking(F), annot3=None)
    with pytest.raises(EngineError, match="has no 'annot3'") as error:
        formats.load(folder)
    one_line(error)
    wrong = np.empty((2, 1), object)
    wrong[0, 0] = wrong[1, 0] = np.ones((F, 51))
    write_mpi_train(folder, walking(F), annot3=wrong)
    with pytest.raises(EngineError, match=r"annot3 of camera 0.*expected \(N, 84\)"):
        formats.load(folder)
    write_mpi_train(folder, walking(F))
    (folder / "camera.calibration").unlink()
    with pytest.raises(EngineError, match=r"camera.calibration.*beside annot.mat"):
        formats.load(folder)
    (folder / "annot.mat").write_bytes(b"rubbish")
    with pytest.raises(EngineError, match="no MATLAB 5 file"):
        formats.load(folder)


def test_mpi_inf_3dhp_test_set(tmp_path):
    joints = walking(F)
    camera = write_mpi_test(tmp_path / "TS5", joints)
    write_mpi_test(tmp_path / "TS1", joints)
    first, fifth = formats.load(tmp_path)
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
            formats.load(tmp_path / "TS1" / "annot_data.mat")
        one_line(error)


def test_mpi_inf_3dhp_npz(tmp_path):
    joints, camera = walking(F), h36m.laboratory()[0]
    view = {
        "data_2d": everywhere(joint_sets.MPI_17, world_to_image(camera, joints), 17),
        "data_3d": everywhere(joint_sets.MPI_17, world_to_camera(camera, joints), 17),
    }
    np.savez(tmp_path / "data_train_3dhp.npz", data={"S1 Seq1": [{"0": view, "4": view}]})
    np.savez(tmp_path / "data_test_3dhp.npz", data={"TS6": view | {"valid": np.arange(F) > 1}})
    first, second = formats.load(tmp_path / "data_train_3dhp.npz")
    assert (first.subject, first.name, second.name) == ("S1", "S1 Seq1 0", "S1 Seq1 4")
    close(first.joints, world_to_camera(camera, joints), atol=0.01)
    (test,) = formats.load(tmp_path / "data_test_3dhp.npz")
    assert (len(test), test.scene) == (F - 2, "outdoor")
    np.savez(tmp_path / "bad.npz", data={"TS6": {"data_2d": view["data_2d"]}})
    with pytest.raises(EngineError, match="has no 'data_3d'"):
        formats.load(tmp_path / "bad.npz")


def test_mpii(tmp_path):
    xy = np.arange(32.0).reshape(16, 2) * 10 + 1
    person = {"image": "a.jpg", "joints": xy.tolist(), "joints_vis": [1] * 15 + [0], "center": [1, 2], "scale": 3.0}
    (tmp_path / "valid.json").write_text(json.dumps([person, person]))
    (sequence,) = formats.load(tmp_path / "valid.json")
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
            formats.load(tmp_path / "valid.json")
    (tmp_path / "valid.json").write_text(json.dumps([{"image": "a.jpg"}]))
    with pytest.raises(EngineError, match=r"person 0 in .* has no 'joints'"):
        formats.load(tmp_path / "valid.json")
