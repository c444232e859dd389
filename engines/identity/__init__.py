"""Who is who: the sightings of all cameras in one frame set, told apart and carried on from the frame set before.

Pure: ``step`` makes a new state of the old one, and nothing else is kept anywhere.
"""

from collections.abc import Sequence
from dataclasses import replace

from engines.identity.one_camera import match, spot
from engines.identity.types import Belonging, IdentityOptions, Known, Spotted, State
from engines.types import Seen

__all__ = ["Belonging", "IdentityOptions", "Known", "Spotted", "State", "step"]


def step(
    state: State, seen: Sequence[Seen | None], t: float, options: IdentityOptions = IdentityOptions()
) -> tuple[State, tuple[Belonging, ...]]:
    """Carry everybody on to the next frame set.

    Args:
        state: everybody before.
        seen: one a camera; None where it has no frame.
        t: seconds.
        options: when somebody is still the same.

    Returns:
        The new state, and everybody who is seen, in the order of ``person_id``.
    """
    people = [_forget(person, t, options) for person in state.people]
    people = [person for person in people if any(person.views)]
    members: list[list[int | None]] = [[None] * len(seen) for _ in people]
    next_id = state.next_id
    for camera, answer in enumerate(seen):
        if answer is None:
            continue
        # Only those that this camera itself has seen: without a calibration nobody can say whom another one sees.
        found = match(people, camera, answer.people, t, options)
        for k, sighting in enumerate(answer.people):
            if k not in found:
                people.append(Known(next_id, (None,) * len(seen), t))
                members.append([None] * len(seen))
                next_id += 1
            row = found.get(k, len(people) - 1)
            members[row][camera] = k
            views = list(people[row].views)
            views[camera] = spot(sighting, views[camera], t)
            people[row] = replace(people[row], views=tuple(views), seen=t)
    who = tuple(
        Belonging(person.person_id, tuple(mine)) for person, mine in zip(people, members, strict=True) if _any(mine)
    )
    return State(tuple(people), next_id), who


def _any(mine: Sequence[int | None]) -> bool:
    return any(k is not None for k in mine)


def _forget(person: Known, t: float, options: IdentityOptions) -> Known:
    views = tuple(view if view is not None and 0 <= t - view.t <= options.remember_s else None for view in person.views)
    return replace(person, views=views)
