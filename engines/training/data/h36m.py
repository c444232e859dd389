"""Human3.6M's laboratory: who is in it, what they do, and its four cameras (Ionescu et al., PAMI 2014).

The numbers are those of the data set's own metadata, rounded to what matters (0.1 mm, 1e-7).
"""

from typing import Final

import numpy as np

from calibration.geometry.camera import Camera

ACTIONS: Final = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip
TRAIN: Final = ("S1", "S5", "S6", "S7", "S8")
TEST: Final = ("S9", "S11")
NAMES: Final = ("54138969", "55011271", "58860488", "60457274")
"""The cameras, in the order in which files list them."""
SIZES: Final = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))

# fx, fy, cx, cy, k1, k2, k3, p1, p2 of each camera
_INTRINSICS: Final = (
    (1145.04944, 1143.78113, 512.54150, 515.45148, -0.20709892, 0.24777518, -0.00307515, -0.00097570, -0.00142447),
    (1149.67566, 1147.59167, 508.84863, 508.06491, -0.19421363, 0.24040854, 0.00681998, -0.00161903, -0.00274089),
    (1149.14075, 1148.79895, 519.81586, 501.40265, -0.20833819, 0.25548801, -0.00246050, 0.00148438, -0.00076000),
    (1145.51135, 1144.77393, 514.96820, 501.88202, -0.19838409, 0.21832368, -0.00894781, -0.00058721, -0.00181336),
)
# Quaternion w, x, y, z of the rotation from camera to world, and the camera's place in the world, mm.
_EXTRINSICS: Final = {
    "S1": ((0.1407056, -0.1500702, -0.7552408, 0.6223280, 1841.1, 4955.3, 1563.4),
           (0.6157188, -0.7648363, -0.1483383, 0.1179474, 1761.3, -5078.0, 1606.3),
           (0.1465147, -0.1464785, 0.7653024, -0.6094176, -1846.8, 5215.0, 1492.0),
           (0.5834008, -0.7853162, 0.1454882, -0.1474959, -1794.8, -3722.7, 1574.9)),
    "S5": ((0.1467377, -0.1623710, -0.7551893, 0.6178939, 2097.4, 4880.9, 1605.7),
           (0.6159759, -0.7626792, -0.1572819, 0.1189815, 2031.7, -5167.9, 1612.9),
           (0.1429137, -0.1290784, 0.7678385, -0.6110143, -1620.6, 5171.7, 1496.4),
           (0.5920480, -0.7814218, 0.1274749, -0.1503642, -1637.2, -3867.3, 1547.0)),
    "S6": ((0.1337898, -0.1569240, -0.7571090, 0.6198879, 1935.5, 4950.2, 1618.1),
           (0.6147197, -0.7628813, -0.1617477, 0.1181924, 1969.8, -5128.7, 1632.8),
           (0.1529948, -0.1352913, 0.7646096, -0.6112781, -1769.6, 5185.4, 1477.0),
           (0.5916101, -0.7804775, 0.1283227, -0.1561594, -1721.7, -3884.1, 1540.5)),
    "S7": ((0.1435242, -0.1631337, -0.7548329, 0.6188825, 1974.5, 4926.4, 1597.8),
           (0.6141673, -0.7638263, -0.1596646, 0.1177930, 1937.1, -5119.8, 1631.6),
           (0.1455006, -0.1287482, 0.7660517, -0.6127139, -1741.8, 5208.2, 1464.8),
           (0.5912848, -0.7821764, 0.1244547, -0.1519649, -1734.7, -3832.4, 1548.6)),
    "S8": ((0.1411059, -0.1558987, -0.7561917, 0.6196440, 2150.7, 4896.2, 1611.9),
           (0.6169602, -0.7647668, -0.1484635, 0.1115815, 2220.0, -5148.5, 1613.0),
           (0.1471444, -0.1337712, 0.7670128, -0.6100370, -1571.2, 5137.0, 1498.2),
           (0.5927824, -0.7825871, 0.1214782, -0.1463200, -1476.9, -3896.7, 1548.0)),
    "S9": ((0.1554059, -0.1554822, -0.7532095, 0.6199595, 2044.5, 4935.1, 1481.2),
           (0.6187845, -0.7634735, -0.1413224, 0.1193397, 1991.0, -5123.8, 1568.8),
           (0.1335783, -0.1367100, 0.7689455, -0.6100739, -1671.0, 5212.0, 1528.4),
           (0.5879399, -0.7823407, 0.1427614, -0.1478987, -1696.0, -3827.1, 1591.4)),
    "S11": ((0.1523247, -0.1544232, -0.7547563, 0.6191070, 2098.4, 4926.6, 1500.3),
            (0.6189449, -0.7600917, -0.1530063, 0.1255258, 2083.2, -4912.2, 1561.1),
            (0.1494323, -0.1565023, 0.7681234, -0.6026304, -1609.8, 5177.3, 1537.9),
            (0.5894251, -0.7818877, 0.1399121, -0.1471536, -1590.7, -3854.2, 1578.0)),
}  # fmt: skip


