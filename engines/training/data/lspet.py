"""Photographs of people with 14 labelled joints, in the layout of Leeds Sports Pose Extended.

Johnson and Everingham, "Learning Effective Human Pose Estimation from Inaccurate Annotation", CVPR 2011. A tar or a
folder of ``imNNNNN.jpg``, and an npz with ``joints`` (N, 14, 3) and ``image_id`` (N,), the NNNNN of each row.
"""

import hashlib
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.arrays import Array, Image
from engines import preprocess
from engines.preprocess import Box
from engines.skeleton import LSP
from engines.types import EngineError

NECK, HEAD_TOP = 12, 13
"""The joints of LSP that are not of a limb."""
N_LABELS: Final = 14
PAD: Final = 1.3
"""Side of the evaluation's true box over the long side of the visible joints' tight box."""
_NAME: Final = re.compile(r"im0*(\d+)\.(jpg|jpeg|png)", re.IGNORECASE)
_COMPRESSED: Final = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"))


def validation(index: int) -> bool:
    """Whether a row of the joints is never trained on: 1,000 of the 9,000 of Leeds Sports Pose Extended."""
    return index % 9 == 4


def box(joints: Array) -> Box:
    """The true box of a person: the tight box of the visible joints, made square, padded by PAD.

    Args:
        joints: (14, 3) x, y in pixels, and visible.

    Raises:
        EngineError: if fewer than two joints are visible.
    """
    xy = joints[joints[:, 2] > 0, :2]
    if len(xy) < 2:
        raise EngineError(f"a person with {len(xy)} visible joints has no box; leave that row out of the joints file")
    low, high = xy.min(0), xy.max(0)
    return preprocess.square((low + high) / 2, PAD * float((high - low).max()))


class Photographs:
    """Photographs and their labels. ``read`` may be called from several threads.

    Args:
        images: a tar (not compressed, read in place: an index is built once) or a folder.
        joints: the npz.

    Raises:
        EngineError: if one is missing, damaged, or not of this layout.
    """

    def __init__(self, images: Path, joints: Path) -> None:
        self._images = Path(images)
        self.joints, self.image_id = _read_joints(Path(joints))
        """(N, 14, 3) float32: x, y in pixels, visible (> 0); in the order of engines.skeleton.LSP. And (N,) int."""
        self._where = _folder(self._images) if self._images.is_dir() else _tar(self._images)

    def __len__(self) -> int:
        return len(self.joints)

    def digest(self) -> str:
        """16 hexadecimal digits that other labels, or labels of other photographs, do not have."""
        return hashlib.sha256(self.joints.tobytes() + self.image_id.tobytes()).hexdigest()[:16]

    def read(self, index: int) -> Image:
        """The photograph of a row of ``joints``: (H, W, 3) uint8 BGR.

        Raises:
            EngineError: if it is missing or cannot be decoded.
        """
        number = int(self.image_id[index])
        if number not in self._where:
            raise EngineError(f"{self._images} has no im{number:05d}.jpg, which the joints file names")
        path, offset, size = self._where[number]
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise EngineError(f"{path} cannot be read ({error.strerror})") from error
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if image is None:
            raise EngineError(f"im{number:05d}.jpg of {self._images} is damaged; copy it again or leave its row out")
        return np.asarray(image, np.uint8)


def _read_joints(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            table = {key: file[key] for key in ("joints", "image_id") if key in file.files}
    except OSError as error:
        raise EngineError(f"joints file {path} cannot be read ({error.strerror or error})") from error
    except (ValueError, zipfile.BadZipFile, EOFError, TypeError, AttributeError) as error:
        raise EngineError(f"joints file {path} is not an npz with joints and image_id, or is damaged") from error
    for key in ("joints", "image_id"):
        if key not in table:
            raise EngineError(f"joints file {path} lacks {key!r}; it needs joints (N, 14, 3) and image_id (N,)")
    joints, number = table["joints"], table["image_id"]
    if joints.ndim != 3 or joints.shape[1:] != (N_LABELS, 3) or not len(joints) or joints.dtype.kind not in "fiu":
        raise EngineError(
            f"joints of {path} are {joints.dtype} {joints.shape}; they must be numbers (N, 14, 3): x, y, visible"
        )
    if number.shape != joints.shape[:1] or number.dtype.kind not in "iu":
        raise EngineError(f"image_id of {path} is {number.dtype} {number.shape}; it must be {len(joints)} integers")
    lost = (joints[..., 2] > 0) & ~np.isfinite(joints).all(-1) | ~np.isfinite(joints[..., 2])
    if lost.any():
        raise EngineError(f"joints of {path}: row {int(lost.any(1).argmax())} has a visible joint that is not a number")
    return joints.astype(np.float32), number.astype(np.int64)


def _folder(path: Path) -> Mapping[int, tuple[Path, int, int]]:
    """Where each numbered image lies: file, first byte, bytes."""
    found = {int(m[1]): (p, 0, p.stat().st_size) for p in path.iterdir() if (m := _NAME.fullmatch(p.name))}
    if not found:
        raise EngineError(f"folder {path} has no photographs named imNNNNN.jpg")
    return found


def _tar(path: Path) -> Mapping[int, tuple[Path, int, int]]:
    """The same inside a tar."""
    try:
        with path.open("rb") as file:
            start = file.read(6)
        packed = next((name for magic, name in _COMPRESSED if start.startswith(magic)), None)
        if packed:
            raise EngineError(f"{path} is compressed with {packed}; unpack it and give the folder, or a plain tar")
        with tarfile.open(path, "r:") as archive:
            names = [(_NAME.fullmatch(Path(m.name).name), m) for m in archive.getmembers() if m.isreg()]
    except OSError as error:
        raise EngineError(f"photographs {path} cannot be read ({error.strerror or error})") from error
    except tarfile.TarError as error:
        raise EngineError(f"photographs {path} are not a tar or a folder ({error})") from error
    found = {int(match[1]): (path, m.offset_data, m.size) for match, m in names if match}
    if not found:
        raise EngineError(f"tar {path} has no photographs named imNNNNN.jpg")
    return found


def to_h36m(joints: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Labels (..., 14, 3) as xy (..., 17, 2) px and seen (..., 17) of the 17 joints; none is derived."""
    source = np.array(LSP.source)
    seen = np.where(source >= 0, joints[..., source, 2] > 0, False)
    return np.where(seen[..., None], joints[..., source, :2], 0), seen


def words(joints: Path, key: str, count: int) -> NDArray[np.str_]:
    """An array of words (N,) of a joints file, such as where each person is from; empty ones where it has none.

    Raises:
        EngineError: if it is something else.
    """
    with np.load(joints, allow_pickle=False) as file:
        words = np.asarray(file[key]) if key in file.files else np.full(count, "")
    if words.shape != (count,) or words.dtype.kind != "U":
        raise EngineError(f"{key} of {joints} must be {count} words, one a person")
    return words
