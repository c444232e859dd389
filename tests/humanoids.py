"""A person whose every bone and rotation is known, walking, and takes of them."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from engines import skeleton as sk
from engines.articulation import forward
from engines.types import Pose
from stream.recordings.run_info import CameraInfo, RunInfo
from stream.types import Estimate, Person
from tests.takes import record
from tests.walker import KERNELS, frame_of, looking_at, ring, view_of

LENGTHS = np.array([0, 120, 420, 410, 120, 420, 410, 220, 230, 130, 130, 180, 290, 260, 180, 290, 260.0])
"""(17,) mm."""
SPEED = 1200.0
"""mm/s."""


def about(axis: str, degrees: np.ndarray) -> np.ndarray:
    return Rotation.from_euler(axis, np.atleast_1d(degrees)[:, None], degrees=True).as_quat()


def walk(time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root (F, 3) mm, y up, and local rotations (F, 17, 4): walking along z, to which it faces, a step in 0.55 s."""
    local = np.tile([0, 0, 0, 1.0], (len(time), 17, 1))
    phase = 2 * np.pi * time / 1.1
    local[:, 0] = about("y", 5 * np.sin(phase))
    for side, knee, ankle, elbow, wrist in (
        (1, sk.R_KNEE, sk.R_ANKLE, sk.R_ELBOW, sk.R_WRIST), (-1, sk.L_KNEE, sk.L_ANKLE, sk.L_ELBOW, sk.L_WRIST)
    ):  # fmt: skip
        swing = side * np.sin(phase)
        local[:, knee] = about("x", -25 * swing)
        local[:, ankle] = about("x", 45 + 20 * np.cos(phase + (side < 0) * np.pi))
        hang = Rotation.from_euler("z", side * 75, degrees=True)
        local[:, elbow] = (Rotation.from_quat(about("x", 20 * swing)) * hang).as_quat()
        local[:, wrist] = about("y", side * (50 + 10 * swing))
    root = np.stack([0 * time, 870 + 0 * time, SPEED * time], -1)
    return root, local


def joints_of(time: np.ndarray) -> np.ndarray:
    """(F, 17, 3) mm of ``walk`` in a world with z up."""
    return forward(*walk(time), LENGTHS)[..., [2, 0, 1]]


def take_of(
    folder: Path, time: np.ndarray, people: tuple[int, ...] = (0,), cameras: int = 2, *, gone: tuple[int, ...] = ()
) -> Path:
    """A take of the walker: fused from calibrated cameras, or one camera that nobody calibrated.

    Args:
        folder: to put it in.
        time: (F,) s of the moments.
        people: their ids; each walks beside the one before.
        cameras: how many.
        gone: moments in which nobody is there.
    """
    size = (640, 480)
    if cameras > 1:
        calibrated = ring(cameras, size)
        headers = tuple(CameraInfo(c.name, "a.mp4", "file", size, c) for c in calibrated)
    else:
        calibrated = [looking_at("cam0", np.array([0, -5000.0, 1000]), np.array([0, 0, 900.0]), size, None)]
        headers = (CameraInfo("cam0", "a.mp4", "file", size, None, 55.0),)
    estimates = []
    for index, (t, joints) in enumerate(zip(time, joints_of(time), strict=True)):
        everybody = []
        for number, person_id in enumerate(people if index not in gone else ()):
            world = (joints + [0, 900 * number, 0]).astype(np.float32)
            cov = np.repeat(np.diag([400.0, 400, 400])[None], 17, 0)
            pose = Pose(world, cov, tuple(c.name for c in calibrated), "map") if cameras > 1 else None
            views = tuple(view_of(c, world) for c in calibrated)
            everybody.append(Person(person_id=person_id, views=views, pose=pose))
        frames = tuple(frame_of(c.name, size, index, float(t)) for c in calibrated)
        estimates.append(Estimate(index=index, t=float(t), frames=frames, people=tuple(everybody)))
    return record(folder, estimates, RunInfo(headers, KERNELS, datetime.now(UTC), 0.0, fps=60.0))
