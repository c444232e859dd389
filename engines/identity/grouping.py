"""Which of the sightings that belong to nobody yet are one person: the most alike pairs are joined first.

No combination is enumerated: every sighting is compared with every other once, and each join is looked at once.
"""

from collections.abc import Sequence

import numpy as np

from calibration.arrays import Array


def groups(cost: Array, camera: Sequence[int], most: Array) -> list[list[int]]:
    """Join N sightings to groups of one sighting a camera, by the mean cost of their pairs (average linkage).

    Args:
        cost: (N, N) of each pair.
        camera: (N,) of each sighting.
        most: (N, N) cost above which two are not joined.

    Returns:
        The groups, each sorted; a sighting that is like no other is a group of its own.
    """
    member = [[k] for k in range(len(camera))]
    at = list(range(len(camera)))
    rows, columns = np.nonzero(np.triu(cost < most, 1))
    for pair in np.argsort(cost[rows, columns], kind="stable"):
        a, b = at[rows[pair]], at[columns[pair]]
        if a == b or {camera[k] for k in member[a]} & {camera[k] for k in member[b]}:
            continue
        between = cost[np.ix_(member[a], member[b])]
        if between.mean() >= most[np.ix_(member[a], member[b])].mean():
            continue
        for k in member[b]:
            at[k] = a
        member[a], member[b] = sorted(member[a] + member[b]), []
    return [group for group in member if group]
