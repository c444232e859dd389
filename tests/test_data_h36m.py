"""Human3.6M as Martinez and as VideoPose3D keep it, on small files of the true layout."""

import h5py
import numpy as np
import pytest

from calibration.geometry.camera import world_to_image
from engines import skeleton as sk
from engines.training.data import formats, h36m, joint_sets
from engines.types import EngineError
from tests.bodies import walking
from tests.datasets import F, close, one_line, see, write_cameras, write_martinez, write_videopose, write_videopose_2d


@pytest.fixture
def martinez(tmp_path):
    return write_martinez(tmp_path / "h36m")


def test_martinez(martinez):
    folder, joints = martinez
    first, second = formats.load(folder)
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
    sequence = formats.load(folder, "StackedHourglass")[0]
    seen = [j for j in range(17) if j != sk.NECK]
    assert sequence.seen[..., seen].all()
    assert not sequence.seen[..., sk.NECK].any()
    for view, camera in enumerate(sequence.cameras):
        wanted = world_to_image(camera, joints)[:, seen]
        close(sequence.xy[view][:, seen], wanted, atol=0.1)
    (folder / "S9" / "StackedHourglass" / "Directions_1.55011271.h5").unlink()
    assert formats.load(folder, "StackedHourglass")[0].seen[1].sum() == 0, "one view is missing, the others are read"


def test_martinez_errors(martinez):
    folder, _ = martinez
    with pytest.raises(EngineError, match="no detections") as error:
        formats.load(folder, "NoSuchFolder")
    one_line(error)
    for changes, match in (
        ({"R": None}, "has no 'R'"),
        ({"f": np.ones(3)}, "f has shape"),
        ({"f": -np.ones(2)}, "focal"),
    ):
        write_cameras(folder / "cameras.h5", **changes)
        with pytest.raises(EngineError, match=match) as error:
            formats.load(folder)
        one_line(error)
    write_cameras(folder / "cameras.h5", subjects=(1,))
    with pytest.raises(EngineError, match="no cameras for S9"):
        formats.load(folder)
    write_cameras(folder / "cameras.h5")
    file = folder / "S9" / "MyPoses" / "3D_positions" / "Directions 1.h5"
    for name, value, match in (
        ("poses", np.ones((96, 3)), "has no '3D_positions'"),
        ("3D_positions", np.ones((3, 96)), "expected"),
    ):
        with h5py.File(file, "w") as table:
            table[name] = value
        with pytest.raises(EngineError, match=match) as error:
            formats.load(folder)
        assert "Directions 1.h5" in one_line(error)
    file.write_bytes(b"rubbish")
    with pytest.raises(EngineError, match="no HDF5"):
        formats.load(folder)


def test_videopose3d(tmp_path):
    joints = walking(F)
    path = write_videopose(tmp_path, joints)
    (sequence,) = formats.load(path)
    assert (sequence.subject, sequence.action) == ("S9", "Walking")
    close(sequence.joints, joints, atol=0.01)
    close(world_to_image(sequence.cameras[1], joints), see(joints), atol=0.4)
    for joint_map, count, symmetry, unseen in (
        (None, 17, None, set()),
        (joint_sets.HOURGLASS, 16, [3, 4, 5, 13, 14, 15], {sk.NECK}),
        (sk.COCO, 17, [1, 3, 5, 7, 9, 11, 13, 15], {0, 7, 8, 9, 10}),
    ):
        detections = write_videopose_2d(tmp_path, joints, joint_map, count, symmetry)
        (sequence,) = formats.load(path, detections)
        assert set(np.flatnonzero(~sequence.seen.any((0, 1)))) == unseen
        wanted = np.stack([world_to_image(c, joints) for c in sequence.cameras])
        close(sequence.xy[sequence.seen], wanted[sequence.seen], atol=0.05)
    (alone,) = formats.load(detections)
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
            formats.load(write_videopose(tmp_path, joints, **changes))
        one_line(error)
    path = write_videopose(tmp_path, joints)
    with pytest.raises(EngineError, match="4 frames; the 3D has 7"):
        formats.load(path, write_videopose_2d(tmp_path, joints[:4], extra=0))
    np.savez(tmp_path / "twelve.npz", positions_2d={}, metadata={"num_joints": 12, "keypoints_symmetry": [[1], [2]]})
    with pytest.raises(EngineError, match="12 joints"):
        formats.load(path, tmp_path / "twelve.npz")
    np.savez(tmp_path / "no_metadata.npz", positions_2d={"S9": {}})
    with pytest.raises(EngineError, match="has no 'metadata'"):
        formats.load(path, tmp_path / "no_metadata.npz")
