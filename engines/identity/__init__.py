"""Who is who: the sightings of all cameras in one frame set, told apart and carried on from the frame set before.

Pure: ``step`` and ``placed`` make a new state of the old one, and nothing else is kept anywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from calibration.geometry.camera import Camera
from engines.identity.doubts import alone_since, doubtful
from engines.identity.many_cameras import Links, link, place
from engines.identity.one_body import united
from engines.identity.one_camera import again, match, spots
from engines.identity.types import Belonging, IdentityOptions, Known, Placed, Spotted, State
from engines.types import Mixture, Pose, Seen

__all__ = ["Belonging", "IdentityOptions", "Known", "Placed", "Spotted", "State", "placed", "step", "without_camera"]


def step(
    state: State,
    seen: Sequence[Seen | None],
    mixtures: Sequence[Sequence[Mixture | None]],
    t: float,
    cameras: Sequence[Camera] | None = None,
    most: int = 6,
    options: IdentityOptions = IdentityOptions(),
) -> tuple[State, tuple[Belonging, ...]]:
    """Carry everybody on to the next frame set.

    Args:
        state: everybody before.
        seen: one a camera; None where it has no frame.
        mixtures: one a camera and sighting; None for one that is not lifted.
        t: seconds.
        cameras: one a view, where their place in the world is known; None: each camera has people of its own.
        most: people who are followed at a time; in each camera, where it has people of its own.
        options: when somebody is still the same.

    Returns:
        The new state, and everybody who is seen, in the order of ``person_id``.
    """
    alike = united(state.people, state.t, options)
    before = [person for old in alike if any((person := _remembered(old, t, options)).views)]
    if cameras is None or len(cameras) == 1:
        links = _each_by_itself(before, seen, t, options)
    else:
        links = link(before, seen, mixtures, cameras, t, options, t - state.t)
    people = _seen_again(links, seen, t)
    alone: tuple[float | None, ...] = (None,) * len(seen)
    if cameras is not None and len(cameras) > 1:
        since = state.alone or alone
        alone = alone_since(since, people, links.members, seen, cameras, t)
        wait = doubtful(people, links.members, seen, mixtures, cameras, alone, t, options)
        people = [replace(p, shown=not w) for p, w in zip(people, wait, strict=True)]
    people, left_out = _within(people, links.members, most if cameras is not None else most * len(seen))
    next_id, named = state.next_id, []
    for person in people:
        if person is not None and person.shown and person.person_id < 0:
            named.append(replace(person, person_id=next_id))
            next_id += 1
        else:
            named.append(person)
    who = [
        Belonging(person.person_id, tuple(mine))
        for person, mine in zip(named, links.members, strict=True)
        if person is not None and person.shown and any(k is not None for k in mine)
    ]
    kept = sorted((p for p in named if p is not None), key=lambda p: (p.person_id < 0, p.person_id))
    return State(tuple(kept), next_id, alone, left_out, t), tuple(sorted(who, key=lambda one: one.person_id))


def placed(state: State, poses: Mapping[int, Pose | None], t: float) -> State:
    """The state with where people were fused at t seconds, ``person_id`` -> pose."""
    people = []
    for person in state.people:
        pose = poses.get(person.person_id)
        if pose is not None and np.isfinite(pose.joints).all():
            shared = len(pose.cameras) > 1
            person = replace(person, placed=place(pose.joints, person.placed, t, shared=shared))
        people.append(person)
    return replace(state, people=tuple(people))


def without_camera(state: State, camera: int) -> State:
    """The state in which nobody is remembered by what a camera saw: who was seen by it alone is gone."""
    people = []
    for person in state.people:
        views = tuple(None if k == camera else view for k, view in enumerate(person.views))
        if any(view is not None for view in views):
            people.append(replace(person, views=views))
    return replace(state, people=tuple(people))


def _each_by_itself(people: list[Known], seen: Sequence[Seen | None], t: float, options: IdentityOptions) -> Links:
    """Without a calibration nobody can say whom another camera sees: each has people of its own."""
    people = list(people)
    members: list[list[int | None]] = [[None] * len(seen) for _ in people]
    for camera, answer in enumerate(seen):
        found = match(people, camera, answer.people, t, options) if answer else {}
        for k in range(len(answer.people) if answer else 0):
            if k not in found:
                people.append(Known(-1, (None,) * len(seen), t))
                members.append([None] * len(seen))
            members[found.get(k, len(people) - 1)][camera] = k
    return Links(people, members)


def _seen_again(links: Links, seen: Sequence[Seen | None], t: float) -> list[Known]:
    """Everybody with how each camera sees them now."""
    found = [
        (row, camera, k) for row, mine in enumerate(links.members) for camera, k in enumerate(mine) if k is not None
    ]
    if links.spots:
        now = [links.spots[camera][k] for _, camera, k in found]
    else:
        now = spots([answer.people[k] for _, camera, k in found if (answer := seen[camera]) is not None], t)
    kept = again(now, [links.people[row].views[camera] for row, camera, _ in found], t)
    views = [list(person.views) for person in links.people]
    for (row, camera, _), one in zip(found, kept, strict=True):
        views[row][camera] = one
    return [replace(person, views=tuple(theirs)) for person, theirs in zip(links.people, views, strict=True)]


def _within(
    people: Sequence[Known], members: Sequence[Sequence[int | None]], most: int
) -> tuple[list[Known | None], int]:
    """So many of those who are there: who was there before stays, then the larger; and how many are left out."""
    there = [row for row, mine in enumerate(members) if people[row].shown and any(k is not None for k in mine)]

    def rank(row: int) -> tuple[bool, float]:
        person = people[row]
        new = person.person_id < 0
        return new, -max(view.height for view in person.views if view is not None) if new else person.person_id

    there.sort(key=rank)
    out = set(there[most:])
    return [None if row in out else person for row, person in enumerate(people)], len(out)


def _remembered(person: Known, t: float, options: IdentityOptions) -> Known:
    views = tuple(view if view is not None and 0 <= t - view.t <= options.remember_s else None for view in person.views)
    place = person.placed if person.placed is not None and 0 <= t - person.placed.t <= options.remember_s else None
    return replace(person, views=views, placed=place)
