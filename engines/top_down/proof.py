"""Whether it is a person: what two networks say at a look, in one number, summed over several looks.

A sitting dog has limbs for a top-down network, and now and then it is somebody for MultiPose too. One look does not
tell it from a gymnast; several do: MultiPose finds the dog in one picture of four, and the gymnast in most of them.
So the logits of the looks are summed until they suffice (a sequential test: Wald 1945, "Sequential Tests of Statistical
Hypotheses").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engines.skeleton import LIMBS
from engines.top_down.options import TopDownOptions
from engines.types import Detection

_KEYS: Final = ("person_level", "person_found", "person_limbs")


@dataclass(frozen=True, slots=True)
class PersonRule:
    """The logit of a person: ``level + found x MultiPose's score + limbs x mean score of the twelve limb joints``.

    A logistic regression, of people against animals, things and rooms; how it was fitted is in docs/people.md.
    """

    level: float
    found: float
    limbs: float

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "PersonRule | None":
        """Of a detector's card's values; None where it has none: whoever is found is then believed at once."""
        numbers = [values.get(key) for key in _KEYS]
        if not all(isinstance(number, int | float) for number in numbers):
            return None
        return cls(*map(float, numbers))  # pyright: ignore[reportArgumentType]

    def logit(self, score: float, pose: Detection) -> float:
        """What one look says.

        Args:
            score: MultiPose's of somebody there; less than it calls a person where it found nobody.
            pose: what the top-down network sees there.
        """
        return self.level + self.found * score + self.limbs * float(pose.score[np.array(LIMBS)].mean())


class Proof:
    """What was seen of one person so far. All of its state is here.

    Args:
        rule: what a look says; None: nobody has to prove that they are a person.
        options: ``proof``, ``proof_most``, ``doubted``, ``unfound``, ``refuted``.
    """

    def __init__(self, rule: PersonRule | None, options: TopDownOptions) -> None:
        self._rule, self._options = rule, options
        self._sum, self._low = 0.0, 0
        self.given = rule is None
        """Whether it is a person: only they are shown."""

    def shows(self, least: float | None) -> bool:
        """Whether somebody is to be shown.

        Args:
            least: in the first picture of a session, which may be the only one, the sum above which they are; None in
                all others, which ask for the whole proof.
        """
        return self.given or (least is not None and self._sum > least)

    @property
    def refuted(self) -> bool:
        """Whether it is surely nobody, so that it need not be looked at."""
        return self._low >= self._options.refuted

    def look(self, score: float | None, pose: Detection) -> None:
        """Learn from a look.

        Args:
            score: MultiPose's of somebody there; None where it found nobody.
            pose: what the top-down network sees there.
        """
        if self._rule is None:
            return
        options = self._options
        logit = self._rule.logit(options.unfound if score is None else score, pose)
        if not np.isfinite(logit):
            return  # whoever asked hears of the pose
        # Somebody who was a person may be half hidden for long: each look counts little against them.
        least = -options.doubted if self.given else -options.proof
        self._sum = float(np.clip(self._sum + max(logit, least), -options.proof, options.proof_most))
        self._low = self._low + 1 if self._sum == -options.proof else 0
        self.given = self._sum >= (0 if self.given else options.proof)
