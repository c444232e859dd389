"""Calibrations of other programs that are not read here: recognised, named, and how to bring them here."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from calibration.formats._fields import peek

_AS_OPENCV = (
    "write it with cv2.FileStorage, one .yml a camera in a folder (camera_matrix, distortion_coefficients, "
    "image_width, image_height, R and T from the world to the camera), or as Pose2Sim TOML, and give that"
)
_POSE2SIM = "Pose2Sim converts it to a TOML that is read here: calibration_type = 'convert', convert_from = "
_ANEW = "or place the cameras anew with python -m calibration"
_PICKLE = "refused, since loading one runs whatever code is in it"
_ARCHIVE = (b"PK\x03\x04", b"PK\x05\x06")


def _suffix(*names: str) -> Callable[[Path, bytes, str], bool]:
    return lambda path, _, __: path.suffix.lower() in names


def _words(*patterns: str) -> Callable[[Path, bytes, str], bool]:
    return lambda _, __, words: all(re.search(pattern, words, re.IGNORECASE) for pattern in patterns)


def _begins(*heads: bytes) -> Callable[[Path, bytes, str], bool]:
    return lambda _, data, __: data.startswith(heads)


def _pickled(_: Path, data: bytes, __: str) -> bool:
    """Protocols 2 to 5 begin with their number; the older ones have no mark but how they end."""
    return len(data) > 2 and data[0] == 0x80 and 2 <= data[1] <= 5


def of_gyroflow(words: str) -> bool:
    """Whether it is a lens profile of Gyroflow, which holds OpenCV's words further in."""
    return '"fisheye_params"' in words


def _dlt(_: Path, __: bytes, words: str) -> bool:
    """Eleven lines of numbers, a camera a column: coefficients of the direct linear transformation."""
    lines = words.strip().splitlines()
    return len(lines) == 11 and all(re.fullmatch(r"[-+.\deE,;\s]+", line) for line in lines)


