"""One pair of cameras in every format of a calibration, with any value in it that may be asked for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

GOOD: dict[str, Any] = {
    "width": 1280, "height": 720, "f": 900.0, "cx": 639.5, "cy": 359.5, "dist": [-0.1, 0.02, 0.001, -0.001, 0.0],
    "rvec": [0.1, 0.2, 0.3], "t": [100.0, 200.0, 3000.0],
}  # fmt: skip
"""Pixels, radians, mm."""


def matrix(v: dict[str, Any]) -> np.ndarray:
    a = np.asarray(v["rvec"], float)
    if not np.abs(a).max() <= 10:  # what no vector gives: a matrix that is none of a rotation
        return np.eye(3) * a.max() if np.isfinite(a).all() else np.full((3, 3), a.max())
    angle = np.linalg.norm(a)
    K = np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]]) / angle
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def numbers(values: Any) -> str:
    return "[" + ", ".join(repr(float(v)) for v in np.asarray(values, float).ravel()) + "]"


def rows(values: Any) -> str:
    return "[" + ", ".join(numbers(row) for row in np.asarray(values, float)) + "]"


def K(v: dict[str, Any]) -> list[list[float]]:
    return [[v["f"], 0, v["cx"]], [0, v["f"], v["cy"]], [0, 0, 1]]


def metres(v: dict[str, Any]) -> list[float]:
    return [x / 1000 for x in v["t"]]


def native(v: dict[str, Any], folder: Path) -> Path:
    text = 'format = "hypothesis-stream calibration"\nversion = 1\nunit = "mm"\nplaced = true\nup = [0.0, -1.0, 0.0]\n'
    text += '\n[made]\nby = "a test"\n'
    for name in ("a", "b"):
        text += (
            f'\n[[camera]]\nname = "{name}"\nsize = [{v["width"]}, {v["height"]}]\nK = {rows(K(v))}\n'
            f"dist = {numbers(v['dist'])}\nR = {rows(matrix(v))}\nt = {numbers(v['t'])}\n"
        )
    return write(folder / "c.toml", text)


def tables(v: dict[str, Any], prefix: str) -> str:
    text = ""
    for k in (0, 1):
        text += (
            f"[{prefix}{k}]\nsize = [{v['width']}, {v['height']}]\nmatrix = {rows(K(v))}\n"
            f"distortions = {numbers(v['dist'])}\nrotation = {numbers(v['rvec'])}\n"
            f"translation = {numbers(metres(v))}\n\n"
        )
    return text


def pose2sim(v: dict[str, Any], folder: Path) -> Path:
    return write(folder / "c.toml", tables(v, "cam") + '[metadata]\nadjusted = false\nerror = 0.0\nunit = "m"\n')


def caliscope(v: dict[str, Any], folder: Path) -> Path:
    return write(folder / "c.toml", tables(v, "cameras."))


def yaml_matrix(key: str, values: Any, shape: tuple[int, int]) -> str:
    data = numbers(values).replace(", ", ",\n       ", 1)
    return f"{key}: !!opencv-matrix\n   rows: {shape[0]}\n   cols: {shape[1]}\n   dt: d\n   data: {data}\n"


def opencv(v: dict[str, Any], folder: Path) -> Path:
    for name in ("a", "b"):
        text = f"%YAML:1.0\n---\nimage_width: {v['width']}\nimage_height: {v['height']}\n"
        text += yaml_matrix("camera_matrix", K(v), (3, 3)) + yaml_matrix("distortion_coefficients", v["dist"], (1, 5))
        text += yaml_matrix("rvec", v["rvec"], (3, 1)) + yaml_matrix("tvec", metres(v), (3, 1))
        write(folder / f"{name}.yml", text)
    return folder


def easymocap(v: dict[str, Any], folder: Path) -> Path:
    intri, extri = '%YAML:1.0\n---\nnames:\n   - "01"\n   - "02"\n', '%YAML:1.0\n---\nnames:\n   - "01"\n   - "02"\n'
    for name in ("01", "02"):
        intri += yaml_matrix(f"K_{name}", K(v), (3, 3)) + yaml_matrix(f"dist_{name}", v["dist"], (1, 5))
        intri += f"W_{name}: {v['width']}\nH_{name}: {v['height']}\n"
        extri += yaml_matrix(f"R_{name}", v["rvec"], (3, 1)) + yaml_matrix(f"T_{name}", metres(v), (3, 1))
    write(folder / "extri.yml", extri)
    return write(folder / "intri.yml", intri)


def opencv_xml(v: dict[str, Any], folder: Path) -> Path:
    def node(key: str, values: Any, shape: tuple[int, int]) -> str:
        data = " ".join(repr(float(x)) for x in np.asarray(values, float).ravel())
        return (
            f'<{key} type_id="opencv-matrix">\n  <rows>{shape[0]}</rows>\n  <cols>{shape[1]}</cols>\n  <dt>d</dt>\n'
            f"  <data>{data}</data></{key}>\n"
        )

    for name in ("a", "b"):
        text = f"<image_width>{v['width']}</image_width>\n<image_height>{v['height']}</image_height>\n"
        text += node("camera_matrix", K(v), (3, 3)) + node("distortion_coefficients", v["dist"], (1, 5))
        text += node("rvec", v["rvec"], (3, 1)) + node("tvec", metres(v), (3, 1))
        write(folder / f"{name}.xml", f'<?xml version="1.0"?>\n<opencv_storage>\n{text}</opencv_storage>\n')
    return folder


def opencv_json(v: dict[str, Any], folder: Path) -> Path:
    def node(values: Any, shape: tuple[int, int]) -> dict[str, Any]:
        data = np.asarray(values, float).ravel().tolist()
        return {"type_id": "opencv-matrix", "rows": shape[0], "cols": shape[1], "dt": "d", "data": data}

    for name in ("a", "b"):
        made = {
            "image_width": v["width"], "image_height": v["height"], "camera_matrix": node(K(v), (3, 3)),
            "distortion_coefficients": node(v["dist"], (1, 5)), "rvec": node(v["rvec"], (3, 1)),
            "tvec": node(metres(v), (3, 1)),
        }  # fmt: skip
        write(folder / f"{name}.json", json.dumps(made, indent=1))
    return folder


def caliscope_old(v: dict[str, Any], folder: Path) -> Path:
    text = tables(v, "cam_").replace("size = ", "port = 1\nresolution = ").replace("matrix = ", "camera_matrix = ")
    return write(folder / "config.toml", f'{text}[charuco]\nunits = "inch"\n[point_estimates]\nobj = [[1.0, 2.0]]\n')


def kalibr(v: dict[str, Any], folder: Path) -> Path:
    text = ""
    for number in (0, 1):
        text += (
            f"cam{number}:\n  camera_model: pinhole\n  distortion_model: radtan\n"
            f"  distortion_coeffs: {numbers(v['dist'][:4])}\n  resolution: [{v['width']}, {v['height']}]\n"
            f"  intrinsics: {numbers([v['f'], v['f'], v['cx'], v['cy']])}\n  T_cam_imu:\n"
        )
        for row, x in zip(matrix(v), metres(v), strict=True):
            text += f"  - {numbers([*row, x])}\n"
        text += "  - [0.0, 0.0, 0.0, 1.0]\n"
    return write(folder / "camchain.yaml", text)


def colmap(v: dict[str, Any], folder: Path) -> Path:
    r = np.asarray(v["rvec"], float)
    if np.abs(r).max() <= 10:
        angle = np.linalg.norm(r)
        q = [np.cos(angle / 2), *(np.sin(angle / 2) * r / angle)]
    else:
        q = [*r, 0.0]
    lens = [v["f"], v["f"], v["cx"] + 0.5, v["cy"] + 0.5, *v["dist"][:4]]
    words = " ".join(repr(float(x)) for x in lens)
    write(folder / "cameras.txt", f"# cameras\n1 OPENCV {v['width']} {v['height']} {words}\n")
    place = " ".join(repr(float(x)) for x in [*q, *metres(v)])
    write(folder / "images.txt", f"# images\n1 {place} 1 a.png\n1.5 2.5 -1\n2 {place} 1 b.png\n\n")
    return folder


def qualisys(v: dict[str, Any], folder: Path) -> Path:
    R = np.array([[1.0], [-1], [-1]]) * matrix(v)
    with np.errstate(all="ignore"):
        x, y, z = -matrix(v).T @ np.asarray(v["t"])
    transform = " ".join(f'r{i + 1}{j + 1}="{R[i, j]!r}"' for i in range(3) for j in range(3))
    k1, k2, p1, p2, k3 = v["dist"]
    camera = (
        (
            '<camera serial="{serial}" model="none" active="1">'
            f'<fov_video left="0" top="0" right="{v["width"] - 1}" bottom="{v["height"] - 1}"/>'
            f'<transform x="{x!r}" y="{y!r}" z="{z!r}" {transform}/>'
            f'<intrinsic focalLengthU="{v["f"] * 64!r}" focalLengthV="{v["f"] * 64!r}" centerPointU="{v["cx"] * 64!r}" '
            f'centerPointV="{v["cy"] * 64!r}" radialDistortion1="{k1!r}" radialDistortion2="{k2!r}" '
            f'radialDistortion3="{k3!r}" tangentalDistortion1="{p1!r}" tangentalDistortion2="{p2!r}"/></camera>'
        )
        .replace("np.float64(", "")
        .replace(')"', '"')
    )
    cameras = "".join(camera.replace("{serial}", name) for name in ("a", "b"))
    return write(folder / "c.qca.txt", f'<?xml version="1.0"?><calibration><cameras>{cameras}</cameras></calibration>')


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


WRITERS: dict[str, Callable[[dict[str, Any], Path], Path]] = {
    "native": native, "pose2sim": pose2sim, "caliscope": caliscope, "opencv": opencv, "easymocap": easymocap,
    "qualisys": qualisys, "kalibr": kalibr, "colmap": colmap,
}  # fmt: skip
"""Name of a format -> writes the values into a folder; what to give to ``load_calibration``."""
FORMS: dict[str, tuple[str, Callable[[dict[str, Any], Path], Path]]] = {
    **{name: (name, write) for name, write in WRITERS.items()},
    "opencv XML": ("opencv", opencv_xml), "opencv JSON": ("opencv", opencv_json), "older caliscope": ("caliscope",
    caliscope_old),
}  # fmt: skip
"""The same, and other forms of some of them: the name of the format, and what writes it."""
