"""Which number a hypothesis has over time: the kernels of a mixture have none, their tracks do."""

import numpy as np
from numpy.typing import NDArray


class Slots:
    """M slots a person. A track keeps its slot as long as it lives; a new one takes the first that is free."""

    def __init__(self) -> None:
        self._held: dict[int, list[int]] = {}

    def of(self, person: NDArray[np.int64], tracks: NDArray[np.int64]) -> NDArray[np.intp]:
        """The kernel that is in each slot.

        Args:
            person: (R,) whose a row is, in the order of time.
            tracks: (R, M) the track of each kernel; -1 = none.

        Returns:
            (R, M) numbers of kernels; -1 where a slot is empty.
        """
        out = np.full(tracks.shape, -1)
        for row, (person_id, ids) in enumerate(zip(person.tolist(), tracks.tolist(), strict=True)):
            held = self._held.setdefault(person_id, [-1] * len(ids))
            kernels = {track: kernel for kernel, track in enumerate(ids) if track >= 0}
            if not kernels:
                continue
            held[:] = [track if track in kernels else -1 for track in held]
            for track in kernels:
                if track not in held:
                    held[held.index(-1)] = track
            out[row] = [kernels.get(track, -1) for track in held]
        return out
