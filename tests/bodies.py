"""People whose pose is known: standing about with random limbs."""

import numpy as np

from engines.training.lifter import augment

_BONES = {
    1: (120, [-1, 0, 0]), 2: (420, [0, 0, -1]), 3: (410, [0, 0, -1]), 4: (120, [1, 0, 0]), 5: (420, [0, 0, -1]),
    6: (410, [0, 0, -1]), 7: (220, [0, 0, 1]), 8: (230, [0, 0, 1]), 9: (130, [0, 0, 1]), 10: (130, [0, 0, 1]),
    11: (180, [1, 0, 0]), 12: (290, [0, 0, -1]), 13: (260, [0, 0, -1]), 14: (180, [-1, 0, 0]), 15: (290, [0, 0, -1]),
    16: (260, [0, 0, -1]),
}  # fmt: skip


def standing(n, seed=0, spread=0.4):
    """(n, 17, 3) mm, z up, root at the origin."""
    rng = np.random.default_rng(seed)
    bones = np.zeros((n, 17, 3))
    for j, (mm, direction) in _BONES.items():
        d = np.array(direction) + rng.normal(size=(n, 3)) * spread
        bones[:, j] = d / np.linalg.norm(d, axis=-1, keepdims=True) * mm
    return augment.from_bones(bones)


def walking(n, seed=0):
    """(n, 17, 3) mm, z up, somewhere on the floor of a laboratory, 0.9 m up."""
    rng = np.random.default_rng(seed + 1)
    return standing(n, seed) + np.concatenate([rng.uniform(-800, 800, (n, 1, 2)), np.full((n, 1, 1), 900.0)], -1)
