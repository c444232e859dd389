"""When somebody is found, followed and doubted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TopDownOptions:
    """When somebody is found, followed and doubted. Times are in the frames' own."""

    search_sides: tuple[int, ...] = (256, 384)
    """Long side of the whole image for MultiPose, in turn: the second finds smaller people, at twice the cost."""
    small_side: int = 768
    """The same while there is nobody at all, after the others: finds people down to about 80 px high in full HD, at
    nine times the cost of the first."""
    found: float = 0.2
    """MultiPose score of a person: 90 % of Leeds Sports Pose people are above, at 256 px; noise is below 0.03."""
    acquire: float = 0.3
    """Mean score of the best eight limb joints for a box to be taken up."""
    alike: float = 0.1
    """Object keypoint similarity to what MultiPose sees, for somebody new to be believed ..."""
    certain: float = 0.55
    """... whose mean score of the best eight limb joints is below this."""
    keep: float = 0.2
    """The same for a followed box; 1 % of Leeds Sports Pose people are below."""
    doubt: float = 0.45
    """Below this a followed box is checked every ``doubt_s`` instead of every ``check_s``; half of backgrounds are
    below 0.3."""
    search_s: float = 0.1
    """Between two searches of the whole image while nobody is followed."""
    check_s: float = 1.0
    """Between two checks that somebody is in a followed box."""
    doubt_s: float = 0.2
    """The same where that is doubtful."""
    remember_s: float = 2.0
    """Somebody found again within this time where the person was lost is the same person."""
    pad: float = 1.4
    """Side of the followed square over the long side of the limbs' box, which lacks the head: about 1.25 with it.

    1.15 to 1.3 with it score best on Leeds Sports Pose."""
    turns: bool = True
    """Whether who lies or stands on their hands is shown to the network upright; not to one that sees any way up."""
    turn_better: float = 0.1
    """Mean score of the best eight limb joints by which a turned picture must be better to be believed. How much that
    is depends on what a network's scores are: a card may say so."""
    closer_pad: float = 1.3
    """Side of the square of a second look in the first picture over the long side of the limbs that the first found."""
    still_s: float = 0.15
    """A followed square that was nearly the same for so long stays where it is, as long as it would be ..."""
    still: float = 0.02
    """... moved by less of its side ..."""
    still_side: float = 0.04
    """... and changed in its side by less."""
    finder_pad: float = 1.2
    """The same over MultiPose's box, which has the head and some room."""
    others_s: float = 0.25
    """Between two searches of the whole image for others while somebody is followed."""
    looks: int = 6
    """Of the others found in a search no more are looked at, those who stand out most; the rest are counted."""
    same_oks: float = 0.5
    """Two poses more alike than this are one person seen twice."""
    stays_oks: float = 0.15
    """A pose less alike than this to where a followed person was to be is somebody else's."""
    sure_oks: float = 0.4
    """A pose less alike than this is doubtful: the whole image is searched at once for who is who."""
    upright: float = 0.7
    """Somebody found among several, of whom the network is less sure than this, is tried the other ways up."""
    larger: float = 1.25
    """Where there are too many people, somebody so much larger takes the place of the smallest."""
    motion_s: float = 0.2
    """Where somebody goes is the mean of about so long."""
    again_s: float = 0.15
    """Of several people, one lost so short a time ago is looked for where they were to be, beside the searches."""
    hidden_s: float = 0.5
    """A joint that was seen so short a time ago stays in the square of its person."""
    resume_s: float = 0.4
    """Somebody found again within this time where they were to be is followed on as if they had not been lost."""
    proof: float = 2.0
    """Somebody is shown when the logits of the looks at them sum to this; it goes as low, no lower."""
    proof_first: tuple[float, float] = (0.0, 1.0)
    """In the first picture this is enough of somebody found at the first of the sizes, and of one found at a later:
    where a picture is searched three times a thing has three chances."""
    proof_most: float = 6.0
    """The sum goes no higher: so much is to be lost before somebody is doubted."""
    doubted: float = 0.25
    """Once they are shown, a look takes no more than this from the sum: people are half hidden for long."""
    unfound: float = 0.1
    """MultiPose's score of a person whom it does not find, for such a sum."""
    refuted: int = 10
    """So many looks in a row at the lowest sum, and nobody is there."""
