"""Two who stand in one place are one: a person who was taken for somebody new by cameras that did not know them.

It happens where only one of several cameras had a frame for a moment, whose word of the place is unsure, and the rest
come back. Nobody else can be there, so no time has to pass; but whom a camera saw as two are two.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from engines.identity.types import IdentityOptions, Known


def united(people: Sequence[Known], t: float, options: IdentityOptions) -> list[Known]:
    """Everybody once.

    Args:
        people: as they were after the moment before, by ``person_id``.
        t: seconds, of that moment.
        options: ``one_place_mm``.

    Returns:
        The same people; of two who are one the older, seen by the cameras of both.
    """
    there = [
        row
        for row, person in enumerate(people)
        if person.placed is not None and person.placed.shared and person.placed.t == t and person.person_id >= 0
    ]
    out: dict[int, Known] = dict(enumerate(people))
    for a, b in combinations(there, 2):
        if a in out and b in out and _one(out[a], out[b], options):
            younger = out.pop(b)
            views = [
                mine if theirs is None or (mine is not None and mine.t >= theirs.t) else theirs
                for mine, theirs in zip(out[a].views, younger.views, strict=True)
            ]
            out[a] = replace(out[a], views=tuple(views))
    return list(out.values())


def _one(a: Known, b: Known, options: IdentityOptions) -> bool:
    if a.placed is None or b.placed is None:
        return False
    for mine, theirs in zip(a.views, b.views, strict=True):
        if mine is not None and theirs is not None and mine.track != theirs.track:
            return False
    apart = np.linalg.norm(a.placed.joints - b.placed.joints, axis=-1)
    return bool(np.isfinite(apart).sum() * 2 >= len(apart) and np.nanmedian(apart) <= options.one_place_mm)
