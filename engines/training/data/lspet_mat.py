"""Labels of Leeds Sports Pose Extended as published (``joints.mat``) to the npz that trainings read."""

from importlib import resources
from pathlib import Path

import numpy as np

from calibration import writing
from calibration.arrays import Array
from engines.training.data.lspet import N_LABELS
from engines.types import EngineError


def left_out() -> set[int]:
    """Numbers of the 1,000 photographs of 10,000 that no training and no figure here uses."""
    return set(
        map(int, resources.files("engines.training.data").joinpath("lspet_left_out.txt").read_text("utf-8").split())
    )


def convert(source: Path, out: Path) -> int:
    """Write the npz; an existing one is replaced.

    Args:
        source: ``joints.mat``: ``joints`` (14, 3, N) or (3, 14, N): x, y in pixels, visible; photograph n is
            ``imNNNNN.jpg``, counted from 1.
        out: the file to write: ``joints`` (M, 14, 3) float32 and ``image_id`` (M,).

    Returns:
        M, the people that are kept: those of which two joints or more are visible, without those that are left out.

    Raises:
        EngineError: if the file cannot be read, or is not of this layout.
        WriteError: if the npz cannot be written.
    """
    joints = _read(source)
    number = np.arange(1, len(joints) + 1, dtype=np.int32)
    keep = ~np.isin(number, list(left_out())) & ((joints[..., 2] > 0).sum(1) >= 2)
    if not keep.any():
        raise EngineError(f"{source} has nobody of whom two joints are visible")
    with writing.aside(out) as part, part.open("wb") as file:
        np.savez_compressed(file, joints=joints[keep].astype(np.float32), image_id=number[keep])
    return int(keep.sum())


def _read(source: Path) -> Array:
    """(N, 14, 3)."""
    # Its MATLAB reader, which only this conversion needs.
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        joints = loadmat(source, variable_names=["joints"]).get("joints")
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise EngineError(f"{source} cannot be read as a MATLAB file ({error})") from error
    shape = None if joints is None else joints.shape
    if (
        joints is None
        or joints.ndim != 3
        or sorted(joints.shape[:2]) != [3, N_LABELS]
        or joints.dtype.kind not in "fiu"
    ):
        raise EngineError(f"'joints' of {source} is {shape}; joints.mat of the data set has numbers (14, 3, N)")
    joints = joints if joints.shape[0] == N_LABELS else joints.transpose(1, 0, 2)
    return joints.transpose(2, 0, 1).astype(np.float64)
