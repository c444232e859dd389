"""Who is who, for the estimator: the one followed person, or everybody with an id of their own."""

from collections.abc import Sequence
from typing import Protocol

from engines.identity import Belonging, IdentityOptions, State, step
from engines.types import Seen


class Identify(Protocol):
    """Says whose each sighting is."""

    def __call__(self, seen: Sequence[Seen | None], t: float) -> Sequence[Belonging]:
        """Whose the sightings of one frame set are, one ``seen`` a camera, in the order of the ids."""
        ...

    @property
    def remembered(self) -> frozenset[int]:
        """Ids of those who may still be seen again."""
        ...


class OnePerson:
    """Whoever a camera follows is the one person."""

    remembered = frozenset({0})

    def __call__(self, seen: Sequence[Seen | None], t: float) -> Sequence[Belonging]:
        """The one person, also where no camera sees anybody."""
        return (Belonging(0, tuple(0 if answer is not None and answer.people else None for answer in seen)),)


class Everybody:
    """Everybody, by ``engines.identity``; its state is all that is kept.

    Args:
        options: when somebody is still the same.
    """

    def __init__(self, options: IdentityOptions = IdentityOptions()) -> None:
        self._options = options
        self._state = State()

    def __call__(self, seen: Sequence[Seen | None], t: float) -> Sequence[Belonging]:
        """Everybody who is seen."""
        self._state, who = step(self._state, seen, t, self._options)
        return who

    @property
    def remembered(self) -> frozenset[int]:
        """Ids of those who may still be seen again."""
        return frozenset(person.person_id for person in self._state.people)