_KINDS: Final[tuple[tuple[Callable[[Path, bytes, str], bool], str, str], ...]] = (
    (_suffix(".pkl", ".pickle", ".p"), "pickle files are " + _PICKLE,
     f"convert it with the program that wrote it to TOML or yml (of OpenCap: {_POSE2SIM}'opencap')"),
    (_pickled, "it is a Python pickle, " + _PICKLE,
     f"convert it with the program that wrote it to TOML or yml (of OpenCap: {_POSE2SIM}'opencap')"),
    (_suffix(".npz"), "a NumPy archive, in which every program calls things otherwise, is not read", _AS_OPENCV),
    (_suffix(".npy"), "a NumPy array, which says nothing of what it is, is not read", _AS_OPENCV),
    (_begins(b"\x93NUMPY"), "it is a NumPy array, which is not read", _AS_OPENCV),
    (_begins(b"MATLAB 5.0", b"\x89HDF"), "it is a MATLAB or HDF5 file, which is not read",
     _AS_OPENCV + "; MATLAB counts pixels from 1, OpenCV from 0, and its IntrinsicMatrix is transposed"),
    (_suffix(".mat"), "a MATLAB file is not read",
     _AS_OPENCV + "; MATLAB counts pixels from 1, OpenCV from 0, and its IntrinsicMatrix is transposed"),
    (_suffix(".xcp"), "a Vicon calibration (.xcp) is not read", f"{_POSE2SIM}'vicon'; {_ANEW}"),
    (_words(r"<Cameras?[\s>]", r"DEVICEID=", r"<KeyFrame"), "it is a Vicon calibration (.xcp), which is not read",
     f"{_POSE2SIM}'vicon'; {_ANEW}"),
    (_suffix(".mcal", ".cal", ".tak", ".motive"), "a calibration of OptiTrack's Motive is not read",
     f"write what its API tells of each video camera as Pose2Sim TOML, {_ANEW}"),
    (_words(r"OptiTrack|NaturalPoint|<Profile|Motive\b.*Calibration"), "it is of OptiTrack's Motive, which is not read",
     f"write what its API tells of each video camera as Pose2Sim TOML, {_ANEW}"),
    (_words(r'"camera_base2cam"|"camera_poses"'), "it is a calibration of multical, which is not read", _AS_OPENCV),
    (_words(r'"distCoef"', r'"cameras"'), "it is a calibration of the Panoptic Studio, which is not read",
     _AS_OPENCV + " (its lengths are cm)"),
    (_words(r'"transform_matrix"', r'"frames"'), "it is a transforms.json (NeRF), which is not read",
     "give the COLMAP text model that it was made of"),
    (_words(r'"sfm_data_version"|"views".*"intrinsics".*"extrinsics"|"poses".*"intrinsics"'),
     "it is a scene of Meshroom or OpenMVG, which is not read", "export it for COLMAP as text, and give that"),
    (_words(r"<document", r"<chunk"), "it is a scene of Metashape, which is not read",
     "export the cameras for COLMAP as text, and give that"),
    (lambda _, __, words: of_gyroflow(words), "it is a lens profile of Gyroflow, which is not read",
     "write its camera_matrix, distortion_coeffs and calib_dimension with cv2.FileStorage (camera_matrix, "
     "distortion_coefficients, image_width, image_height, fisheye_model: 1), and give that"),
    (_words(r"intrinsicMatrix", r"distortionCoefficients"),
     "it is of JARVIS, whose matrices are transposed and which says no size, so it is not read", _AS_OPENCV),
    (_words(r"<calibration>", r"<projection>"), "it is a lens of Metashape, which is not read",
     "export it there as OpenCV camera calibration, and give that"),
    (_words(r"^# Bundle file"), "it is of Bundler, which is not read", "export it for COLMAP as text, and give that"),
    (_words(r"\[image\]\s+width\s+\d+\s+height\s+\d+"), "it is a camera of ROS in its old form, which is not read",
     "give the ost.yaml that lies beside it, or rosrun camera_calibration_parsers convert IN.ini OUT.yaml"),
    (_words(r'"T_imu_cam"'), "it is a calibration of Basalt, which is not read",
     "calibrate with Kalibr's pinhole models"),
    (_words(r"(?:^|\n)R1?:", r"(?:^|\n)T:", r"(?:^|\n)Q:"), "it is half of what OpenCV's stereo sample writes",
     "give the intrinsics.yml beside it; this is read along with it"),
    (_dlt, "these are coefficients of the direct linear transformation, which say nothing of the lens and are not read",
     _ANEW.removeprefix("or ")),
    (_words(r"(?:^|\n)Camera-system parameters:"), "it is a report of Kalibr, not its calibration",
     "give the camchain.yaml that it wrote beside it"),
    (_words(r"(?:^|\n)imu0:", r"update_rate:"), "it is the inertial sensor of Kalibr, not its cameras",
     "give the camchain.yaml beside it"),
    (_words(r"camera_model:\s*['\"]?(?:omni|ds|eucm)\b"), "it is of Kalibr, with a lens model that is not read",
     "calibrate with --models pinhole-radtan or pinhole-equi"),
)  # fmt: skip
_COLMAP = (
    "a binary model of COLMAP is not read; make it text with colmap model_converter --input_path {folder} "
    "--output_path {folder} --output_type TXT, and give that folder"
)


def foreign(path: Path) -> str | None:
    """What a file or folder of another program is, and what to do with it; None for what is not known.

    Raises:
        OSError: if it cannot be looked at.
    """
    folder = path if path.is_dir() else path.parent
    if (path.is_dir() or path.suffix.lower() == ".bin") and (folder / "cameras.bin").is_file():
        return _COLMAP.format(folder=folder)
    if path.is_dir():
        kinds = sorted(file for file in path.iterdir() if file.is_file())[:50]
        return next((f"{file.name}: {said}" for file in kinds if (said := foreign(file))), None)
    if path.suffix.lower() == ".bin":
        return "a binary file is not read; of COLMAP, give its model as text (colmap model_converter)"
    with path.open("rb") as file:
        data = file.read(16)
    words = peek(path)
    found = next(((what, how) for is_kind, what, how in _KINDS if is_kind(path, data, words)), None)
    if found is None and data.startswith(_ARCHIVE):
        found = "it is a ZIP archive, which is not read", "unpack it, and give the calibration in it"
    return f"{found[0]}; {found[1]}" if found else None