def make_camera(
    name: str, f: np.ndarray, c: np.ndarray, k: np.ndarray, p: np.ndarray, R: np.ndarray, centre: np.ndarray
) -> Camera:
    """A camera from Human3.6M's own parameters.

    Its tangential terms are half of OpenCV's in x^2 and xy: less than 0.3 px in its images, and left out here.

    Args:
        name: one of ``NAMES``, which decides the size of the image.
        f: (2,) focal lengths, pixels.
        c: (2,) principal point, pixels.
        k: (3,) radial distortion, r^2, r^4, r^6.
        p: (2,) tangential distortion.
        R: (3, 3) world to camera.
        centre: (3,) place of the camera in the world, mm.
    """
    K = np.array([[f[0], 0, c[0]], [0, f[1], c[1]], [0, 0, 1]])
    size = SIZES[NAMES.index(name)] if name in NAMES else (1000, 1000)
    U, _, Vt = np.linalg.svd(R)  # the files' float32 rotations are orthogonal to 1e-7
    R = U @ Vt
    return Camera(name, size, K, np.array([k[0], k[1], p[0], p[1], k[2]]), R, -R @ centre, np.array([0.0, 0.0, 1.0]))


def action(take: str) -> str:
    """The action of a take, by one name where files use two: "WalkingDog 1" is WalkDog."""
    return take.replace("_", " ").split(" ")[0].replace("TakingPhoto", "Photo").replace("WalkingDog", "WalkDog")


def _rotation(q: np.ndarray) -> np.ndarray:
    """(3, 3) of a quaternion w, x, y, z."""
    w, x, y, z = q / np.linalg.norm(q)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def cameras(subject: str) -> tuple[Camera, ...]:
    """The four cameras as they stood for a subject, or () for one who is not known."""
    out = []
    for name, inner, outer in zip(NAMES, _INTRINSICS, _EXTRINSICS.get(subject, ()), strict=False):
        i, e = np.array(inner), np.array(outer)
        out.append(make_camera(name, i[:2], i[2:4], i[4:7], i[7:], _rotation(e[:4]).T, e[4:]))
    return tuple(out)


def laboratory() -> tuple[Camera, ...]:
    """``--views h36m4``: four level cameras like Human3.6M's, 4.2 to 5.5 m from the middle of the floor.

    They are 1.5 to 1.6 m high, aimed at a point 0.45 m above the floor, so looking down 10 to 15 degrees as those do;
    focal length 1147 px, 1000x1000, no distortion.
    """
    places = ((2000, 4930, 1560), (1960, -5080, 1600), (-1680, 5190, 1500), (-1660, -3850, 1560))
    K = np.array([[1147.0, 0, 499.5], [0, 1147.0, 499.5], [0, 0, 1]])
    up = np.array([0.0, 0.0, 1.0])
    out = []
    for name, place in zip(NAMES, places, strict=True):
        centre = np.array(place, float)
        z = np.array([0, 0, 450.0]) - centre
        z /= np.linalg.norm(z)
        x = np.cross(z, up)
        x /= np.linalg.norm(x)
        R = np.stack([x, np.cross(z, x), z])
        out.append(Camera(name, (1000, 1000), K, np.zeros(5), R, -R @ centre, up))
    return tuple(out)
