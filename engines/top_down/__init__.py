"""Where people are: found with MoveNet MultiPose, then followed from pose to pose.

A top-down detector invents a skeleton in any box (MoveNet Thunder scores up to 0.7 on foliage), so a box is only
believed while MultiPose sees somebody in it. Every interval is in the frames' own time, so a file always gives the
same answer.
"""

from engines.top_down.crowd import TopDownCrowd
from engines.top_down.finder import Finder, FoundPerson
from engines.top_down.followed import FollowedBox
from engines.top_down.options import TopDownOptions
from engines.top_down.proof import PersonRule
from engines.top_down.session import TopDownSession
from engines.top_down.turning import See

__all__ = [
    "Finder",
    "FollowedBox",
    "FoundPerson",
    "PersonRule",
    "See",
    "TopDownCrowd",
    "TopDownOptions",
    "TopDownSession",
]
