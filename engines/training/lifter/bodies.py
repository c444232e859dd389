"""Other people's bodies for captured poses: adults as they were measured, and children.

Adults: ANSUR II (US Army, 2012; 1,986 women and 4,082 men), as a log-normal distribution of eight lengths for either
sex. Its measures are of the body's surface. A bone's length from joint centre to joint centre is taken to be
proportional to the one that stands for it (hip centres after Bell et al. 1990, a fixed share of the pelvis' width;
upper arm about 0.85 of acromion to radiale), so that only the ratio to the average adult matters and factors cancel:
thigh trochanter to lateral knee, shin lateral knee to ankle, trunk stature less neck, head, legs and 70 mm of foot,
neck and head cervicale to crown, shoulder biacromial, hip bicristal, upper arm acromion to radiale, forearm radiale
to stylion.

Children: 4 to 14 years, 0.58 to 0.95 of an adult's stature. Snyder et al. 1977 find the shorter ones with longer trunks
and larger heads for their size; here linearly, at 0.58: legs 9 % shorter, arms 4 %, trunk 6 % longer, neck and head
35 %.
"""

from typing import Final

import numpy as np

from calibration.arrays import Array
from engines import skeleton as sk

BONES: Final = (
    (sk.R_KNEE, sk.L_KNEE), (sk.R_ANKLE, sk.L_ANKLE), (sk.SPINE, sk.THORAX), (sk.NECK, sk.HEAD),
    (sk.L_SHOULDER, sk.R_SHOULDER), (sk.R_HIP, sk.L_HIP), (sk.L_ELBOW, sk.R_ELBOW), (sk.L_WRIST, sk.R_WRIST),
)  # fmt: skip
"""The bones, by their far joints, that each of the eight lengths stands for."""
_MEAN: Final = np.array([
    [5.9366, 5.9973, 6.2956, 5.4489, 5.8996, 5.6073, 5.7389, 5.4842],
    [6.0120, 6.0356, 6.4270, 5.4747, 6.0288, 5.6163, 5.8135, 5.5889],
])  # fmt: skip
"""(2, 8) of the logarithms of the lengths in mm: women, men."""
_CHOLESKY: Final = np.array([
    [[0.0635, 0, 0, 0, 0, 0, 0, 0], [0.0314, 0.0563, 0, 0, 0, 0, 0, 0], [0.0095, 0.0129, 0.0556, 0, 0, 0, 0, 0],
     [0.0110, 0.0027, 0.0130, 0.0482, 0, 0, 0, 0], [0.0192, 0.0139, 0.0154, 0.0029, 0.0415, 0, 0, 0],
     [0.0156, 0.0097, 0.0301, 0.0031, 0.0077, 0.0730, 0, 0],
     [0.0343, 0.0291, 0.0119, 0.0016, 0.0014, 0.0050, 0.0294, 0],
     [0.0405, 0.0268, 0.0056, -0.0012, 0.0080, -0.0040, 0.0058, 0.0383]],
    [[0.0694, 0, 0, 0, 0, 0, 0, 0], [0.0344, 0.0474, 0, 0, 0, 0, 0, 0], [0.0009, 0.0225, 0.0508, 0, 0, 0, 0, 0],
     [0.0094, 0.0104, 0.0110, 0.0508, 0, 0, 0, 0], [0.0158, 0.0135, 0.0146, -0.0022, 0.0385, 0, 0, 0],
     [0.0133, 0.0186, 0.0285, -0.0032, 0.0118, 0.0507, 0, 0],
     [0.0320, 0.0257, 0.0138, -0.0014, 0.0020, 0.0010, 0.0290, 0],
     [0.0343, 0.0305, 0.0053, -0.0031, 0.0040, -0.0026, 0.0067, 0.0330]],
])  # fmt: skip
"""(2, 8, 8) lower triangular, of their covariance."""
_CHILD: Final = np.array([-0.09, -0.09, 0.06, 0.35, 0.0, -0.05, -0.04, -0.04])
"""(8,) how much longer each is for the size at 0.58 of an adult's stature."""
_SMALLEST, _TALLEST = 0.58, 0.95


def adults(n: int, rng: np.random.Generator) -> Array:
    """(n, 8) lengths of the bones of ``BONES``, in those of the average adult; half of them women's."""
    sex = rng.integers(0, 2, n)
    logarithm = _MEAN[sex] + np.einsum("nij,nj->ni", _CHOLESKY[sex], rng.normal(size=(n, 8)))
    return np.exp(logarithm - _MEAN.mean(0))


def children(n: int, rng: np.random.Generator) -> Array:
    """(n, 8) as ``adults``, of children."""
    stature = rng.uniform(_SMALLEST, _TALLEST, (n, 1))
    young = (1 - stature) / (1 - _SMALLEST)
    return stature * (1 + young * _CHILD) * np.exp(rng.normal(0, 0.03, (n, 8)))


def lengths(n: int, rng: np.random.Generator, young: float) -> Array:
    """(n, 17) factor on the average adult's length of every bone; a share ``young`` of them is children."""
    drawn = np.where(rng.random((n, 1)) < young, children(n, rng), adults(n, rng))
    factor = np.ones((n, sk.N_JOINTS))
    for index, joints in enumerate(BONES):
        factor[:, joints] = drawn[:, [index]]
    return factor
