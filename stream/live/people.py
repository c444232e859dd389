"""Who is who, for the estimator: the one followed person, or everybody with an id of their own."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from calibration.geometry.camera import Camera
from engines.identity import Belonging, IdentityOptions, State, placed, step
from engines.types import Mixture, Pose, Seen


class Identify(Protocol):
    """Says whose each sighting is."""

    def __call__(
        self, seen: Sequence[Seen | None], mixtures: Sequence[Sequence[Mixture | None]], t: float
    ) -> Sequence[Belonging]:
        """Whose the sightings of one frame set are, in the order of the ids.

        Args:
            seen: one a camera; None where it has no frame.
            mixtures: one a camera and sighting; None for one that is not lifted.
            t: seconds.
        """
        ...

    def fused(self, poses: Mapping[int, Pose | None], t: float) -> None:
        """Hear what became of them at t seconds: ``person_id`` -> pose in the world."""
        ...

    @property
    def remembered(self) -> frozenset[int]:
        """Ids of those who may still be seen again."""
        ...

    @property
    def left_out(self) -> int:
        """People of the last frame set who are not followed because there are too many."""
        ...


class OnePerson:
    """Whoever a camera follows is the one person."""

    remembered = frozenset({0})
    left_out = 0

    def fused(self, poses: Mapping[int, Pose | None], t: float) -> None:
        """Nothing to learn: there is nobody else."""

    def __call__(
        self, seen: Sequence[Seen | None], mixtures: Sequence[Sequence[Mixture | None]], t: float
    ) -> Sequence[Belonging]:
        """The one person, also where no camera sees anybody."""
        return (Belonging(0, tuple(0 if answer is not None and answer.people else None for answer in seen)),)


class Everybody:
    """Everybody, by ``engines.identity``; its state is all that is kept.

    Args:
        cameras: with their place in the world, one a view; None: each has people of its own.
        most: people who are followed at a time.
        options: when somebody is still the same.
    """

    def __init__(
        self, cameras: Sequence[Camera] | None, most: int, options: IdentityOptions = IdentityOptions()
    ) -> None:
        self._cameras, self._most, self._options = cameras, most, options
        self._state = State()

    def __call__(
        self, seen: Sequence[Seen | None], mixtures: Sequence[Sequence[Mixture | None]], t: float
    ) -> Sequence[Belonging]:
        """Everybody who is seen."""
        self._state, who = step(self._state, seen, mixtures, t, self._cameras, self._most, self._options)
        return who

    def fused(self, poses: Mapping[int, Pose | None], t: float) -> None:
        """Keep where everybody stands."""
        self._state = placed(self._state, poses, t)

    @property
    def remembered(self) -> frozenset[int]:
        """Ids of those who may still be seen again."""
        return frozenset(person.person_id for person in self._state.people)

    @property
    def left_out(self) -> int:
        """People of the last frame set who are not followed because there are too many."""
        return self._state.left_out
