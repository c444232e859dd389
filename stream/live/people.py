"""Who is who, for the estimator: the one followed person, or everybody with an id of their own."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from calibration.geometry.camera import Camera
from engines.identity import Belonging, IdentityOptions, State, placed, step, without_camera
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

    def forget(self, camera_index: int) -> None:
        """Whoever this camera saw is not who it sees from now on: a cut in the film."""
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
    """Whoever a camera follows is the one person: of one camera somebody new after a cut, of several the same."""

    left_out = 0

    def __init__(self, cameras: int) -> None:
        self._cameras, self._id = cameras, 0

    @property
    def remembered(self) -> frozenset[int]:
        """The id of the one person."""
        return frozenset({self._id})

    def forget(self, camera_index: int) -> None:
        """A cut in the film. Of several cameras the others go on showing the person."""
        self._id += self._cameras == 1

    def fused(self, poses: Mapping[int, Pose | None], t: float) -> None:
        """Nothing to learn: there is nobody else."""

    def __call__(
        self, seen: Sequence[Seen | None], mixtures: Sequence[Sequence[Mixture | None]], t: float
    ) -> Sequence[Belonging]:
        """The one person, also where no camera sees anybody."""
        return (Belonging(self._id, tuple(0 if answer is not None and answer.people else None for answer in seen)),)


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

    def forget(self, camera_index: int) -> None:
        """Nobody is remembered by what this camera saw."""
        self._state = without_camera(self._state, camera_index)

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
