"""Motion capture poses to train and test the lifter on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from engines.types import EngineError

TRAIN_FILES = (
    "cmu17_bvh.npz", "cmu17_txt.npz", "cmu17_daz_rerig.npz", "hdm05_17.npz", "cmu_all17.npz", "extra_rerig17.npz",
)  # fmt: skip
TEST_SUBJECTS = ("CMU_08", "CMU_09", "HDM05_mm", "HDM05_tr")
"""Never trained on. Which average of lifters is shipped was chosen with an eye on them, see docs/results.md."""
VALIDATION_SUBJECTS = ("CMU_07", "HDM05_dg")
"""For every choice and for fitting temperatures."""
PROXY_SUBJECTS = ("CMU_10", "CMU_12", "CMU_29", "CMU_32")
"""Four people with skeletons of their own, never trained on, to report how strangers fare; as to choices, the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """3D poses with the person and the sequence they come from."""

    joints: NDArray[np.float32]
    """(N, 17, 3) mm, z up, right-handed, any origin, Human3.6M-17 order."""
    subject: NDArray[np.str_]
    """(N,) name of the person."""
    sequence: NDArray[np.str_]
    """(N,) name of the sequence."""
    file: NDArray[np.str_]
    """(N,) name of the file: one way to capture, and so one definition of the joints."""
    action: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, str))
    """(N,) what the person does; "all" where it is not said."""

    def __post_init__(self) -> None:
        """Fill in what is not said."""
        if len(self.action) != len(self.joints):
            object.__setattr__(self, "action", np.full(len(self.joints), "all"))

    def __len__(self) -> int:
        """How many poses."""
        return len(self.joints)

    def select(self, keep: NDArray) -> "Poses":
        """The poses where keep (N,) is true, or at these indices."""
        return Poses(*(getattr(self, f.name)[keep] for f in fields(Poses)))


def concatenate(parts: Sequence[Poses]) -> Poses:
    """All poses, one after another."""
    return Poses(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Poses)))


def load_poses(path: Path) -> Poses:
    """Read one .npz of poses.

    Args:
        path: file with ``joints`` (N, 17, 3) mm, z up; ``subject`` with ``subject_names``, ``seq`` with
            ``seq_names`` and ``action`` with ``action_names`` are used when there.

    Raises:
        EngineError: if the file is missing, is no npz, or ``joints`` is missing, misshapen or not finite.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            arrays = {key: data[key] for key in data.files}
    except (OSError, ValueError, EOFError, TypeError, AttributeError, BadZipFile) as error:
        raise EngineError(f"cannot read {path}: {error}; it must be an .npz file without pickles") from error
    if "joints" not in arrays:
        raise EngineError(f"{path} has no array 'joints'; it has {', '.join(sorted(arrays)) or 'none'}")
    joints = arrays["joints"].astype(np.float32)
    if joints.ndim != 3 or joints.shape[1:] != (17, 3) or not len(joints):
        raise EngineError(f"'joints' in {path} has shape {joints.shape}; expected (N, 17, 3) in mm, z up")
    if not np.isfinite(joints).all():
        raise EngineError(f"'joints' in {path} holds values that are not finite; remove those poses")
    subject, sequence, action = (_names(arrays, key, len(joints), path) for key in ("subject", "seq", "action"))
    return Poses(joints, subject, sequence, np.full(len(joints), path.stem), action)


def _names(arrays: dict[str, NDArray], key: str, n: int, path: Path) -> NDArray[np.str_]:
    """Labels as text, whether they are stored as text, as numbers, or as numbers with a table of names."""
    if key not in arrays:
        return np.full(n, "all")
    label = arrays[key]
    if label.shape != (n,):
        raise EngineError(f"{key!r} in {path} has shape {label.shape}; expected ({n},), one a pose")
    table = arrays.get(f"{key}_names")
    if table is None or label.dtype.kind not in "iu":
        return label.astype(str)
    if label.size and not 0 <= label.min() <= label.max() < len(table):
        raise EngineError(f"{key!r} in {path} counts from {label.min()} to {label.max()}; {key}_names has {len(table)}")
    return table[label].astype(str)


def load_training(folder: Path) -> tuple[Poses, Poses, Poses]:
    """Read the motion capture folder and split it by person into (training, validation, test).

    Raises:
        EngineError: if a file is missing or misshapen.
    """
    if not folder.is_dir():
        raise EngineError(f"{folder} is not the folder of {', '.join(TRAIN_FILES)}; one file of poses is for --mocap")
    poses = concatenate([load_poses(folder / name) for name in TRAIN_FILES])
    test, validation = np.isin(poses.subject, TEST_SUBJECTS), np.isin(poses.subject, VALIDATION_SUBJECTS)
    kept = ~test & ~validation & ~np.isin(poses.subject, PROXY_SUBJECTS) & ~_repeated(poses)
    return poses.select(kept), poses.select(validation), poses.select(test)


def load_proxy(folder: Path) -> Poses:
    """The people of ``PROXY_SUBJECTS`` with their own bodies.

    Raises:
        EngineError: if the file is missing or misshapen.
    """
    poses = load_poses(folder / PROXY_FILE)
    return poses.select(np.isin(poses.subject, PROXY_SUBJECTS))


def _repeated(poses: Poses) -> NDArray[np.bool_]:
    """(N,) whether the take is one of ``REPEATS``."""
    lines = [line.split() for line in REPEATS.read_text().splitlines() if line and not line.startswith("#")]
    left_out = [f"{file} {take}" for file, take in lines]
    return np.isin(np.char.add(np.char.add(poses.file, " "), poses.sequence), left_out)


PROXY_FILE = "cmu_all17.npz"
REPEATS = Path(__file__).with_name("cmu_repeats.txt")
"""Takes that stand in another file with the person's own body, or are those of a person of ``PROXY_SUBJECTS``."""
ONE_BODY = ("cmu17_txt", "cmu17_daz_rerig", "extra_rerig17")
"""Files in which everybody has the same skeleton, or nearly."""
ONE_BODY_COUNTS = 0.25
"""Bodies that such a file counts for: its joints are not the people's own."""
SAME_JOINTS = {"cmu_all17": "cmu17_bvh"}
"""Files that count as one with another: their joints are defined alike."""


def balance(poses: Poses) -> NDArray[np.float64]:
    """Sampling probability (N,) of each pose.

    A way to define the joints is drawn in proportion to the root of the number of its bodies, and in it a person in
    proportion to the root of the number of poses: one person climbing on a playground is 44 % of one file, and by poses
    alone the network would learn mostly him, and how one file defines a thorax.
    """
    weight = np.zeros(len(poses))
    one = poses.file.astype(object)
    for file, other in SAME_JOINTS.items():
        one[poses.file == file] = other
    for file in np.unique(one.astype(str)):
        inside = one == file
        _, index, count = np.unique(poses.subject[inside], return_inverse=True, return_counts=True)
        share = count[index] ** -0.5
        bodies = ONE_BODY_COUNTS if file in ONE_BODY else len(count)
        weight[inside] = share / share.sum() * bodies**0.5
    return weight / weight.sum()
