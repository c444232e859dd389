"""Joint sets of the data sets, each as a map to the 17 joints. Those of detectors are in ``engines.skeleton``."""

from typing import Final

from engines.skeleton import COCO, JointMap

H36M: Final = JointMap("h36m17", tuple(range(17)))
"""Human3.6M's moving joints as VideoPose3D and MMPose store them: our own order."""
H36M_ALL: Final = JointMap("h36m32", (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27))
"""All 32 of Human3.6M: 15 of them never move or repeat another."""
HOURGLASS: Final = JointMap("mpii16", (6, 2, 1, 0, 3, 4, 5, 7, 8, -1, 9, 13, 14, 15, 12, 11, 10))
"""The stacked hourglass's 16 in MPII's order. As in Martinez et al. its "thorax" (7) stands for the spine and its
"upper neck" (8) for the thorax; the neck/nose it has not."""
MPI_28: Final = JointMap("mpi_inf_28", (4, 23, 24, 25, 18, 19, 20, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16))
"""MPI-INF-3DHP, training: its neck is our thorax, its head our neck/nose, its head top our head."""
MPI_17: Final = JointMap("mpi_inf_17", (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4))
"""MPI-INF-3DHP, test: head top, neck, right arm, left arm, right leg, left leg, pelvis, spine, head."""

BY_COUNT: Final = {17: H36M, 32: H36M_ALL, 16: HOURGLASS}
"""Human3.6M's sets by how many joints they have; COCO has 17 as well and is told apart by its mirror pairs."""
COCO_LEFT: Final = COCO.source[11]
"""COCO's left shoulder is odd-numbered, as are all its left joints: what tells it apart."""
