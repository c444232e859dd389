"""Small files of recorded people in their true layouts, for the tests of what reads them."""

import pickle

import h5py
import numpy as np
from scipy.io import savemat

from calibration.geometry.camera import world_to_camera, world_to_image
from engines.training.data import h36m, joint_sets
from tests.bodies import walking

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


def write_martinez(tmp_path):
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
