"""Frames whose people are known: who of them is followed, and the detector of a run that needs none."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from calibration.arrays import Image
from engines.types import Detection, Seen, Sighting


def followed(seen: Seen, most: int, before: Seen | None) -> Seen:
    """The people of a frame who are followed: those who were in the frame before, then the largest.

    Args:
        seen: everybody in it.
        most: how many are followed.
        before: of the frame before, those who were.
    """
    if len(seen.people) <= most:
        return seen
    known = {one.track for one in before.people} if before is not None else set[int]()
    people = sorted(seen.people, key=lambda one: (one.track not in known, -_size(one)))[:most]
    return replace(seen, people=tuple(people), left_out=seen.left_out + len(seen.people) - most)


def _size(one: Sighting) -> float:
    points = one.detection.xy[one.detection.score > 0]
    return float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) else 0.0


class NoDetector:
    """In place of a detector where every source knows its people."""

    name = "detections"

    def session(self) -> "_Session":
        """One that is never asked."""
        return _Session()

    def describe(self) -> Mapping[str, str]:
        """That it is none."""
        return {"model": "", "sha256": "", "runtime": "files"}

    def describe_all(self) -> Mapping[str, Mapping[str, str]]:
        """The same by its name."""
        return {self.name: self.describe()}


class _Session:
    def __call__(self, image: Image, t: float) -> Detection:
        raise RuntimeError("a frame without people came to a run that has no detector")

    def reset(self) -> None:
        return
